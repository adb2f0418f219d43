"""What a tuned M⁻¹ is to the inverse Fisher: it matches, differs as documented, or is wrong."""

from dataclasses import dataclass, replace

import numpy as np

from invmass.claims.intervals import Interval, Scale
from invmass.results.reading import Reading

BELOW_FLOOR = "below the regularisation floor"


@dataclass(frozen=True)
class EntryReading:
    """The three readings of one entry.

    On the diagonal they are ratios to the inverse Fisher itself; beside it, entries of M⁻¹ whitened
    by the inverse Fisher, where none should be: zero is perfect.

    Attributes:
        entry: its name.
        ratio: found.
        low: lower end of its confidence interval.
        high: upper end.
        predicted: what geometry and the documented regularisation make of it.
        scale: "log" of a ratio, "linear" beside the diagonal.
        reading: whether it matches, differs as documented, or is wrong.
        reason: what it differs by, or why it is undecided.
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
        found: the ratio to the inverse Fisher with its prediction; or an entry beside the diagonal.
        margin: within which of one, or of zero beside the diagonal, it matches.
    """
    if found.outside:
        return Reading.WRONG
    if not found.inside:
        return Reading.UNDECIDED
    if found.scale == "log":
        perfect = replace(found, expected=1.0, margin=margin)
    else:  # in units of the predicted scales
        perfect = replace(found, expected=0.0, margin=max(margin, found.margin))
    if perfect.inside:
        return Reading.MATCHES
    if perfect.outside or abs(perfect.offset(found.expected)) >= 1:
        return Reading.DIFFERS
    return Reading.UNDECIDED


def read_entry(
    found: Interval, margin: float, geometry: float, data: tuple[Interval, ...] = ()
) -> EntryReading:
    """The reading of one entry, with what it differs by.

    Args:
        found: as `read` takes it.
        margin: likewise.
        geometry: what geometry alone predicts.
        data: intervals of what else it depends on, such as what the data contribute to it where
            the regularisation floor hides that.
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
    """Geometry and regularisation, each with its size, unless the other is far larger.

    Args:
        scale: "log" of a ratio, "linear" beside the diagonal.
        geometry: what the entry would be without regularisation.
        expected: what the entry should be with regularisation.
        name: what the part that is not regularisation is called.
        smallest: the size, a logarithm on the log scale, below which a part is left out.
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
    """Wrong ones, undecided ones, those that differ, those that match; else in their order."""
    return sorted(readings, key=lambda entry: list(reversed(Reading)).index(entry.reading))


def overall(readings: tuple[EntryReading, ...]) -> Reading:
    """One word for all entries: the worst, of which one that differs is told before one undecided.

    But for undecided ones that leave the verdict open.
    """
    found = {entry.reading for entry in readings}
    order: tuple[Reading, ...]
    order = (Reading.WRONG, Reading.DIFFERS, Reading.UNDECIDED, Reading.MATCHES)
    if any(entry.reason in (BELOW_FLOOR, "too few replicates") for entry in readings):
        order = (Reading.WRONG, Reading.UNDECIDED)
    return next((reading for reading in order if reading in found), Reading.UNDECIDED)
