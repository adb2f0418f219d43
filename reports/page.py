"""The report: one page that opens offline, and beside it the same for machines."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from invmass.errors import RowsError
from invmass.results import wording
from invmass.results.plain_json import finite, plain_json

from . import evidence, summary, tables, timings
from .badge import badge_json
from .calibration import error_rates
from .details import details
from .figures import calibrated, explored, matrices, speed
from .history import commits
from .releases import releases

OPEN = ("fail", "error", "inconclusive")
MOST_TOLD = 5  # of what does not hold, and of what is known not to, at the top
MOST_PORTRAYED = 6  # cases
DOMINANT = np.log(2.0)  # of the logarithm of a ratio


def write_report(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Write the report into a folder.

    Args:
        rows: as `load_rows` returns them.
        folder: is made if need be; files of an older report in it are replaced.

    Returns:
        The files written, the page first.

    Raises:
        RowsError: the folder cannot be written.
    """
    folder = Path(folder)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    flat = flattened(rows)
    pictures = drawn(rows)
    texts = {
        "index.html": html(rows, pictures).encode(),
        "summary.md": summary.markdown(rows).encode(),
        "badge.json": badge_json(rows),
        "rows.csv": flat.to_csv(index=False).encode(),
        **{f"figures/{_stem(name)}.svg": svg.encode() for name, svg in pictures.items()},
    }
    with _writing(folder):
        (folder / "figures").mkdir(exist_ok=True)
        for name, content in texts.items():
            (folder / name).write_bytes(content)
        flat.to_parquet(folder / "rows.parquet", index=False)
    return [folder / name for name in (*texts, "rows.parquet")]


