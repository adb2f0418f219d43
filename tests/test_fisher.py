"""Fisher information against closed forms, derivatives, simulated data and numpyro_ext."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invmass.errors import SingularFisherError, UsageError
from invmass.model import fisher
from invmass.model.bijectors import Identity
from invmass.model.catalogue import all_cases
from invmass.model.distributions import (
    Array,
    HalfNormal,
    MultivariateNormal,
    Normal,
    Uniform,
)
from invmass.model.posterior import Observation, Posterior, Site, Sites
from invmass.model.precision import float64

COVARIANCE = np.array([[1.0, 0.09], [0.09, 0.01]])
ABSCISSAE = np.linspace(-1.0, 2.0, 7)
EXACT = 1e-12  # a closed form in float64, a few dozen operations


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    """Once for all, so that nothing is compiled twice."""
    with float64():
        yield


def normal_draws(count: int) -> Posterior:
    """`count` draws of one normal distribution with unknown mean and scale."""
    return Posterior(
        {"mean": Site(Normal(0.0, 10.0)), "scale": Site(HalfNormal(10.0))},
        {"y": Observation(lambda x: Normal(x["mean"], x["scale"]), data=np.zeros(count))},
    )


def mean_of_normal(count: int, scale: float) -> Posterior:
    return Posterior(
        {"mean": Site(Normal(0.0, 10.0))},
        {"y": Observation(lambda x: Normal(x["mean"], scale), data=np.zeros(count))},
    )


def scale_of_normal(data: np.ndarray) -> Posterior:
    return Posterior(
        {"scale": Site(HalfNormal(10.0))},
        {"y": Observation(lambda x: Normal(0.0, x["scale"]), data=data)},
    )


Information = Callable[..., fisher.Blocks | np.ndarray]  # `fisher.expected` or `fisher.observed`


def matrix(
    posterior: Posterior, x: Sites, information: Information = fisher.expected, **options: Any
) -> np.ndarray:
    return np.asarray(information(posterior, x, flat=True, **options))


@pytest.fixture
def mixed() -> Posterior:
    return all_cases()["mixed_sites"].posterior


@pytest.fixture
def away_from_the_truth() -> Mapping[str, Array]:
    return {"level": 450.0, "shares": np.array([0.6, 0.3, 0.1]), "bend": 1200.0, "gain": 0.7}


# -- closed forms


@pytest.mark.parametrize("count", [1, 50])
def test_information_on_a_gaussian_mean_is_n_over_variance(count: int) -> None:
    found = matrix(mean_of_normal(count, 3.0), {"mean": 4.0})
    np.testing.assert_allclose(found, [[count / 9.0]], rtol=EXACT)


@pytest.mark.parametrize("count", [1, 50])
def test_information_on_a_gaussian_scale_is_2n_over_variance(count: int) -> None:
    found = matrix(scale_of_normal(np.zeros(count)), {"scale": 3.0}, space="x")
    np.testing.assert_allclose(found, [[2 * count / 9.0]], rtol=EXACT)


@pytest.mark.parametrize("scale", [0.01, 3.0, 1e4])
def test_information_on_the_log_of_a_gaussian_scale_is_2n_wherever_it_is(scale: float) -> None:
    found = matrix(scale_of_normal(np.zeros(50)), {"scale": scale}, space="z")
    np.testing.assert_allclose(found, [[100.0]], rtol=EXACT)


def test_information_on_mean_and_scale_is_diagonal() -> None:
    x = {"mean": 4.0, "scale": 3.0}
    np.testing.assert_allclose(
        matrix(normal_draws(5), x, space="x"), np.diag([5 / 9.0, 10 / 9.0]), rtol=EXACT
    )
    np.testing.assert_allclose(
        matrix(normal_draws(5), x, space="z"), np.diag([5 / 9.0, 10.0]), rtol=EXACT
    )


def test_information_of_several_observations_adds() -> None:
    posterior = Posterior(
        {"mean": Site(Normal(0.0, 10.0))},
        {
            "a": Observation(lambda x: Normal(x["mean"], 3.0), data=np.zeros(4)),
            "b": Observation(lambda x: Normal(2.0 * x["mean"], 1.0), data=np.zeros(2)),
        },
    )
    np.testing.assert_allclose(matrix(posterior, {"mean": 1.0}), [[4 / 9 + 2 * 4]], rtol=EXACT)


def test_information_of_a_nonlinear_mean_with_fixed_covariance_is_that_of_its_jacobian() -> None:
    covariance = np.array([[2.0, 0.3, -0.1], [0.3, 0.5, 0.2], [-0.1, 0.2, 1.0]])
    times = np.array([0.5, 1.0, 2.0])
    posterior = Posterior(
        {"height": Site(Normal(0.0, 10.0)), "rate": Site(Normal(0.0, 10.0))},
        {
            "y": Observation(
                lambda x: MultivariateNormal(x["height"] * jnp.exp(-x["rate"] * times), covariance),
                data=np.zeros(3),
            )
        },
    )
    decay = np.exp(-0.7 * times)
    jacobian = np.stack([decay, -4.0 * times * decay], axis=1)
    np.testing.assert_allclose(
        matrix(posterior, {"height": 4.0, "rate": 0.7}),
        jacobian.T @ np.linalg.solve(covariance, jacobian),
        rtol=EXACT,
    )


def test_information_of_a_covariance_counts() -> None:
    """`½ tr(Σ⁻¹∂Σ Σ⁻¹∂Σ)` of Σ = s C is k / 2s², of the log of s is k / 2."""
    posterior = Posterior(
        {"variance": Site(HalfNormal(10.0))},
        {
            "y": Observation(
                lambda x: MultivariateNormal(np.zeros(2), x["variance"] * COVARIANCE),
                data=np.zeros(2),
            )
        },
    )
    # the condition number of the covariance, 1e3, times rounding
    found = matrix(posterior, {"variance": 3.0}, space="x")
    np.testing.assert_allclose(found, [[1 / 9.0]], rtol=1e-11)
    np.testing.assert_allclose(matrix(posterior, {"variance": 3.0}), [[1.0]], rtol=1e-11)


# -- the notebook's posterior


def test_inverse_information_of_the_notebook_is_its_closed_form_in_logit_space() -> None:
    truth = all_cases()["notebook-uniform"].truth_in(
        all_cases()["notebook-uniform"].posterior.default_transforms
    )
    np.testing.assert_allclose(truth.position, [0.405465, 0.200671], atol=5e-7)
    slope = (100.0 - np.array([2.0, 1.0]) ** 2) / 20.0  # dx/dz of x = -10 + 20 / (1 + e⁻ᶻ)
    np.testing.assert_allclose(
        truth.inverse_fisher, COVARIANCE / np.outer(slope, slope), rtol=1e-11
    )


def test_inverse_information_of_the_notebook_in_constrained_space_is_its_covariance() -> None:
    case = all_cases()["notebook-uniform"]
    truth = case.truth_in(case.posterior.default_transforms)
    np.testing.assert_allclose(truth.constrained_inverse_fisher, COVARIANCE, rtol=1e-11)


def test_misplaced_inverse_information_of_the_notebook_takes_the_slope_at_x_for_z() -> None:
    case = all_cases()["notebook-uniform"]
    truth = case.truth_in(case.posterior.default_transforms)
    share = 1.0 / (1.0 + np.exp(-np.array([2.0, 1.0])))
    slope = 20.0 * share * (1.0 - share)
    np.testing.assert_allclose(
        truth.misplaced_inverse_fisher, COVARIANCE / np.outer(slope, slope), rtol=1e-11
    )


# -- as a tensor


def test_information_transforms_as_a_tensor(
    mixed: Posterior, away_from_the_truth: Mapping[str, Array]
) -> None:
    in_x = matrix(mixed, away_from_the_truth, space="x")
    in_z = matrix(mixed, away_from_the_truth, space="z")
    jacobian = free_jacobian(mixed, away_from_the_truth)
    expected = jacobian.T @ in_x @ jacobian
    scale = np.sqrt(np.diag(expected))
    # relative to the diagonal: the scales of the coordinates differ by 1e4
    np.testing.assert_allclose(
        in_z / np.outer(scale, scale), expected / np.outer(scale, scale), atol=1e-12
    )


def free_jacobian(posterior: Posterior, x: Sites) -> np.ndarray:
    """∂x/∂z of the free coordinates."""

    def forward(z: Array) -> Array:
        return posterior.free(posterior.to_constrained(posterior.unflatten(z)))

    z = posterior.flatten(posterior.to_unconstrained(x))
    return np.asarray(jax.jit(jax.jacfwd(forward))(z))


def test_other_transforms_give_the_information_in_their_own_space() -> None:
    posterior = scale_of_normal(np.zeros(50))
    found = matrix(posterior, {"scale": 3.0}, transforms={"scale": Identity()})
    np.testing.assert_allclose(found, [[100.0 / 9.0]], rtol=EXACT)


def test_jeffreys_prior_of_a_scale_is_flat_in_its_logarithm() -> None:
    posterior = scale_of_normal(np.zeros(50))
    in_x, in_z = (
        [fisher.jeffreys_log_density(posterior, {"scale": s}, space=space) for s in (0.5, 4.0)]
        for space in ("x", "z")
    )
    np.testing.assert_allclose(in_z, 0.5 * np.log(100.0), rtol=EXACT)
    np.testing.assert_allclose(in_x[0] - in_x[1], np.log(8.0), rtol=EXACT)


def test_jeffreys_prior_is_a_density_whatever_the_coordinates(
    mixed: Posterior, away_from_the_truth: Mapping[str, Array]
) -> None:
    """Its densities in x and in z differ by `log|det ∂x/∂z|`, at the truth and elsewhere."""
    for x in (all_cases()["mixed_sites"].truth, away_from_the_truth):
        in_x, in_z = (fisher.jeffreys_log_density(mixed, x, space=space) for space in ("x", "z"))
        log_det = np.linalg.slogdet(free_jacobian(mixed, x))[1]
        np.testing.assert_allclose(in_z, in_x + log_det, atol=1e-10)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.7, 1.1)])
def test_jeffreys_prior_vanishes_where_the_model_says_nothing(weights: tuple[float, float]) -> None:
    """Also where rounding leaves a determinant of 1e-16."""
    assert fisher.jeffreys_log_density(only_the_sum(*weights), {"a": 1.0, "b": 2.0}) == -np.inf


# -- Cramér and Rao


def test_the_sample_mean_attains_the_cramer_rao_bound() -> None:
    posterior = Posterior(
        {"x": Site(Normal(0.0, 10.0), (2,))},
        {
            f"y{i}": Observation(lambda x: MultivariateNormal(x["x"], COVARIANCE), data=np.zeros(2))
            for i in range(4)
        },
    )
    bound = matrix(posterior, {"x": np.array([2.0, 1.0])}, invert=True)
    count = 40_000
    data = np.random.default_rng(0).multivariate_normal([2.0, 1.0], COVARIANCE, (count, 4))
    smallest, largest = relative_eigenvalues(np.cov(data.mean(axis=1).T), bound)
    # the edges of a Wishart spectrum, (1 ± √(d/n))², are 1.4% away; four times as much is allowed
    allowance = 8 * np.sqrt(2 / count)
    assert 1 - allowance < smallest
    assert largest < 1 + allowance


def test_an_inefficient_estimator_stays_above_the_cramer_rao_bound() -> None:
    bound = matrix(mean_of_normal(25, 3.0), {"mean": 4.0}, invert=True)
    data = np.random.default_rng(0).normal(4.0, 3.0, (40_000, 25))
    ratio = np.var(np.median(data, axis=1)) / bound[0, 0]
    assert 1.4 < ratio < 1.65  # π/2 for many draws, 1.55 for 25


@pytest.mark.parametrize("space", ["x", "z"])
def test_the_estimate_of_a_scale_corrected_for_bias_obeys_the_cramer_rao_bound(
    space: fisher.Space,
) -> None:
    size, scale, count = 40, 3.0, 100_000
    bound = matrix(scale_of_normal(np.zeros(size)), {"scale": scale}, space=space, invert=True)
    data = np.random.default_rng(0).normal(0.0, scale, (count, size))
    estimate = np.sqrt(np.mean(data**2, axis=1))  # maximum likelihood
    estimate = estimate * scale / estimate.mean() if space == "x" else np.log(estimate)
    ratio = np.var(estimate) / bound[0, 0]
    # in expectation 1 + 1/(4n) in x and 1 + 1/n in z, to first order; the Monte Carlo error of
    # a variance is √(2/N) = 0.45%, five of which are allowed
    allowance = 5 * np.sqrt(2 / count)
    assert 1 - allowance < ratio < 1 + 1 / size + allowance


def relative_eigenvalues(covariance: np.ndarray, bound: np.ndarray) -> tuple[float, float]:
    """Smallest and largest eigenvalue of `covariance` in units of `bound`."""
    whitener = np.linalg.inv(np.linalg.cholesky(bound))
    values = np.linalg.eigvalsh(whitener @ covariance @ whitener.T)
    return float(values[0]), float(values[-1])


# -- numpyro_ext, which knows the part of the mean


def curve() -> Posterior:
    """A mean that depends on a real, a positive and an interval site."""
    return Posterior(
        {
            "c": Site(Normal(1.0, 2.0)),
            "a": Site(HalfNormal(5.0)),
            "b": Site(Uniform(-3.0, 4.0)),
        },
        {
            "y": Observation(
                lambda x: Normal(x["c"] + x["a"] * ABSCISSAE + x["b"] * ABSCISSAE**2, 0.5),
                data=np.zeros(7),
            )
        },
    )


@pytest.mark.parametrize("prior", [False, True], ids=["likelihood", "with_prior"])
@pytest.mark.parametrize("space", ["x", "z"])
def test_information_of_a_mean_equals_numpyro_exts(space: fisher.Space, prior: bool) -> None:
    numpyro = pytest.importorskip("numpyro")
    numpyro_ext = pytest.importorskip("numpyro_ext")
    dist = numpyro.distributions
    posterior, x = curve(), {"c": 0.3, "a": 2.5, "b": -1.0}

    def model() -> None:
        c = numpyro.sample("c", dist.Normal(1.0, 2.0))
        a = numpyro.sample("a", dist.HalfNormal(5.0))
        b = numpyro.sample("b", dist.Uniform(-3.0, 4.0))
        loc = c + a * ABSCISSAE + b * ABSCISSAE**2
        # numpyro_ext counts a vector of n univariate normals n times
        y = dist.MultivariateNormal(loc, scale_tril=0.5 * jnp.eye(7))
        numpyro.sample("y", y, obs=np.zeros(7))

    at = posterior.to_unconstrained(x) if space == "z" else x
    compute = numpyro_ext.information(model, include_prior=prior, unconstrained=space == "z")
    theirs = jax.jit(compute)({name: jnp.asarray(value) for name, value in at.items()})
    found = matrix(posterior, x, space=space, prior=prior)
    expected = fisher.from_blocks(theirs, posterior)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_information_of_a_correlated_mean_equals_numpyro_exts() -> None:
    numpyro = pytest.importorskip("numpyro")
    numpyro_ext = pytest.importorskip("numpyro_ext")
    dist = numpyro.distributions

    def model() -> None:
        x = numpyro.sample("x", dist.Uniform(-10.0, 10.0), sample_shape=(2,))
        numpyro.sample("y", dist.MultivariateNormal(x, COVARIANCE), obs=np.array([2.0, 1.0]))

    at = {"x": jnp.log(jnp.array([12.0 / 8.0, 11.0 / 9.0]))}
    compute = numpyro_ext.information(model, unconstrained=True, invert=True)
    theirs = jax.jit(compute)(at)
    case = all_cases()["notebook-uniform"]
    np.testing.assert_allclose(
        matrix(case.posterior, case.truth, invert=True), theirs["x"]["x"], rtol=1e-10
    )


def test_information_on_a_scale_is_there_where_numpyro_ext_is_silent() -> None:
    numpyro = pytest.importorskip("numpyro")
    numpyro_ext = pytest.importorskip("numpyro_ext")
    dist = numpyro.distributions

    def model() -> None:
        scale = numpyro.sample("scale", dist.HalfNormal(10.0))
        y = dist.MultivariateNormal(jnp.zeros(5), scale_tril=scale * jnp.eye(5))
        numpyro.sample("y", y, obs=np.zeros(5))

    compute = numpyro_ext.information(model, unconstrained=True)
    theirs = jax.jit(compute)({"scale": jnp.asarray(np.log(3.0))})
    assert np.asarray(theirs["scale"]["scale"]) == 0.0
    found = matrix(scale_of_normal(np.zeros(5)), {"scale": 3.0})
    np.testing.assert_allclose(found, [[10.0]], rtol=EXACT)


# -- observed information


@pytest.mark.parametrize("coefficients", [[4.0, -30.0, 15.0], [0.0, 1.0, -7.0]])
def test_observed_information_of_a_linear_gaussian_model_is_the_expected_one(
    coefficients: list[float],
) -> None:
    posterior = all_cases()["quadratic_fit"].posterior
    x = {"coefficients": np.array(coefficients)}
    t = np.linspace(-1.0, 2.0, 20)
    design = np.stack([np.ones_like(t), t, t**2], axis=1)
    observed = matrix(posterior, x, fisher.observed)
    np.testing.assert_allclose(observed, matrix(posterior, x), rtol=EXACT)
    np.testing.assert_allclose(observed, design.T @ design / 0.25, rtol=EXACT)


def test_observed_information_on_a_scale_depends_on_the_data() -> None:
    data = np.array([1.0, -4.0, 2.5])
    found = matrix(scale_of_normal(data), {"scale": 3.0}, fisher.observed, space="x")
    squares = np.sum(data**2)
    np.testing.assert_allclose(found, [[3 * squares / 81.0 - 3 / 9.0]], rtol=EXACT)
    found = matrix(scale_of_normal(data), {"scale": 3.0}, fisher.observed, space="z")
    np.testing.assert_allclose(found, [[2 * squares / 9.0]], rtol=EXACT)


def test_observed_information_with_prior_is_the_curvature_of_the_log_posterior(
    mixed: Posterior, away_from_the_truth: Mapping[str, Array]
) -> None:
    z = mixed.flatten(mixed.to_unconstrained(away_from_the_truth))
    expected = -np.asarray(jax.jit(jax.hessian(mixed.log_density))(z))
    found = fisher.observed(mixed, away_from_the_truth, prior=True, flat=True)
    scale = np.sqrt(np.abs(np.diag(expected)))
    np.testing.assert_allclose(
        found / np.outer(scale, scale), expected / np.outer(scale, scale), atol=1e-11
    )


def test_prior_adds_its_own_curvature_in_each_space() -> None:
    """HalfNormal(10): -x²/200 in x, and z - e²ᶻ/200 in z = log x."""
    posterior, x = scale_of_normal(np.array([1.0, -4.0])), {"scale": 3.0}
    for information in (fisher.expected, fisher.observed):
        for space, curvature in (("x", 1 / 100.0), ("z", 2 * 9.0 / 100.0)):
            with_prior = matrix(posterior, x, information, space=space, prior=True)
            without = matrix(posterior, x, information, space=space)
            np.testing.assert_allclose(with_prior - without, [[curvature]], rtol=1e-10)


# -- errors, inverses, blocks


def only_the_sum(first: float = 1.0, second: float = 1.0) -> Posterior:
    """Two parameters of which the data know the weighted sum."""
    return Posterior(
        {"a": Site(Normal(0.0, 10.0)), "b": Site(Normal(0.0, 10.0))},
        {
            "y": Observation(
                lambda x: Normal(first * x["a"] + second * x["b"], 3.0), data=np.zeros(5)
            )
        },
    )


def test_two_parameters_known_only_by_their_sum_are_named_with_opposite_signs() -> None:
    with pytest.raises(SingularFisherError, match=r"singular.*(\+1·a -1·b|-1·a \+1·b)"):
        fisher.expected(only_the_sum(), {"a": 1.0, "b": 2.0}, invert=True)


def test_a_direction_is_named_in_the_units_of_its_parameters() -> None:
    """y ~ N(1000 a + b): moving a by 1 and b by -1000 changes nothing."""
    posterior = Posterior(
        {"a": Site(Normal(0.0, 10.0)), "b": Site(Normal(0.0, 10.0))},
        {"y": Observation(lambda x: Normal(1000.0 * x["a"] + x["b"], 3.0), data=np.zeros(5))},
    )
    with pytest.raises(SingularFisherError, match=r"(\+0.001·a -1·b|-0.001·a \+1·b)"):
        fisher.expected(posterior, {"a": 1.0, "b": 2.0}, invert=True)


def test_an_unobserved_site_is_named_alone() -> None:
    posterior = Posterior(
        {"seen": Site(Normal(0.0, 10.0)), "idle": Site(Normal(0.0, 10.0), (2,))},
        {
            "y": Observation(lambda x: Normal(x["seen"] + x["idle"][1], 3.0), data=np.zeros(5)),
            "w": Observation(lambda x: Normal(x["seen"], 3.0), data=np.zeros(5)),
        },
    )
    x = {"seen": 1.0, "idle": np.zeros(2)}
    with pytest.raises(SingularFisherError, match=r"direction [+-]1·idle\[0\]\. Add a prior"):
        fisher.expected(posterior, x, invert=True)


def test_a_prior_makes_an_unidentified_direction_invertible() -> None:
    found = matrix(only_the_sum(), {"a": 1.0, "b": 2.0}, prior=True, invert=True)
    data = np.full((2, 2), 5 / 9.0)
    np.testing.assert_allclose(found, np.linalg.inv(data + np.eye(2) / 100.0), rtol=1e-10)


def test_an_indefinite_observed_information_is_called_so() -> None:
    posterior = scale_of_normal(np.array([0.1, -0.1]))  # far below the mode of the likelihood
    with pytest.raises(SingularFisherError, match=r"indefinite.*scale"):
        fisher.observed(posterior, {"scale": 3.0}, space="x", invert=True)


def test_a_point_outside_the_support_is_refused() -> None:
    with pytest.raises(SingularFisherError, match="inside the support"):
        fisher.expected(normal_draws(5), {"mean": 0.0, "scale": -1.0}, invert=True)


def test_well_identified_parameters_of_very_different_scales_are_not_called_singular() -> None:
    found = fisher.invert_information(np.diag([1e-12, 1e12]), ("a", "b"))
    np.testing.assert_allclose(found, np.diag([1e12, 1e-12]), rtol=EXACT)


@pytest.mark.parametrize("information", [fisher.expected, fisher.observed])
def test_invert_gives_the_inverse(information: Any) -> None:
    posterior, x = all_cases()["mixed_sites"].posterior, all_cases()["mixed_sites"].truth
    direct = information(posterior, x, flat=True)
    inverse = information(posterior, x, invert=True, flat=True)
    scale = np.sqrt(np.diag(inverse))
    # relative to the diagonal, where the matrix is well conditioned
    np.testing.assert_allclose(
        inverse / np.outer(scale, scale),
        np.linalg.inv(direct) / np.outer(scale, scale),
        atol=1e-11,
    )


def test_blocks_are_cut_by_pairs_of_sites(mixed: Posterior) -> None:
    full = np.arange(25.0).reshape(5, 5)
    cut = fisher.blocks(full, mixed)
    np.testing.assert_array_equal(cut["shares"]["gain"], full[1:3, 4:5])
    np.testing.assert_array_equal(cut["bend"]["level"], full[3:4, 0:1])
    np.testing.assert_array_equal(fisher.from_blocks(cut, mixed), full)


def test_blocks_are_joined_in_declared_order_whatever_order_they_come_in(mixed: Posterior) -> None:
    full = np.arange(25.0).reshape(5, 5)
    cut = fisher.blocks(full, mixed)
    shuffled = {row: {column: cut[row][column] for column in sorted(cut)} for row in sorted(cut)}
    assert list(shuffled) != list(cut)
    np.testing.assert_array_equal(fisher.from_blocks(shuffled, mixed), full)


def test_information_comes_as_blocks_unless_asked_for_flat(mixed: Posterior) -> None:
    x = all_cases()["mixed_sites"].truth
    found = fisher.expected(mixed, x)
    assert isinstance(found, dict)
    np.testing.assert_array_equal(fisher.from_blocks(found, mixed), matrix(mixed, x))


@pytest.mark.parametrize("information", [fisher.expected, fisher.observed])
def test_information_is_float64_where_samplers_run_in_float32(information: Any) -> None:
    with jax.enable_x64(False):
        posterior = scale_of_normal(np.full(50, 0.1))
        found = information(posterior, {"scale": 0.1}, flat=True)
        assert jnp.zeros(()).dtype == jnp.float32
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[100.0]], rtol=EXACT)


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'x' .* or 'z' .*, not 'y'"):
        fisher.expected(only_the_sum(), {"a": 1.0, "b": 2.0}, space="y")  # type: ignore[arg-type]


@pytest.mark.parametrize("space", ["x", "z"])
def test_a_point_with_the_wrong_sites_is_refused(space: fisher.Space) -> None:
    with pytest.raises(UsageError, match=r"missing \['b'\], unknown \['c'\]"):
        fisher.expected(only_the_sum(), {"a": 1.0, "c": 2.0}, space=space)
