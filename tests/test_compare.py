"""Two results folders against each other: what is slower is found, and chance is not."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from invmass.cli.main import main
from invmass.errors import NoOverlapError, UsageError
from invmass.reports import comparison, rounds
from invmass.results.rows import RowWriter, load_rows
from invmass.results.schema import CONVERGES

Row = dict[str, Any]

COMBINATION = {
    "case": "notebook-uniform", "case_version": 1, "backend": "hmc", "metric": "dense", "seed": 0,
    "device": "cpu: cpu", "dtype": "float32", "machine": "Linux x86_64, one", "cores": 2,
    "num_warmup": 1000, "replicates": 64,
}  # fmt: skip
ENTRY = {"entry": "x[0]", "found": 1.0, "low": 0.97, "high": 1.03, "expected": 1.0, "margin": 0.1}

ONCE, TWICE = 5, 10  # rounds of as many runs


def timing(seconds: Sequence[float], phase: str = "warm-up", **fields: Any) -> Row:
    draws = 500 if phase == "sampling" else 0
    return COMBINATION | {
        "kind": "timing", "phase": phase, "num_samples": draws,
        "round_seconds": [float(s) for s in seconds], "seconds": float(np.median(seconds)),
    } | fields  # fmt: skip


def verdict(status: str = "pass", claim: str = CONVERGES, **fields: Any) -> Row:
    return COMBINATION | ENTRY | {
        "kind": "verdict", "claim": claim, "status": status, "scale": "log", "tolerance": 0.1,
        "alpha": 1e-6, "intervals": [ENTRY], "command": "invmass check notebook-uniform",
    } | fields  # fmt: skip


def error(claim: str | None = CONVERGES) -> Row:
    """As the suite writes it: it says nothing of tolerance and α."""
    row = verdict("error", claim, message="the backend raised ValueError")  # type: ignore[arg-type]
    return {k: v for k, v in row.items() if k not in {*ENTRY, "tolerance", "alpha", "intervals"}}


def written(folder: Path, *rows: Row) -> Path:
    writer = RowWriter(folder)
    writer.append(*rows)
    writer.close()
    return folder


def noisy(seed: int, size: int, noise: float = 0.05, outliers: float = 0.1) -> np.ndarray:
    """Seconds around one; some rounds are held up, as on a shared machine."""
    rng = np.random.default_rng(seed)
    held_up = 1 + rng.exponential(0.5, size) * (rng.random(size) < outliers)
    return np.exp(noise * rng.normal(size=size)) * held_up


def compared(folder: Path, base: list[Row], new: list[Row], **options: Any) -> Any:
    """Rows written to two folders, read back and compared."""
    sides = [written(folder / name, *rows) for name, rows in (("base", base), ("new", new))]
    return comparison.compare(*map(load_rows, sides), **options)


def statuses(lines: list[Row]) -> list[str]:
    return [line["status"] for line in lines]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as from a shell: a worker of pytest-xdist refuses benchmarks."""
    shell = {name: word for name, word in os.environ.items() if "XDIST" not in name}
    return subprocess.run(
        [sys.executable, "-m", "invmass", *words],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env=shell,
    )  # fmt: skip


def in_memory(*rows: Row) -> pd.DataFrame:
    """Rows without a file, for many tries."""
    frame = pd.DataFrame(rows)
    every = [*frame.columns, "row_id", "run_id", "ess_per_gradient", "claim"]
    return frame.reindex(columns=list(dict.fromkeys(every)))


# Timings


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("slowdown", "status"), [(1.3, "slower"), (1 / 1.3, "faster")])
def test_planted_change_is_found(tmp_path: Path, seed: int, slowdown: float, status: str) -> None:
    base, new = noisy(2 * seed, TWICE, outliers=0), noisy(2 * seed + 1, TWICE, outliers=0)
    found = compared(tmp_path, [timing(base)], [timing(slowdown * new)])
    (line,) = found.timings
    assert line["status"] == status
    assert line["ratio"] == pytest.approx(slowdown, rel=0.1)
    assert line["base_seconds"] == pytest.approx(np.median(base))
    assert line["new_seconds"] == pytest.approx(np.median(slowdown * new))
    assert line["low"] < line["ratio"] < line["high"]
    assert found.worse == (status == "slower")


@pytest.mark.parametrize("slowdown", [1.0, 1.05])
def test_no_change_and_a_small_one_are_never_flagged(slowdown: float) -> None:
    for seed in range(200):
        rows = [
            in_memory(
                *(
                    timing(factor * noisy(1000 * seed + 10 * i + side, TWICE), num_warmup=i)
                    for i in range(4)
                )
            )
            for side, factor in enumerate((1.0, slowdown))
        ]
        found = comparison.compare(*rows)
        assert statuses(found.timings) == 4 * ["same"], seed
        assert not found.worse
        assert not found.undecided


