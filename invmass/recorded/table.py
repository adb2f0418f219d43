"""Read inverse mass matrices from a CSV table with one row for each replicate.

The column `a` holds the diagonal entry of coordinate a, and the column `a|b` the off-diagonal entry
of a and b. If there are any columns of the second kind, the metric is dense and every pair of
coordinates needs one, as `a|b` or as `b|a`.
"""

import csv
from itertools import combinations
from pathlib import Path

import numpy as np

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.recorded.recorded import TEXT, Recorded, matched

BETWEEN = "|"  # separates the two coordinates of an off-diagonal entry


def read_table(path: Path, case: Case) -> Recorded:
    """Read one file.

    Args:
        path: the file.
        case: the posterior on which the metrics were tuned.

    Raises:
        UsageError: a value is not a number, a pair of coordinates is missing, or the names do not
            match those of the case.
    """
    with path.open(newline="", encoding=TEXT) as file:
        lines = [line for line in csv.reader(file) if line]
    if len(lines) < 2:
        raise UsageError(f"{path} needs a line of names, and one line for each replicate")
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    if len(header) == 1 and ";" in header[0]:
        raise UsageError(f"{path}: its columns must be separated by commas, not by semicolons")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise UsageError(f"{path}: the column {twice} is there twice")
    values = np.array([_numbers(path, i, row, len(header)) for i, row in enumerate(rows, 1)])
    names = [name for name in header if BETWEEN not in name]
    place = {name: i for i, name in enumerate(names)}
    diagonal = values[:, [header.index(name) for name in names]]
    if len(names) == len(header):
        return Recorded(matched(diagonal, names, case, str(path)), str(path))
    dense = diagonal[:, :, None] * np.eye(len(names))
    wanted = {frozenset(pair) for pair in combinations(names, 2)}
    for column, name in enumerate(header):
        if BETWEEN not in name:
            continue
        pair = frozenset(part.strip() for part in name.split(BETWEEN))
        if pair not in wanted:
            raise UsageError(
                f"{path}: the column {name} is no pair of two of its coordinates, or the second one"
            )
        wanted.remove(pair)
        i, j = (place[part] for part in pair)
        dense[:, i, j] = dense[:, j, i] = values[:, column]
    if wanted:
        missing = ", ".join(BETWEEN.join(sorted(pair, key=names.index)) for pair in wanted)
        raise UsageError(f"{path}: a dense metric needs every pair; missing: {missing}")
    return Recorded(matched(dense, names, case, str(path)), str(path))


def _numbers(path: Path, number: int, row: list[str], count: int) -> list[float]:
    """The values of one replicate, one for each of `count` columns."""
    if len(row) != count:
        raise UsageError(f"{path}: replicate {number} has {len(row)} values for {count} columns")
    try:
        return [float(cell) for cell in row]
    except ValueError as error:
        raise UsageError(f"{path}: replicate {number}: {error}") from error
