"""When warm-up adapts what: Stan's expanding windows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

FAST_START, FIRST_WINDOW, FAST_END = 75, 25, 50


class Schedule(NamedTuple):
    """Flags for each warm-up step, shape (num_warmup,)."""

    collects: Bool[np.ndarray, " num_warmup"]  # the draw enters the estimate of the metric
    # the metric is updated after this step, and the estimate reset
    ends_window: Bool[np.ndarray, " num_warmup"]


def stan_schedule(num_warmup: int) -> Schedule:
    """A fast interval, slow windows that double in length, and a fast interval.

    With too few steps for the standard sizes: 15% fast, 75% slow, 10% fast; under 20 steps the
    metric is left alone. Source: Stan Reference Manual, "Automatic parameter tuning". The first
    window too takes what is left if no other fits, as in NumPyro and BlackJAX; Stan's does not.
    """
    fast_start, window, fast_end = FAST_START, FIRST_WINDOW, FAST_END
    if num_warmup < fast_start + window + fast_end:
        fast_start, fast_end = int(0.15 * num_warmup), int(0.1 * num_warmup)
        window = num_warmup - fast_start - fast_end
    return _windows(num_warmup, fast_start, window, fast_end)


def pooled_schedule(num_warmup: int) -> Schedule:
    """For chains that are tuned together: the same, with windows that begin at a few steps.

    A few draws of every chain make a metric, and the sooner it is better than the identity, the
    shorter is all that follows.
    """
    fast = num_warmup // 10
    return _windows(num_warmup, fast, max(1, num_warmup // 20), fast)


def without_windows(schedule: Schedule) -> Schedule:
    """The same number of steps, with the metric left as it is: only the step size is tuned."""
    never = np.zeros_like(schedule.ends_window)
    return Schedule(never, never)


def _windows(num_warmup: int, fast_start: int, window: int, fast_end: int) -> Schedule:
    collects = np.zeros(num_warmup, dtype=bool)
    ends_window = np.zeros(num_warmup, dtype=bool)
    if num_warmup < 20:
        return Schedule(collects, ends_window)
    stop = num_warmup - fast_end
    collects[fast_start:stop] = True
    begin = fast_start
    while begin < stop:
        # a next window of twice the size must fit, or this one takes all that is left
        end = begin + window if begin + 3 * window <= stop else stop
        ends_window[end - 1] = True
        begin, window = end, 2 * window
    return Schedule(collects, ends_window)


def last_window(schedule: Schedule) -> int:
    """Number of draws in the window from which the final metric comes; 0 if there is none."""
    ends = np.flatnonzero(schedule.ends_window)
    if len(ends) == 0:
        return 0
    begin = ends[-2] + 1 if len(ends) > 1 else int(np.argmax(schedule.collects))
    return int(ends[-1] + 1 - begin)
