"""Read inverse mass matrices from ArviZ's InferenceData.

nutpie stores them with `store_mass_matrix=True`. The variable has a dimension `chain`, and one
dimension (diagonal) or two (dense) whose coordinate holds the names of the unconstrained
parameters. Along any other dimension, such as `draw`, the last finite matrix is used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.recorded.recorded import Recorded, matched

VARIABLES = ("mass_matrix_inv", "inverse_mass_matrix", "inv_metric")
_FIRST_GROUP = "sample_stats"


def read_inference_data(path: Path, case: Case) -> Recorded:
    """Read a netCDF file or a zarr folder.

    Args:
        path: the file or folder.
        case: the posterior on which the metrics were tuned.

    Raises:
        UsageError: xarray is not installed, the file cannot be read, it holds no matrices, or
            their names are not those of the case.
    """
    try:
        import xarray
    except ImportError as error:
        raise UsageError(
            f"{path}: InferenceData is read by xarray, which is not installed: "
            "python -m pip install 'invmass[arviz]'"
        ) from error
    try:
        tree = xarray.open_datatree(path, engine="zarr" if path.is_dir() else None)
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"{path} cannot be read by xarray: {error}") from error
    with tree:
        return from_inference_data(tree, case, str(path))


def is_inference_data(source: Any) -> bool:
    """Whether an object is a DataTree, or an InferenceData of an earlier ArviZ."""
    return hasattr(source, "groups") and hasattr(source, "__getitem__")


def from_inference_data(data: Any, case: Case, origin: str = "InferenceData") -> Recorded:
    """Read matrices from an object in memory.

    Args:
        data: a DataTree, or an InferenceData of an earlier ArviZ.
        case: the posterior on which the metrics were tuned.
        origin: name of the data in error messages.

    Raises:
        UsageError: the data hold no matrices, or their names are not those of the case.
    """
    groups = _groups(data)
    for name in VARIABLES:
        arrays = [group[name] for group in groups.values() if name in group]
        if arrays:
            break
    else:
        raise UsageError(
            f"{origin} holds none of {', '.join(VARIABLES)} in its groups {', '.join(groups)}; "
            "nutpie stores it if told to: nutpie.sample(…, store_mass_matrix=True)"
        )
    names, metrics = _last_of_each_chain(arrays[0], origin)
    for array in arrays[1:]:  # chains without a finite matrix so far
        unknown = ~np.isfinite(metrics).all(axis=tuple(range(1, metrics.ndim)))
        metrics[unknown] = _last_of_each_chain(array, origin)[1][unknown]
    return Recorded(matched(metrics, names, case, origin), origin)


def _groups(data: Any) -> Mapping[str, Any]:
    """Data sets by the name of their group; the group of draws after warm-up comes first."""
    names = data.groups() if callable(data.groups) else data.groups
    groups = {str(name).strip("/"): data[name] for name in names}
    return dict(sorted(groups.items(), key=lambda pair: pair[0] != _FIRST_GROUP))


def _last_of_each_chain(array: Any, origin: str) -> tuple[list[str], np.ndarray]:
    """Names of the coordinates, and the last finite matrix of each chain.

    The matrix of a chain without a finite one is not finite.
    """
    named = [d for d in array.dims if d in array.coords and array.coords[d].dtype.kind in "UOST"]
    if "chain" not in array.dims or len(named) not in (1, 2):
        raise UsageError(
            f"{origin}: {array.name} has the dimensions {', '.join(map(str, array.dims))}; it "
            "needs 'chain', and one or two whose coordinate holds the names of the parameters"
        )
    names = [str(name) for name in array.coords[named[0]].values]
    if len(named) == 2 and names != [str(name) for name in array.coords[named[1]].values]:
        raise UsageError(f"{origin}: rows and columns of {array.name} have other names")
    others = [d for d in array.dims if d not in ("chain", *named)]
    values = np.asarray(array.transpose("chain", *others, *named).values, dtype=np.float64)
    values = values.reshape(len(values), -1, *[len(names)] * len(named))
    finite = np.all(np.isfinite(values).reshape(*values.shape[:2], -1), axis=2)
    last = values.shape[1] - 1 - np.argmax(finite[:, ::-1], axis=1)
    return names, values[np.arange(len(values)), last]
