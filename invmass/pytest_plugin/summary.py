"""The summary of a session: checks by backend and status, and what is red besides them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from invmass.pytest_plugin.known_failures import STALE
from invmass.pytest_plugin.options import option
from invmass.pytest_plugin.recording import PROPERTY
from invmass.results.status import BY_SEVERITY, Status


@dataclass
class Tally:
    """What the checks of a session came to.

    Attributes:
        statuses: how often each status came up, by backend.
        reasons: how often each reason for a skip or an expected failure did, by backend.
        readings: how often each reading of M⁻¹ over the inverse Fisher did, by backend.
        specs: what loaded each backend.
        false_alarm: bound on the probability that any verdict is wrong.
        library_seconds: seconds spent in the libraries.
        seconds: seconds of all checks.
        nothing_executed: backends of which no check ran to an answer, which is a failure.
        stale: whether entries of known failures match no check.
    """

    statuses: dict[str, Counter[Status]] = field(default_factory=dict)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    readings: dict[str, Counter[str]] = field(default_factory=dict)
    specs: dict[str, str] = field(default_factory=dict)
    false_alarm: float = 0.0
    library_seconds: float = 0.0
    seconds: float = 0.0
    nothing_executed: list[str] = field(default_factory=list)
    stale: bool = False

    def add(self, check: dict[str, Any], seconds: float) -> None:
        """Count one check."""
        backend, status = check["backend"], Status(check["status"])
        self.specs[backend] = check["spec"]
        self.statuses.setdefault(backend, Counter())[status] += 1
        if status in (Status.SKIPPED, Status.EXPECTED_FAILURE):
            self.reasons.setdefault(backend, Counter())[check["reason"]] += 1
        if check.get("reading"):
            self.readings.setdefault(backend, Counter())[check["reading"]] += 1
        self.false_alarm += check.get("alpha") or 0.0
        self.library_seconds += check.get("library_seconds") or 0.0
        self.seconds += seconds

    def executed(self, backend: str) -> int:
        """Checks of a backend that ran to an answer, whatever it was."""
        counts = self.statuses.get(backend, Counter())
        return counts.total() - counts[Status.SKIPPED]

    @property
    def found(self) -> set[Status]:
        """The statuses that came up."""
        return {status for counts in self.statuses.values() for status in counts}

    @property
    def verdicts(self) -> int:
        """Checks that came to a verdict."""
        return sum(
            count
            for counts in self.statuses.values()
            for status, count in counts.items()
            if status.is_verdict
        )

    def find_backends_without_checks(self, asked_for: list[str]) -> None:
        """Note the backends of which nothing ran: of those asked for, or of all if nothing did."""
        from invmass.sampling.registry import load_backend

        self.nothing_executed = [
            name
            for name in self.statuses
            if self.specs[name] in asked_for and not self.executed(name)
        ]
        if not any(map(self.executed, self.statuses)):
            self.nothing_executed = list(self.statuses)
        without_checks = [spec for spec in asked_for if spec not in self.specs.values()]
        self.nothing_executed += [load_backend(spec).name for spec in without_checks]


TALLY = pytest.StashKey[Tally]()


class Summary:
    """The part of the plugin that counts the checks of one session and prints their summary."""

    def __init__(self, config: pytest.Config) -> None:
        self.tally = config.stash[TALLY] = Tally()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.nodeid.endswith(STALE):
            self.tally.stale = True
        for name, check in report.user_properties:
            if name == PROPERTY and isinstance(check, dict):
                self.tally.add(check, report.duration)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """A backend that was asked for and of which nothing ran is a failure."""
        if hasattr(session.config, "workerinput") or not self.tally.statuses:
            return
        self.tally.find_backends_without_checks(option(session.config, "backend") or [])
        if self.tally.nothing_executed and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.tally.statuses:
            return
        terminalreporter.section("invmass")
        for line in [*_table(self.tally), *_remarks(self.tally)]:
            terminalreporter.write_line(line)
        for backend in self.tally.nothing_executed:
            message = f"FAILED: nothing was executed for backend {backend}"
            terminalreporter.write_line(message, red=True)


def _table(tally: Tally) -> list[str]:
    """Counts of statuses, a line for each backend."""
    width = max(map(len, tally.statuses)) + 2
    header = "".join(f"{column:>18}" for column in ("run", *BY_SEVERITY))
    lines = [f"{'backend':<{width}}{header}"]
    for backend, counts in tally.statuses.items():
        numbers = (tally.executed(backend), *(counts[status] for status in BY_SEVERITY))
        lines.append(f"{backend:<{width}}" + "".join(f"{number:>18}" for number in numbers))
    return lines


def _remarks(tally: Tally) -> list[str]:
    """Readings, reasons, the bound on wrong verdicts, and where the time went."""
    lines = []
    for backend, readings in tally.readings.items():
        counts = ", ".join(f"{reading} {count} ×" for reading, count in sorted(readings.items()))
        lines.append(f"{backend}: M⁻¹ over the inverse Fisher: {counts}")
    for backend, reasons in tally.reasons.items():
        for reason, count in reasons.items():
            lines.append(f"{backend}: {count} × {reason.splitlines()[0]}")
    lines.append(
        f"{tally.verdicts} verdicts; the probability that any of them is wrong is at most "
        f"{tally.false_alarm:.2g}"
    )
    if tally.seconds:
        own = 100 * (1 - tally.library_seconds / tally.seconds)
        lines.append(
            f"{tally.seconds:.0f} s of checks, {tally.seconds / max(tally.verdicts, 1):.2f} s for "
            f"each verdict; {own:.0f}% is the suite's own"
        )
    return lines