def flattened(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with nested and mixed columns as JSON, so that any program reads them."""
    flat = rows.copy()
    for name in flat.columns[[dtype == "object" for dtype in flat.dtypes]]:
        kinds = {type(value) for value in flat[name] if wording.known(value)}
        if kinds & {list, dict} or len(kinds) > 1:
            flat[name] = [
                plain_json(value, ensure_ascii=False) if wording.known(value) else None
                for value in flat[name]
            ]
    return flat


def drawn(rows: pd.DataFrame) -> dict[str, str]:
    """The figures that the rows have something for, as SVG by their names."""
    pictures = {"effects": matrices.effects(rows), "timings": speed.timings(rows)}
    for case in _portrayed(rows):
        if case.startswith(tables.NOTEBOOK):
            pictures[f"ellipses-{case}"] = matrices.ellipses(rows, case)
        pictures[f"deviation-{case}"] = matrices.deviation_split(rows, case)
    for case in _explored(rows):
        pictures[f"settings-{case}"] = explored.settings(rows, case)
        pictures[f"trajectories-{case}"] = explored.trajectories(rows, case)
    pictures |= {"releases": speed.releases(rows), "curves": speed.curves(rows)}
    pictures["power"] = calibrated.power(evidence.calibration(rows))
    return {name: svg for name, svg in pictures.items() if svg}


def html(rows: pd.DataFrame, pictures: Mapping[str, str] | None = None) -> str:
    """The page, self-contained, with figures by the names that `drawn` gives them."""
    pictures = drawn(rows) if pictures is None else pictures
    loader = PackageLoader("invmass.reports", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.filters |= {
        "number": wording.number,
        "deviation": wording.deviation,
        "plural": wording.plural,
    }
    environment.tests["known"] = wording.known
    environment.globals |= {"symbols": wording.SYMBOLS, "known": wording.known, "words": wording}
    return environment.get_template("page.html.j2").render(_content(rows, pictures))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RowsError(
            f"cannot write the report to {folder}: {error.strerror or error}; "
            "choose a folder that can be written"
        ) from error


def _content(rows: pd.DataFrame, pictures: Mapping[str, str]) -> dict[str, Any]:
    verdicts = tables.verdicts(rows).to_dict("records")
    counts = tables.status_counts(rows)
    statuses = [name for name in counts.columns[:-1] if counts[name].any()]
    told = details(rows)
    faults = evidence.faults(rows)
    return {
        "overview": summary.overview(rows),
        "matrices": _matrices(rows),
        "counts": counts.to_dict("index"),
        "statuses": statuses,
        "figures": defaultdict(Markup, {name: Markup(svg) for name, svg in pictures.items()}),
        "portraits": _portraits(rows),
        "timings": timings.timings(rows).to_dict("records"),
        "savings": timings.savings(rows).to_dict("records"),
        "explored": _explored(rows),
        "releases": releases(rows).to_dict("records"),
        "commits": commits(rows).to_dict("records"),
        "exponents": timings.exponents(rows).to_dict("records"),
        "open": OPEN,
        "off": _off(rows),
        "known_failures": tables.known_failures(rows).head(MOST_TOLD).to_dict("records"),
        "failures": [v for v in verdicts if v["status"] in OPEN],
        "verdicts": verdicts,
        "details": finite(told),
        "furthest": {i: detail["entries"] for i, detail in told.items() if "entries" in detail},
        "calibration": error_rates(evidence.calibration(rows)).to_dict("records"),
        "faults": evidence.fault_table(faults),
        "unseen": evidence.unseen(faults),
        "measured": _measured(rows),
        "provenance": tables.provenance(rows).to_dict("records"),
    }


def _matrices(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One matrix for each device and dtype: results of two devices are never compared."""
    ids = tables.verdict_matrix(rows, "row_id")
    verdicts = tables.verdicts(rows).to_dict("records")
    by_id = {verdict["row_id"]: verdict for verdict in verdicts}
    troubles = _troubles(verdicts)
    backends: dict[str, int] = {}
    for backend, _ in ids.columns:
        backends[backend] = backends.get(backend, 0) + 1
    found = []
    for device, dtype in dict.fromkeys(index[:2] for index in ids.index):
        lines = []
        for case, chosen in ids.loc[device, dtype].iterrows():
            cells = []
            for (backend, metric), row_id in chosen.items():
                verdict = by_id.get(row_id)
                besides = [
                    trouble
                    for trouble in troubles.get((case, backend, device), ())
                    if trouble["metric"] in (metric, "")
                ]
                told = [*([verdict] if verdict else []), *besides]
                statuses = list(dict.fromkeys(each["status"] for each in told))
                cells.append({"verdict": verdict, "troubles": besides, "statuses": statuses})
            lines.append({"case": case, "cells": cells})
        found.append(
            {
                "setting": wording.setting(device, dtype),
                "backends": backends,
                "columns": list(ids.columns),
                "lines": lines,
            }
        )
    return found


def _troubles(
    verdicts: list[dict[str, Any]],
) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """What else went wrong by case, backend and device, so that a green cell cannot hide it."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for verdict in verdicts:
        if verdict["status"] in OPEN and verdict["claim"] != tables.HEADLINE:
            place = verdict["case"], verdict["backend"], verdict["device"]
            found.setdefault(place, []).append(verdict)
    return found


def _off(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Of the metrics that fail the furthest off, and if none fails that of them all."""
    judged = tables.headline(rows)
    judged = judged.assign(distance=np.abs(tables.offsets(judged)[:, 1]))
    judged = judged[np.isfinite(judged["distance"])].sort_values(
        "distance", ascending=False, kind="stable"
    )
    failed = judged[judged["status"] == "fail"]
    return (failed.head(MOST_TOLD) if len(failed) else judged.head(1)).to_dict("records")


def _portraits(rows: pd.DataFrame) -> list[dict[str, Any]]:
    parts = tables.deviation_parts(rows)
    return [
        {
            "case": case,
            "parts": parts[parts["case"] == case].to_dict("records"),
            "dominated": dominated,
        }
        for case, dominated in _portrayed(rows).items()
    ]


def _portrayed(rows: pd.DataFrame) -> dict[str, bool]:
    """The notebook's cases, and those of which regularisation changes an entry most (True).

    Of many, the first.
    """
    parts = tables.deviation_parts(rows)
    dominated = set(parts["case"][np.abs(np.log(parts["regularisation"])) > DOMINANT])
    cases = [
        case
        for case in dict.fromkeys(tables.headline(rows)["case"])
        if case.startswith(tables.NOTEBOOK) or case in dominated
    ]
    return {case: case in dominated for case in cases[:MOST_PORTRAYED]}


def _explored(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows.loc[rows["kind"] == "setting", "case"]))


def _measured(rows: pd.DataFrame) -> str:
    """Where and at which commits the suite itself was measured."""
    measured = [evidence.calibration(rows), evidence.faults(rows)]
    told = {name: pd.concat([each[name] for each in measured]) for name in ("machine", "commit")}
    machines, commits = (", ".join(values.dropna().unique()) for values in told.values())
    return f"{machines}; {commits}"


def _stem(name: str) -> str:
    """A figure's name as that of a file."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
