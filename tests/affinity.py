"""Processes that a test starts, on any core: not on that alone which the test is kept to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

CAN_KEEP = hasattr(os, "sched_setaffinity")


@contextmanager
def on_all_cores() -> Iterator[None]:
    """What is started meanwhile may use them all."""
    if not CAN_KEEP:
        yield
        return
    kept = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, kept)


def all_cores() -> set[int]:
    """Those that the system lets a process have."""
    with on_all_cores():
        return os.sched_getaffinity(0) if CAN_KEEP else set()
