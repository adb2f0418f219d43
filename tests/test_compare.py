"""Two results folders compared: slowdowns are found, and chance is not."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_rows import (
    ENTRY,
    ONCE,
    TWICE,
    Row,
    compared,
    error,
    in_memory,
    noisy,
    statuses,
    timing,
    verdict,
    written,
)

from invmass.errors import NoOverlapError, UsageError
from invmass.reports import comparison
from invmass.results.rows import load_rows
from invmass.results.schema import CONVERGES


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


def test_lines_with_the_same_name_show_the_settings_that_differ(tmp_path: Path) -> None:
    rows = [timing([1.0]), timing([1.0], num_warmup=200), timing([1.0], "sampling")]
    found = compared(tmp_path, rows, rows)
    name = "notebook-uniform, hmc, dense"
    told = [f"{name}, num_warmup 1000", f"{name}, num_warmup 200", name]
    assert comparison.names(found.timings) == told


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
