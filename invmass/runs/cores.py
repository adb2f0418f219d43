"""Pin parallel processes to separate cores.

JAX starts a thread for each core that its process may use, and distributes the small steps of a
sampler among them. If several processes share the same cores, their threads wait for each other:
NUTS in 50 dimensions took 171 s in each of two processes that shared two cores, and 15 s in each of
two processes with one core each.
"""

import os
from itertools import count
from pathlib import Path
from tempfile import gettempdir

_locks: list[int] = []  # file descriptors of the locks, which are released when the process ends


def pin_to_share(processes: int) -> None:
    """Pin this process to an equal share of the cores.

    Args:
        processes: number of processes among which the cores are divided.
    """
    pin_to_cores(len(_allowed()) // processes)


def pin_to_cores(number: int) -> None:
    """Pin this process to the cores to which the fewest other processes are pinned.

    It must be called before JAX starts its threads; further calls have no effect. Nothing happens
    if the process may not use more cores than that, or on systems other than Linux.

    Args:
        number: number of cores; at least one is used.
    """
    allowed, wanted = _allowed(), max(1, number)
    if _locks or wanted >= len(allowed):
        return
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # share a GPU's memory
    cores: set[int] = set()
    for _ in range(wanted):
        cores.add(_take_one(allowed - cores))
    os.sched_setaffinity(0, cores)


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(_allowed()) or os.cpu_count() or 1


def _allowed() -> set[int]:
    """The cores that this process may use; empty if the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _take_one(cores: set[int]) -> int:
    """Lock and return the core with the fewest locks of other processes."""
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
