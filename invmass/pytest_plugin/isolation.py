"""A check that hangs or kills its process costs its own cell alone, under pytest-xdist.

While a check runs, a file named after its cell and its process describes it. A process that dies
leaves the file behind, with what Python's fault handler wrote, if it had the time. The check is
then an error, and so are those on the same cell that are still to come; everything else goes on in
a new process. The fault handler keeps the time limit too: it ends the process even where a library
holds up the interpreter.
"""

from __future__ import annotations

import faulthandler
import json
import shutil
import sys
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from invmass.pytest_plugin.markers import claim_of
from invmass.pytest_plugin.options import option
from invmass.pytest_plugin.selection import cell_of
from invmass.runs.cell import Cell

INPUT = "invmass_running"  # of a worker: the folder of these files
MAX_FRAMES = 6  # lines of a traceback in a message


class Running(NamedTuple):
    """A check that runs, as its file describes it.

    Attributes:
        nodeid: pytest's id of the check.
        claim: the claim that it judges.
        cell: the cell that it is about.
        limit: seconds that all checks of the cell may take together.
    """

    nodeid: str
    claim: str
    cell: Cell
    limit: float

    @property
    def file_name(self) -> str:
        """Case, backend and metric as the name of a file."""
        return "+".join(quote(name, safe="") for name in self.cell.names)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self._asdict() | {"cell": asdict(self.cell)})

    @classmethod
    def from_json(cls, line: str) -> Running:
        """Read what `to_json` wrote."""
        fields = json.loads(line)
        return cls(**fields | {"cell": Cell(**fields["cell"])})


class Watch:
    """Describes the check that one process runs in a file, and keeps its time limit."""

    def __init__(self, folder: Path, process: str, limit: float) -> None:
        self.folder, self.process, self.limit = folder, process, limit
        self.spent: defaultdict[Cell, float] = defaultdict(float)

    def begin(self, running: Running) -> None:
        """Describe a check that begins, and start the clock."""
        self.began = time.monotonic()
        self.path = self.folder / f"{running.file_name}@{self.process}"
        self.file = self.path.open("w", encoding="utf-8")
        self.file.write(running.to_json() + "\n")
        self.file.flush()
        faulthandler.enable(self.file, all_threads=False)
        left = max(0.1, self.limit - self.spent[running.cell])
        faulthandler.dump_traceback_later(left, exit=True, file=self.file)

    def end(self, running: Running) -> None:
        """Stop the clock of a check that has ended, and remove its file."""
        faulthandler.cancel_dump_traceback_later()
        faulthandler.enable(sys.__stderr__ or 2)
        self.file.close()
        self.path.unlink()
        self.spent[running.cell] += time.monotonic() - self.began

    def lost(self, running: Running) -> tuple[Running, str] | None:
        """The check at which an earlier process was lost with this cell, and how."""
        path = self.folder / f"{running.file_name}.lost"
        return read_lost(path) if path.exists() else None


WATCH = pytest.StashKey[Watch]()
FOLDER = pytest.StashKey[Path]()


def read_lost(path: Path) -> tuple[Running, str]:
    """The check that ran when a process was lost, and the reason."""
    head, *trace = path.read_text(encoding="utf-8", errors="replace").splitlines()
    running = Running.from_json(head)
    if not trace:
        return running, "its process was killed; the system does so when memory runs out"
    if trace[0].startswith("Timeout"):
        reason = f"no answer within {running.limit:g} s (--time-limit)"
    else:
        reason = f"its process crashed: {trace[0].removeprefix('Fatal Python error: ')}"
    threads = [i for i, line in enumerate(trace) if "most recent call first" in line]
    frames = trace[threads[-1] + 1 :][:MAX_FRAMES] if threads else []
    return running, "\n".join([reason, *frames])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a new process the folder; called in the process that shares the checks out."""
    stash = node.config.stash
    if FOLDER not in stash:
        stash[FOLDER] = Path(mkdtemp(prefix="invmass-"))
    node.workerinput[INPUT] = str(stash[FOLDER])


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", {})
    if INPUT in given:
        limit = option(config, "time-limit")
        config.stash[WATCH] = Watch(shared_folder(config), given["workerid"], limit)


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


def process_count(config: pytest.Config) -> int:
    """How many processes run the checks beside each other, this one among them."""
    return getattr(config, "workerinput", {}).get("workercount", 1)


def lost_check(config: pytest.Config, nodeid: str) -> tuple[Running, str] | None:
    """The check with this id, if a process was lost with it, and how."""
    for path in config.stash[FOLDER].glob("*.lost"):
        running, reason = read_lost(path)
        if running.nodeid == nodeid:
            return running, reason
    return None


def shared_folder(config: pytest.Config) -> Path:
    """The folder in which the processes of a session leave files for each other."""
    given = getattr(config, "workerinput", {}).get(INPUT)
    return Path(given) if given else config.stash[FOLDER]


def _watched(item: pytest.Item) -> tuple[Watch, Running] | None:
    """What watches a check, and how its file describes it; None where nothing does."""
    claim, cell, watch = claim_of(item), cell_of(item), item.config.stash.get(WATCH, None)
    if claim is None or cell is None or watch is None:
        return None
    return watch, Running(item.nodeid, claim, cell, watch.limit)
