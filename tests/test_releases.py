"""Rows of several releases of a library side by side, and the command that adds one."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from invmass.reports.figures import speed
from invmass.reports.page import html
from invmass.reports.releases import releases
from invmass.results.rows import RowWriter, load_rows

Row = dict[str, Any]


def of_release(version: str, failed: int, seconds: float) -> list[Row]:
    """Ten checks and the timings of one release."""
    common = {
        "case": "notebook-uniform", "backend": "blackjax", "metric": "dense", "device": "cpu",
        "dtype": "float32", "machine": "this", "versions": {"invmass": "1", "blackjax": version},
    }  # fmt: skip
    judged = [
        common
        | {"kind": "verdict", "claim": f"claim {i}", "status": "fail" if i < failed else "pass"}
        for i in range(10)
    ]
    timed = [
        common | {
            "kind": "timing", "phase": phase, "replicates": 64, "turn": turn,
            "compile_seconds": 3.0, "seconds": seconds, "round_seconds": [seconds] * 5,
            "gradients": 100, "ess_per_gradient": 0.1,
        }
        for phase in ("warm-up", "sampling") for turn in (1, 2)
    ]  # fmt: skip
    return judged + timed


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    for version, failed, seconds in (("1.10.0", 0, 1.0), ("1.9.2", 3, 2.0), ("1.9.1", 3, 4.0)):
        writer = RowWriter(tmp_path)
        writer.append(*of_release(version, failed, seconds))
        writer.close()
    return load_rows(tmp_path)


def test_releases_stand_in_their_order_with_their_own_numbers(rows: pd.DataFrame) -> None:
    found = releases(rows)
    assert found["version"].tolist() == ["1.9.1", "1.9.2", "1.10.0"]
    assert found["fail"].tolist() == [3, 3, 0]
    assert found["pass"].tolist() == [7, 7, 10]
    assert found["warmup_seconds"].tolist() == [4.0, 2.0, 1.0]
    assert set(found["library"]) == {"blackjax"}  # invmass is the measure


def test_releases_are_on_the_page(rows: pd.DataFrame) -> None:
    assert "1.9.2" in speed.releases(rows)
    assert "Changes over releases" in html(rows)


def test_what_one_release_alone_was_timed_on_is_no_line(rows: pd.DataFrame) -> None:
    newest = rows[[v["blackjax"] == "1.10.0" for v in rows["versions"]]]
    alone = newest[newest["kind"] == "timing"]
    drawn = speed.releases(pd.concat([rows, alone.assign(case="gaussian_mean")]))
    assert "notebook-uniform dense" in drawn
    assert "gaussian_mean" not in drawn


def test_one_release_has_no_history(rows: pd.DataFrame) -> None:
    newest = rows[[v["blackjax"] == "1.10.0" for v in rows["versions"]]]
    assert releases(newest).empty
    assert speed.releases(newest) == ""
    assert "Changes over releases" not in html(newest)


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("no_such_library", "is not installed: python -m pip install"),
        ("jax==0.0.1", "tox run -e upstream -- 'jax==0.0.1'"),
        ("blackjax=1", "is no requirement"),
        ("pandas", "no backend needs pandas"),
    ],
)
def test_what_is_not_here_is_one_message_and_status_2(
    tmp_path: Path, requirement: str, told: str
) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "invmass", "upstream", requirement],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr
