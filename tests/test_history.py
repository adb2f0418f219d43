"""Rows of several commits side by side, and which commit a row names."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from invmass.reports.history import commits
from invmass.reports.page import html
from invmass.results.rows import RowWriter, load_rows
from invmass.runs import environment as runtime


def verdict(commit: str | None, case: str, found: float, status: str) -> dict[str, object]:
    return {
        "kind": "verdict", "case": case, "backend": "blackjax", "metric": "dense",
        "device": "cpu", "dtype": "float32", "machine": "this", "commit": commit,
        "claim": "inverse Fisher", "status": status, "entry": "S[0,0]",
        "found": found, "low": found, "high": found, "expected": 1.0, "margin": 0.1,
        "scale": "log",
    }  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    """Of the later commit one case is judged twice; what has no commit counts for none."""
    written = (
        ("b-older", "paired", 1.0, "pass"),
        ("b-older", "nile", 1.1**-0.5, "pass"),
        ("a-newer", "paired", 1.1**3, "fail"),
        ("a-newer", "nile", 1.0, "pass"),
        ("a-newer", "paired", 1.1**2, "fail"),
        (None, "paired", 2.0, "fail"),
    )
    for second, row in enumerate(written):
        writer = RowWriter(tmp_path)
        writer.append(verdict(*row) | {"time": f"2026-01-01T00:00:0{second}+00:00"})
        writer.close()
    return load_rows(tmp_path)


def test_each_commit_has_a_line_of_its_newest_verdicts(rows: pd.DataFrame) -> None:
    older, newer = commits(rows).to_dict("records")
    assert (older["commit"], older["pass"], older["fail"]) == ("b-older", 2, 0)
    assert (newer["commit"], newer["pass"], newer["fail"]) == ("a-newer", 1, 1)
    assert older["largest_in"] == "nile, blackjax dense"
    assert newer["largest_in"] == "paired, blackjax dense"
    assert [older["largest_deviation"], newer["largest_deviation"]] == pytest.approx([0.5, 2.0])


def test_commits_are_on_the_page_where_there_are_two(rows: pd.DataFrame) -> None:
    assert "Changes over commits" in html(rows)
    one = rows[rows["commit"] != "a-newer"]
    assert commits(one).empty
    assert "Changes over commits" not in html(one)


def test_wheel_names_the_commit_of_the_checkout_that_it_is_called_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "__file__", str(tmp_path / "invmass" / "runs" / "environment.py"))
    theirs = tmp_path / "theirs"
    (theirs / "tests").mkdir(parents=True)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(theirs / "tests")
    assert runtime._commit.__wrapped__() is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "Begin"]):
        subprocess.run([*git, *words], cwd=theirs, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=theirs, check=True, capture_output=True, text=True
    ).stdout
    commit = runtime._commit.__wrapped__()
    assert commit
    assert head.startswith(commit)
