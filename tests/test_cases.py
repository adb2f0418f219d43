"""The catalogue, the answers that each case carries, and the targets of the estimators."""

import dataclasses
from collections.abc import Iterator
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invmass.adaptation.estimators import Estimator, Regularisation, Rule
from invmass.cases.hierarchy import hierarchies
from invmass.cases.real_data import on_real_data
from invmass.errors import UsageError
from invmass.model.bijectors import Exp, LibraryTransform
from invmass.model.case import Truth
from invmass.model.catalogue import all_cases, select_cases
from invmass.model.posterior import Posterior
from invmass.model.precision import float64
from invmass.model.quadrature import Quadrature

DENSE = Estimator(Rule.VARIANCE, dense=True, regularisation=Regularisation.STAN)
DIAGONAL = Estimator(Rule.VARIANCE, dense=False, regularisation=Regularisation.STAN)
FISHER = Estimator(Rule.FISHER_DIVERGENCE, dense=False, regularisation=Regularisation.NONE)
NOISY = {case.name for family in (on_real_data, hierarchies) for case in family()}
EACH_CASE = pytest.mark.parametrize("name", list(all_cases()))


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    """Once for all, so that nothing is compiled twice."""
    with float64():
        yield


@cache
def truth_of(name: str) -> Truth:
    """The answers in our own unconstrained space."""
    case = all_cases()[name]
    return case.truth_in_own_space


