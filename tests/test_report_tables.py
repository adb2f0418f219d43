"""Tables of a report agree with the rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_rows import REJECTS, TIMINGS, VERDICTS, verdict, written

from invmass.reports import evidence, summary, tables, timings
from invmass.results import wording
from invmass.results.rows import load_rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_rows(written(tmp_path_factory.mktemp("results"), *VERDICTS, *TIMINGS))


def test_effects_are_relative_on_the_log_scale_and_absolute_on_the_linear_one(
    tmp_path: Path,
) -> None:
    log = verdict("a", "hmc", "dense", found=1.8, expected=1.6, margin=0.25)
    linear = verdict("b", "hmc", "dense", found=0.3, expected=0.1, margin=0.05, scale="linear")
    table = tables.verdicts(load_rows(written(tmp_path, log, linear)))
    effect = table[["deviation", "band_low", "band_high"]].to_numpy()
    np.testing.assert_allclose(effect, [[0.125, 1.28, 2.0], [0.2, 0.05, 0.15]])


def test_matrix_holds_the_verdict_on_the_inverse_fisher_of_each_combination(
    rows: pd.DataFrame,
) -> None:
    status = tables.verdict_matrix(rows)
    cpu = status.loc["cpu", "float32"]
    assert cpu.loc["notebook-uniform", ("tfp", "dense")] == "fail"
    assert cpu.loc["gaussian_scale", ("numpyro", "dense")] == "pass"
    assert cpu.loc["mixed_sites", ("tfp", "dense")] == "error"
    assert cpu.loc["quadratic_fit", ("hmc", "diagonal")] == "pass"  # its draws are another claim
    assert pd.isna(cpu.loc["gaussian_mean", ("tfp", "dense")])
    assert set(cpu.index) == {row["case"] for row in VERDICTS}
    deviation = tables.verdict_matrix(rows, "deviation").loc["cpu", "float32"]
    assert deviation.loc["notebook-uniform", ("tfp", "dense")] == pytest.approx(0.28)


def test_devices_have_separate_verdicts(tmp_path: Path) -> None:
    slow = verdict("a", "hmc", "dense", status="fail")
    frame = load_rows(written(tmp_path, slow, verdict("a", "hmc", "dense", device="gpu")))
    status = tables.verdict_matrix(frame)[("hmc", "dense")]
    assert status.to_dict() == {("cpu", "float32", "a"): "fail", ("gpu", "float32", "a"): "pass"}


def test_a_newer_run_replaces_the_older_verdict_and_says_so(tmp_path: Path) -> None:
    written(tmp_path, verdict("a", "hmc", "dense", status="fail", time="2026-01-01T00:00:00+00:00"))
    written(tmp_path, verdict("a", "hmc", "dense", time="2026-01-02T00:00:00"))
    frame = load_rows(tmp_path)
    assert list(tables.verdicts(frame)["status"]) == ["pass"]
    assert list(tables.superseded(frame)["status"]) == ["fail"]
    assert "repeated later (1 fail)" in summary.overview(frame).note


def test_two_checks_of_one_claim_in_a_run_do_not_hide_each_other(tmp_path: Path) -> None:
    wrong = verdict("a", "hmc", "dense", claim=REJECTS)
    frame = load_rows(written(tmp_path, wrong | {"status": "fail"}, wrong))
    assert list(tables.verdicts(frame)["status"]) == ["fail", "pass"]


def test_an_unknown_status_is_an_error(tmp_path: Path) -> None:
    frame = load_rows(written(tmp_path, verdict("a", "hmc", "dense", status="Passed?")))
    assert list(tables.verdicts(frame)["status"]) == ["error"]


def test_counts_add_up_by_backend(rows: pd.DataFrame) -> None:
    counts = tables.status_counts(rows)
    assert counts["total"].sum() == len(VERDICTS)
    assert counts.loc["hmc", ["pass", "fail", "inconclusive", "expected failure"]].to_list() == [
        2, 1, 1, 1,
    ]  # fmt: skip
    assert counts.loc["no backend", "skipped"] == 1


def test_parts_multiply_to_the_ratio(rows: pd.DataFrame) -> None:
    parts = tables.deviation_parts(rows)
    assert len(parts) == 8
    np.testing.assert_allclose(parts["ratio"], 1.027 * 1.11 * 0.98)


def test_timings_keep_compilation_warm_up_and_sampling_apart(rows: pd.DataFrame) -> None:
    table = timings.timings(rows).set_index("backend")
    assert table.loc["numpyro", "warmup_compile_seconds"] == 4.2
    assert table.loc["numpyro", "sampling_compile_seconds"] == 2.0
    assert table.loc["numpyro", "ess_per_second"] == 2000.0
    assert np.isnan(
        table.loc["tfp", ["warmup_compile_seconds", "ess_per_second"]].astype(float)
    ).all()


def test_provenance_names_every_library(rows: pd.DataFrame) -> None:
    items = tables.provenance(rows).set_index("item")["value"]
    named = ["jax", "numpyro", "tfp", "cores of a process"]
    assert items[named].to_list() == ["0.10.1", "1.2.3", "1.2.3", "2"]


def test_fault_table_counts_seeds_by_status_and_claim() -> None:
    seen = [("fail", 64.0), ("fail", 128.0), ("fail", 192.0), ("pass", 64.0)]
    what = {"kind": "fault", "planted": "wide", "case": "line", "metric": "dense"}
    rows = pd.DataFrame(
        [
            what
            | {"strength": 0.1, "planted_for": "first", "claim": "first", "seed": seed}
            | {"status": status, "replicates": replicates}
            for seed, (status, replicates) in enumerate(seen)
        ]
        + [
            what
            | {"strength": 0.1, "planted_for": "first", "claim": "second", "seed": seed}
            | {"status": "error"}
            for seed in range(4)
        ]
        + [{"kind": "fault", "planted": "a constant", "message": "no sampler depends on it"}]
    )
    (line,) = evidence.fault_table(rows).to_dict("records")
    assert line["planted"] == "wide"
    assert line["first"] == "✗ 3/4, ✓ 1/4, 128"
    assert line["second"] == "!"
    assert evidence.undetectable_faults(rows) == {"a constant": "no sampler depends on it"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02, "+2.0%"),
        (-0.955, "−95.5%"),
        (None, "–"),
        (float("nan"), "–"),
        (63.0, "+6\u202f300.0%"),
    ],
)
def test_deviations_are_signed_percent(value: float | None, text: str) -> None:
    assert wording.deviation(value, "log") == text


def test_bar_in_a_cell_is_no_border_of_it() -> None:
    assert wording.markdown_table(["log|dx/dz|"], [["a"]]).splitlines()[0] == r"| log\|dx/dz\| |"
