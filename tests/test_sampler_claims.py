"""The claims about a sampler: each fails on a fault of its own, and only there."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from faults.sampler import Replaced
from faults.supplied import KeepsSuppliedUnused

from invmass.backends.hmc_static import HandRolledHMC
from invmass.claims import registry as claims
from invmass.claims.base import GAUSSIAN_FIT
from invmass.claims.converges_to_its_target import ConvergesToItsTarget
from invmass.claims.density import DensityAgrees
from invmass.claims.draws import DrawsAreRight
from invmass.claims.equivariant import COMBINED, Equivariant
from invmass.claims.equivariant_at_several_lengths import SEPARATE
from invmass.claims.intervals import Statistic, interval
from invmass.claims.reported_statistics import ReportedStatistics
from invmass.claims.resumes_from_file import ResumesFromFile
from invmass.claims.sequential import Verdict
from invmass.claims.supplied_metric import SuppliedMetric
from invmass.claims.tuned_matrix_contract import TunedMatrixContract, _coincidences
from invmass.claims.window_effective_sample_size import (
    WindowEffectiveSampleSize,
    ess_fraction_and_kurtosis,
)
from invmass.errors import UsageError
from invmass.model.affine import AffineMap
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.results.status import Status
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.backend import Backend, Draws, Tuned, WarmUpRequest

Claim = Callable[[Experiment], Verdict]


def judged(
    claim: Claim, backend: Backend, metric: str = "dense", case: str = GAUSSIAN_FIT
) -> Verdict:
    return claim(Experiment(all_cases()[case], backend, metric, Settings()))


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
@pytest.mark.parametrize(
    "claim",
    [
        WindowEffectiveSampleSize().judge,
        SuppliedMetric().judge,
        Equivariant().judge,
        ReportedStatistics().judge,
        TunedMatrixContract().judge,
        ResumesFromFile().judge,
    ],
)
def test_right_backend_passes(claim: Claim, metric: str) -> None:
    assert judged(claim, HandRolledHMC(), metric).status is Status.PASS


class FixedNumberOfSteps(Replaced):
    """A right HMC that takes eight steps whatever their size, and rejects at the end."""

    name = "fixed-number-of-steps"
    parts: ClassVar = {"jittered_steps": lambda _, step_size: jnp.full_like(step_size, 8, int)}


class FixedAndMiscounted(FixedNumberOfSteps):
    """The same, but it reports half as many gradients at half the step."""

    name = "fixed-and-miscounted"

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        draws = super().sample(case, tuned, keys, num_samples)
        short = np.mean(tuned.step_size) < 0.75 * self.usual
        return replace(draws, gradients=draws.gradients / (2 if short else 1))

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        tuned = super().warm_up(request)
        self.usual = np.mean(tuned.step_size)
        return tuned


class FixedAndAccepting(FixedNumberOfSteps):
    """The same, but it reports a higher acceptance than it has."""

    name = "fixed-and-accepting"

    def sample(self, case: Case, tuned: Tuned, keys: jax.Array, num_samples: int) -> Draws:
        draws = super().sample(case, tuned, keys, num_samples)
        return replace(draws, acceptance=np.sqrt(draws.acceptance))


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
def test_number_of_steps_may_be_fixed(metric: str) -> None:
    verdict = judged(ReportedStatistics().judge, FixedNumberOfSteps(), metric)
    assert verdict.status is Status.PASS, "\n".join(map(str, verdict.intervals))


@pytest.mark.parametrize("fault", [FixedAndMiscounted, FixedAndAccepting])
def test_statistics_of_fixed_numbers_of_steps_are_judged(fault: type[Backend]) -> None:
    assert judged(ReportedStatistics().judge, fault()).status is Status.FAIL


def test_replicates_that_are_stuck_do_not_say_what_draws_are_worth() -> None:
    """As two of 64 were, with a long step, in the bend of the banana."""
    experiment = Experiment(all_cases()[GAUSSIAN_FIT], HandRolledHMC(), "dense", Settings())
    expected = experiment.regularised(experiment.target)
    draws = experiment.draws(experiment.batch)
    position = draws.position.copy()
    position[:2] = position.max(axis=(0, 1))
    worth, _ = ess_fraction_and_kurtosis(experiment, draws, expected)
    again, _ = ess_fraction_and_kurtosis(experiment, replace(draws, position=position), expected)
    np.testing.assert_allclose(again, worth, rtol=0.1)


@pytest.mark.parametrize("motion", [COMBINED, *SEPARATE])
def test_posterior_of_a_moved_case_is_the_moved_posterior(motion: AffineMap) -> None:
    case = all_cases()[GAUSSIAN_FIT]
    moments = case.reference.moments()
    moved = motion.case(case, moments.covariance)
    assert moved.posterior.structure == case.posterior.structure
    found = moved.reference.moments()
    mean = motion.points(moments.mean[None], moments.covariance)[0]
    back = motion.metrics_back(found.covariance[None])[0]
    np.testing.assert_allclose(back, moments.covariance, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        (found.mean - mean) / np.sqrt(np.diag(found.covariance)), 0.0, atol=0.01
    )


@pytest.mark.parametrize("name", ["notebook-normal", "mixed_sites", "gaussian_mean"])
def test_case_that_is_no_linear_fit_is_not_moved(name: str) -> None:
    with pytest.raises(UsageError, match=f"case '{name}' cannot be moved"):
        COMBINED.case(all_cases()[name], np.eye(all_cases()[name].dimension))


def log_variances(rounds: int, replicates: int, columns: int) -> np.ndarray:
    """Logarithms of sample variances of 121 draws each, as warm-up tunes them."""
    generator = np.random.default_rng(0)
    return np.log(generator.chisquare(120, (rounds, replicates, columns)) / 120)


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("level", [0.05, 0.002])
def test_interval_of_a_precision_covers_as_often_as_it_promises(columns: int, level: float) -> None:
    rounds = 10_000
    values = log_variances(rounds, 64, columns)
    true = 1 / np.var(log_variances(4, 500_000, 1))
    missed = sum(
        not found.low <= true <= found.high
        for found in (interval(Statistic("e", v, 1.0, "precision"), 1.0, level) for v in values)
    )
    # never more often than promised, six standard deviations apart; and not for being too wide
    deviation = np.sqrt(rounds * level * (1 - level))
    assert missed < level * rounds + 6 * deviation
    assert missed > 0.25 * level * rounds - deviation


def test_columns_that_say_the_same_do_not_count_as_many() -> None:
    (values,) = log_variances(1, 64, 1)
    one, three = (
        interval(Statistic("e", v, 1.0, "precision"), 1.0, 1e-3)
        for v in (values, np.repeat(values, 3, axis=1))
    )
    assert three.found == pytest.approx(one.found)
    assert np.log(three.high / three.low) > 0.8 * np.log(one.high / one.low)


def test_few_draws_in_a_window_break_no_contract() -> None:
    """The mean of their logarithms is so low that it is nearer to a standard deviation's."""
    experiment = Experiment(all_cases()["prior-uniform"], HandRolledHMC(), "diagonal", Settings())
    few = np.random.default_rng(0).chisquare(3, (64, experiment.case.dimension)) / 3
    matrices, ones = few * experiment.target, np.ones(64)
    experiment._tuned.append(Tuned(matrices, ones, few, ones, ones, ones, 500))
    assert TunedMatrixContract().judge(experiment).status is Status.PASS


