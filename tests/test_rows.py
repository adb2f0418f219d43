"""Rows survive what befalls those that write them: each other, a kill, a full disk."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from invmass.errors import RowsError
from invmass.results.cells import finished, load_cells
from invmass.results.rows import RowWriter, load_rows

WRITES = """
import sys
from pathlib import Path
from invmass.results.rows import RowWriter
writer = RowWriter(Path(sys.argv[1]))
number = 0
while number < int(sys.argv[2]):
    writer.append({"kind": "verdict", "number": number, "filling": "x" * 5000})
    number += 1
"""
DIES = """
import os, signal, sqlite3, sys
rows = sqlite3.connect(sys.argv[1])
rows.execute("PRAGMA cache_size = 1")  # so that a part is in the file before the end
for number in range(100):
    rows.execute("INSERT INTO rows (row_id, row) VALUES (?, ?)", (str(number), "x" * 5000))
os.kill(os.getpid(), signal.SIGKILL)
"""
FILLS = """
import resource, sys
from pathlib import Path
from invmass.errors import RowsError
from invmass.results.rows import RowWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))  # as a disk that is full there
writer = RowWriter(Path(sys.argv[1]))
for number, size in enumerate([5000, 5000, 5000, 100]):
    try:
        writer.append({"kind": "verdict", "number": number, "filling": "x" * size})
    except RowsError as error:
        print(number, error)
