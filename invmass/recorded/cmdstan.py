"""Read the inverse mass matrix of one chain from the comments of a CmdStan output file.

Source: CmdStan User's Guide, "Stan CSV File Format". The block with the matrix has no names. Its
coordinates are the unconstrained parameters in the order in which the program declares them, and
that order is read from the header. The columns of the header are constrained values: K of them for
a simplex with K - 1 coordinates, K² for a correlation matrix.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.distributions import Correlation
from invmass.model.stan.names import stan_name
from invmass.recorded.names import Index, mismatch
from invmass.recorded.recorded import OLDER_STAN, STAN, TEXT, Recorded, symmetric

_DIAGONAL = "Diagonal elements of inverse mass matrix:"
_DENSE = "Elements of inverse mass matrix:"
# First version that maps a simplex by an isometric log-ratio; earlier ones used stick-breaking.
_LOG_RATIO_SINCE = (2, 37)


class _File(NamedTuple):
    """The parts of a CmdStan output file that are used."""

    settings: Mapping[str, str]  # lines "name = value" among the comments
    columns: Sequence[str]
    dense: bool
    metric: np.ndarray  # (d,) or (d, d)


def read_cmdstan(path: Path, case: Case) -> Recorded:
    """Read the matrix of one chain, which is one replicate.

    Args:
        path: a CmdStan output file.
        case: the posterior on which the metric was tuned.

    Raises:
        UsageError: the file has no adapted metric, or its parameters are not those of the case.
    """
    file = _parsed(path)
    order = _places(file, case, path)
    metric = file.metric[np.ix_(order, order)] if file.dense else file.metric[order]
    version = tuple(
        int(file.settings.get(f"stan_version_{part}", -1)) for part in ("major", "minor")
    )
    older = (0, 0) <= version < _LOG_RATIO_SINCE
    return Recorded(
        symmetric(metric[None]),
        str(path),
        _window(file.settings),
        "welford_dense" if file.dense else "welford_diagonal",
        OLDER_STAN if older else STAN,
    )


def _parsed(path: Path) -> _File:
    """The settings, columns and metric of a file."""
    settings: dict[str, str] = {}
    columns: list[str] = []
    rows: list[list[float]] = []
    dense, within = False, False
    with path.open(encoding=TEXT) as lines:
        for line in lines:
            text = line.removeprefix("#").strip()
            if not line.startswith("#"):
                columns = columns or text.split(",")
                within = False
            elif text in (_DIAGONAL, _DENSE):
                dense, within, rows = text == _DENSE, True, []
            elif within and (row := _numbers(text)):
                rows.append(row)
            else:
                within = False
                if setting := re.fullmatch(r"(\w+) = (\S+)(?: \(Default\))?", text):
                    settings.setdefault(setting[1], setting[2])
    if not columns:
        raise UsageError(f"{path} has no header with the names of parameters: is it cut short?")
    size = len(rows[0]) if rows else 0
    if not rows or [len(row) for row in rows] != [size] * (size if dense else 1):
        raise UsageError(
            f"{path} has no whole block '{_DIAGONAL}' or '{_DENSE}' among its comments: CmdStan "
            "writes one where method=sample adapts (adapt engaged=1, metric diag_e or dense_e)"
        )
    return _File(settings, columns, dense, np.array(rows if dense else rows[0]))


def _numbers(text: str) -> list[float]:
    """The numbers in a line of comma-separated numbers; none if anything else is in it."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        return []


def _window(settings: Mapping[str, str]) -> int | None:
    """Number of draws in the last window; None if the file does not state the length of warm-up.

    Each window is twice as long as the one before. If the next window would not fit before the
    final buffer, the present one is extended to the buffer, except for the first window, which is
    never extended. Source: Stan's `windowed_adaptation.hpp`, which does not say from which draws
    the metric is estimated if no window fits between the buffers; the result is None then, too.
    """
    if "num_warmup" not in settings:
        return None
    defaults = {"init_buffer": 75, "window": 25, "term_buffer": 50}
    start, size, term = (int(settings.get(name, default)) for name, default in defaults.items())
    stop, end = int(settings["num_warmup"]) - term, start + size
    if size < 1 or end > stop:
        return None
    while end < stop:
        start, size = end, 2 * size
        end = start + size if start + 3 * size <= stop else stop
    return end - start


def _places(file: _File, case: Case, path: Path) -> np.ndarray:
    """Index in the metric of each coordinate of the case, shape (d,)."""
    sites = {stan_name(name): name for name in case.sites} | {name: name for name in case.sites}
    indices: dict[str, set[Index]] = {}
    for column in file.columns:
        if not column.endswith("__"):
            name, *index = column.split(".")
            indices.setdefault(sites.get(name, name), set()).add(tuple(map(int, index)))
    last = max((i for i, name in enumerate(indices) if name in case.sites), default=-1)
    # Transformed parameters and generated quantities follow the parameters, and are ignored.
    declared = list(indices)[: last + 1]
    missing = [name for name in case.sites if name not in indices]
    extra = [name for name in declared if name not in case.sites]
    if missing or extra:
        raise mismatch(case, missing, extra, str(path))
    first = dict.fromkeys(declared, 0)  # index in the metric of each site's first coordinate
    size = 0
    for name in declared:
        shape = case.sites[name].value_shape
        if indices[name] != {tuple(i + 1 for i in index) for index in np.ndindex(*shape)}:
            raise UsageError(
                f"{path}: the parameter {name} has {len(indices[name])} columns, and in case "
                f"{case.name} the shape {shape}"
            )
        first[name], size = size, size + int(np.prod(case.sites[name].free_shape))
    if size != len(file.metric):
        raise UsageError(
            f"{path}: the metric is of {len(file.metric)} coordinates, the parameters "
            f"{', '.join(declared)} of case {case.name} have {size}; is it the same model?"
        )
    return np.concatenate([first[name] + _within(case, name, path) for name in case.sites])


def _within(case: Case, name: str, path: Path) -> np.ndarray:
    """Position of each coordinate of a site among those of the site in Stan, shape (k,).

    Stan orders the entries of a correlation matrix by columns, this suite by rows.
    """
    site = case.sites[name]
    if isinstance(site.prior.support, Correlation):
        rows, columns = np.tril_indices(site.value_shape[-1], -1)
        place = np.zeros(len(rows), dtype=int)
        place[np.lexsort((rows, columns))] = np.arange(len(rows))
        return place
    if len(site.value_shape) > 1:
        raise UsageError(
            f"{path}: the site {name} is two-dimensional, and a CmdStan file does not say if "
            "it was declared as an array or as a matrix; write a .npz with its coordinates' names"
        )
    return np.arange(int(np.prod(site.free_shape)))
