"""Read inverse mass matrices from a `.npz` file.

The file holds the arrays `inverse_mass_matrix`, `names` and, optionally, `window`.
"""

import zipfile
from pathlib import Path

import numpy as np

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.recorded.recorded import Recorded, matched


def read_npz(path: Path, case: Case) -> Recorded:
    """Read one file.

    Arrays with other names, such as those that `Tuned.save` adds, are ignored.

    Args:
        path: the file.
        case: the posterior on which the metrics were tuned.

    Raises:
        UsageError: the file cannot be read, or an array is missing or does not fit the case.
    """
    if not zipfile.is_zipfile(path):
        raise UsageError(f"{path} is no .npz file: numpy.savez writes one")
    try:
        with np.load(path) as file:
            missing = [name for name in ("inverse_mass_matrix", "names") if name not in file]
            if missing:
                raise UsageError(
                    f"{path} lacks {' and '.join(missing)}: it needs inverse_mass_matrix, shape "
                    "(R, d) or (R, d, d), and names, the d coordinates' names as text"
                )
            matrices = file["inverse_mass_matrix"]
            names = [_text(name) for name in np.atleast_1d(file["names"])]
            window = _window(file["window"], path) if "window" in file else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read as .npz without pickles: {error}") from error
    return Recorded(matched(matrices, names, case, str(path)), str(path), window)


def _text(name: object) -> str:
    """A name as text, also if the file holds bytes."""
    return name.decode() if isinstance(name, bytes) else str(name)


def _window(given: np.ndarray, path: Path) -> int:
    """Number of draws in the last window, from one number or equal numbers for all replicates."""
    distinct = np.unique(given)
    if len(distinct) != 1 or not np.issubdtype(given.dtype, np.number):
        raise UsageError(f"{path}: window must be one number of draws, not {given.tolist()}")
    return int(distinct[0])
