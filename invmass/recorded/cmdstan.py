"""Matrices in the comments of CmdStan's output: one chain, and one replicate, a file.

Source: CmdStan User's Guide, "Stan CSV File Format". The block has no names. Its entries are the
unconstrained parameters as declared, so that each site's are found by the header, whose columns are
the constrained ones: K for a simplex of K - 1 coordinates, K² for a correlation matrix.
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
_SIMPLEX_SINCE = (2, 37)  # as softmax of an orthonormal map; before, by breaking a stick


class _File(NamedTuple):
    settings: Mapping[str, str]  # from the comments
    columns: Sequence[str]
    dense: bool
    metric: np.ndarray  # (d,) or (d, d)


def read_cmdstan(path: Path, case: Case) -> Recorded:
    """Read one file.

    Raises:
        UsageError: nothing was adapted, or the parameters are not the case's.
    """
    file = _parsed(path)
    order = _places(file, case, path)
    metric = file.metric[np.ix_(order, order)] if file.dense else file.metric[order]
    version = tuple(
        int(file.settings.get(f"stan_version_{part}", -1)) for part in ("major", "minor")
    )
    older = (0, 0) <= version < _SIMPLEX_SINCE
    return Recorded(
        symmetric(metric[None]),
        str(path),
        _window(file.settings),
        "welford_dense" if file.dense else "welford_diagonal",
        OLDER_STAN if older else STAN,
    )


def _parsed(path: Path) -> _File:
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
    """The numbers of a line of the block; none if it holds anything else."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        return []


def _window(settings: Mapping[str, str]) -> int | None:
    """Draws of the last window, if the file tells how warm-up was divided.

    A window takes all that is left if the next one, of twice its size, would not fit; but the first
    never does. Source: Stan's `windowed_adaptation.hpp`. It does not say what a metric is made of
    where warm-up is too short for a window between its buffers, so that neither do we.
    """
    if "num_warmup" not in settings:
        return None
    defaults = {"init_buffer": 75, "window": 25, "term_buffer": 50}
    begin, size, term = (int(settings.get(name, default)) for name, default in defaults.items())
    stop, end = int(settings["num_warmup"]) - term, begin + size
    if size < 1 or end > stop:
        return None
    while end < stop:
        begin, size = end, 2 * size
        end = begin + size if begin + 3 * size <= stop else stop
    return end - begin


def _places(file: _File, case: Case, path: Path) -> np.ndarray:
    """Where each coordinate of the case stands in the metric, shape (d,)."""
    sites = {stan_name(name): name for name in case.sites} | {name: name for name in case.sites}
    found: dict[str, set[Index]] = {}
    for column in file.columns:
        if not column.endswith("__"):
            name, *index = column.split(".")
            found.setdefault(sites.get(name, name), set()).add(tuple(map(int, index)))
    last = max((i for i, name in enumerate(found) if name in case.sites), default=-1)
    declared = list(found)[: last + 1]  # what was computed from the parameters stands behind them
    missing = [name for name in case.sites if name not in found]
    extra = [name for name in declared if name not in case.sites]
    if missing or extra:
        raise mismatch(case, missing, extra, str(path))
    begin = dict.fromkeys(declared, 0)
    size = 0
    for name in declared:
        shape = case.sites[name].value_shape
        if found[name] != {tuple(i + 1 for i in index) for index in np.ndindex(*shape)}:
            raise UsageError(
                f"{path}: the parameter {name} has {len(found[name])} columns, and in case "
                f"{case.name} the shape {shape}"
            )
        begin[name], size = size, size + int(np.prod(case.sites[name].free_shape))
    if size != len(file.metric):
        raise UsageError(
            f"{path}: the metric is of {len(file.metric)} coordinates, the parameters "
            f"{', '.join(declared)} of case {case.name} have {size}; is it the same model?"
        )
    return np.concatenate([begin[name] + _within(case, name, path) for name in case.sites])


def _within(case: Case, name: str, path: Path) -> np.ndarray:
    """Where each of a site's coordinates stands among them in Stan, which goes by columns."""
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