def test_coincidences_are_allowed_where_single_numbers_are_many() -> None:
    generator = np.random.default_rng(0)
    for count, dimension in ((64, 1), (512, 1), (4096, 1), (64, 2)):
        numbers = 1 + 0.03 * generator.standard_normal((200, count, dimension))
        rounded = np.round(numbers, 6)
        equal = [count - len(np.unique(table, axis=0)) for table in rounded]
        allowed = _coincidences(count, dimension)
        assert max(equal) <= allowed < count / 16


def test_supplied_metric_of_one_coordinate_is_judged_too() -> None:
    verdict = judged(SuppliedMetric().judge, KeepsSuppliedUnused(), case="gaussian_mean")
    assert verdict.status is Status.FAIL


def test_an_infinite_variance_is_no_target_and_the_contract_holds_without() -> None:
    experiment = Experiment(
        all_cases()["infinite_variance"], HandRolledHMC(), "diagonal", Settings()
    )
    assert experiment.why_no_target == "nothing to converge to: the variance of x is infinite"
    assert WindowEffectiveSampleSize().unmet_need(experiment) == experiment.why_no_target
    found = dict(claims.answers(experiment))
    assert set(found) == {DensityAgrees.name, TunedMatrixContract.name}
    for verdict in found.values():
        assert isinstance(verdict, Verdict), verdict
        assert verdict.status is Status.PASS


def with_alternating_signs(matrix: np.ndarray) -> np.ndarray:
    signs = (-1.0) ** np.arange(len(matrix))
    return matrix * np.outer(signs, signs)


