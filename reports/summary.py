"""What the rows amount to: in one sentence, and as markdown for the summary of a CI job."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from invmass.results import wording

from . import tables


@dataclass(frozen=True)
class Overview:
    """The run in a nutshell.

    Attributes:
        sentence: what was checked, how often and at which error rate.
        result: the outcome, with the count of each status.
        status: the status by which the run as a whole is to be coloured.
        note: what the newest rows have replaced; empty if nothing.
    """

    sentence: str
    result: str
    status: str
    note: str


def overview(rows: pd.DataFrame) -> Overview:
    """Sum the rows up. A run that decided nothing is not a green one."""
    newest = tables.verdicts(rows)
    readings = _readings(tables.headline(rows))
    counts = newest["status"].value_counts()
    present = [status for status in tables.STATUSES if counts.get(status, 0)]
    told = ", ".join(_count(counts[status], status) for status in present)
    status: str
    bad = [status for status in ("fail", "error", "inconclusive") if status in present]
    if bad:
        status, opening = bad[0], _OPENINGS[bad[0]]
    elif "expected failure" in present:
        status, opening = "pass", "Every claim that was checked holds, but for those known to fail"
    elif "pass" in present:
        status, opening = "pass", "Every claim that was checked holds"
    else:
        status, opening = "inconclusive", "Nothing was checked"
    result = f"{opening}: {told}." if told else f"{opening}."
    return Overview(f"{_sentence(newest)}{readings}", result, status, _note(rows))


def markdown(rows: pd.DataFrame) -> str:
    """Sentence, counts by backend, matrix of verdicts, and what failed with its command."""
    told = overview(rows)
    blocks = [
        "# Inverse mass matrix against inverse Fisher",
        told.sentence,
        f"**{wording.SYMBOLS[told.status]} {told.result}**",
        *([told.note] if told.note else []),
        "## Verdicts by backend",
        _counts(rows),
        "## M⁻¹ over the inverse Fisher: case by backend and metric",
        _matrix(rows),
        *_failures(rows),
        *_known_failures(rows),
    ]
    return "\n\n".join(blocks) + "\n"


_OPENINGS = {
    "fail": "Not every claim holds",
    "error": "Some checks broke down",
    "inconclusive": "Some claims are left open",
}


def _sentence(newest: pd.DataFrame) -> str:
    decided = newest[~newest["status"].isin(tables.UNDECIDED)]
    backends = sorted(set(decided["backend"]) - {""}) or ["no backend"]
    opening = (
        f"{wording.plural(len(decided), 'verdict')} on "
        f"{wording.plural(decided['case'].nunique(), 'case')} say whether the inverse mass matrix "
        f"that {wording.listed(backends)} tuned is the one that the posterior's geometry calls for"
    )
    alphas = pd.to_numeric(decided["alpha"], errors="coerce").dropna()
    if not (alphas > 0).any():
        return f"{opening}."
    return (
        f"{opening}; each errs with a probability of at most α = {wording.rate(alphas.max())}, "
        f"all of them together with at most {wording.rate(min(1.0, alphas.sum()))}."
    )


def _readings(headline: pd.DataFrame) -> str:
    """How many combinations match the inverse Fisher, differ from it as documented, and so on."""
    counts = headline["reading"].dropna().value_counts()
    if not len(counts):
        return ""
    told = ", ".join(f"{reading} in {count}" for reading, count in counts.items())
    return f" M⁻¹ over the inverse Fisher itself, of {counts.sum()} combinations: {told}."


def _note(rows: pd.DataFrame) -> str:
    older = tables.superseded(rows)
    if older.empty:
        return ""
    counts = older["status"].value_counts()
    told = ", ".join(_count(count, status) for status, count in counts.items())
    return f"Newer verdicts of the same checks replace {len(older)} older: {told}."


def _count(count: int, status: str) -> str:
    return wording.plural(count, status) if status == "expected failure" else f"{count} {status}"


def _counts(rows: pd.DataFrame) -> str:
    counts = tables.status_counts(rows)
    return _table(
        ["backend", *counts.columns],
        [
            [name, *(str(count) if count else "·" for count in line)]
            for name, *line in _lines(counts)
        ],
    )


def _matrix(rows: pd.DataFrame) -> str:
    status = tables.verdict_matrix(rows)
    told = tables.verdict_matrix(rows, "told")
    blocks = []
    for device, dtype in dict.fromkeys(index[:2] for index in status.index):
        lines = []
        for case in status.loc[device, dtype].index:
            cells = (frame.loc[(device, dtype, case)] for frame in (status, told))
            lines.append([case, *(_cell(*cell) for cell in zip(*cells, strict=True))])
        header = [f"{backend} {metric}".strip() for backend, metric in status.columns]
        title = f"case ({wording.setting(device, dtype)})"
        blocks.append(_table([title, *header], lines))
    return "\n\n".join(blocks) or "No verdicts."


def _cell(status: Any, told: Any) -> str:
    if not wording.known(status):
        return "·"
    return f"{wording.SYMBOLS[status]} {status} {told}".rstrip()


def _failures(rows: pd.DataFrame) -> list[str]:
    newest = tables.verdicts(rows)
    failed = newest[newest["status"].isin(("fail", "error", "inconclusive"))]
    blocks = ["## Failures"] if len(failed) else []
    for verdict in failed.to_dict("records"):
        blocks.append(
            f"### {wording.SYMBOLS[verdict['status']]} {verdict['status']}: "
            f"{_escaped(verdict['case'])}, {_escaped(wording.place(verdict))}: "
            f"{_escaped(verdict['claim'])}"
        )
        if effect := wording.effect(verdict):
            blocks.append(_escaped(effect))
        blocks += [
            _fenced(str(verdict[name]), language)
            for name, language in (("message", "text"), ("command", "sh"))
            if wording.known(verdict[name])
        ]
    return blocks


def _known_failures(rows: pd.DataFrame) -> list[str]:
    known = tables.known_failures(rows)
    lines = [
        f"- {_escaped(wording.place(verdict))} on {_escaped(verdict['case'])}, "
        f"{_escaped(verdict['claim'])}: {_escaped(verdict['message'])}"
        for verdict in known.to_dict("records")
    ]
    return ["## Known to fail", "\n".join(lines)] if lines else []


def _table(header: list[str], lines: list[list[str]]) -> str:
    return wording.markdown([*map(_escaped, header)], ([*map(_escaped, line)] for line in lines))


def _lines(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame.itertuples(index=True, name=None))


def _escaped(text: Any) -> str:
    return re.sub(r"([<>\[\]`*])", r"\\\1", str(text)).replace("\n", " ")


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
