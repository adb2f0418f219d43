"""pytest plugin: options, the record of every check, known failures, and the summary.

It is loaded in every pytest session of an environment that has invmass, so it imports nothing but
pytest and the standard library until one of the suite's own tests runs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from invmass.pytest_plugin import isolation
from invmass.pytest_plugin.isolation import CLAIM

TIMING = "invmass_timing"
FULL = "invmass_full"
PROPERTY = "invmass"

XPASS = "[XPASS(strict)]"  # pytest's word for a failure that was expected and did not come
STALE = "entries that match no test"
FINDINGS = Path(__file__).parent / "findings.txt"
NUMBERS = ("seed", "tolerance", "false-alarm", "replicates", "num-warmup")
STATUSES = ("pass", "fail", "inconclusive", "error", "expected failure", "skipped")


@dataclass
class Tally:
    """What the checks of a session came to; kept where the summary is printed."""

    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    readings: dict[str, Counter[str]] = field(default_factory=dict)
    specs: dict[str, str] = field(default_factory=dict)
    false_alarm: float = 0.0
    verdicts: int = 0
    library_seconds: float = 0.0
    seconds: float = 0.0
    nothing_executed: list[str] = field(default_factory=list)
    stale: bool = False

    def add(self, check: dict[str, Any], seconds: float) -> None:
        """Count one check."""
        backend, status = check["backend"], check["status"]
        self.specs[backend] = check["spec"]
        self.statuses.setdefault(backend, Counter())[status] += 1
        if status in ("skipped", "expected failure"):
            self.reasons.setdefault(backend, Counter())[check["reason"]] += 1
        if check.get("reading"):
            self.readings.setdefault(backend, Counter())[check["reading"]] += 1
        self.false_alarm += check.get("alpha") or 0.0
        self.verdicts += status in ("pass", "fail", "inconclusive")
        self.library_seconds += check.get("library_seconds") or 0.0
        self.seconds += seconds

    def executed(self, backend: str) -> int:
        """Checks of a backend that ran to an answer, whatever it was."""
        counts = self.statuses.get(backend, Counter())
        return counts.total() - counts["skipped"]

    def count(self, status: str) -> int:
        """Checks with one status, over all backends."""
        return sum(counts[status] for counts in self.statuses.values())


TALLY = pytest.StashKey[Tally]()
RECORD = pytest.StashKey[dict[str, Any]]()
WRITER = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("invmass", "validation of inverse mass matrices")

    def add(name: str, **options: Any) -> None:
        group.addoption(f"--invmass-{name}", **options)

    add("backend", action="append", metavar="NAME|MODULE:CLASS", help="repeatable; default: all")
    add("metric", action="append", metavar="NAME", help="diagonal, dense, …; repeatable")
    add("case", action="append", metavar="NAME", help="a case, a family or a pattern; repeatable")
    add("seed", type=int, metavar="N", help="of every random number (default 0)")
    add("device", choices=("cpu", "gpu", "tpu"), help="where to run (default: JAX's choice)")
    add("x64", action="store_true", help="run the samplers in float64")
    add("tolerance", type=float, metavar="T", help="margin of a verdict (default 0.1)")
    add("false-alarm", type=float, metavar="A", help="α of each verdict (default 1e-6)")
    add(
        "replicates",
        type=int,
        metavar="R",
        help="cap on replicates (default 2048, 8192 in the full tier)",
    )
    add("num-warmup", type=int, metavar="N", help="warm-up steps (default 1000)")
    add(
        "time-limit",
        type=float,
        default=1200.0,
        metavar="S",
        help="seconds for all checks on one combination, under pytest-xdist (default 1200)",
    )
    add("chains", type=int, action="append", metavar="C", help="in a timing; repeatable")
    add("turns", type=int, default=2, metavar="N", help="of every timing (default 2)")
    add("tier", choices=("quick", "full"), default="quick", help="how much to check")
    add("results", type=Path, metavar="PLACE", help="append a row for each check: DIR or *.sqlite")
    add("xfails-file", type=Path, metavar="FILE", help="known failures: one 'id  # reason' a line")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{CLAIM}(text): the claim that a check of invmass makes")
    config.addinivalue_line("markers", f"{TIMING}(phase): what a benchmark of invmass times")
    config.addinivalue_line("markers", "invmass_cases(*names): the cases that a check is about")
    config.addinivalue_line(
        "markers", "invmass_once: one metric for each case and backend is enough"
    )
    config.addinivalue_line("markers", f"{FULL}: a check of the full tier, left out of the quick")
    config.stash[TALLY] = Tally()
    config.pluginmanager.register(isolation)
    folder = option(config, "results")
    if folder is not None:
        from invmass.errors import RowsError
        from invmass.results.rows import RowWriter

        try:
            config.stash[WRITER] = RowWriter(folder)
        except RowsError as error:
            raise pytest.UsageError(str(error)) from error


def option(config: pytest.Config, name: str) -> Any:
    """The value of one of our options, by its name without the prefix."""
    return config.getoption(f"--invmass-{name}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse bad names and values before anything runs, in one line."""
    if path := option(session.config, "xfails-file"):
        _known_failures(path)
    names = ("backend", "metric", "case")
    given = {name: option(session.config, name) for name in (*names, *NUMBERS)}
    if all(value is None for value in given.values()):
        return
    from invmass.errors import UsageError
    from invmass.runs.selection import select_cells, settings_from

    try:
        select_cells(given["case"] or [], given["backend"] or [], given["metric"] or [])
        settings_from(partial(option, session.config))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_unconfigure(config: pytest.Config) -> None:
    if writer := config.stash.get(WRITER, None):
        writer.close()


