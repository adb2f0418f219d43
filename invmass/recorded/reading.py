"""Read tuned matrices from files of any supported format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.recorded.cmdstan import read_cmdstan
from invmass.recorded.inference_data import (
    from_inference_data,
    is_inference_data,
    read_inference_data,
)
from invmass.recorded.npz import read_npz
from invmass.recorded.recorded import TEXT, Recorded, joined
from invmass.recorded.table import read_table

KINDS = ".npz, .csv (a table, or CmdStan's output), .nc or .zarr (ArviZ)"


def read(source: Any, case: Case) -> Recorded:
    """Read the matrices of all replicates.

    Args:
        source: a path, several paths, or an InferenceData in memory.
        case: the posterior on which the metrics were tuned.

    Raises:
        UsageError: a file cannot be read, has an unsupported format or does not fit the case, a
            file is given twice, or the files were not tuned alike.
    """
    if is_inference_data(source):
        return from_inference_data(source, case)
    paths = [source] if isinstance(source, str | Path) else source
    if not isinstance(paths, Sequence) or not all(isinstance(p, str | Path) for p in paths):
        raise UsageError(
            f"matrices come from paths or an InferenceData, not {type(source).__name__}"
        )
    files = [Path(path) for path in paths]
    if not files:
        raise UsageError(f"no file is given; kinds of file are {KINDS}")
    if len({file.resolve() for file in files}) < len(files):
        raise UsageError("a file is given twice: its replicates would not be independent")
    return joined([_read(file, case) for file in files])


def _read(path: Path, case: Case) -> Recorded:
    """Read one file by the function for its format."""
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    suffix = path.suffix.lower()
    if suffix in (".npz", ".csv") and not path.is_file():
        raise UsageError(f"{path} is no file")
    if suffix == ".npz":
        return read_npz(path, case)
    if suffix == ".csv":
        try:
            with path.open(encoding=TEXT) as file:
                is_cmdstan = file.readline().startswith("#")
            return read_cmdstan(path, case) if is_cmdstan else read_table(path, case)
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not text in UTF-8 ({error}): save it as such") from error
    if suffix in (".nc", ".nc4", ".netcdf", ".zarr"):
        return read_inference_data(path, case)
    raise UsageError(f"{path} is of no kind that is known: {KINDS}")
