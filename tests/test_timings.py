"""Timings: rounds pooled over turns, curves and their exponents, what a known metric saves."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.stats

from invmass.adaptation.condition_number import condition, null_condition, usable_condition
from invmass.backends.hmc_static import HandRolledHMC
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.reports import timings
from invmass.reports.figures import speed
from invmass.reports.page import html
from invmass.results.rows import RowWriter, load_rows
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.backend import Backend, Draws, Tuned, WarmUpRequest
from invmass.sampling.registry import load_backend
from invmass.studies import warm_start

Row = dict[str, Any]


def timing(seconds: list[float], phase: str = "warm-up", **fields: Any) -> Row:
    return {
        "kind": "timing", "case": "notebook-uniform", "backend": "hmc", "metric": "dense",
        "phase": phase, "device": "cpu", "dtype": "float32", "replicates": 64, "dimension": 2,
        "condition": 10.0, "compile_seconds": 1.0, "seconds": float(np.median(seconds)),
        "round_seconds": seconds, "gradients": 1000, "turn": 1,
        "gradients_per_second": 1000 / float(np.median(seconds)),
    } | fields  # fmt: skip


def loaded(folder: Path, *runs: list[Row]) -> pd.DataFrame:
    for run in runs:
        writer = RowWriter(folder)
        writer.append(*run)
        writer.close()
    return load_rows(folder)


def test_turns_of_the_newest_run_count_together(tmp_path: Path) -> None:
    turns = [timing([1.0, 2.0, 3.0, 4.0, 5.0]), timing([2.0, 4.0, 6.0, 8.0, 10.0], turn=2)]
    rows = loaded(tmp_path, turns)
    line = timings.timings(rows).iloc[0]
    assert line["warmup_seconds"] == 4.0
    assert line["warmup_noise"] == 2.0
    assert (line["warmup_low"], line["warmup_high"]) == (2.0, 8.0)
    assert line["gradients_per_second"] == pytest.approx(250)


@pytest.mark.parametrize("count", [5, 6, 10, 25])
def test_interval_of_the_median_covers_as_often_as_it_says(count: int) -> None:
    draws = np.random.default_rng(count).exponential(size=(4000, count))
    ends = np.array([timings.median_interval(list(values)) for values in draws])
    if count == 5:  # even the whole range covers too seldom
        assert np.isnan(ends).all()
        return
    covered = np.sum((ends[:, 0] <= np.log(2)) & (np.log(2) <= ends[:, 1]))
    test = scipy.stats.binomtest(int(covered), len(ends), timings.CONFIDENCE, "less")
    assert test.pvalue > 1e-6
    assert covered < len(ends)


def test_exponents_are_those_of_the_curve(tmp_path: Path) -> None:
    points = [
        timing([1e-3 * d**1.5] * 5, case=f"scaling-{d}-1e2", dimension=d, gradients=d**2)
        for d in (2, 10, 100, 1000)
    ]
    points += [timing([0.1 * c] * 5, replicates=c) for c in (4, 16, 64)]
    points += [
        timing([float(e)] * 5, case=f"steep-50-1e{e}", dimension=50, condition=10.0**e)
        for e in (2, 4, 6)
    ]
    rows = loaded(tmp_path, points)
    found = timings.exponents(rows).set_index("along")
    assert set(found.index) == {"dimension", "replicates", "condition"}
    assert found.loc["dimension", ["seconds", "gradients"]].tolist() == pytest.approx([1.5, 2.0])
    assert found.loc["replicates", "seconds"] == pytest.approx(1.0)
    assert found["points"].to_dict() == {"dimension": 4, "replicates": 3, "condition": 3}
    assert found.loc["dimension", "curve"] == "scaling-1e2, 64 chains"
    assert found.loc["condition", "curve"] == "steep-50, 64 chains"
    assert "<svg" in speed.curves(rows)
    assert ", 64 chains" in speed.timings(rows)
    assert "Growth of the cost with size" in html(rows)


def test_less_than_two_decades_are_labelled_in_plain_numbers(tmp_path: Path) -> None:
    points = [
        timing([1e-4 * d**2] * 5, case=f"scaling-{d}-1e2", dimension=d, gradients=d)
        for d in (2, 10, 50)
    ]
    drawn = speed.curves(loaded(tmp_path, points))
    labels = re.findall(r">([^<>]+)</text>", drawn)
    assert {"2", "5", "10", "20", "50"} <= set(labels)
    assert "×" not in drawn  # as in 4 × 10¹, for which there is no room


def test_machines_and_settings_are_never_mixed(tmp_path: Path) -> None:
    def on(machine: str, chains: int, seconds: float) -> Row:
        year = 2000 + (machine == "quick")
        told = {"machine": machine, "time": f"{year}-01-01T00:00:00+00:00"}
        return timing([seconds] * 5, replicates=chains, **told)

    old = [on("slow", c, float(c)) for c in (4, 16)]
    rows = loaded(tmp_path, old, [on("quick", 64, 0.1)])
    assert timings.curves(rows).empty
    newer = timing([9.0] * 5, "sampling", machine="slow", time="2999-01-01T00:00:00+00:00")
    rows = loaded(tmp_path, [on("quick", 4, 0.2), newer])
    table = timings.timings(rows).set_index("replicates")
    assert table.loc[4, "warmup_seconds"] == 0.2
    assert np.isnan(table.loc[64, "warmup_seconds"])  # the sampling of another machine is newer
    assert table.loc[64, "sampling_seconds"] == 9.0


def test_curve_of_two_points_is_none(tmp_path: Path) -> None:
    rows = loaded(tmp_path, [timing([0.1 * c] * 5, replicates=c) for c in (4, 16)])
    assert timings.curves(rows).empty
    assert timings.exponents(rows).empty
    assert speed.curves(rows) == ""


def test_savings_tell_never_from_soon(tmp_path: Path) -> None:
    learned = {"kappa_bound": 2.0, "ess_per_gradient": 0.1}
    soon = learned | {"kappa": 1.5, "usable": True, "steps": 50, "gradients": 200}
    rows = loaded(
        tmp_path,
        [
            timing([4.0] * 5, "usable metric from the identity", **soon),
            timing([1.0] * 5, "usable metric from the inverse Fisher", **soon | {"gradients": 50}),
            timing([1.0] * 5, "usable metric from the identity", metric="diagonal",
                   **learned | {"kappa": 9.0, "usable": False, "steps": 1600, "gradients": 900}),
        ],
    )  # fmt: skip
    found = timings.savings(rows).set_index("metric")
    assert found.loc["dense", ["identity_gradients", "fisher_gradients"]].tolist() == [200, 50]
    assert found.loc["dense", ["identity_seconds", "fisher_seconds"]].tolist() == [4.0, 1.0]
    assert np.isnan(found.loc["diagonal", "identity_steps"])
    assert found.loc["diagonal", "identity_kappa"] == 9.0
    assert "never" in html(rows)


# How good a metric is


@pytest.mark.parametrize(("dimension", "draws"), [(10, 500), (100, 500), (50, 2000)])
@pytest.mark.parametrize("dense", [False, True])
def test_null_condition_is_that_of_sample_covariances(
    dimension: int, draws: int, dense: bool
) -> None:
    generator = np.random.default_rng(dimension)
    samples = generator.normal(size=(100, draws, dimension))
    covariances = np.einsum("rni,rnj->rij", samples, samples) / draws
    reference: np.ndarray = np.eye(dimension)
    if not dense:
        covariances, reference = np.einsum("rii->ri", covariances), np.ones(dimension)
    found = np.median(condition(covariances, reference))
    null = null_condition(dimension, draws, dense)
    assert (found if dense else 0.97 * found) < null < 1.12 * found


def test_condition_is_that_of_the_whitened_metric_whatever_its_scale() -> None:
    generator = np.random.default_rng(0)
    factor = generator.normal(size=(3, 3))
    reference = factor @ factor.T
    metric = 7.0 * factor @ np.diag([1.0, 2.0, 5.0]) @ factor.T
    assert condition(metric[None], reference) == pytest.approx([5.0])
    assert condition(3.0 * np.array([[2.0, 4.0]]), np.array([1.0, 8.0])) == pytest.approx([4.0])


def test_usable_condition_grants_more_draws_to_many_coordinates() -> None:
    assert usable_condition(3, dense=True) == pytest.approx(1.5 * null_condition(3, 500, True))
    assert usable_condition(1000, dense=True) == pytest.approx(
        1.5 * null_condition(1000, 5000, True)
    )


# A metric that is known


@pytest.mark.parametrize("name", ["hmc", "hmc-pooled", "numpyro", "blackjax", "tfp"])
@pytest.mark.parametrize("metric", ["diagonal", "dense"])
def test_adaptation_starts_from_what_is_supplied_and_goes_on(name: str, metric: str) -> None:
    """From an absurd metric it still finds the right one; from the right one it takes less."""
    backend = load_backend(name)
    if reason := backend.why_unavailable():
        pytest.skip(reason)
    experiment = Experiment(all_cases()["notebook-uniform"], backend, metric, Settings(), chains=16)
    starts, keys = experiment.starts(16), experiment.keys(0)
    reference = experiment.estimator.restrict(experiment.truth.inverse_fisher).astype(np.float32)
    found = {}
    for scale in (1.0, 1e-4):
        tuned = backend.warm_up(
            WarmUpRequest(experiment.case, metric, keys, starts, 400, scale * reference)
        )
        assert tuned.window > 0
        ratios = np.mean(tuned.inverse_mass_matrix, axis=0) / experiment.target
        diagonal = ratios if metric == "diagonal" else np.diag(ratios)
        np.testing.assert_allclose(diagonal, 1.0, rtol=0.35)
        assert not np.array_equal(tuned.inverse_mass_matrix[0], scale * reference)
        found[scale] = tuned.gradients.sum()
    assert found[1.0] != found[1e-4]


def test_kept_metric_is_usable_at_once_and_the_identity_is_not() -> None:
    case = all_cases()["paired"]
    experiment = Experiment(case, load_backend("hmc"), "dense", Settings(), chains=8)
    kept = warm_start.shortest_warmup(experiment, warm_start.InitialMetric.FISHER_FIXED)
    assert (kept.steps, kept.usable) == (50, True)
    assert kept.condition == pytest.approx(1.0, abs=1e-3)
    learned = warm_start.shortest_warmup(experiment, warm_start.InitialMetric.IDENTITY)
    assert learned.usable
    assert learned.steps > 50
    assert learned.tuned.gradients.sum() > 2 * kept.tuned.gradients.sum()


class Unwilling(Backend):
    """Tunes as our own sampler, and takes no metric to start from."""

    name = "unwilling"
    estimators = HandRolledHMC.estimators

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        assert request.inverse_mass_matrix is None
        return HandRolledHMC().warm_up(request)

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        return HandRolledHMC().sample(case, tuned, keys, num_samples)


def test_what_cannot_be_started_says_why_and_is_timed_from_the_identity() -> None:
    experiment = Experiment(all_cases()["gaussian_mean"], Unwilling(), "diagonal", Settings())
    told = {
        begin: warm_start.not_timed_reason(experiment, begin) for begin in warm_start.InitialMetric
    }
    assert told[warm_start.InitialMetric.IDENTITY] is None
    assert "does not start adaptation from" in str(told[warm_start.InitialMetric.FISHER])
    assert "does not keep a supplied metric" in str(told[warm_start.InitialMetric.FISHER_FIXED])
    assert warm_start.shortest_warmup(experiment, warm_start.InitialMetric.IDENTITY).usable


class Hasty(Unwilling):
    """Leaves a singular metric after fifty steps."""

    name = "hasty"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        tuned = super().warm_up(request)
        whole = tuned.inverse_mass_matrix
        return replace(tuned, inverse_mass_matrix=0 * whole if request.num_warmup == 50 else whole)


def test_a_length_that_breaks_the_contract_is_passed_over() -> None:
    experiment = Experiment(all_cases()["gaussian_mean"], Hasty(), "diagonal", Settings())
    assert warm_start.shortest_warmup(experiment, warm_start.InitialMetric.IDENTITY).steps == 100
