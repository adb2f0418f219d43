"""How a tuned M⁻¹ relates to the inverse Fisher: it matches, differs as documented, or is wrong."""

from dataclasses import dataclass, replace

import numpy as np

from invmass.claims.intervals import Interval, Scale
from invmass.results.reading import Reading

BELOW_FLOOR = "below the regularisation floor"


@dataclass(frozen=True)
class EntryReading:
    """The reading of one entry of M⁻¹.

    Values on the diagonal are ratios to the inverse Fisher, and one is a perfect match. Values off
    the diagonal are entries of M⁻¹ whitened by the inverse Fisher, and zero is a perfect match.

    Attributes:
        entry: name of the entry.
        ratio: the estimate.
        low: lower end of its confidence interval.
        high: upper end of its confidence interval.
        predicted: the value predicted from geometry and the documented regularisation.
        scale: "log" for a ratio, "linear" off the diagonal.
        reading: whether the entry matches, differs as documented, is wrong or is undecided.
        reason: the factors by which the entry differs, or why it is wrong or undecided.
    """

    entry: str
    ratio: float
    low: float
    high: float
    predicted: float
    scale: Scale
    reading: Reading
    reason: str = ""


def read(found: Interval, margin: float) -> Reading:
    """The reading of one interval, whose `expected` is the prediction.

    Args:
        found: interval of the ratio to the inverse Fisher, or of an entry off the diagonal.
        margin: the entry matches if it is within this margin of one, or of zero off the diagonal.
    """
    if found.outside:
        return Reading.WRONG
    if not found.inside:
        return Reading.UNDECIDED
    if found.scale == "log":
        perfect = replace(found, expected=1.0, margin=margin)
    else:  # the interval's margin is in units of the predicted scales
        perfect = replace(found, expected=0.0, margin=max(margin, found.margin))
    if perfect.inside:
        return Reading.MATCHES
    if perfect.outside or abs(perfect.offset(found.expected)) >= 1:
        return Reading.DIFFERS
    return Reading.UNDECIDED


def read_entry(
    found: Interval, margin: float, geometry: float, data: tuple[Interval, ...] = ()
) -> EntryReading:
    """The reading of one entry, with the reason.

    Args:
        found: interval of the entry, as for `read`.
        margin: margin of a match, as for `read`.
        geometry: the value predicted from geometry alone, without regularisation.
        data: intervals of further quantities that must agree for the entry to be right, such as
            the data's part of an entry that the regularisation floor dominates.
    """
    reading, reason = read(found, margin), ""
    off = [part.entry for part in data if part.outside]
    if off:
        reading, reason = Reading.WRONG, f"{off[0]} is off"
    elif reading is not Reading.WRONG and not all(part.inside for part in data):
        reading = Reading.UNDECIDED
        reason = BELOW_FLOOR if any(part.blind for part in data) else "too few replicates"
    elif reading is Reading.DIFFERS:
        reason = deviation_parts(found.scale, geometry, found.expected)
    elif reading is Reading.UNDECIDED:
        reason = "at the margin" if found.inside else "too few replicates"
    numbers = found.found, found.low, found.high, found.expected
    return EntryReading(found.entry, *numbers, found.scale, reading, reason)


def deviation_parts(
    scale: Scale, geometry: float, expected: float, name: str = "geometry", smallest: float = 0.0
) -> str:
    """The effects of geometry and regularisation on an entry, in words.

    An effect is left out if the other one is more than four times as large.

    Args:
        scale: "log" for a ratio, "linear" off the diagonal.
        geometry: the predicted value without regularisation.
        expected: the predicted value with regularisation.
        name: name of the effect that is not regularisation.
        smallest: effects below this size are left out; on the log scale, a logarithm.
    """
    if scale == "log":
        sizes = {name: geometry, "regularisation": expected / geometry}
        weights = {part: abs(np.log(size)) for part, size in sizes.items()}
    else:
        sizes = {name: geometry, "regularisation": expected - geometry}
        weights = {part: abs(size) for part, size in sizes.items()}
    least = max(max(weights.values()) / 4, smallest)
    sign = "" if scale == "log" else "+"
    named = [f"{part} {size:{sign}.3g}" for part, size in sizes.items() if weights[part] >= least]
    return ", ".join(named)


def worst_first(readings: tuple[EntryReading, ...]) -> list[EntryReading]:
    """The readings sorted: wrong, undecided, differing, matching; otherwise in the given order."""
    return sorted(readings, key=lambda entry: list(reversed(Reading)).index(entry.reading))


def overall(readings: tuple[EntryReading, ...]) -> Reading:
    """The reading of the whole matrix, from the readings of its entries.

    That is the first of wrong, differs, undecided, matches that any entry has. If an entry is
    undecided for lack of replicates or because of the regularisation floor, so is the matrix,
    unless an entry is wrong.
    """
    found = {entry.reading for entry in readings}
    order: tuple[Reading, ...]
    order = (Reading.WRONG, Reading.DIFFERS, Reading.UNDECIDED, Reading.MATCHES)
    if any(entry.reason in (BELOW_FLOOR, "too few replicates") for entry in readings):
        order = (Reading.WRONG, Reading.UNDECIDED)
    return next((reading for reading in order if reading in found), Reading.UNDECIDED)
