"""The command that compares two results folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compared_rows import (
    ONCE,
    TWICE,
    error,
    noisy,
    timing,
    verdict,
    written,
)

from invmass.cli.main import main
from invmass.results.rows import load_rows


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as from a shell: a worker of pytest-xdist refuses benchmarks."""
    shell = {name: word for name, word in os.environ.items() if "XDIST" not in name}
    return subprocess.run(
        [sys.executable, "-m", "invmass", *words],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env=shell,
    )  # fmt: skip


def test_command_exits_with_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = written(tmp_path / "base", timing(noisy(0, TWICE)), verdict())
    new = {
        "same": [timing(noisy(1, TWICE)), verdict()],
        "slower": [timing(1.5 * noisy(1, TWICE)), verdict()],
        "worse": [timing(noisy(1, TWICE)), verdict("fail")],
        "few": [timing(1.5 * noisy(1, 2)), verdict()],
        "few-and-worse": [timing(1.5 * noisy(1, 2)), verdict("inconclusive")],
        "elsewhere": [timing(noisy(1, TWICE), machine="another"), verdict()],
        "nothing": [timing(noisy(1, TWICE), machine="another")],
    }
    expected = {
        "same": (0, "1 timing compared: 1 same"),
        "slower": (1, "1 timing compared: 1 slower"),
        "worse": (1, "1 verdict compared: 1 worse"),
        "few": (3, "too few rounds: with 7 on each side"),
        "few-and-worse": (1, "1 verdict compared: 1 worse"),
        "elsewhere": (3, "left out of NEW: 1 timing row, different machine in BASE"),
        "nothing": (2, "with a different machine ('Linux x86_64, one' in BASE, 'another' in NEW)"),
    }
    for name, rows in new.items():
        words = ["invmass", "compare", str(base), str(written(tmp_path / name, *rows))]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        told = "".join(capsys.readouterr())
        status, text = expected[name]
        assert end.value.code == status, (name, told)
        assert text in told, name
        assert "Traceback" not in told


def test_command_speaks_json(tmp_path: Path) -> None:
    infinite = verdict(high=float("inf"), intervals=None)
    written(tmp_path / "A", timing(noisy(0, 2)), infinite, error("density agrees"))
    written(tmp_path / "B", timing(noisy(1, 2)), infinite, error("density agrees"))
    answer = run(tmp_path, "compare", "A", "B", "--json")
    assert answer.returncode == 3, answer.stderr

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(answer.stdout, parse_constant=refuse)
    (line,) = found["timings"]
    assert (line["case"], line["phase"], line["cores"]) == ("notebook-uniform", "warm-up", 2)
    assert (line["status"], line["low"]) == ("too few rounds", None)
    assert len(found["verdicts"]) == 2
    assert found["rounds"] == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--factor", "1"), "--factor must be above 1"),
        (("--factor", "nan"), "--factor must be above 1"),
        (("--level", "0"), "--level must be between 0 and 1"),
        ((), "nowhere holds no results"),
    ],
)
def test_bad_options_are_one_message_and_status_2(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    written(tmp_path / "A", timing([1.0]))
    answer = run(tmp_path, "compare", "nowhere", "A", *words)
    assert answer.returncode == 2
    assert told in answer.stderr
    assert "Traceback" not in answer.stderr


def test_benchmark_writes_the_seconds_of_each_round(tmp_path: Path) -> None:
    words: tuple[str, ...] = ("--case", "gaussian_mean", "--backend", "hmc", "--metric", "diagonal")
    words += ("--num-warmup", "50", "--turns", "1")
    for folder in ("A", "B"):
        answer = run(tmp_path, "benchmark", *words, "--results", folder)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    rows = load_rows(tmp_path / "A")
    assert set(rows["phase"]) == {"warm-up", "sampling"}
    for row in rows.to_dict("records"):
        assert len(row["round_seconds"]) == row["rounds"] == ONCE
        assert np.median(row["round_seconds"]) == pytest.approx(row["seconds"])
    (sampled,) = rows[rows["phase"] == "sampling"].to_dict("records")
    assert 0.5 < sampled["acceptance"] < 1
    assert sampled["divergences"] == 0
    assert sampled["e_bfmi"] == pytest.approx(1, abs=0.05)  # that of a Gaussian
    answer = run(tmp_path, "compare", "A", "B", "--json")
    found = json.loads(answer.stdout)
    assert len(found["timings"]) == 2, answer.stdout + answer.stderr
    assert [line["quantity"] for line in found["quality"]] == ["ESS per gradient"]
    assert answer.returncode == 3