def with_one_times(factor: float, matrix: np.ndarray) -> np.ndarray:
    """One variance of many; its correlations stay."""
    scale = np.where(np.arange(len(matrix)) == 20, np.sqrt(factor), 1.0)
    return matrix * np.outer(scale, scale)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (lambda matrix: matrix, Status.PASS),
        (lambda matrix: 1.2 * matrix, Status.FAIL),
        (lambda matrix: np.diag(np.diag(matrix)), Status.FAIL),
        (with_alternating_signs, Status.FAIL),
        (lambda matrix: np.roll(matrix, 1, (0, 1)), Status.FAIL),
        (lambda matrix: with_one_times(7.0, matrix), Status.FAIL),
        (lambda matrix: with_one_times(1 / 7.0, matrix), Status.FAIL),
    ],
    ids=["right", "large", "diagonal", "signs", "permuted", "one-large", "one-small"],
)
def test_many_coordinates_are_judged_together(
    fault: Callable[[np.ndarray], np.ndarray], status: Status
) -> None:
    """From sixteen replicates, of 250 draws each."""
    experiment = Experiment(
        all_cases()["scaling-50-1e4"], HandRolledHMC(), "dense", Settings(replicates=16)
    )
    factor = np.linalg.cholesky(experiment.truth.moments.covariance)
    draws = np.random.default_rng(0).normal(size=(16, 250, 50)) @ factor.T
    matrices = np.einsum("rni,rnj->rij", draws, draws) / 250
    matrices = np.stack([experiment.estimator.regularised(fault(m), 500) for m in matrices])
    ones = np.ones(8)
    for part in (slice(8), slice(8, 16)):  # they come by eight
        tuned = Tuned(matrices[part], ones, draws[part, 0], ones, ones, ones, 500)
        experiment._tuned.append(tuned)
    assert ConvergesToItsTarget().judge(experiment).status is status


@pytest.mark.parametrize(
    ("shift", "status"), [(0.0, Status.PASS), (0.6, Status.FAIL)], ids=["right", "one-shifted"]
)
def test_mean_of_one_coordinate_of_many_is_not_lost_among_them(
    shift: float, status: Status
) -> None:
    """By 0.6 standard deviations, which a mean over fifty would make 0.012."""
    experiment = Experiment(
        all_cases()["scaling-50-1e2"], HandRolledHMC(), "diagonal", Settings(replicates=16)
    )
    moments = experiment.truth.moments
    white = np.random.default_rng(0).normal(size=(2, 8, 400, 50))
    white[..., 0] += shift
    positions = moments.mean + white @ np.linalg.cholesky(moments.covariance).T
    experiment._draws += [Draws(part, *np.ones((3, 8))) for part in positions]
    assert DrawsAreRight().judge(experiment).status is status


@pytest.mark.parametrize(("copies", "status"), [(2, Status.PASS), (8, Status.FAIL)])
def test_coincidence_is_not_taken_for_a_matrix_that_is_shared(copies: int, status: Status) -> None:
    """Single numbers in float32 are equal now and then, and eight of 64 never."""
    experiment = Experiment(all_cases()["gaussian_mean"], HandRolledHMC(), "diagonal", Settings())
    target = experiment.estimator.regularised(experiment.target, 500)
    matrices = target * np.random.default_rng(0).normal(1.0, 0.1, (64, 1))
    matrices[:copies] = matrices[0]
    ones = np.ones(64)
    tuned = Tuned(matrices.astype(np.float32), ones, np.zeros((64, 1)), ones, ones, ones, 500)
    experiment._tuned.append(tuned)
    assert TunedMatrixContract().judge(experiment).status is status


@pytest.mark.parametrize(("last_places", "status"), [(20, Status.PASS), (200, Status.FAIL)])
def test_rounding_is_not_taken_for_a_lack_of_symmetry(last_places: int, status: Status) -> None:
    """Sums of products in float32 come out some last places apart, up to 7 in 1,024 replicates."""
    experiment = Experiment(all_cases()[GAUSSIAN_FIT], HandRolledHMC(), "dense", Settings())
    target = experiment.estimator.regularised(experiment.target, 500)
    generator = np.random.default_rng(0)
    matrices = np.stack([target * generator.normal(1.0, 0.01) for _ in range(64)])
    upper = last_places * np.finfo(np.float32).eps * np.triu(np.ones_like(target), 1)
    ones, size = np.ones(64), np.abs(target).max()
    matrices = (matrices + upper * size).astype(np.float32)
    tuned = Tuned(matrices, ones, np.zeros((64, 3)), ones, ones, ones, 500)
    experiment._tuned.append(tuned)
    verdict = TunedMatrixContract().judge(experiment)
    assert verdict.status is status, verdict.worst
