"""Rows in one file: an SQLite database, to which any number of processes append.

Its table `rows` has one line for each row: the columns of COLUMNS, and in `row` the whole of it, as
a line of a `*.jsonl` file has it.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from invmass.errors import RowsError

SUFFIX = ".sqlite"
PATIENCE = 60.0  # seconds that one process waits for another to have written

COLUMNS = ("row_id", "run_id", "time", "kind", "case", "backend", "metric", "claim", "status")

_TABLE = f"""CREATE TABLE IF NOT EXISTS rows
({", ".join(f'"{name}" TEXT' for name in COLUMNS)}, row TEXT NOT NULL, PRIMARY KEY (row_id))"""
_INSERT = f"INSERT INTO rows VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"


def is_database(place: Path) -> bool:
    """Whether a place for rows is a database, by its name; else it is a folder."""
    return place.suffix == SUFFIX and not place.is_dir()


class Database:
    """Appends rows to a database, each call whole or not at all.

    Raises:
        RowsError: it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False)
            with self._connection:
                self._connection.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise RowsError(
                f"cannot write results to {path}: {error}; choose another place with --results"
            ) from error

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Write rows, and see them on the disk.

        Raises:
            RowsError: they could not be written; none of them is.
        """
        lines = [(*(row.get(name) for name in COLUMNS), json.dumps(row)) for row in rows]
        try:
            with self._connection:
                self._connection.executemany(_INSERT, lines)
        except sqlite3.Error as error:
            raise RowsError(f"cannot append to {self.path}: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def read_database(path: Path) -> list[dict[str, Any]]:
    """All rows of a database in the order in which they were written.

    It is opened as a writer would: what a killed one left half done has to be taken back first.

    Raises:
        RowsError: it cannot be read, or is none of ours.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"  # which makes no file where there is none
        with closing(sqlite3.connect(uri, timeout=PATIENCE, uri=True)) as found:
            lines = found.execute("SELECT row FROM rows ORDER BY rowid").fetchall()
    except sqlite3.Error as error:
        raise RowsError(f"cannot read results from {path}: {error}") from error
    return [json.loads(line) for (line,) in lines]