def test_factor_alone_does_not_flag(tmp_path: Path) -> None:
    """Medians far apart, in noise that explains it."""
    base = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.1, 3.2, 3.3]
    new = [0.9, 0.9, 0.9, 0.9, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    (line,) = compared(tmp_path, [timing(base)], [timing(new)]).timings
    assert line["ratio"] > comparison.FACTOR
    assert line["p"] > 0.05
    assert line["status"] == "same"


def test_mann_whitney_alone_does_not_flag(tmp_path: Path) -> None:
    """Every round is slower, by little."""
    base = np.linspace(1.0, 1.01, TWICE)
    (line,) = compared(tmp_path, [timing(base)], [timing(1.1 * base)]).timings
    assert line["p"] == pytest.approx(1 / 184756)
    assert line["status"] == "same"
    (line,) = compared(tmp_path / "_", [timing(base)], [timing(1.1 * base)], factor=1.05).timings
    assert line["status"] == "slower"


def test_rounds_of_several_runs_are_pooled(tmp_path: Path) -> None:
    rows = [[timing(factor * noisy(i, ONCE, 0.01, 0)) for i in (f, f + 10)] for f, factor in
            ((0, 1.0), (1, 1.5))]  # fmt: skip
    (line,) = compared(tmp_path / "once", rows[0][:1], rows[1][:1]).timings
    assert (line["base_rounds"], line["status"]) == (ONCE, "too few rounds")
    found = compared(tmp_path / "twice", *rows)
    (line,) = found.timings
    assert (line["base_rounds"], line["new_rounds"], line["status"]) == (TWICE, TWICE, "slower")


def test_what_two_turns_of_one_version_differ_by_is_noise(tmp_path: Path) -> None:
    quiet, loud = noisy(0, ONCE, 0.01, 0), 1.6 * noisy(1, ONCE, 0.01, 0)
    new = [timing(1.5 * noisy(i, TWICE, 0.01, 0)) for i in (2, 3)]
    (line,) = compared(tmp_path / "noisy", [timing(quiet), timing(loud)] * 2, new).timings
    assert line["noise"] == pytest.approx(1.6, rel=0.05)
    assert line["status"] == "within noise"
    (line,) = compared(tmp_path / "still", [timing(quiet), timing(quiet)] * 2, new).timings
    assert line["status"] == "slower"


def test_a_row_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    base = written(tmp_path / "base", timing(noisy(0, ONCE)))
    (path,) = base.glob("*.jsonl")
    (base / "copy.jsonl").write_bytes(path.read_bytes())
    found = comparison.compare(
        load_rows(base), load_rows(written(tmp_path / "new", timing(noisy(1, ONCE))))
    )
    assert found.timings[0]["base_rounds"] == ONCE


def test_too_few_rounds_say_how_many_it_takes(tmp_path: Path) -> None:
    rows = [[timing(factor * noisy(f, ONCE, 0.01, 0), num_warmup=i) for i in range(20)]
            for f, factor in ((0, 1.0), (1, 2.0))]  # fmt: skip
    found = compared(tmp_path / "few", *rows)
    assert set(statuses(found.timings)) == {"too few rounds"}
    assert found.undecided
    assert not found.worse
    rows = [[timing(factor * noisy(f, found.rounds, 0.01, 0), num_warmup=i) for i in range(20)]
            for f, factor in ((0, 1.0), (1, 2.0))]  # fmt: skip
    found = compared(tmp_path / "enough", *rows)
    assert set(statuses(found.timings)) == {"slower"}
    rows = [[row | {"round_seconds": row["round_seconds"][1:]} for row in side] for side in rows]
    assert set(statuses(compared(tmp_path / "less", *rows).timings)) == {"too few rounds"}


def test_level_is_shared_among_tests_that_can_reach_it() -> None:
    """False alarms of all tests together keep the level; what can reject nothing costs nothing."""
    few, many = rounds.smallest_p(5, 5), rounds.smallest_p(10, 10)
    assert rounds.level_of_each(0.001, [many] * 8) == 0.001 / 8
    assert rounds.level_of_each(0.001, [many] * 8 + [few] * 100) == 0.001 / 8
    assert rounds.level_of_each(0.01, [few] * 2) == 0.01 / 2
    assert rounds.level_of_each(0.01, [few] * 3) == 0.01 / 3  # which none of them can reach


def test_test_keeps_its_level_with_a_coarse_clock() -> None:
    rng = np.random.default_rng(0)
    for coarse in (1e-9, 0.5):
        seconds = 10 + np.ceil(rng.random((2, 4000, 8)) / coarse) * coarse
        found = [rounds.compare_rounds(*pair).p_slower for pair in seconds.swapaxes(0, 1)]
        wrong = int(np.sum(np.less_equal(found, 0.05)))
        assert scipy.stats.binomtest(wrong, 4000, 0.05, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("size", [5, 9, 30, 120])
def test_interval_covers_as_it_says_and_agrees_with_the_test(size: int) -> None:
    rng = np.random.default_rng(size)
    half, missed, tries = (1 - rounds.CONFIDENCE) / 2, 0, 1000
    for _ in range(tries):
        base, new = np.exp(0.2 * rng.normal(size=(2, size)))
        found = rounds.compare_rounds(base, 1.2 * new)
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= 1.2 <= found.high
        if size * size <= rounds.EXACT:
            assert (found.low > 1) == (found.p_slower <= half)
            assert (found.high < 1) == (found.p_faster <= half)
    level = 1 - rounds.CONFIDENCE
    assert scipy.stats.binomtest(missed, tries, level, alternative="greater").pvalue > 1e-6
    assert rounds.compare_rounds([1.0, 1.1], [1.0, 1.1]).low is None


def test_lines_that_look_alike_are_told_apart_by_their_settings(tmp_path: Path) -> None:
    rows = [timing([1.0]), timing([1.0], num_warmup=200), timing([1.0], "sampling")]
    found = compared(tmp_path, rows, rows)
    name = "notebook-uniform, hmc, dense"
    told = [f"{name}, num_warmup 1000", f"{name}, num_warmup 200", name]
    assert comparison.names(found.timings) == told


# What is not compared


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"machine": "Linux x86_64, two"}, "machine ('Linux x86_64, one' in BASE, "),
        ({"machine": "m", "cores": 8}, "machine and cores ('Linux x86_64, one', 2 in BASE, 'm', 8"),
        ({"device": "gpu: H100"}, "device ('cpu: cpu' in BASE, 'gpu: H100' in NEW)"),
        ({"case_version": 2}, "case_version (1 in BASE, 2 in NEW)"),
        ({"seed": 1}, "seed (0 in BASE, 1 in NEW)"),
    ],
)
def test_other_machine_device_or_version_is_not_compared(
    tmp_path: Path, fields: Row, told: str
) -> None:
    base, other = timing(noisy(0, TWICE)), timing(9 * noisy(1, TWICE), **fields)
    with pytest.raises(
        NoOverlapError, match=re.escape(f"1 timing with a different {told}")
    ) as caught:
        compared(tmp_path, [base], [other])
    assert "in NEW): notebook-uniform, hmc, dense, warm-up" in str(caught.value)
    same = timing(noisy(2, TWICE))
    found = compared(tmp_path / "_", [base], [other, same])
    assert statuses(found.timings) == ["same"]
    (line,) = found.left_out
    reason = "different " + told.partition(" (")[0] + " in BASE"
    assert line == {"folder": "NEW", "kind": "timing", "reason": reason, "rows": 1}


