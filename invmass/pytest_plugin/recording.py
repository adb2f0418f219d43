"""The record of every check: its status, its message, and its row in the results folder."""

from __future__ import annotations

from typing import Any

import pytest

from invmass.pytest_plugin import isolation
from invmass.pytest_plugin.markers import claim_of
from invmass.pytest_plugin.options import option
from invmass.pytest_plugin.selection import cell_of
from invmass.results.status import Status
from invmass.runs.cell import Cell

PROPERTY = "invmass"  # of a report: what the summary needs to know of a check
UNEXPECTED_PASS = "[XPASS(strict)]"  # how pytest begins the report of one
RECORD = pytest.StashKey[dict[str, Any]]()  # of an item: what its row says, once there is a verdict
WRITER = pytest.StashKey[Any]()  # of a config: the RowWriter, if there is a place for results


def pytest_configure(config: pytest.Config) -> None:
    if place := option(config, "results"):
        from invmass.errors import RowsError
        from invmass.results.rows import RowWriter

        try:
            config.stash[WRITER] = RowWriter(place)
        except RowsError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_unconfigure(config: pytest.Config) -> None:
    if writer := config.stash.get(WRITER, None):
        writer.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    claim, cell = claim_of(item), cell_of(item)
    decided = report.when == "call" or (report.when == "setup" and not report.passed)
    if claim is None or cell is None or not decided:
        return report
    record = item.stash.get(RECORD, None) or _record_without_verdict(item, claim)
    _reword(report, call, cell, claim, record)
    status, reason = _status_and_reason(report, record)
    report.user_properties.append((PROPERTY, _check(cell, status, reason, record)))
    if writer := item.config.stash.get(WRITER, None):
        message = reason
        if status is Status.EXPECTED_FAILURE and record.get("status") == Status.ERROR:
            message = f"{reason}: {call.excinfo.exconly()}" if call.excinfo else reason
        case, backend, metric = cell.names
        identity = {
            "kind": "verdict",
            "case": case,
            "backend": backend,
            "spec": cell.spec,
            "metric": metric,
            "claim": claim,
        }
        outcome = {"status": status, "message": message, "seconds": report.duration}
        writer.append(identity | record | outcome)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: Any) -> None:
    """A check whose process was lost is an error, with a row, like any other."""
    config = sched.config
    if (lost := isolation.lost_check(config, crashitem)) is None:
        return
    from invmass.claims.record import lost_record
    from invmass.runs.environment import configure_jax
    from invmass.runs.plan import settings_from

    running, reason = lost
    configure_jax(option(config, "device"), option(config, "x64"))
    settings = settings_from(lambda name: option(config, name))
    record = lost_record(running.cell, settings, running.claim, "")
    record["message"] = _no_verdict(running.cell, running.claim, reason, record["command"])
    report.longrepr = record["message"]
    report.location = (*report.location[:2], crashitem.partition("::")[2])
    check = _check(running.cell, Status.ERROR, reason, record)
    report.user_properties.append((PROPERTY, check))
    if writer := config.stash.get(WRITER, None):
        writer.append(record)


def _record_without_verdict(item: pytest.Item, claim: str) -> dict[str, Any]:
    """What is known of a check that broke down or was skipped before it came to a verdict."""
    experiment = getattr(item, "funcargs", {}).get("experiment")
    if experiment is None:
        return {}
    from invmass.claims.record import error_record

    return error_record(experiment, claim, "")


def _reword(
    report: pytest.TestReport,
    call: pytest.CallInfo[None],
    cell: Cell,
    claim: str,
    record: dict[str, Any],
) -> None:
    """Put into words of ours what pytest would report of an error or of a known failure."""
    if report.failed and record.get("status") == Status.ERROR:
        report.longrepr = _error_message(cell, claim, call, report, record["command"])
    elif report.skipped and record.get("status") == Status.INCONCLUSIVE:
        report.outcome = "failed"  # it was expected to fail, and did not come to a verdict
        report.longrepr = str(call.excinfo.value if call.excinfo else "")
        del report.wasxfail
    elif report.failed and str(report.longrepr).startswith(UNEXPECTED_PASS):
        known = str(report.longrepr).removeprefix(UNEXPECTED_PASS).strip()
        report.longrepr = f"passes, but is listed as known to fail: take its line out ({known})"


def _error_message(
    cell: Cell, claim: str, call: pytest.CallInfo[None], report: pytest.TestReport, command: str
) -> str:
    """An error's message; before it, if it is not one of ours alone, where it comes from."""
    from invmass.errors import InvmassError

    error = call.excinfo.value if call.excinfo else None
    ours = isinstance(error, InvmassError) and error.__cause__ is None
    message = _no_verdict(cell, claim, str(error) if error else report.longreprtext, command)
    return message if ours else f"{report.longreprtext}\n\n{message}"


def _no_verdict(cell: Cell, claim: str, reason: str, command: str) -> str:
    """Why there is no verdict, and how to try again."""
    return (
        f"{claim}: no verdict for case {cell.case}, backend {cell.backend}, metric {cell.metric}: "
        f"{reason}\n  repeat: {command}"
    )


def _status_and_reason(
    report: pytest.TestReport, record: dict[str, Any]
) -> tuple[Status, str | None]:
    """Status of a check, and its reason if it did not pass."""
    if hasattr(report, "wasxfail") and not report.passed:
        return Status.EXPECTED_FAILURE, report.wasxfail
    if report.skipped:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return Status.SKIPPED, text.removeprefix("Skipped: ")
    if report.passed:
        return Status.PASS, None
    status = Status(record.get("status", Status.ERROR))
    if status is Status.PASS:  # the verdict passed, and something else broke down
        status = Status.ERROR
    return status, report.longreprtext.strip()


def _check(
    cell: Cell, status: Status, reason: str | None, record: dict[str, Any]
) -> dict[str, Any]:
    """What the summary needs to know of a check."""
    return {
        "backend": cell.backend,
        "spec": cell.spec,
        "status": str(status),
        "reason": reason,
        "alpha": record.get("alpha"),
        "library_seconds": record.get("library_seconds"),
        "reading": record.get("reading"),
    }
