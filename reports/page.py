"""The report: an HTML page that opens offline, and files with the same content for programs."""

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
from invmass.results.reading import Reading
from invmass.results.schema import INVERSE_FISHER, Phase
from invmass.results.status import BY_SEVERITY, Status

from . import evidence, summary, tables, timings
from .badge import badge_json
from .calibration import error_rates
from .details import details
from .figures import calibrated, explored, matrices, speed
from .history import commits
from .releases import releases

MAX_LISTED = 5  # failures, and expected failures, at the top of the page
MAX_CASES_WITH_FIGURES = 6
DOMINANT = np.log(2.0)  # logarithm of the ratio by which regularisation changes an entry


def write_report(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Write the report into a folder.

    Args:
        rows: as `load_rows` returns them.
        folder: created if it does not exist; files of an older report in it are replaced.

    Returns:
        The files written, the page first.

    Raises:
        RowsError: the folder cannot be written.
    """
    folder = Path(folder)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    flat = with_json_cells(rows)
    figures = draw_figures(rows)
    texts = {
        "index.html": html(rows, figures).encode(),
        "summary.md": summary.markdown(rows).encode(),
        "badge.json": badge_json(rows),
        "rows.csv": flat.to_csv(index=False).encode(),
        **{f"figures/{_stem(name)}.svg": svg.encode() for name, svg in figures.items()},
    }
    with _writing(folder):
        (folder / "figures").mkdir(exist_ok=True)
        for name, content in texts.items():
            (folder / name).write_bytes(content)
        flat.to_parquet(folder / "rows.parquet", index=False)
    return [folder / name for name in (*texts, "rows.parquet")]


def with_json_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with nested and mixed columns as JSON text, for CSV and parquet."""
    flat = rows.copy()
    for name in flat.columns[[dtype == "object" for dtype in flat.dtypes]]:
        kinds = {type(value) for value in flat[name] if wording.has_value(value)}
        if kinds & {list, dict} or len(kinds) > 1:
            flat[name] = [
                plain_json(value, ensure_ascii=False) if wording.has_value(value) else None
                for value in flat[name]
            ]
    return flat


def draw_figures(rows: pd.DataFrame) -> dict[str, str]:
    """All figures for which the rows hold data, as SVG by name."""
    figures = {"effects": matrices.effects(rows), "timings": speed.timings(rows)}
    for case in _cases_with_figures(rows):
        if case.startswith(tables.NOTEBOOK):
            figures[f"ellipses-{case}"] = matrices.ellipses(rows, case)
        figures[f"deviation-{case}"] = matrices.deviation_split(rows, case)
    for case in _explored(rows):
        figures[f"settings-{case}"] = explored.settings(rows, case)
        figures[f"trajectories-{case}"] = explored.trajectories(rows, case)
    figures |= {"releases": speed.releases(rows), "curves": speed.curves(rows)}
    figures["power"] = calibrated.power(evidence.calibration(rows))
    return {name: svg for name, svg in figures.items() if svg}


def html(rows: pd.DataFrame, figures: Mapping[str, str] | None = None) -> str:
    """The self-contained page.

    Args:
        rows: as loaded.
        figures: as `draw_figures` returns them; drawn if None.
    """
    figures = draw_figures(rows) if figures is None else figures
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
    environment.tests["filled"] = wording.has_value
    environment.globals |= {
        "Status": Status,
        "Reading": Reading,
        "Phase": Phase,
        "by_severity": BY_SEVERITY,
        "counted": tables.COUNTED,
        "has_value": wording.has_value,
        "words": wording,
    }
    return environment.get_template("page.html.j2").render(_content(rows, figures))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RowsError(
            f"cannot write the report to {folder}: {error.strerror or error}; "
            "choose a folder that can be written"
        ) from error


def _content(rows: pd.DataFrame, figures: Mapping[str, str]) -> dict[str, Any]:
    verdicts = tables.verdicts(rows).to_dict("records")
    counts = tables.status_counts(rows)
    statuses = [name for name in counts.columns[:-1] if counts[name].any()]
    found = details(rows)
    faults = evidence.faults(rows)
    return {
        "overview": summary.overview(rows),
        "matrices": _matrices(rows),
        "counts": counts.to_dict("index"),
        "statuses": statuses,
        "figures": defaultdict(Markup, {name: Markup(svg) for name, svg in figures.items()}),
        "case_figures": _case_figures(rows),
        "timings": timings.timings(rows).to_dict("records"),
        "savings": timings.savings(rows).to_dict("records"),
        "explored": _explored(rows),
        "releases": releases(rows).to_dict("records"),
        "commits": commits(rows).to_dict("records"),
        "exponents": timings.exponents(rows).to_dict("records"),
        "largest": _largest_deviations(rows),
        "expected_failures": tables.expected_failures(rows).head(MAX_LISTED).to_dict("records"),
        "failures": [v for v in verdicts if Status(v["status"]).is_red],
        "verdicts": verdicts,
        "details": finite(found),
        "entries": {i: detail["entries"] for i, detail in found.items() if "entries" in detail},
        "calibration": error_rates(evidence.calibration(rows)).to_dict("records"),
        "faults": evidence.fault_table(faults),
        "undetectable": evidence.undetectable_faults(faults),
        "measured": _where_measured(rows),
        "provenance": tables.provenance(rows).to_dict("records"),
    }


def _matrices(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One matrix of verdicts for each device and dtype, whose results are never compared."""
    ids = tables.verdict_matrix(rows, "row_id")
    verdicts = tables.verdicts(rows).to_dict("records")
    by_id = {verdict["row_id"]: verdict for verdict in verdicts}
    problems = _other_problems(verdicts)
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
                others = [
                    problem
                    for problem in problems.get((case, backend, device), ())
                    if problem["metric"] in (metric, "")
                ]
                shown = [*([verdict] if verdict else []), *others]
                statuses = list(dict.fromkeys(each["status"] for each in shown))
                cells.append({"verdict": verdict, "problems": others, "statuses": statuses})
            lines.append({"case": case, "cells": cells})
        found.append(
            {
                "setting": wording.device_and_dtype(device, dtype),
                "backends": backends,
                "columns": list(ids.columns),
                "lines": lines,
            }
        )
    return found


def _other_problems(
    verdicts: list[dict[str, Any]],
) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Red verdicts on other claims, by case, backend and device; the matrix shows them too."""
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for verdict in verdicts:
        if Status(verdict["status"]).is_red and verdict["claim"] != INVERSE_FISHER:
            key = verdict["case"], verdict["backend"], verdict["device"]
            found.setdefault(key, []).append(verdict)
    return found


def _largest_deviations(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The failures with the largest deviations in margins; if none fails, the largest of all."""
    judged = tables.inverse_fisher_verdicts(rows)
    judged = judged.assign(distance=np.abs(tables.deviations_in_margins(judged)[:, 1]))
    judged = judged[np.isfinite(judged["distance"])].sort_values(
        "distance", ascending=False, kind="stable"
    )
    failed = judged[judged["status"] == Status.FAIL]
    return (failed.head(MAX_LISTED) if len(failed) else judged.head(1)).to_dict("records")


def _case_figures(rows: pd.DataFrame) -> list[dict[str, Any]]:
    parts = tables.deviation_parts(rows)
    return [
        {
            "case": case,
            "parts": parts[parts["case"] == case].to_dict("records"),
            "dominated": dominated,
        }
        for case, dominated in _cases_with_figures(rows).items()
    ]


def _cases_with_figures(rows: pd.DataFrame) -> dict[str, bool]:
    """The first cases of the notebook, or with an entry that regularisation decides (True)."""
    parts = tables.deviation_parts(rows)
    dominated = set(parts["case"][np.abs(np.log(parts["regularisation"])) > DOMINANT])
    cases = [
        case
        for case in dict.fromkeys(tables.inverse_fisher_verdicts(rows)["case"])
        if case.startswith(tables.NOTEBOOK) or case in dominated
    ]
    return {case: case in dominated for case in cases[:MAX_CASES_WITH_FIGURES]}


def _explored(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows.loc[rows["kind"] == "setting", "case"]))


def _where_measured(rows: pd.DataFrame) -> str:
    """The machines and commits of the calibration and of the planted faults."""
    measured = [evidence.calibration(rows), evidence.faults(rows)]
    values = {name: pd.concat([each[name] for each in measured]) for name in ("machine", "commit")}
    machines, commits = (", ".join(column.dropna().unique()) for column in values.values())
    return f"{machines}; {commits}"


def _stem(name: str) -> str:
    """The file name of a figure, without suffix."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
