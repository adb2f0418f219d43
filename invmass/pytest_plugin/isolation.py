"""A combination that hangs or kills its process costs itself alone, under pytest-xdist.

While a check runs, a file named after its combination and its process tells of it. A process that
dies leaves the file behind: with what Python's fault handler could say, if it was given the time.
The check is then an error, and so are those on the same combination that are still to come; all
else goes on in a new process. The time limit is kept by the fault handler too, which ends the
process even where the interpreter is held up by a library.
"""

from __future__ import annotations

import faulthandler
import json
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

CLAIM = "invmass_claim"
INPUT = "invmass_running"  # of a worker: the folder of these files
SHOWN = 6  # lines of a traceback


class Running(NamedTuple):
    """The check that a file tells of."""

    nodeid: str
    claim: str
    case: str
    backend: str
    metric: str
    spec: str
    limit: float


class Watch:
    """Of one process: what it runs, and for how long it may."""

    def __init__(self, folder: Path, process: str, limit: float) -> None:
        self.folder, self.process, self.limit = folder, process, limit
        self.spent: defaultdict[str, float] = defaultdict(float)

    def begin(self, running: Running) -> None:
        """Leave word of a check, and start the clock."""
        name = combination(running)
        self.began = time.monotonic()
        self.path = self.folder / f"{name}@{self.process}"
        self.file = self.path.open("w", encoding="utf-8")
        self.file.write(json.dumps(running) + "\n")
        self.file.flush()
        faulthandler.enable(self.file, all_threads=False)
        left = max(0.1, self.limit - self.spent[name])
        faulthandler.dump_traceback_later(left, exit=True, file=self.file)

    def end(self, running: Running) -> None:
        """Stop the clock; all is well."""
        faulthandler.cancel_dump_traceback_later()
        faulthandler.enable(sys.__stderr__ or 2)
        self.file.close()
        self.path.unlink()
        self.spent[combination(running)] += time.monotonic() - self.began

    def lost(self, running: Running) -> tuple[Running, str] | None:
        """The check at which an earlier process was lost with this combination, and how."""
        path = self.folder / f"{combination(running)}.lost"
        return what_happened(path) if path.exists() else None


WATCH = pytest.StashKey[Watch]()
FOLDER = pytest.StashKey[Path]()


def combination(running: Running) -> str:
    """Case, backend and metric, as the name of a file."""
    return quote(f"{running.case}-{running.backend}-{running.metric}", safe="")


def what_happened(path: Path) -> tuple[Running, str]:
    """The check that ran when a process was lost, and the reason."""
    head, *trace = path.read_text(encoding="utf-8", errors="replace").splitlines()
    running = Running(*json.loads(head))
    if not trace:
        return running, "its process was killed; the system does so when memory runs out"
    if trace[0].startswith("Timeout"):
        reason = f"no answer within {running.limit:g} s (--time-limit)"
    else:
        reason = f"its process crashed: {trace[0].removeprefix('Fatal Python error: ')}"
    threads = [i for i, line in enumerate(trace) if "most recent call first" in line]
    frames = trace[threads[-1] + 1 :][:SHOWN] if threads else []
    return running, "\n".join([reason, *frames])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a new process of the folder; called in the one that shares the checks out."""
    stash = node.config.stash
    if FOLDER not in stash:
        stash[FOLDER] = Path(mkdtemp(prefix="invmass-"))
    node.workerinput[INPUT] = str(stash[FOLDER])


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--invmass-time-limit") <= 0:
        raise pytest.UsageError("--time-limit must be positive")
    given = getattr(config, "workerinput", {})
    if folder := given.get(INPUT):
        limit = config.getoption("--invmass-time-limit")
        config.stash[WATCH] = Watch(Path(folder), given["workerid"], limit)


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(FOLDER, None):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Do not run again the very check that a process was lost with: it has been reported."""
    if watched := _watched(item):
        watch, running = watched
        lost = watch.lost(running)
        return True if lost and lost[0].nodeid == item.nodeid else None
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Any:
    if watched := _watched(item):
        watch, running = watched
        if lost := watch.lost(running):
            pytest.fail(f"not run, for in {lost[0].claim!r}: {lost[1]}", pytrace=False)
        watch.begin(running)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Any:
    try:
        return (yield)
    finally:
        if (watched := _watched(item)) and not watched[0].lost(watched[1]):
            watched[0].end(watched[1])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """What a process ran when it was lost is not to be run by another."""
    if error is not None and (folder := node.config.stash.get(FOLDER, None)):
        for path in folder.glob(f"*@{node.workerinput['workerid']}"):
            path.rename(path.with_name(path.name.rpartition("@")[0] + ".lost"))


def workers(config: pytest.Config) -> int:
    """How many processes run the checks beside each other, this one among them."""
    return getattr(config, "workerinput", {}).get("workercount", 1)


def lost_check(config: pytest.Config, nodeid: str) -> tuple[Running, str] | None:
    """The check with this id, if a process was lost with it, and how."""
    for path in config.stash[FOLDER].glob("*.lost"):
        running, reason = what_happened(path)
        if running.nodeid == nodeid:
            return running, reason
    return None


def _watched(item: pytest.Item) -> tuple[Watch, Running] | None:
    marker, watch = item.get_closest_marker(CLAIM), item.config.stash.get(WATCH, None)
    if marker is None or watch is None:
        return None
    cell = item.callspec.params["experiment"]  # type: ignore[attr-defined]
    return watch, Running(
        item.nodeid, marker.args[0], cell.case, cell.backend, cell.metric, cell.spec, watch.limit
    )