def log_eigenvalues(matrix: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Logarithms of the eigenvalues of `matrix` in units of `reference`."""
    whitener = np.linalg.inv(np.linalg.cholesky(reference))
    return np.log(np.linalg.eigvalsh(whitener @ matrix @ whitener.T))


# -- the catalogue


def test_a_case_is_selected_by_its_name() -> None:
    assert [case.name for case in select_cases(["notebook-normal"])] == ["notebook-normal"]


def test_variants_are_selected_by_what_stands_before_the_dash() -> None:
    names = [case.name for case in select_cases(["lecture_gaussian"])]
    assert names == ["lecture_gaussian-uniform", "lecture_gaussian-normal"]


def test_cases_are_selected_by_a_shell_pattern() -> None:
    assert {case.name for case in select_cases(["gaussian_*", "*-uniform"])} == {
        "gaussian_mean",
        "gaussian_scale",
        "notebook-uniform",
        "lecture_gaussian-uniform",
        "prior-uniform",
    }


def test_a_selection_keeps_the_order_of_the_catalogue_and_no_case_twice() -> None:
    names = [case.name for case in select_cases(["mixed_sites", "notebook", "notebook-*"])]
    assert names == ["notebook-uniform", "notebook-normal", "mixed_sites"]


def test_no_pattern_selects_every_case() -> None:
    assert select_cases([]) == list(all_cases().values())


def test_an_unknown_case_is_refused_with_the_list_of_cases() -> None:
    with pytest.raises(UsageError, match="unknown case 'notebok'") as refusal:
        select_cases(["mixed_sites", "notebok"])
    for name in all_cases():
        assert name in str(refusal.value)


@EACH_CASE
def test_a_case_is_called_by_its_own_name(name: str) -> None:
    assert all_cases()[name].name == name


@pytest.mark.parametrize("name", [name for name in all_cases() if name not in NOISY])
def test_the_truth_of_a_case_is_the_mode_of_its_likelihood(name: str) -> None:
    """Data without noise about x*, so that the inverse Fisher is compared where draws gather."""
    case = all_cases()[name]
    posterior = case.posterior
    gradient = jax.jit(
        jax.grad(
            lambda z: posterior.log_likelihood(posterior.to_constrained(posterior.unflatten(z)))
        )
    )(truth_of(name).position)
    scale = np.sqrt(np.diag(truth_of(name).inverse_fisher))
    # in standard deviations of the score
    np.testing.assert_allclose(np.asarray(gradient) * scale, 0.0, atol=1e-9)


def test_declared_order_of_mixed_sites_is_not_the_sorted_one() -> None:
    names = list(all_cases()["mixed_sites"].sites)
    assert names != sorted(names)
    assert names != sorted(names, reverse=True)


@pytest.mark.parametrize("name", ["notebook-uniform", "lecture_gaussian-normal", "mixed_sites"])
def test_a_standard_case_is_off_centre_anisotropic_and_correlated(name: str) -> None:
    """A fault of centring, scale, order or sign would not show otherwise."""
    moments = truth_of(name).moments
    deviation = np.sqrt(np.diag(moments.covariance))
    correlation = moments.covariance / np.outer(deviation, deviation) - np.eye(len(deviation))
    assert np.max(np.abs(moments.mean) / deviation) > 3
    assert np.max(deviation) > 1.4 * np.min(deviation)
    assert np.max(np.abs(correlation)) > 0.5


# -- starting points


def test_first_starts_do_not_depend_on_how_many_there_are() -> None:
    case = all_cases()["notebook-uniform"]
    many = case.starts(5, 2500)
    assert many.shape == (2500, 2)
    for count in (1, 10, 1024, 1025):
        np.testing.assert_array_equal(case.starts(5, count), many[:count])


def test_starts_are_determined_by_their_seed() -> None:
    case = all_cases()["notebook-uniform"]
    again = dataclasses.replace(case)  # the same case without what it remembers
    np.testing.assert_array_equal(case.starts(5, 20), again.starts(5, 20))
    assert not np.any(case.starts(5, 20) == case.starts(6, 20))


def test_no_start_is_given_twice() -> None:
    starts = all_cases()["notebook-uniform"].starts(5, 2500)
    assert len(np.unique(starts[:, 0])) == len(starts)


def test_starts_are_constrained_values_spread_as_the_posterior() -> None:
    case = all_cases()["notebook-uniform"]
    starts = case.starts(5, 2500)
    covariance = np.array([[1.0, 0.09], [0.09, 0.01]])  # of x; the bounds are eight deviations off
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), (starts - [2.0, 1.0]).T)
    # five standard errors
    assert np.all(np.abs(whitened.mean(axis=1)) < 5 / np.sqrt(2500))
    assert np.all(np.abs(np.cov(whitened) - np.eye(2)) < 5 * np.sqrt(2 / 2500))


def test_starts_of_a_simplex_leave_out_its_last_part() -> None:
    case = all_cases()["mixed_sites"]
    starts = case.starts(0, 100)
    assert starts.shape == (100, 5)
    shares = starts[:, case.posterior.slices["shares"]]
    assert np.all(shares > 0)
    assert np.all(shares.sum(axis=1) < 1)


@pytest.mark.parametrize("name", ["notebook-uniform", "mixed_sites"])
def test_free_points_round_trip_through_the_unconstrained_space(name: str) -> None:
    case = all_cases()[name]
    z = case.reference.points[:: len(case.reference.points) // 50]
    truth = case.truth_in_own_space
    again = truth.free_to_unconstrained(truth.unconstrained_to_free(z))
    np.testing.assert_allclose(again, z, rtol=1e-9, atol=1e-9)


# -- the three wrong numbers, and the right one


def test_the_published_ratios_of_the_two_wrong_comparisons_come_out() -> None:
    """What the notebook divided by the wrong matrices was tuned from 1,100 draws: 3% of noise."""
    truth = truth_of("notebook-uniform")
    np.testing.assert_allclose(
        truth.moments.covariance / truth.constrained_inverse_fisher,
        [[0.04571855, 0.04275488], [0.04275488, 0.04069575]],
        rtol=0.03,
    )
    np.testing.assert_allclose(
        truth.moments.covariance / truth.misplaced_inverse_fisher,
        [[0.20159441, 0.3530357], [0.35303566, 0.62925816]],
        rtol=0.03,
    )
    np.testing.assert_allclose(
        truth.moments.covariance / truth.inverse_fisher,
        [[1.0533552, 1.0158558], [1.0158558, 0.99714756]],
        rtol=0.03,
    )


@pytest.mark.parametrize(
    "name", [n for n, case in all_cases().items() if case.observations and case.tier == "quick"]
)
def test_the_inverse_fisher_at_the_truth_is_near_the_covariance(name: str) -> None:
    """The gap that geometry leaves: at most 5% for the rules that estimate a variance."""
    truth = truth_of(name)
    whitener = np.linalg.inv(np.linalg.cholesky(truth.inverse_fisher))
    whitened = whitener @ truth.moments.covariance @ whitener.T
    assert np.max(np.abs(np.log(np.diag(whitened)))) <= 0.05
    ratio = np.diag(truth.moments.covariance) / np.diag(truth.inverse_fisher)
    assert np.max(np.abs(np.log(ratio))) <= 0.05


@pytest.mark.parametrize("name", ["notebook-normal", "quadratic_fit", "gaussian_mean"])
def test_without_bounds_the_three_inverse_fishers_are_one(name: str) -> None:
    truth = truth_of(name)
    np.testing.assert_array_equal(truth.inverse_fisher, truth.constrained_inverse_fisher)
    np.testing.assert_array_equal(truth.inverse_fisher, truth.misplaced_inverse_fisher)


@pytest.mark.parametrize(
    "name", ["notebook-uniform", "lecture_gaussian-uniform", "gaussian_scale", "mixed_sites"]
)
def test_with_bounds_the_constrained_inverse_fisher_is_far_off(name: str) -> None:
    truth = truth_of(name)
    off = log_eigenvalues(truth.constrained_inverse_fisher, truth.inverse_fisher)
    assert np.max(np.abs(off)) > np.log(1.5)


@pytest.mark.parametrize("name", ["notebook-uniform", "lecture_gaussian-uniform"])
def test_in_an_interval_the_misplaced_inverse_fisher_is_far_off(name: str) -> None:
    truth = truth_of(name)
    off = log_eigenvalues(truth.misplaced_inverse_fisher, truth.inverse_fisher)
    assert np.max(np.abs(off)) > np.log(1.5)


def test_the_same_case_has_other_answers_under_other_transforms() -> None:
    """HalfNormal by softplus: far from zero z is nearly x, and its variance that of x."""
    case = all_cases()["gaussian_scale"]
    softplus = LibraryTransform(jax.nn.softplus, lambda x: x + jnp.log(-jnp.expm1(-x)))
    truth = case.truth_in({"scale": softplus})
    np.testing.assert_allclose(truth.position, [30.0], rtol=1e-10)
    np.testing.assert_allclose(truth.inverse_fisher, [[30.0**2 / 100]], rtol=1e-9)
    np.testing.assert_allclose(
        truth.moments.covariance, case.constrained_moments.covariance, rtol=1e-5
    )
    ours = case.truth_in({"scale": Exp()})
    np.testing.assert_allclose(ours.inverse_fisher, [[1 / 100]], rtol=1e-9)


# -- scores


@pytest.mark.parametrize("name", ["notebook-uniform", "gaussian_scale", "lecture_gaussian-uniform"])
def test_covariance_of_the_score_is_the_mean_curvature(name: str) -> None:
    case, truth = all_cases()[name], truth_of(name)
    reference = case.reference
    assert isinstance(reference, Quadrature)
    hessians = jax.jit(jax.vmap(jax.hessian(case.posterior.log_density)))(reference.points)
    curvature = -np.einsum("n,nij->ij", reference.weights, hessians)
    # the tail beyond the grid, in which the curvature grows
    np.testing.assert_allclose(truth.score_covariance, curvature, rtol=1e-4)


@EACH_CASE
def test_covariance_is_at_least_the_inverse_of_that_of_the_score(name: str) -> None:
    """Cramér and Rao for the posterior; equality for a Gaussian."""
    truth = truth_of(name)
    excess = log_eigenvalues(truth.moments.covariance, np.linalg.inv(truth.score_covariance))
    gaussian = np.allclose(truth.moments.kurtosis, 3.0, atol=1e-4)
    # five dimensions are integrated to 2e-6 or so
    assert np.min(excess) > -1e-5
    assert (np.max(excess) < 1e-5) == gaussian


# -- estimators


def test_variance_rules_converge_to_the_covariance_or_its_diagonal() -> None:
    covariance, score = np.array([[4.0, 1.0], [1.0, 9.0]]), np.eye(2)
    np.testing.assert_array_equal(DENSE.target(covariance, score), covariance)
    np.testing.assert_array_equal(DIAGONAL.target(covariance, score), [4.0, 9.0])


@pytest.mark.parametrize("name", ["lecture_gaussian-normal", "notebook-normal"])
def test_fisher_divergence_on_a_correlated_gaussian_converges_to_its_closed_form(name: str) -> None:
    """`sqrt(Σᵢᵢ / (Σ⁻¹)ᵢᵢ)`, which is the variance times `sqrt(1 - ρ²)`."""
    truth = truth_of(name)
    covariance = truth.moments.covariance
    found = FISHER.target(covariance, truth.score_covariance)
    precision = np.linalg.inv(covariance)
    np.testing.assert_allclose(found, np.sqrt(np.diag(covariance) / np.diag(precision)), rtol=1e-6)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    expected = np.diag(covariance) * np.sqrt(1 - correlation**2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.all(found < 0.6 * np.diag(covariance))


@pytest.mark.parametrize("draws", [25, 500, 1100])
def test_regularisation_is_stans_formula(draws: int) -> None:
    covariance = np.array([[4.0, 1.0], [1.0, 9.0]])
    weight = draws / (draws + 5.0)
    floor = 1e-3 * (5.0 / (draws + 5.0))
    np.testing.assert_allclose(
        DENSE.regularised(covariance, draws),
        [[4.0 * weight + floor, weight], [weight, 9.0 * weight + floor]],
        rtol=1e-14,
    )
    np.testing.assert_allclose(
        DIAGONAL.regularised(np.array([4.0, 9.0]), draws),
        [4.0 * weight + floor, 9.0 * weight + floor],
        rtol=1e-14,
    )


def test_without_regularisation_a_metric_is_left_alone() -> None:
    metric = np.array([4.0, 9.0])
    np.testing.assert_array_equal(FISHER.regularised(metric, 25), metric)


def test_regularisation_raises_the_smallest_direction_of_the_notebook_by_12_percent() -> None:
    """The window of 1,000 steps, 500 draws; in units of the target."""
    covariance = truth_of("notebook-uniform").moments.covariance
    stretched = log_eigenvalues(DENSE.regularised(covariance, 500), covariance)
    np.testing.assert_allclose(np.exp(stretched), [0.990, 1.118], atol=5e-4)


def test_cases_of_the_same_structure_share_a_program() -> None:
    """Traced once for the notebook's and the lecture's posterior, and right for each."""
    traced = []

    @jax.jit
    def log_density(posterior: Posterior, z: jax.Array) -> jax.Array:
        traced.append(posterior)
        return posterior.log_density(z)

    for name in ("notebook-normal", "lecture_gaussian-normal"):
        posterior = all_cases()[name].posterior
        z = np.asarray([1.5, -0.5]) + all_cases()[name].truth["x"]
        found = log_density(posterior.on_device(), jnp.asarray(z))
        assert found == pytest.approx(float(posterior.log_density(jnp.asarray(z))), rel=1e-10)
    assert len(traced) == 1


def test_cases_with_other_priors_never_share_a_program() -> None:
    """JAX itself takes two dataclasses with as many fields for one structure."""
    normal, uniform = (
        all_cases()[f"notebook-{prior}"].posterior for prior in ("normal", "uniform")
    )
    assert jax.tree.structure(normal.on_device()) != jax.tree.structure(uniform.on_device())
