"""pytest sessions over the suite's own checks, for `validate` and `benchmark`."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from invmass.errors import RowsError
from invmass.options import IN_PYTEST, OPTIONS
from invmass.pytest_plugin import scheduling
from invmass.pytest_plugin.summary import TALLY, Tally
from invmass.results.rows import load_rows
from invmass.results.status import USAGE, Status, exit_status


class _TallyKeeper:
    """Keeps the tally of a pytest session that ends inside `pytest.main`."""

    tally: Tally | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.tally = session.config.stash[TALLY]


def plugin_arguments(given: dict[str, Any]) -> list[str]:
    """Options of a command, by keyword, as arguments of pytest."""
    arguments = []
    for entry in map(OPTIONS.__getitem__, IN_PYTEST):
        flag, value = f"--invmass-{entry.name}", given.get(entry.keyword)
        if entry.repeatable:
            arguments += [f"{flag}={each}" for each in value or ()]
        elif entry.type is bool:
            arguments += [flag] * bool(value)
        elif value is not None:
            arguments.append(f"{flag}={value}")
    return arguments


def run_suite(arguments: list[str], results: Path, as_json: bool) -> None:
    """Run one pytest session over the suite's own checks, and exit with its status as ours."""
    before = _row_ids(results) if as_json else set()
    keeper = _TallyKeeper()
    # settings of the project that we are called from are not meant for our checks
    session = ["--pyargs", "invmass.cases", "-o", "addopts=", *arguments]
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        code = pytest.main(session, plugins=[keeper, scheduling])
    if as_json:
        new = _row_ids(results) - before
        rows = load_rows(results).query("row_id in @new") if new else None
        text = "[]" if rows is None else rows.to_json(orient="records")
        click.echo(json.dumps(json.loads(text), indent=2))
    sys.exit(_exit_status(code, keeper.tally))


def _exit_status(code: int, tally: Tally | None) -> int:
    """Ours for that of pytest, which tells no undecided verdict from a failure."""
    if code == pytest.ExitCode.USAGE_ERROR:
        return USAGE
    if code == pytest.ExitCode.OK:
        return Status.PASS.exit_status
    if code != pytest.ExitCode.TESTS_FAILED or tally is None:
        return Status.FAIL.exit_status
    if tally.nothing_executed or tally.stale or not any(status.is_red for status in tally.found):
        return Status.FAIL.exit_status
    return exit_status(tally.found)


def _row_ids(results: Path) -> set[str]:
    try:
        return set(load_rows(results)["row_id"])
    except RowsError:
        return set()
