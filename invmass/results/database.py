"""Rows in an SQLite database, to which any number of processes can append.

Its table `rows` has one line for each row: the columns of COLUMNS, and `row`, the whole row as
JSON, as in a line of a `*.jsonl` file.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from invmass.errors import RowsError

SUFFIX = ".sqlite"
TIMEOUT = 60.0  # seconds that a process waits while another writes

COLUMNS = ("row_id", "run_id", "time", "kind", "case", "backend", "metric", "claim", "status")

_TABLE = f"""CREATE TABLE IF NOT EXISTS rows
({", ".join(f'"{name}" TEXT' for name in COLUMNS)}, row TEXT NOT NULL, PRIMARY KEY (row_id))"""
_INSERT = f"INSERT INTO rows VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"


def is_database(place: Path) -> bool:
    """Whether a path is a database (by its suffix) and not a folder."""
    return place.suffix == SUFFIX and not place.is_dir()


class Database:
    """Appends rows to a database; each call writes all of its rows or none.

    Raises:
        RowsError: the database cannot be created or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=TIMEOUT, check_same_thread=False)
            with self._connection:
                self._connection.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise RowsError(
                f"cannot write results to {path}: {error}; choose another place with --results"
            ) from error

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Write rows to the disk before returning.

        Raises:
            RowsError: writing failed; none of the rows is written.
        """
        lines = [(*(row.get(name) for name in COLUMNS), json.dumps(row)) for row in rows]
        try:
            with self._connection:
                self._connection.executemany(_INSERT, lines)
        except sqlite3.Error as error:
            raise RowsError(f"cannot append to {self.path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def read_database(path: Path) -> list[dict[str, Any]]:
    """All rows of a database in the order in which they were written.

    The database is opened for writing, so that SQLite can roll back what a killed process left
    unfinished.

    Raises:
        RowsError: the file cannot be read, or is not a database of rows.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"  # does not create a missing file
        with closing(sqlite3.connect(uri, timeout=TIMEOUT, uri=True)) as found:
            lines = found.execute("SELECT row FROM rows ORDER BY rowid").fetchall()
    except sqlite3.Error as error:
        raise RowsError(f"cannot read results from {path}: {error}") from error
    return [json.loads(line) for (line,) in lines]