def stable_id(item: pytest.Item) -> str:
    """The same id in a checkout and with `--pyargs`; keys the known failures."""
    return f"{item.path.stem}::{item.name}"


@pytest.hookimpl(trylast=True)  # so that -k does not take away what is not known
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    stale = _mark_known_failures(config, items)
    _leave_out(config, items)
    if stale:
        items.append(_Stale.from_parent(session, name=STALE, reason="\n".join([STALE, *stale])))


class _Stale(pytest.Item):
    """A failure that is no check: known failures that are not known."""

    def __init__(self, *, reason: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.reason = reason

    def runtest(self) -> None:
        pytest.fail(self.reason, pytrace=False)


def _leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect checks about cases that were not chosen; and either the timings or the claims.

    Unless the tier is the full one, so are checks and cases of that tier; a case that was named is
    always of the quick one.
    """
    quick = option(config, "tier") == "quick"
    wanted_marker = TIMING if config.getoption("--benchmark-only", default=False) else CLAIM

    def wanted(item: pytest.Item) -> bool:
        if not (item.get_closest_marker(CLAIM) or item.get_closest_marker(TIMING)):
            return True
        # pytest keeps one item for an empty list of parameters
        cell = item.callspec.params["experiment"]  # type: ignore[attr-defined]
        if not isinstance(cell, tuple) or item.get_closest_marker(wanted_marker) is None:
            return False
        return not (quick and (item.get_closest_marker(FULL) or cell.tier == "full"))  # type: ignore[attr-defined]

    unwanted = [item for item in items if not wanted(item)]
    if unwanted:
        config.hook.pytest_deselected(items=unwanted)
        items[:] = [item for item in items if item not in unwanted]


def _mark_known_failures(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Expect the failures that a file of the user's lists, and those that are findings of ours.

    Returns the entries that match nothing.
    """
    if not any(item.get_closest_marker(CLAIM) for item in items):
        return []
    stale = []
    for path in filter(None, (FINDINGS, option(config, "xfails-file"))):
        known = _known_failures(path)
        for item in items:
            if (key := stable_id(item)) in known:
                item.add_marker(pytest.mark.xfail(reason=known[key], strict=True))
        stale += [f"{path}: {key}" for key in known if not _could_match(key, config, items)]
    return stale


def _could_match(key: str, config: pytest.Config, items: list[pytest.Item]) -> bool:
    """Whether a known failure is a check of a combination that there is, chosen now or not.

    Of a file that is not collected nothing is known; but where the suite's own are asked for by
    their package, it must be one of them.
    """
    stem, _, name = key.partition("::")
    modules = {item.path.stem: item.module for item in items if isinstance(item, pytest.Function)}
    if stem not in modules:
        own = find_spec("invmass.cases")
        places = [Path(place) for place in own.submodule_search_locations or ()] if own else []
        return not config.getoption("pyargs") or any((p / f"{stem}.py").exists() for p in places)
    function, _, cell = name.removesuffix("]").partition("[")
    return hasattr(modules[stem], function) and cell in _all_cells(config)


@cache
def _all_cells(config: pytest.Config) -> set[str]:
    """Every combination of our own backends and of those that were named."""
    from invmass.runs.selection import select_cells
    from invmass.sampling.registry import OWN, metrics_of, select_backends

    specs = list(dict.fromkeys([*OWN, *(option(config, "backend") or [])]))
    metrics = {m: None for backend in select_backends(specs) for m in metrics_of(backend, [])}
    return set(map(str, select_cells([], specs, list(metrics))))


def _known_failures(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise pytest.UsageError(f"--xfails-file {path}: {error.strerror}") from error
    known = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, separator, reason = line.partition("  # ")
        if not separator or not reason.strip():
            raise pytest.UsageError(f"{path}:{number}: write 'id  # reason'; a reason is required")
        known[key.strip()] = reason.strip()
    return known


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    marker = item.get_closest_marker(CLAIM)
    decided = report.when == "call" or (report.when == "setup" and not report.passed)
    if marker is None or not decided:
        return report
    cell = item.callspec.params["experiment"]  # type: ignore[attr-defined]
    record = item.stash.get(RECORD, None) or _without_verdict(item, marker.args[0])
    if report.failed and record.get("status") == "error":
        report.longrepr = _explained(cell, marker.args[0], call, report, record["command"])
    elif report.skipped and record.get("status") == "inconclusive":
        report.outcome = "failed"  # was to fail, and is open
        report.longrepr = str(call.excinfo.value if call.excinfo else "")
        del report.wasxfail
    elif report.failed and str(report.longrepr).startswith(XPASS):
        known = str(report.longrepr).removeprefix(XPASS).strip()
        report.longrepr = f"passes, but is listed as known to fail: take its line out ({known})"
    status, reason = _status(report, record)
    check = _check(cell, status, reason, record)
    report.user_properties.append((PROPERTY, check))
    if writer := item.config.stash.get(WRITER, None):
        identity = {
            "kind": "verdict",
            "case": cell.case,
            "backend": cell.backend,
            "metric": cell.metric,
            "claim": marker.args[0],
        }
        broke_down = status == "expected failure" and record.get("status") == "error"
        told = f"{reason}: {call.excinfo.exconly()}" if broke_down and call.excinfo else reason
        outcome = {"status": status, "message": told, "seconds": report.duration}
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
    from invmass.runs.selection import settings_from

    running, reason = lost
    configure_jax(option(config, "device"), option(config, "x64"))
    settings = settings_from(partial(option, config))
    record = lost_record(running.case, running.spec, running.metric, settings, running.claim)
    message = _no_verdict(running, running.claim, reason, record["command"])
    report.longrepr = message
    report.location = (*report.location[:2], crashitem.partition("::")[2])
    report.user_properties.append((PROPERTY, _check(running, "error", reason, record)))
    if writer := config.stash.get(WRITER, None):
        writer.append(record | {"message": message})


def _no_verdict(cell: Any, claim: str, reason: str, command: str) -> str:
    """Why there is none, and how to try again."""
    return (
        f"{claim}: no verdict for case {cell.case}, backend {cell.backend}, metric {cell.metric}: "
        f"{reason}\n  repeat: {command}"
    )


def _explained(
    cell: Any, claim: str, call: pytest.CallInfo[None], report: pytest.TestReport, command: str
) -> str:
    """An error's message; before it, if it is not one of ours alone, where it comes from."""
    from invmass.errors import InvmassError

    error = call.excinfo.value if call.excinfo else None
    ours = isinstance(error, InvmassError) and error.__cause__ is None
    told = _no_verdict(cell, claim, str(error) if error else report.longreprtext, command)
    return told if ours else f"{report.longreprtext}\n\n{told}"


def _check(cell: Any, status: str, reason: str | None, record: dict[str, Any]) -> dict[str, Any]:
    """What the tally needs to know of a check."""
    return {
        "backend": cell.backend,
        "spec": cell.spec,
        "status": status,
        "reason": reason,
        "alpha": record.get("alpha"),
        "library_seconds": record.get("library_seconds"),
        "reading": record.get("reading"),
    }


def _without_verdict(item: pytest.Item, claim: str) -> dict[str, Any]:
    """What is known of a check that broke down or was skipped before it came to a verdict."""
    experiment = getattr(item, "funcargs", {}).get("experiment")
    if experiment is None:
        return {}
    from invmass.claims.record import error_record

    return error_record(experiment, claim, "")


def _status(report: pytest.TestReport, record: dict[str, Any]) -> tuple[str, str | None]:
    """Status of a check, and its reason if it did not pass."""
    if hasattr(report, "wasxfail") and not report.passed:
        return "expected failure", report.wasxfail
    if report.skipped:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        return "skipped", text.removeprefix("Skipped: ")
    if report.passed:
        return "pass", None
    return record.get("status", "error") if record.get("status") != "pass" else "error", (
        report.longreprtext.strip()
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and report.nodeid.endswith(STALE) and _session_config is not None:
        _session_config.stash[TALLY].stale = True
    for name, check in report.user_properties:
        if name == PROPERTY and isinstance(check, dict) and _session_config is not None:
            _session_config.stash[TALLY].add(check, report.duration)


_session_config: pytest.Config | None = None


def pytest_sessionstart(session: pytest.Session) -> None:
    global _session_config  # noqa: PLW0603  (reports reach the hook above without their session)
    _session_config = session.config


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    tally = session.config.stash[TALLY]
    if hasattr(session.config, "workerinput") or not tally.statuses:
        return
    from invmass.sampling.registry import load_backend

    asked_for = option(session.config, "backend") or []
    tally.nothing_executed = [
        name
        for name in tally.statuses
        if tally.specs[name] in asked_for and not tally.executed(name)
    ]
    if not any(tally.executed(name) for name in tally.statuses):
        tally.nothing_executed = list(tally.statuses)
    without_checks = [spec for spec in asked_for if spec not in tally.specs.values()]
    tally.nothing_executed += [load_backend(spec).name for spec in without_checks]
    if tally.nothing_executed and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    tally = config.stash[TALLY]
    if not tally.statuses:
        return
    write = terminalreporter.write_line
    terminalreporter.section("invmass")
    width = max(map(len, tally.statuses)) + 2
    columns = ("run", *STATUSES)
    write(f"{'backend':<{width}}" + "".join(f"{column:>18}" for column in columns))
    for backend, counts in tally.statuses.items():
        numbers = (tally.executed(backend), *(counts[status] for status in STATUSES))
        write(f"{backend:<{width}}" + "".join(f"{number:>18}" for number in numbers))
    for backend, readings in tally.readings.items():
        told = ", ".join(f"{reading} {count} ×" for reading, count in sorted(readings.items()))
        write(f"{backend}: M⁻¹ over the inverse Fisher: {told}")
    for backend, reasons in tally.reasons.items():
        for reason, count in reasons.items():
            write(f"{backend}: {count} × {reason.splitlines()[0]}")
    write(
        f"{tally.verdicts} verdicts; the probability that any of them is wrong is at most "
        f"{tally.false_alarm:.2g}"
    )
    if tally.seconds:
        own = 100 * (1 - tally.library_seconds / tally.seconds)
        write(
            f"{tally.seconds:.0f} s of checks, {tally.seconds / max(tally.verdicts, 1):.2f} s for "
            f"each verdict; {own:.0f}% is the suite's own"
        )
    for backend in tally.nothing_executed:
        write(f"FAILED: nothing was executed for backend {backend}", red=True)