"""


FOLDER_OR_DATABASE = pytest.mark.parametrize("name", ["results", "results.sqlite"])


def start(code: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@FOLDER_OR_DATABASE
def test_two_runs_at_once_lose_nothing(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    writers = [start(WRITES, str(place), "100") for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    rows = load_rows(place)
    assert sorted(rows["number"]) == sorted(2 * list(range(100)))
    assert rows["row_id"].is_unique


def test_killed_run_keeps_all_complete_rows(tmp_path: Path) -> None:
    writer = start(WRITES, str(tmp_path), "1000000")
    while not (written := list(tmp_path.glob("*.jsonl"))) or written[0].stat().st_size < 100_000:
        time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    writer.wait(60)
    with written[0].open("a") as file:
        file.write('{"kind": "verdict", "numb')  # as if it had been in the middle of a line
    with pytest.warns(UserWarning, match=r"1 unreadable line") as caught:
        rows = load_rows(tmp_path)
    assert len(caught) == 1
    assert list(rows["number"]) == list(range(len(rows)))
    assert len(rows) > 10


def test_full_disk_is_an_error_and_spoils_no_row(tmp_path: Path) -> None:
    told, _ = start(FILLS, str(tmp_path)).communicate(timeout=60)
    assert told.startswith("2 cannot append to ")
    assert len(told.splitlines()) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(load_rows(tmp_path)["number"]) == [0, 1, 3]


def test_bad_files_are_passed_over_with_one_warning(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path)
    writer.append({"kind": "verdict", "number": 1}, {"kind": "verdict", "number": 2})
    writer.close()
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "noise.jsonl").write_bytes(os.urandom(1000) + b"\n")
    (tmp_path / "other.jsonl").write_text("[1, 2]\n{}\n")
    with pytest.warns(UserWarning, match="skipped") as caught:
        rows = load_rows(tmp_path)
    assert len(caught) == 1
    assert list(rows["number"]) == [1, 2]


def rows_of(cell: str, of: int, run: str, status: str = "pass") -> dict[str, object]:
    return {
        "kind": "verdict", "cell": cell, "cell_rows": of, "run_id": run, "status": status,
        "backend": "hmc", "alpha": 1e-6, "time": run,
    }  # fmt: skip


def test_cell_is_finished_when_its_newest_rows_are_all_there_and_no_error(tmp_path: Path) -> None:
    rows = [
        *2 * [rows_of("whole", 2, "1")],
        rows_of("half", 2, "1"),
        rows_of("wrong", 1, "1", "error"),
        rows_of("mended", 1, "1", "error"),
        rows_of("mended", 1, "2"),
        rows_of("broke", 1, "1"),
        rows_of("broke", 1, "2", "error"),
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load_cells(tmp_path)
    assert finished(found) == {"whole", "mended"}
    assert isinstance(found, pd.DataFrame)
    assert len(found) == 6
    assert finished(load_cells(tmp_path / "nowhere")) == set()


def test_database_of_a_killed_run_keeps_all_complete_rows(tmp_path: Path) -> None:
    place = tmp_path / "rows.sqlite"
    writer = start(WRITES, str(place), "1000000")
    while not place.exists() or place.stat().st_size < 100_000:
        time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    writer.wait(60)
    before = len(load_rows(place))
    assert before > 10
    later = RowWriter(place)
    later.append({"kind": "verdict", "number": before})
    later.close()
    assert list(load_rows(place)["number"]) == list(range(before + 1))


def test_what_a_killed_run_left_half_done_is_taken_back(tmp_path: Path) -> None:
    place = tmp_path / "rows.sqlite"
    writer = RowWriter(place)
    writer.append({"kind": "verdict", "number": 1})
    writer.close()
    start(DIES, str(place)).wait(60)
    assert (tmp_path / "rows.sqlite-journal").stat().st_size > 0
    assert list(load_rows(place)["number"]) == [1]


def test_rows_of_a_call_are_all_in_the_database_or_none(tmp_path: Path) -> None:
    place = tmp_path / "rows.sqlite"
    writer = RowWriter(place)
    writer.append({"kind": "verdict", "row_id": "mine"})
    with pytest.raises(RowsError, match="cannot append"):
        writer.append({"kind": "verdict"}, {"kind": "verdict", "row_id": "mine"})
    writer.close()
    assert list(load_rows(place)["row_id"]) == ["mine"]


def test_database_that_is_none_is_an_error_with_its_name(tmp_path: Path) -> None:
    place = tmp_path / "rows.sqlite"
    with pytest.raises(RowsError, match="holds no results"):
        load_rows(place)
    place.write_bytes(os.urandom(5000))
    with pytest.raises(RowsError, match=r"cannot read results from .*rows.sqlite"):
        load_rows(place)
    with pytest.raises(RowsError, match=r"cannot write results to .*--results"):
        RowWriter(place)


def test_database_holds_columns_for_other_programs(tmp_path: Path) -> None:
    place = tmp_path / "rows.sqlite"
    writer = RowWriter(place)
    writer.append({"kind": "verdict", "status": "pass", "low": float("inf"), "parts": [1.5]})
    writer.close()
    with closing(sqlite3.connect(place)) as database:
        (found,) = database.execute("SELECT run_id FROM rows WHERE status = 'pass'")
    assert found == (writer.run_id,)
    assert load_rows(place)["low"].tolist() == [float("inf")]


def test_history_of_many_machines_is_merged_and_nothing_counts_twice(tmp_path: Path) -> None:
    for machine in ("first", "second"):
        writer = RowWriter(tmp_path / "history" / machine)
        writer.append({"kind": "verdict", "machine": machine})
        writer.close()
    writer = RowWriter(tmp_path / "history" / "third.sqlite")
    writer.append({"kind": "verdict", "machine": "third"})
    writer.close()
    for copied in (tmp_path / "copied", tmp_path / "history" / "copied"):
        shutil.copytree(tmp_path / "history" / "first", copied)
    rows = load_rows(tmp_path / "history", tmp_path / "copied")
    assert sorted(rows["machine"]) == ["first", "second", "third"]


def test_bad_database_in_a_folder_costs_its_own_rows(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path)
    writer.append({"kind": "verdict", "machine": "first"})
    writer.close()
    (tmp_path / "bad.sqlite").write_bytes(os.urandom(5000))
    with pytest.warns(UserWarning, match=r"1 unreadable .*bad.sqlite"):
        assert list(load_rows(tmp_path)["machine"]) == ["first"]