def test_other_backend_is_named_where_nothing_matches(tmp_path: Path) -> None:
    told = "no backend of a timing is in both: 'hmc' in BASE, 'numpyro' in NEW"
    with pytest.raises(NoOverlapError, match=told):
        compared(tmp_path, [timing([1.0])], [timing([1.0], backend="numpyro")])
    with pytest.raises(NoOverlapError, match="NEW holds no timing"):
        compared(tmp_path / "_", [timing([1.0])], [verdict()])


@pytest.mark.parametrize("seconds", [None, [], [1.0, float("nan")], [0.0], "fast", [None]])
def test_timing_without_rounds_is_left_out_and_never_silently(tmp_path: Path, seconds: Any) -> None:
    old = timing([1.0]) | {"round_seconds": seconds}
    found = compared(tmp_path, [old, verdict()], [timing([1.0]), verdict()])
    assert found.left_out[0]["reason"] == "the row lacks the seconds of each round"
    assert found.uncompared == ["timing"]
    assert found.undecided


def test_timing_that_broke_down_in_new_does_not_pass(tmp_path: Path) -> None:
    warm_up, sampling = timing(noisy(0, TWICE)), timing(noisy(1, TWICE), phase="sampling")
    found = compared(tmp_path, [warm_up, sampling], [timing(noisy(2, TWICE)), error("sampling")])
    assert statuses(found.timings) == ["same"]
    assert found.lost == [
        "notebook-uniform, hmc, dense, sampling: timed in BASE, not in NEW",
        "notebook-uniform, hmc, dense, sampling: error in NEW, not judged in BASE",
    ]
    assert found.undecided
    # what was timed in NEW besides is no loss, and neither is a combination that was left out
    other = timing(noisy(3, TWICE), backend="numpyro")
    found = compared(
        tmp_path / "_", [warm_up, other], [timing(noisy(4, TWICE)), timing([1.0], phase="sampling")]
    )
    assert found.lost == []


