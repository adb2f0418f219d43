"""The timings of two results folders compared: what is slower, and ESS per gradient.

All rounds of one key in one folder are pooled, so that alternating runs of both sides count
together.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from invmass.results import wording

from . import rounds
from .matching import COMBINATION, Key, KeyedRows, LeftOut, Row, key_of, rows_of_kind

# The seed is part of the key, since it decides how many gradients are evaluated.
TIMING_KEY = (
    *COMBINATION, "phase", "case_version", "device", "devices", "dtype", "machine", "cores", "seed",
    "num_warmup", "replicates", "num_samples",
)  # fmt: skip


def keyed_timings(base: pd.DataFrame, new: pd.DataFrame, left_out: LeftOut) -> KeyedRows:
    """The timings of both folders by key; those without the seconds of each round are left out."""
    sides: list[dict[Key, list[Row]]] = []
    for folder, rows in (("BASE", base), ("NEW", new)):
        groups: dict[Key, list[Row]] = defaultdict(list)
        for row in rows_of_kind(rows, "timing"):
            if _are_seconds(row["round_seconds"]):
                groups[key_of(row, TIMING_KEY)].append(row)
            else:
                left_out.add(folder, "timing", "the row lacks the seconds of each round")
        sides.append(dict(groups))
    return KeyedRows("timing", TIMING_KEY, *sides)


def timing_lines(keyed: KeyedRows, factor: float, level: float) -> tuple[list[Row], float, int]:
    """Compare the rounds of all common keys.

    Args:
        keyed: the timings of both folders.
        factor: the smallest ratio of the medians that counts as slower.
        level: the probability that chance makes any timing slower, for all of them together.

    Returns:
        Lines as `Comparison.timings` has them, the level of each test, and the number of rounds on
        each side with which all tests could reach their level.
    """
    keys = keyed.common
    sides = [
        [[s for row in side[key] for s in row["round_seconds"]] for side in (keyed.base, keyed.new)]
        for key in keys
    ]
    smallest = [rounds.smallest_p(len(base), len(new)) for base, new in sides]
    level_of_each = rounds.level_of_each(level, smallest)
    lines = []
    for key, (base, new), smallest_p in zip(keys, sides, smallest, strict=True):
        found = rounds.compare_rounds(base, new)
        noise = max(
            rounds.noise([row["round_seconds"] for row in side[key]])
            for side in (keyed.base, keyed.new)
        )
        too_few = smallest_p >= level_of_each
        measures = {
            "base_rounds": len(base),
            "new_rounds": len(new),
            "base_seconds": found.base,
            "new_seconds": found.new,
            "ratio": found.ratio,
            "low": found.low,
            "high": found.high,
            "noise": noise,
            "p": found.p_slower if found.ratio >= 1 else found.p_faster,
            "status": "too few rounds" if too_few else _status(found, noise, factor, level_of_each),
        }
        lines.append(keyed.line(key) | measures)
    return lines, level_of_each, rounds.rounds_needed(level / max(1, len(keys)))


def ess_lines(keyed: KeyedRows) -> Iterator[Row]:
    """ESS per gradient of both sides, the median of the rows; without a status."""
    for key in keyed.common:
        sides = [_ess_per_gradient(side[key]) for side in (keyed.base, keyed.new)]
        if all(sides):
            base, new = (float(np.median(side)) for side in sides)
            line = {"quantity": "ESS per gradient", "base": base, "new": new, "status": None}
            yield keyed.line(key) | line


def _status(found: rounds.Ratio, noise: float, factor: float, level: float) -> str:
    if factor <= max(found.ratio, 1 / found.ratio) <= noise:
        return "within noise"
    if found.ratio >= factor and found.p_slower < level:
        return "slower"
    if found.ratio <= 1 / factor and found.p_faster < level:
        return "faster"
    return "same"


def _ess_per_gradient(rows: Iterable[Row]) -> Sequence[float]:
    values = [row["ess_per_gradient"] for row in rows]
    return [value for value in values if wording.has_value(value)]


def _are_seconds(value: Any) -> bool:
    """Whether a field is a list of positive, finite numbers."""
    if not isinstance(value, list) or not value:
        return False
    numbers = all(isinstance(item, int | float) for item in value)
    return numbers and all(np.isfinite(item) and item > 0 for item in value)
