"""Processes side by side, each on cores of its own.

JAX has a thread for each core that its process may use, and they hand the small steps of a sampler
to each other. Where processes share their cores, those threads wait for each other's: NUTS on 50
coordinates took 171 s in each of two processes on two cores, and 15 s where each had its own.
"""

import os
from itertools import count
from pathlib import Path
from tempfile import gettempdir

_locks: list[int] = []  # open files of this process; when it ends, its locks are let go


def pin_to_share(processes: int) -> None:
    """Keep this process, one of so many, to its part of the cores."""
    pin_to_cores(len(_allowed()) // processes)


def pin_to_cores(number: int) -> None:
    """Keep this process to so many cores, at least one: those that fewest others are kept to.

    Once, and before JAX has started its threads. Nothing is done where there are no more cores, or
    where the system (any but Linux) keeps no process to its cores.
    """
    allowed, wanted = _allowed(), max(1, number)
    if _locks or wanted >= len(allowed):
        return
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others need of a GPU's, too
    cores: set[int] = set()
    for _ in range(wanted):
        cores.add(_take_one(allowed - cores))
    os.sched_setaffinity(0, cores)


def available_cores() -> int:
    """How many cores this process may use."""
    return len(_allowed()) or os.cpu_count() or 1


def _allowed() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _take_one(cores: set[int]) -> int:
    """The core with fewest locks, with one more on it."""
    import fcntl

    folder = Path(gettempdir()) / f"invmass-cores-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    places = ((core, place) for place in count() for core in sorted(cores))
    for core, place in places:
        lock = os.open(folder / f"{core}.{place}", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            _locks.append(lock)
            return core
    raise AssertionError("there is always one place more")
