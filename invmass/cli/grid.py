"""Cells at several seeds, and where they run: what `sweep` and `calibrate` share."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pandas as pd

from invmass.errors import UsageError
from invmass.options import CELLS, SETTINGS
from invmass.results.rows import RowWriter
from invmass.runs import executor
from invmass.runs.plan import runs_in_tier, select_cells, settings_from
from invmass.sampling.registry import load_backend
from invmass.studies.sweep import Combination

# The seeds have an option of their own.
CHOICE = (*CELLS, *(name for name in SETTINGS if name != "seed"), "device", "x64", "seeds")


def seeds_of(text: str) -> list[int]:
    """Seeds written as `0-9,12`.

    Raises:
        UsageError: they are not.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        written = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if written is None:
            raise UsageError(f"--seeds takes numbers and ranges, such as 0-9,12, not {text!r}")
        first, last = int(written[1]), int(written[2] or written[1])
        found |= dict.fromkeys(range(first, last + 1))
    if not found:
        raise UsageError(f"--seeds {text!r} is an empty range")
    return list(found)


def combinations_of(
    given: dict[str, Any], claims: tuple[str, ...] = ()
) -> tuple[list[Combination], dict[str, str]]:
    """The combinations that the options choose and that can run here.

    Args:
        given: values of the options by keyword.
        claims: those that are judged; all but the long ones if empty.

    Returns:
        The combinations; and for backends that cannot run here, the reason.

    Raises:
        BackendUnavailableError: a backend that was asked for by name cannot run here.
    """
    settings = settings_from(lambda name: given.get(name.replace("-", "_")))
    chosen, skipped = [], {}
    for cell in select_cells(given["cases"], given["backends"], given["metrics"]):
        backend = load_backend(cell.spec)
        if cell.spec in given["backends"]:
            backend.check_available()
        if reason := backend.why_unavailable() or backend.unsupported_reason(cell.metric):
            skipped[cell.backend] = reason
        elif runs_in_tier(given.get("tier", "quick"), cell):
            chosen.append(Combination(cell, settings, claims, given["device"], given["x64"]))
    return chosen, skipped


def collect(
    tasks: Sequence[Any], work: Any, lost: Any, place: executor.Place, results: Path
) -> None:
    """Run all tasks and append their rows to the results as they come."""
    writer = RowWriter(results)
    try:
        executor.collect(tasks, work, lost, place, writer)
    finally:
        writer.close()


def show_what_was_not_run(skipped: dict[str, str], already_there: int) -> None:
    """Backends that cannot run here, and the number of cells that had their rows already."""
    for name, reason in skipped.items():
        click.echo(f"{name}: skipped, {reason}")
    if already_there:
        click.echo(f"{already_there} cell(s) were in the results folder already")


def rows_as_json(rows: pd.DataFrame) -> str:
    """Rows as a JSON list of objects."""
    return json.dumps(json.loads(rows.to_json(orient="records")), indent=2)
