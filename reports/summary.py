"""The run as a whole: in a few sentences, and as Markdown for the summary of a CI job."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from invmass.results import wording
from invmass.results.reading import Reading
from invmass.results.status import BY_SEVERITY, Status

from . import tables


@dataclass(frozen=True)
class Overview:
    """The run in a few sentences.

    Attributes:
        sentence: what was checked and at which error rate.
        result: the outcome, with the count of each status.
        status: the status of the run as a whole: the worst of its checks, or pass. If nothing was
            checked it is inconclusive.
        note: how many older verdicts newer ones have replaced; empty if none.
    """

    sentence: str
    result: str
    status: Status
    note: str


def overview(rows: pd.DataFrame) -> Overview:
    """Summarise the run. A run in which nothing was tested is not green."""
    newest = tables.verdicts(rows)
    counts = newest["status"].value_counts()
    present = [status for status in BY_SEVERITY if counts.get(status, 0)]
    if not present or present == [Status.SKIPPED]:
        status, opening = Status.INCONCLUSIVE, "Nothing was checked"
    elif present[0].is_red:
        status, opening = present[0], "Not all checks pass"
    elif Status.EXPECTED_FAILURE in present:
        status, opening = Status.PASS, "All checks pass, except for expected failures"
    else:
        status, opening = Status.PASS, "All checks pass"
    listed = ", ".join(_count(counts[status], status) for status in present)
    result = f"{opening}: {listed}." if listed else f"{opening}."
    readings = _readings(tables.inverse_fisher_verdicts(rows))
    return Overview(f"{_sentence(newest)}{readings}", result, status, _note(rows))


def markdown(rows: pd.DataFrame) -> str:
    """Overview, counts by backend, matrix of verdicts, and failures with their commands."""
    found = overview(rows)
    blocks = [
        "# Inverse mass matrix against inverse Fisher",
        found.sentence,
        f"**{found.status.symbol} {found.result}**",
        *([found.note] if found.note else []),
        "## Checks by backend",
        _counts(rows),
        "## M⁻¹ / inverse Fisher, by case, backend and metric",
        _matrix(rows),
        *_failures(rows),
        *_expected_failures(rows),
    ]
    return "\n\n".join(blocks) + "\n"


def _sentence(newest: pd.DataFrame) -> str:
    tested = newest[newest["status"].isin([s for s in Status if s.was_tested])]
    backends = sorted(set(tested["backend"]) - {""}) or ["no backend"]
    opening = (
        f"{wording.plural(len(tested), 'check')} on "
        f"{wording.plural(tested['case'].nunique(), 'case')} tested whether "
        f"{wording.joined(backends)} tuned the inverse mass matrix M⁻¹ that the posterior’s "
        "geometry calls for, and whether draws and diagnostics are right."
    )
    alphas = pd.to_numeric(tested["alpha"], errors="coerce").dropna()
    if not (alphas > 0).any():
        return opening
    return (
        f"{opening} Each verdict is wrong with probability at most "
        f"α = {wording.error_rate(alphas.max())}; the probability that any of them is wrong is at "
        f"most {wording.error_rate(min(1.0, alphas.sum()))}."
    )


def _readings(verdicts: pd.DataFrame) -> str:
    """The number of combinations with each reading."""
    counts = verdicts["reading"].dropna().value_counts()
    if not len(counts):
        return ""
    listed = ", ".join(
        f"{reading} ({counts[reading]})" for reading in Reading if counts.get(reading, 0)
    )
    return (
        " Reading of M⁻¹ against the inverse Fisher itself, in "
        f"{wording.plural(counts.sum(), 'combination')} of case, backend and metric: {listed}."
    )


def _note(rows: pd.DataFrame) -> str:
    older = tables.superseded(rows)
    if older.empty:
        return ""
    counts = older["status"].value_counts()
    listed = ", ".join(_count(count, status) for status, count in counts.items())
    return f"Left out: older verdicts of checks that were repeated later ({listed})."


def _count(count: int, status: str) -> str:
    if status == Status.EXPECTED_FAILURE:
        return wording.plural(count, status)
    return f"{count} {status}"


def _counts(rows: pd.DataFrame) -> str:
    counts = tables.status_counts(rows)
    return _table(
        ["backend", *counts.columns],
        [
            [name, *(str(count) if count else "·" for count in line)]
            for name, *line in counts.itertuples(index=True, name=None)
        ],
    )


def _matrix(rows: pd.DataFrame) -> str:
    status = tables.verdict_matrix(rows)
    summary = tables.verdict_matrix(rows, "summary")
    blocks = []
    for device, dtype in dict.fromkeys(index[:2] for index in status.index):
        lines = []
        for case in status.loc[device, dtype].index:
            cells = (frame.loc[(device, dtype, case)] for frame in (status, summary))
            lines.append([case, *(_cell(*cell) for cell in zip(*cells, strict=True))])
        header = [f"{backend} {metric}".strip() for backend, metric in status.columns]
        title = f"case ({wording.device_and_dtype(device, dtype)})"
        blocks.append(_table([title, *header], lines))
    return "\n\n".join(blocks) or "No verdicts."


def _cell(status: Any, summary: Any) -> str:
    if not wording.has_value(status):
        return "·"
    return f"{Status(status).symbol} {status} {summary}".rstrip()


def _failures(rows: pd.DataFrame) -> list[str]:
    newest = tables.verdicts(rows).to_dict("records")
    failed = [verdict for verdict in newest if Status(verdict["status"]).is_red]
    blocks = ["## Failures"] if failed else []
    for verdict in failed:
        status = Status(verdict["status"])
        blocks.append(
            f"### {status.symbol} {status}: {_escaped(verdict['case'])}, "
            f"{_escaped(wording.backend_and_metric(verdict))}: {_escaped(verdict['claim'])}"
        )
        if estimate := wording.estimate_line(verdict):
            blocks.append(_escaped(estimate))
        blocks += [
            _fenced(wording.without_terminal_codes(verdict[name]), language)
            for name, language in (("message", "text"), ("command", "sh"))
            if wording.has_value(verdict[name])
        ]
    return blocks


def _expected_failures(rows: pd.DataFrame) -> list[str]:
    lines = [
        f"- {_escaped(wording.backend_and_metric(verdict))} on {_escaped(verdict['case'])}, "
        f"{_escaped(verdict['claim'])}: {_escaped(verdict['message'])}"
        for verdict in tables.expected_failures(rows).to_dict("records")
    ]
    return ["## Expected failures", "\n".join(lines)] if lines else []


def _table(header: list[str], lines: list[list[str]]) -> str:
    escaped = ([*map(_escaped, line)] for line in lines)
    return wording.markdown_table([*map(_escaped, header)], escaped)


def _escaped(text: Any) -> str:
    return re.sub(r"([<>\[\]`*])", r"\\\1", str(text)).replace("\n", " ")


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
