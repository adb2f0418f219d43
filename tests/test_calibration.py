"""Whole verdicts, counted: on samplers that are right, and where the truth is put at the margin."""

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

from invmass.claims.intervals import Scale, Statistic
from invmass.cli.calibrate import broken_promises
from invmass.reports import calibration as measured
from invmass.results.status import Status
from invmass.runs.cell import Cell
from invmass.runs.experiment import Settings
from invmass.studies.calibration import Trial, calibrate, divergences, wald_bound
from invmass.studies.sweep import Combination

VERDICTS = 200


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    combination = Combination(Cell("notebook-uniform", "hmc", "hmc", "diagonal"), Settings())
    return pd.DataFrame(calibrate(Trial(combination, 0, 1024, VERDICTS)))


def test_right_sampler_is_never_called_wrong(rows: pd.DataFrame) -> None:
    (line,) = measured.on_samplers(rows).to_dict("records")
    assert line["verdicts"] >= 4
    assert line["failed"] == 0
    assert line["passed"] == line["verdicts"]
    assert 64 <= line["mean replicates"] <= 256


def test_wrong_answers_at_the_margin_are_no_more_than_promised(rows: pd.DataFrame) -> None:
    rates = measured.error_rates(rows)
    assert set(rates["promised"]) == {1e-2, 1e-3, 1e-4}
    assert set(rates["verdicts"]) == {2 * VERDICTS}
    for line in rates.to_dict("records"):
        assert measured.lower(line["wrong"], line["verdicts"]) <= line["promised"]


def test_broken_rule_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were α not divided over the looks, and spent on one side alone, it would show."""
    from invmass.claims import sequential

    right = sequential.look

    def careless(statistics, margin, alpha, number):  # type: ignore[no-untyped-def]
        return right(statistics, margin, alpha * number * (number + 1), number)

    monkeypatch.setattr(sequential, "look", careless)
    combination = Combination(Cell("gaussian_mean", "hmc", "hmc", "diagonal"), Settings(seed=1))
    found = pd.DataFrame(calibrate(Trial(combination, 1, 1024, VERDICTS)))
    rates = measured.error_rates(found).query("promised == 0.01").to_dict("records")
    assert any(measured.lower(line["wrong"], line["verdicts"]) > 0.01 for line in rates)


def test_power_grows_with_the_distance_from_the_margin(rows: pd.DataFrame) -> None:
    power = measured.power(rows, by=()).set_index("effect")
    assert power.loc[0.0, "passed"] == 1
    assert power.loc[2.0, "failed"] == 1
    assert power.loc[0.9, "undecided"] > power.loc[0.5, "undecided"]
    decided = power[power["undecided"] < 0.5]["over Wald's bound"]
    assert (decided >= 1).all()  # no test can do better


def test_walds_bound_is_that_of_the_closed_form() -> None:
    # always right, α = 1e-6, margin one standard deviation away: 2 log(1e6)
    assert wald_bound(1.0, 1e-6, 0.5) == pytest.approx(2 * np.log(1e6))
    assert wald_bound(1.0, 1e-6, 2.0) == pytest.approx(0.5 * np.log(1e6))
    assert wald_bound(1e-6, 1e-6, 0.5) == 0.0


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("distance", [1.0, -0.5])
def test_divergence_is_the_least_of_all_that_are_so_far_away(scale: Scale, distance: float) -> None:
    """By a search over the variance of the other distribution, in normal values."""
    normal = np.random.default_rng(0).normal(0.2, 0.3, 200)
    values = np.exp(normal) if scale == "log" else normal
    mean, variance = float(np.mean(normal)), float(np.var(normal))
    shift = distance * (np.log1p(0.1) if scale == "log" else 0.1)
    half = 0.5 if scale == "log" else 0.0  # of the variance, between mean and log mean

    def divergence(other: float) -> float:
        away = mean + half * variance + shift - half * other - mean
        return 0.5 * (np.log(other / variance) + (variance + away**2) / other - 1)

    least = scipy.optimize.minimize_scalar(divergence, bounds=(0.01, 1.0), options={"xatol": 1e-9})
    found = divergences(Statistic("", values, 1.0, scale), 0.1, distance)
    assert found["wald"] == pytest.approx(least.fun, rel=1e-6)
    assert found["wald_known"] == pytest.approx(divergence(variance), rel=1e-6)
    assert found["wald"] < found["wald_known"]


def test_walds_bound_holds_for_walds_own_test() -> None:
    """The sequential probability ratio test comes close to it, and never below."""
    generator, alpha, distance = np.random.default_rng(0), 1e-3, 0.25
    steps = generator.normal(0.0, 1.0, (2000, 2000)) * distance - distance**2 / 2
    ratio = np.cumsum(steps, axis=1)  # log likelihood of the margin over that of zero
    bound = np.log((1 - alpha) / alpha)
    ended = np.argmax(np.abs(ratio) > bound, axis=1)
    right = np.mean(ratio[np.arange(2000), ended] < 0)
    needed = wald_bound(float(right), alpha, distance**2 / 2)
    assert needed <= np.mean(ended + 1) * 1.05
    assert np.mean(ended + 1) <= 1.3 * needed


def test_intervals_of_few_replicates_are_counted(rows: pd.DataFrame) -> None:
    coverage = measured.coverage(rows)
    assert set(coverage["replicates"]) == {8, 16, 32, 64, 128}
    at_one_percent = coverage.query("alpha == 0.01 and replicates >= 64")
    assert (at_one_percent["over promised"] < 5).all()


def changed(rows: pd.DataFrame, source: str, **changes: int) -> pd.DataFrame:
    return rows.assign(
        **{k: rows[k].where(rows["source"] != source, v) for k, v in changes.items()}
    )


def test_promise_is_kept_broken_or_not_shown(rows: pd.DataFrame) -> None:
    """Two hundred verdicts are too few for a rate of 1e-4; a million without an error are not."""
    assert set(broken_promises(rows)) == {Status.INCONCLUSIVE}
    assert (
        "too few verdicts to show that rates are below α = 0.0001"
        in (broken_promises(rows)[Status.INCONCLUSIVE])
    )
    many = changed(rows, "resampled", verdicts=1_000_000, passed=0, failed=0)
    assert broken_promises(many) == {}
    worse = changed(many, "resampled", failed=20_000)
    assert (
        "wrong fail, one entry at its margin: 0.02, promised 0.01"
        in broken_promises(worse)[Status.FAIL]
    )
    alarmed = changed(many, "sampler", failed=1)
    assert "1 false alarm(s) on the samplers themselves" in broken_promises(alarmed)[Status.FAIL]
