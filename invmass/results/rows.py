"""Flat records of verdicts and timings: appended one line at a time, read back as one table.

A results folder holds one `*.jsonl` file for each process that wrote to it, one JSON object a
line. A line is appended by a single write, so that what is there is whole; a line cut short by a
crash is passed over with a warning. A place for results that is named `*.sqlite` is a database
instead. Folders may lie in folders, and databases too: what is read of one is all that is in it.
"""

import json
import os
import uuid
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invmass.errors import RowsError
from invmass.results.database import Database, is_database, read_database

if TYPE_CHECKING:
    import pandas as pd

# What every row carries, in the order in which tables show it.
COMMON = (
    "row_id", "run_id", "time", "kind", "case", "case_version", "backend", "spec", "metric", "seed",
    "device", "platform", "devices", "dtype", "commit", "machine", "cores", "python", "versions",
    "command",
)  # fmt: skip
VERDICT = (
    "claim", "status", "entry", "found", "low", "high", "expected", "margin", "scale", "tolerance",
    "alpha", "false_alarm", "replicates", "cap", "looks", "num_warmup", "seconds",
    "library_seconds", "message",
    "reading", "readings", "intervals", "parts", "coordinates", "position", "inverse_fisher",
    "target", "tuned", "window", "step_size", "gradients", "acceptance", "divergences",
)  # fmt: skip
# Claims of older rows and commands by the names that they have now.
RENAMED = dict.fromkeys(("matches the inverse Fisher", "disagrees as predicted"), "inverse Fisher")
TIMING = (
    "phase", "turn", "compile_seconds", "seconds", "rounds", "round_seconds", "warmup_rounds",
    "replicates", "dimension", "condition", "num_warmup", "num_samples", "gradients",
    "gradients_per_second", "peak_bytes", "min_bulk_ess", "min_square_ess", "max_rhat",
    "acceptance", "divergences", "e_bfmi",
    "ess_per_second", "square_ess_per_second", "ess_per_gradient", "square_ess_per_gradient",
    "steps", "kappa", "kappa_bound", "usable", "threads", "load", "compilation_cache", "message",
)  # fmt: skip


class RowWriter:
    """Appends rows to a file of its own in a results folder, or to a database.

    Raises:
        RowsError: the place cannot be made or written.
    """

    def __init__(self, place: Path) -> None:
        self.run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self._file = Database(place) if is_database(place) else _Lines(place, self.run_id)

    def append(self, *rows: dict[str, Any]) -> None:
        """Write rows, each with an id of its own, all or none, and see them on the disk.

        Raises:
            RowsError: the disk took less than the whole.
        """
        if rows:
            self._file.append([self._identity() | row for row in rows])

    def _identity(self) -> dict[str, str]:
        return {
            "row_id": uuid.uuid4().hex[:12],
            "run_id": self.run_id,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def close(self) -> None:
        """Close the file; if nothing was written to one of its own, it is removed."""
        self._file.close()


class _Lines:
    """A file of its own in a folder, one row a line."""

    def __init__(self, folder: Path, run_id: str) -> None:
        self.path = folder / f"{run_id}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY
            self._descriptor = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise RowsError(
                f"cannot write results to {folder}: {error.strerror}; "
                "choose another place with --results"
            ) from error

    def append(self, rows: list[dict[str, Any]]) -> None:
        lines = b"".join((json.dumps(row, allow_nan=True) + "\n").encode() for row in rows)
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            written = os.write(self._descriptor, lines)
            os.fsync(self._descriptor)
        except OSError as error:
            raise RowsError(f"cannot append to {self.path}: {error.strerror}") from error
        if written != len(lines):
            os.ftruncate(self._descriptor, end)  # half a line would spoil the next
            raise RowsError(f"cannot append to {self.path}: the disk is full")

    def close(self) -> None:
        os.close(self._descriptor)
        if self.path.stat().st_size == 0:
            self.path.unlink()


def read_rows(place: Path | str) -> list[dict[str, Any]]:
    """All rows of a results folder or a database as they were written, file by file.

    But for names of claims, which are today's.

    Warns once if lines or files in a folder could not be read; they are passed over.

    Raises:
        RowsError: the place does not exist or holds no rows, or is a database that cannot be read.
    """
    place = Path(place)
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    for path in _files(place):
        if not is_database(path):
            rows += _read_lines(path, broken)
            continue
        try:
            rows += read_database(path)
        except RowsError:
            if path == place:
                raise
            broken.append(path.name)
    if broken:
        warnings.warn(
            f"{place}: {len(broken)} unreadable line(s) or file(s) passed over: "
            f"{', '.join(broken[:5])}",
            stacklevel=3,
        )
    if not rows:
        raise RowsError(
            f"{place} holds no results; give a folder or a *.sqlite with some, made with: "
            f"invmass validate --results {place}"
        )
    for row in rows:
        if row.get("claim") in RENAMED:
            row["claim"] = RENAMED[row["claim"]]
    return rows


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place] if is_database(place) and place.exists() else []
    found = place.rglob("*")
    return sorted(path for path in found if path.suffix == ".jsonl" or is_database(path))


def _read_lines(path: Path, broken: list[str]) -> list[dict[str, Any]]:
    """The rows of one file; lines that cannot be read are named in `broken`."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        broken.append(f"{path.name} ({error.strerror})")
        return []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or "kind" not in row:
                raise ValueError("not a row")
            rows.append(row)
        except ValueError:
            broken.append(f"{path.name}:{number}")
    return rows


def load_rows(*places: Path | str) -> "pd.DataFrame":
    """The rows of all places as one table, oldest first; columns of COMMON, VERDICT and TIMING.

    A row that is found several times, for folders were copied, counts once.

    Raises:
        RowsError: a place does not exist or holds no rows.
    """
    found = [row for place in places for row in read_rows(place)]
    once = {row.get("row_id", id(row)): row for row in found}
    return as_table(list(once.values())).sort_values("time", kind="stable")


def as_table(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Rows as they were read, or as they would be written, in the columns of a table."""
    import pandas as pd  # slow to import, and whoever only writes can do without

    frame = pd.DataFrame(list(rows))
    columns = dict.fromkeys((*COMMON, *VERDICT, *TIMING))
    extra = [name for name in frame.columns if name not in columns]
    return frame.reindex(columns=[*columns, *extra])