def test_folder_is_not_compared_with_its_own_rows(tmp_path: Path) -> None:
    rows = load_rows(written(tmp_path, timing([1.0])))
    with pytest.raises(UsageError, match="--results"):
        comparison.compare(rows, rows)


# Verdicts


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("pass", "pass", "same"),
        ("pass", "fail", "worse"),
        ("pass", "inconclusive", "worse"),
        ("pass", "skipped", "worse"),
        ("pass", "expected failure", "worse"),
        ("pass", "nobody knows", "worse"),
        ("inconclusive", "fail", "worse"),
        ("expected failure", "fail", "worse"),
        ("fail", "error", "changed"),
        ("fail", "inconclusive", "changed"),
        ("skipped", "fail", "changed"),
        ("fail", "pass", "better"),
    ],
)
def test_verdict_is_worse_if_it_passed_or_stood_higher(
    tmp_path: Path, before: str, after: str, change: str
) -> None:
    found = compared(tmp_path, [verdict(before)], [verdict(after)])
    assert statuses(found.verdicts) == [change]
    assert found.worse == (change == "worse")


def test_newest_run_counts_and_in_it_the_worst(tmp_path: Path) -> None:
    written(tmp_path / "new", verdict("pass", time="2026-01-02T00:00:00+00:00"))
    older = [verdict("fail", time="2026-01-01T00:00:00+00:00")]
    found = compared(tmp_path, [verdict()], older)
    assert statuses(found.verdicts) == ["same"]
    assert found.left_out[0]["reason"] == "a newer run of the same check replaces it"
    found = compared(tmp_path / "_", [verdict()], [verdict("fail"), verdict("pass")])
    assert statuses(found.verdicts) == ["worse"]


@pytest.mark.parametrize("claim", [CONVERGES, None])
def test_error_says_little_and_is_compared_all_the_same(tmp_path: Path, claim: str | None) -> None:
    found = compared(tmp_path, [verdict()], [error(claim)])
    (line,) = found.verdicts
    assert (line["claim"], line["base"], line["new"]) == (CONVERGES, "pass", "error")
    assert line["message"] == "the backend raised ValueError"
    assert found.worse
    found = compared(tmp_path / "_", [verdict(claim="inverse Fisher")],
                     [error("inverse Fisher")])  # fmt: skip
    assert statuses(found.verdicts) == ["worse"]


def test_other_tolerance_is_another_verdict(tmp_path: Path) -> None:
    with pytest.raises(
        NoOverlapError, match=r"with a different tolerance \(0.1 in BASE, 0.2 in NEW\)"
    ):
        compared(tmp_path, [verdict()], [verdict("fail", tolerance=0.2)])


def test_skipped_in_both_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(NoOverlapError, match="skipped in both"):
        compared(tmp_path, [verdict("skipped")], [verdict("skipped")])


# Quality


def test_matrix_has_changed_where_intervals_do_not_overlap(tmp_path: Path) -> None:
    other = ENTRY | {"entry": "x[1]"}
    moved = other | {"found": 1.06, "low": 1.04, "high": 1.08}
    overlapping = other | {"found": 1.02, "low": 1.0, "high": 1.04}
    base = verdict(intervals=[ENTRY, other])
    for name, entry, entries in (("far", moved, ["x[1]"]), ("near", overlapping, [])):
        new = verdict(**entry, intervals=[ENTRY, entry])
        found = compared(tmp_path / name, [base], [new])
        (line,) = found.quality
        assert line["entries"] == entries
        assert line["status"] == ("changed" if entries else "same")
        assert (line["base"], line["base_entry"]) == (1.0, "x[0]")
        assert (line["new"], line["new_entry"]) == (entry["found"], "x[1]")
        assert not found.worse


def test_worth_of_a_gradient_stands_side_by_side(tmp_path: Path) -> None:
    sides = [[timing([1.0], "sampling", ess_per_gradient=worth)] for worth in (0.2, 0.1)]
    (line,) = compared(tmp_path, *sides).quality
    assert (line["quantity"], line["base"], line["new"]) == ("ESS per gradient", 0.2, 0.1)


# The command


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
    words = ("--case", "gaussian_mean", "--backend", "hmc", "--metric", "diagonal")
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
