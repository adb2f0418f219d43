"""Our own sampler: exact properties of its integrator, and the stationarity of what it draws."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from invmass.adaptation.windows import (
    Schedule,
    last_window,
    pooled_schedule,
    stan_schedule,
)
from invmass.backends.hmc import random_numbers
from invmass.backends.hmc import step_size as dual_averaging
from invmass.backends.hmc.leapfrog import Phase, ValueAndGradient, integrate, leapfrog
from invmass.backends.hmc.metric import (
    Metric,
    Welford,
    kinetic_change,
    make_metric,
    momentum_from,
    oracle_shrinkage,
    stan_shrinkage,
    velocity,
    welford_init,
    welford_update,
)
from invmass.backends.hmc.random_numbers import standard_normal, uniform
from invmass.backends.hmc.sampler import (
    MAX_STEPS,
    PATH_LENGTH,
    TARGET_ACCEPTANCE,
    Noise,
    Samples,
    State,
    Transition,
    draw,
    draw_noise,
    energy_error,
    init,
    jittered_steps,
    sample,
    scan_with_noise,
    transition,
    warm_up,
)
from invmass.model.distributions import Array
from invmass.model.precision import float64

LECTURE_COVARIANCE = np.array([[2.25, 1.275], [1.275, 1.0]])  # σ = (1.5, 1), ρ = 0.85
DENSE = np.array([[2.0, 0.6], [0.6, 0.5]])
DIAGONAL = np.array([2.0, 0.5])
EACH_METRIC = pytest.mark.parametrize("inverse", [DENSE, DIAGONAL], ids=["dense", "diagonal"])


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    """Once for all, so that nothing is compiled twice."""
    with float64():
        yield


def lecture_gaussian(z: Array) -> Array:
    return -0.5 * z @ np.linalg.inv(LECTURE_COVARIANCE) @ z


def anharmonic(z: Array) -> Array:
    """Two coupled quartic wells."""
    return -0.5 * jnp.sum(z**2) - 0.25 * jnp.sum(z**4) - 0.3 * jnp.sin(z[0]) * z[1] ** 2


def start_of(log_density: Callable[[Array], Array], position: Array, momentum: Array) -> Phase:
    value_and_gradient = jax.value_and_grad(log_density)
    return Phase(jnp.asarray(position), jnp.asarray(momentum), *value_and_gradient(position))


# -- leapfrog


@EACH_METRIC
def test_leapfrog_comes_back_when_the_momentum_is_turned_round(inverse: np.ndarray) -> None:
    metric, value_and_gradient = make_metric(inverse), jax.value_and_grad(anharmonic)

    @jax.jit
    def there_and_back(begin: Phase) -> tuple[Phase, Phase]:
        end = integrate(value_and_gradient, metric, 0.1, begin, 50)
        turned = end._replace(momentum=-end.momentum)
        return end, integrate(value_and_gradient, metric, 0.1, turned, 50)

    begin = start_of(anharmonic, np.array([0.7, -1.1]), np.array([1.3, 0.4]))
    end, back = there_and_back(begin)
    assert np.linalg.norm(end.position - begin.position) > 0.1
    np.testing.assert_allclose(back.position, begin.position, atol=1e-10)
    np.testing.assert_allclose(back.momentum, -begin.momentum, atol=1e-10)
    np.testing.assert_allclose(back.log_density, begin.log_density, atol=1e-10)
    np.testing.assert_allclose(back.gradient, begin.gradient, atol=1e-10)


@EACH_METRIC
def test_leapfrog_preserves_volume_in_phase_space(inverse: np.ndarray) -> None:
    metric, value_and_gradient = make_metric(inverse), jax.value_and_grad(anharmonic)

    def flow(point: Array) -> Array:
        begin = start_of(anharmonic, point[:2], point[2:])
        end = integrate(value_and_gradient, metric, 0.2, begin, 10)
        return jnp.concatenate([end.position, end.momentum])

    jacobian = np.asarray(jax.jit(jax.jacfwd(flow))(np.array([0.7, -1.1, 1.3, 0.4])))
    np.testing.assert_allclose(np.linalg.det(jacobian), 1.0, atol=1e-10)
    assert np.linalg.norm(jacobian - np.eye(4)) > 1.0
    # more than volume: JᵀΩJ = Ω
    form = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])
    np.testing.assert_allclose(jacobian.T @ form @ jacobian, form, atol=1e-10)


def energy_errors(integrator: Callable[..., Phase], counts: list[int]) -> np.ndarray:
    """Root mean square energy error over a path of unit length, for each number of steps."""
    metric, value_and_gradient = make_metric(DENSE), jax.value_and_grad(anharmonic)
    generator = np.random.default_rng(0)
    positions, momenta = generator.normal(size=(2, 16, 2))

    @jax.jit
    @jax.vmap
    def errors(position: Array, momentum: Array) -> Array:
        begin = start_of(anharmonic, position, momentum)
        ends = [_follow(integrator, value_and_gradient, metric, 1.0 / n, begin, n) for n in counts]
        return jnp.stack([energy_error(metric, begin, end) for end in ends])

    return np.sqrt(np.mean(np.asarray(errors(positions, momenta)) ** 2, axis=0))


def _follow(
    integrator: Callable[..., Phase],
    value_and_gradient: ValueAndGradient,
    metric: Metric,
    step_size: float,
    phase: Phase,
    steps: int,
) -> Phase:
    return jax.lax.fori_loop(
        0, steps, lambda _, p: integrator(value_and_gradient, metric, step_size, p), phase
    )


def test_energy_error_is_of_second_order_in_the_step_size() -> None:
    counts = [16, 32, 64, 128, 256]
    errors = energy_errors(leapfrog, counts)
    slope = np.polyfit(-np.log(counts), np.log(errors), 1)[0]
    assert abs(slope - 2.0) < 0.05
    assert errors[-1] < 1e-3


def test_a_half_step_with_the_wrong_sign_ruins_the_energy() -> None:
    """The misprints that the exactness of the integrator is there to catch."""

    def first_half_wrong(
        value_and_gradient: ValueAndGradient, metric: Metric, step_size: Array, phase: Phase
    ) -> Phase:
        flipped = phase._replace(gradient=-phase.gradient)
        return leapfrog(value_and_gradient, metric, step_size, flipped)

    def both_halves_wrong(
        value_and_gradient: ValueAndGradient, metric: Metric, step_size: Array, phase: Phase
    ) -> Phase:
        def upside_down(z: Array) -> tuple[Array, Array]:
            value, gradient = value_and_gradient(z)
            return value, -gradient

        flipped = phase._replace(gradient=-phase.gradient)
        end = leapfrog(upside_down, metric, step_size, flipped)
        return end._replace(gradient=-end.gradient)

    right = energy_errors(leapfrog, [64])
    for wrong in (first_half_wrong, both_halves_wrong):
        assert energy_errors(wrong, [64]) > 1000 * right
        assert energy_errors(wrong, [64]) > 0.3


def test_leapfrog_moves_by_the_velocity_and_not_by_the_momentum() -> None:
    """A free particle: z(t) = z + t M⁻¹ p."""
    value_and_gradient = jax.value_and_grad(lambda z: 0.0 * jnp.sum(z))
    begin = Phase(jnp.zeros(2), jnp.array([1.0, -2.0]), jnp.zeros(()), jnp.zeros(2))
    end = integrate(value_and_gradient, make_metric(DENSE), 0.25, begin, 8)
    np.testing.assert_allclose(end.position, 2.0 * DENSE @ [1.0, -2.0], rtol=1e-12)
    np.testing.assert_allclose(end.momentum, begin.momentum, rtol=1e-12)


def test_energy_error_of_a_lost_trajectory_is_infinite() -> None:
    begin = Phase(jnp.zeros(2), jnp.ones(2), jnp.zeros(()), jnp.zeros(2))
    for lost in (jnp.nan, -jnp.inf):
        end = begin._replace(log_density=jnp.asarray(lost))
        assert energy_error(make_metric(DENSE), begin, end) == jnp.inf
    # the first term of pᵀ M⁻¹ p overflows to minus infinity, and the sum stays there
    overflown = begin._replace(momentum=jnp.array([1e160, -1e165]))
    assert kinetic_change(make_metric(DENSE), begin.momentum, overflown.momentum) == -jnp.inf
    assert energy_error(make_metric(DENSE), begin, overflown) == jnp.inf


# -- metric


@EACH_METRIC
def test_momenta_have_the_mass_matrix_as_covariance(inverse: np.ndarray) -> None:
    count, metric = 100_000, make_metric(inverse)
    noise = draw_noise(jax.random.key(0), jnp.zeros((count, 2)))
    momenta = np.asarray(jax.vmap(lambda white: momentum_from(white, metric))(noise.white))
    mass = np.linalg.inv(np.diag(inverse) if inverse.ndim == 1 else inverse)
    spread = np.diag(mass)
    # standard errors of a mean and of a covariance of Gaussian draws, five of each
    assert np.all(np.abs(momenta.mean(axis=0)) < 5 * np.sqrt(spread / count))
    error = np.sqrt((np.outer(spread, spread) + mass**2) / count)
    assert np.all(np.abs(momenta.T @ momenta / count - mass) < 5 * error)


@EACH_METRIC
def test_mean_kinetic_energy_is_half_the_dimension(inverse: np.ndarray) -> None:
    count, metric = 100_000, make_metric(inverse)
    noise = draw_noise(jax.random.key(1), jnp.zeros((count, 2)))
    energies = jax.vmap(
        lambda white: kinetic_change(metric, jnp.zeros(2), momentum_from(white, metric))
    )(noise.white)
    # half a χ² with two degrees of freedom: mean 1, variance 1
    assert abs(np.mean(energies) - 1.0) < 5 / np.sqrt(count)
    assert abs(np.var(energies) - 1.0) < 5 * np.sqrt(8 / count)


def test_kinetic_change_is_the_difference_of_the_kinetic_energies() -> None:
    generator = np.random.default_rng(3)
    root = generator.normal(size=(50, 50)) * np.geomspace(1e-2, 1e2, 50)
    inverse = root @ root.T / 50
    start = np.linalg.solve(np.linalg.cholesky(inverse).T, generator.normal(size=50))
    end = start * (1 + 1e-3 * generator.normal(size=50))
    right = 0.5 * (end @ inverse @ end - start @ inverse @ start)
    found = kinetic_change(make_metric(jnp.asarray(inverse)), jnp.asarray(start), jnp.asarray(end))
    assert found == pytest.approx(right, rel=1e-9)


def test_a_diagonal_metric_acts_as_the_dense_one_of_its_diagonal() -> None:
    momentum = np.array([1.0, -3.0])
    short, full = make_metric(DIAGONAL), make_metric(np.diag(DIAGONAL))
    np.testing.assert_allclose(velocity(short, momentum), velocity(full, momentum), rtol=1e-14)
    np.testing.assert_allclose(velocity(short, momentum), [2.0, -1.5], rtol=1e-14)
    for metric in (short, full):
        gained = kinetic_change(metric, np.zeros(2), momentum)
        np.testing.assert_allclose(gained, 0.5 * (2.0 + 4.5), rtol=1e-14)
        np.testing.assert_allclose(
            momentum_from(momentum, metric), momentum / np.sqrt(DIAGONAL), rtol=1e-14
        )


@pytest.mark.parametrize("chains", [1, 8])
@pytest.mark.parametrize("dense", [True, False], ids=["dense", "diagonal"])
def test_welford_with_stans_shrinkage_is_that_of_numpys_covariance(
    dense: bool, chains: int
) -> None:
    """Far from the origin too, where sums of squares would lose nine digits."""
    count = 40
    z = np.random.default_rng(0).normal(size=(count, 3)) @ [[2, 1, 0], [0, 0.1, 3], [0, 0, 1]]
    z = z + np.array([1e4, -1e5, 0.0])
    state = accumulated(z.reshape(-1, chains, 3), np.zeros((3, 3) if dense else 3))
    covariance = np.cov(z.T)
    if not dense:
        covariance = np.diag(covariance)
    floor = np.eye(3) if dense else np.ones(3)
    expected = count / (count + 5) * covariance + 1e-3 * 5 / (count + 5) * floor
    assert state.count == count
    np.testing.assert_allclose(state.mean, z.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stan_shrinkage(state), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("count", "dense"), [(5, False), (6, True)])
def test_of_fewer_than_two_draws_for_each_coordinate_the_variances_are_kept(
    count: int, dense: bool
) -> None:
    z = np.random.default_rng(0).normal(size=(count, 1, 3))
    for like in (np.zeros((3, 3)), np.zeros(3)):
        found = np.asarray(stan_shrinkage(accumulated(z, like)))
        variances = count / (count + 5) * np.var(z[:, 0], axis=0, ddof=1) + 5e-3 / (count + 5)
        np.testing.assert_allclose(found if like.ndim == 1 else np.diag(found), variances)
        if like.ndim == 2:
            assert np.all((found != 0) | np.eye(3, dtype=bool)) == dense


def accumulated(z: np.ndarray, like: np.ndarray) -> Welford:
    """What is known of draws of some chains, shape (n, C, d)."""

    def add(state: Welford, row: Array) -> tuple[Welford, None]:
        return welford_update(state, row), None

    return jax.jit(lambda z: jax.lax.scan(add, welford_init(like), z)[0])(z)


@pytest.mark.parametrize(("d", "count"), [(30, 100), (30, 400), (200, 500)])
def test_oracle_shrinkage_is_that_of_scikit_learn(d: int, count: int) -> None:
    """There of draws of unit variance, whose mean is known, and without the terms in 2/d."""
    covariance = pytest.importorskip("sklearn.covariance")
    z = np.random.default_rng(d + count).multivariate_normal(
        np.zeros(d), autoregressive(d), size=count
    )
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    scale = np.geomspace(0.01, 100.0, d)
    state = accumulated((z * scale)[:, None], np.zeros((d, d)))
    found = np.asarray(oracle_shrinkage(state)) / np.outer(scale, scale) * (count - 1) / count
    sample, below = z.T @ z / count, np.tril_indices(d, -1)
    shrinkage = 1 - np.sum(found[below] * sample[below]) / np.sum(sample[below] ** 2)
    expected = covariance.OAS(assume_centered=True).fit(z).shrinkage_
    assert shrinkage == pytest.approx(expected, rel=2 / d)
    np.testing.assert_allclose(found[below], (1 - shrinkage) * sample[below], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.diag(found), 1.0, rtol=1e-9)
    assert np.linalg.eigvalsh(found)[0] > 0


def autoregressive(d: int) -> np.ndarray:
    return 0.5 ** np.abs(np.subtract.outer(np.arange(d), np.arange(d)))


def test_oracle_shrinkage_leaves_a_diagonal_metric_and_a_single_coordinate() -> None:
    z = np.random.default_rng(0).normal(3.0, 2.0, size=(50, 1, 1))
    for like in (np.zeros(1), np.zeros((1, 1))):
        found = oracle_shrinkage(accumulated(z, like))
        np.testing.assert_allclose(np.ravel(found), np.var(z, ddof=1), rtol=1e-12)


# -- exactness

CHAINS = 20_000


def run_chains(
    log_density: Callable[[Array], Array],
    starts: np.ndarray,
    inverse: np.ndarray,
    step_size: float,
    steps: int,
    count: int = 5,
) -> tuple[np.ndarray, float]:
    """Positions of many chains after some transitions, and their mean acceptance."""
    value_and_gradient, metric = jax.value_and_grad(log_density), make_metric(inverse)

    def step(states, key):  # type: ignore[no-untyped-def]
        def one(noise: Noise, state: State) -> tuple[State, Transition]:
            return transition(value_and_gradient, noise, state, metric, step_size, steps)

        states, info = jax.vmap(one)(draw_noise(key, states.position), states)
        return states, info.acceptance

    @jax.jit
    def run(starts: Array) -> tuple[State, Array]:
        begin = jax.vmap(lambda z: init(value_and_gradient, z))(starts)
        return jax.lax.scan(step, begin, jax.random.split(jax.random.key(4), count))

    states, acceptance = run(jnp.asarray(starts))
    return np.asarray(states.position), float(np.mean(acceptance))


@pytest.mark.parametrize(
    ("inverse", "step_size"),
    [(np.ones(2), 0.8), (DENSE, 0.85)],
    ids=["unit_diagonal", "dense"],
)
def test_a_correlated_gaussian_is_left_as_it_is(inverse: np.ndarray, step_size: float) -> None:
    """Chains are independent, so that standard errors are those of Gaussian draws."""
    starts = np.random.default_rng(1).multivariate_normal(
        np.zeros(2), LECTURE_COVARIANCE, size=CHAINS
    )
    z, acceptance = run_chains(lecture_gaussian, starts, inverse, step_size, steps=3)
    assert 0.7 < acceptance < 0.9
    assert np.mean(z == starts) < 0.01
    assert worst_z_score(z) < 5


def worst_z_score(z: np.ndarray) -> float:
    """The largest of the two means and three covariances, in standard errors."""
    spread = np.diag(LECTURE_COVARIANCE)
    mean = np.abs(z.mean(axis=0)) / np.sqrt(spread / len(z))
    error = np.sqrt((np.outer(spread, spread) + LECTURE_COVARIANCE**2) / len(z))
    covariance = np.abs(z.T @ z / len(z) - LECTURE_COVARIANCE) / error
    return max(mean.max(), covariance.max())


def test_the_same_chains_without_rejection_would_not_be() -> None:
    """So the bound of five standard errors sees what it is meant to see."""
    value_and_gradient, metric = jax.value_and_grad(lecture_gaussian), make_metric(np.ones(2))

    def one(key: Array, start: Array) -> Array:
        def step(position, key):  # type: ignore[no-untyped-def]
            momentum = momentum_from(draw_noise(key, position).white, metric)
            begin = Phase(position, momentum, *value_and_gradient(position))
            return integrate(value_and_gradient, metric, 0.8, begin, 3).position, None

        return jax.lax.scan(step, start, jax.random.split(key, 5))[0]

    starts = np.random.default_rng(1).multivariate_normal(
        np.zeros(2), LECTURE_COVARIANCE, size=CHAINS
    )
    keys = jax.random.split(jax.random.key(4), CHAINS)
    assert worst_z_score(np.asarray(jax.jit(jax.vmap(one))(keys, starts))) > 10


def test_a_quartic_density_is_left_as_it_is() -> None:
    """exp(-z⁴/4), a generalised normal law with E z² = 2 Γ(3/4)/Γ(1/4) and E z⁴ = 1."""
    law = scipy.stats.gennorm(4.0, scale=4.0**0.25)
    starts = law.rvs((CHAINS, 1), random_state=2)
    z, acceptance = run_chains(
        lambda z: -0.25 * jnp.sum(z**4), starts, np.array([0.7]), 1.0, steps=2
    )
    assert 0.7 < acceptance < 0.9
    second = 2 * scipy.special.gamma(0.75) / scipy.special.gamma(0.25)
    assert abs(z.mean()) < 5 * np.sqrt(second / CHAINS)
    assert abs(np.mean(z**2) - second) < 5 * np.sqrt((1 - second**2) / CHAINS)
    assert abs(np.mean(z**4) - 1.0) < 5 * np.sqrt(4.0 / CHAINS)  # E z⁸ = 5
    assert scipy.stats.kstest(z[:, 0], law.cdf).pvalue > 1e-6


def test_draws_along_jittered_paths_leave_the_gaussian_as_it_is() -> None:
    starts = np.random.default_rng(3).multivariate_normal(
        np.zeros(2), LECTURE_COVARIANCE, size=CHAINS
    )
    value_and_gradient = jax.value_and_grad(lecture_gaussian)
    metric = make_metric(LECTURE_COVARIANCE)

    @jax.jit
    def run(key: Array, starts: Array) -> tuple[Array, Transition]:
        return draw(value_and_gradient, key, starts, metric, jnp.asarray(1.2), 4)

    positions, info = run(jax.random.key(5), jnp.asarray(starts))
    assert positions.shape == (4, CHAINS, 2)
    assert worst_z_score(np.asarray(positions[-1])) < 5
    lengths = np.asarray(info.gradients)
    assert np.all(lengths == lengths[:, :1])  # none waits for another
    assert len(np.unique(lengths)) > 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_numbers_have_the_laws_that_they_should(dtype: np.dtype) -> None:
    first, second = jax.random.split(jax.random.key(8))
    uniforms = uniform(first, (64, 15_625), dtype)
    normals = standard_normal(second, (64, 15_625), dtype)
    for values, law in ((uniforms, scipy.stats.uniform), (normals, scipy.stats.norm)):
        assert values.dtype == dtype
        assert scipy.stats.kstest(np.ravel(values), law.cdf).pvalue > 1e-6
        between = np.corrcoef(values)[~np.eye(64, dtype=bool)]  # those of one chain and another
        assert np.max(np.abs(between)) < 6 / np.sqrt(15_625)
    assert np.min(uniforms) >= 0
    assert np.max(uniforms) < 1
    assert 4.5 < np.max(np.abs(normals)) < 6  # of a million


def test_least_and_largest_of_the_hashes_are_finite_and_symmetric(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = jnp.array([0, 2**32 - 1], jnp.uint32)
    monkeypatch.setattr(random_numbers, "threefry_2x32", lambda key, count: ends)
    least, largest = uniform(jax.random.key(0), (2,), np.float32)
    assert (least, largest) == (0.0, 1.0 - 2.0**-24)
    low, high = standard_normal(jax.random.key(0), (2,), np.float32)
    assert high == -low == pytest.approx(scipy.stats.norm.ppf(1.0 - 2.0**-25), rel=1e-5)


@pytest.mark.parametrize("count", [1, 53, 100, 120])
def test_each_step_has_its_own_noise_and_its_own_input(count: int) -> None:
    def step(carry, inputs):  # type: ignore[no-untyped-def]
        return carry + 1, inputs

    like = jnp.zeros((3, 2))
    steps, (numbers, noise, paths) = scan_with_noise(
        step, 0, jax.random.key(7), jnp.arange(count), like
    )
    assert steps == count
    np.testing.assert_array_equal(numbers, np.arange(count))
    for values in (noise.white, noise.uniform, paths):
        assert len(np.unique(np.reshape(values, (count, -1)), axis=0)) == count


def test_path_lengths_are_jittered_by_half_around_a_quarter_period() -> None:
    uniform = jax.random.uniform(jax.random.key(6), 20_000)
    steps = np.asarray(jittered_steps(uniform, jnp.asarray(0.01)))
    assert steps.min() == np.ceil(50 * PATH_LENGTH)
    assert steps.max() == np.ceil(150 * PATH_LENGTH)
    # uniform: 79 to 236 steps
    assert scipy.stats.kstest(steps, scipy.stats.uniform(78.5, 157.1).cdf).pvalue > 1e-6
    assert jittered_steps(uniform[0], jnp.asarray(100.0)) == 1
    assert jittered_steps(uniform[0], jnp.asarray(1e-9)) == MAX_STEPS


# -- warm-up

LENGTHS = [
    20,
    100,
    150,
    180,
    200,
    499,
    500,
    1000,
    1037,
    2000,
]  # 180, 499: a window that almost fits


@pytest.mark.parametrize("num_warmup", LENGTHS)
def test_schedule_equals_numpyros(num_warmup: int) -> None:
    hmc_util = pytest.importorskip("numpyro.infer.hmc_util")
    windows = hmc_util.build_adaptation_schedule(num_warmup)
    collects = np.zeros(num_warmup, dtype=bool)
    ends_window = np.zeros(num_warmup, dtype=bool)
    for window in windows[1:-1]:  # the first and the last are fast
        collects[window.start : window.end + 1] = True
        ends_window[window.end] = True
    schedule = stan_schedule(num_warmup)
    np.testing.assert_array_equal(schedule.collects, collects)
    np.testing.assert_array_equal(schedule.ends_window, ends_window)


@pytest.mark.parametrize("num_warmup", LENGTHS)
def test_schedule_equals_blackjaxs(num_warmup: int) -> None:
    staged_adaptation = pytest.importorskip("blackjax.adaptation.staged_adaptation")
    stages, ends = np.asarray(staged_adaptation.build_schedule(num_warmup)).T
    schedule = stan_schedule(num_warmup)
    np.testing.assert_array_equal(schedule.collects, stages == 1)
    np.testing.assert_array_equal(schedule.ends_window, ends)


def test_under_twenty_steps_the_metric_is_left_alone() -> None:
    schedule = stan_schedule(19)
    assert not schedule.collects.any()
    assert not schedule.ends_window.any()
    assert last_window(schedule) == 0


@pytest.mark.parametrize("num_warmup", [20, 100, 250, 1000])
def test_windows_of_pooled_chains_begin_short_and_double(num_warmup: int) -> None:
    schedule = pooled_schedule(num_warmup)
    first = np.argmax(schedule.collects)
    lengths = np.diff([first, *(np.flatnonzero(schedule.ends_window) + 1)])
    assert first == num_warmup // 10
    assert lengths[0] == num_warmup // 20
    np.testing.assert_array_equal(lengths[1:-1], 2 * lengths[:-2])
    assert lengths[-1] >= 2 * lengths[-2]
    assert last_window(schedule) == lengths[-1] > num_warmup / 3
    assert not schedule.collects[-(num_warmup // 10) :].any()


@pytest.mark.parametrize(("num_warmup", "draws"), [(150, 25), (1000, 500), (2000, 1100)])
def test_the_last_window_has_stans_length(num_warmup: int, draws: int) -> None:
    assert last_window(stan_schedule(num_warmup)) == draws


@pytest.mark.parametrize("begin", [1e-3, 1.0, 50.0])
def test_dual_averaging_drives_acceptance_to_its_target(begin: float) -> None:
    """Acceptance exp(-ε), so that ε should become minus the logarithm of the target."""
    steps, target = 4000, 0.8

    def step(state, _):  # type: ignore[no-untyped-def]
        acceptance = jnp.exp(-jnp.exp(state.log_step_size))
        return dual_averaging.update(state, acceptance, target), None

    state, _ = jax.jit(
        lambda first: jax.lax.scan(step, dual_averaging.init(first), None, length=steps)
    )(jnp.asarray(begin))
    # the shrinkage to where it began is held off by a mean error of γ log(ε₀/ε) / √n, of which
    # the latest error is half
    pull = dual_averaging.GAMMA * abs(np.log(begin / -np.log(target))) / np.sqrt(steps)
    assert abs(np.exp(-np.exp(state.log_average)) - target) < 0.6 * pull < 0.035


def test_dual_averaging_equals_numpyros_with_the_same_constants() -> None:
    hmc_util = pytest.importorskip("numpyro.infer.hmc_util")
    begin, target = 0.3, 0.8
    theirs_init, theirs_update = hmc_util.dual_averaging(
        t0=dual_averaging.T0, kappa=dual_averaging.KAPPA, gamma=dual_averaging.GAMMA
    )
    theirs, ours = theirs_init(jnp.log(begin)), dual_averaging.init(jnp.asarray(begin))
    theirs_update, ours_update = jax.jit(theirs_update), jax.jit(dual_averaging.update)
    for acceptance in np.random.default_rng(0).uniform(size=30):
        theirs = theirs_update(target - acceptance, theirs)
        ours = ours_update(ours, acceptance, target)
        np.testing.assert_allclose(ours.log_step_size, theirs[0], rtol=1e-10)
        np.testing.assert_allclose(ours.log_average, theirs[1], rtol=1e-10)


def test_warm_up_drives_acceptance_to_its_target_and_keeps_a_metric_that_is_not_to_move() -> None:
    never = np.zeros(400, dtype=bool)
    starts = np.random.default_rng(0).multivariate_normal(np.zeros(2), LECTURE_COVARIANCE, size=64)
    value_and_gradient, metric = jax.value_and_grad(lecture_gaussian), make_metric(DENSE)

    def one(key: Array, start: Array):  # type: ignore[no-untyped-def]
        schedule = Schedule(never, never)
        return warm_up(value_and_gradient, key, start[None], metric, schedule, stan_shrinkage)

    keys = jax.random.split(jax.random.key(7), 64)
    end = jax.jit(jax.vmap(one))(keys, jnp.asarray(starts))
    late = np.asarray(end.transitions.acceptance[:, 200:, 0]).mean(axis=1)
    # dual averaging holds the sum of errors: what is left after n steps is of order 1/n
    error = late.std() / np.sqrt(len(late))
    assert abs(late.mean() - TARGET_ACCEPTANCE) < 0.01 + 5 * error
    assert error < 0.005
    np.testing.assert_array_equal(
        end.metric.inverse_mass_matrix, np.broadcast_to(DENSE, (64, 2, 2))
    )


# -- the plain sampler, on the lecture's settings


@pytest.mark.parametrize("inverse", [np.ones(2), np.eye(2)], ids=["diagonal", "dense"])
def test_chains_that_have_not_moved_leave_the_metric_as_it_was(inverse: np.ndarray) -> None:
    """At a step that is far too long all stay, and show no variance."""
    narrow = jax.value_and_grad(lambda z: -0.5 * jnp.sum((z / 1e-9) ** 2))
    once = np.array([True])
    end = warm_up(
        narrow,
        jax.random.key(0),
        jnp.zeros((16, 2)),
        make_metric(jnp.asarray(inverse)),
        Schedule(collects=once, ends_window=once),
        oracle_shrinkage,
    )
    np.testing.assert_array_equal(end.state.position, 0.0)
    np.testing.assert_array_equal(end.metric.inverse_mass_matrix, inverse)


def lecture_run(key: Array) -> Samples:
    """Thirty draws from (0, 2)."""
    return sample(
        lecture_gaussian,
        key,
        np.array([0.0, 2.0]),
        num_samples=30,
        num_steps=20,
        step_size=0.2,
        inverse_mass_matrix=np.ones(2),
    )


@pytest.fixture(scope="module")
def lecture_runs() -> Samples:
    """Four hundred runs."""
    return jax.vmap(lecture_run)(jax.random.split(jax.random.key(42), 400))


def test_sample_returns_the_start_and_every_trajectory(lecture_runs: Samples) -> None:
    assert lecture_runs.positions.shape == (400, 31, 2)
    assert lecture_runs.trajectories.shape == (400, 30, 21, 2)
    np.testing.assert_array_equal(
        lecture_runs.positions[:, 0], np.broadcast_to([0.0, 2.0], (400, 2))
    )


def test_each_trajectory_starts_at_the_position_before_it(lecture_runs: Samples) -> None:
    np.testing.assert_array_equal(
        lecture_runs.trajectories[:, :, 0], lecture_runs.positions[:, :-1]
    )


def test_each_position_is_the_end_of_its_trajectory_or_the_position_before(
    lecture_runs: Samples,
) -> None:
    positions = np.asarray(lecture_runs.positions)
    moved = np.all(positions[:, 1:] == np.asarray(lecture_runs.trajectories)[:, :, -1], axis=-1)
    stayed = np.all(positions[:, 1:] == positions[:, :-1], axis=-1)
    assert np.all(moved ^ stayed)
    np.testing.assert_allclose(moved.mean(axis=1), lecture_runs.acceptance_rate, rtol=1e-6)


def test_acceptance_is_in_line_with_the_lectures_29_of_30(lecture_runs: Samples) -> None:
    """The lecture saw 0.967 in its one run of thirty draws."""
    rates = np.asarray(lecture_runs.acceptance_rate)
    assert rates.mean() > 0.9
    accepted = np.rint(30 * rates)
    assert np.mean(accepted <= 29) > 0.05
    assert np.mean(accepted >= 29) > 0.05


def test_energy_errors_are_those_that_acceptance_goes_by(lecture_runs: Samples) -> None:
    errors = np.asarray(lecture_runs.energy_errors)
    assert errors.shape == (400, 30, 21)
    assert np.all(errors[..., 0] == 0)
    acceptance = np.exp(-np.maximum(errors[..., -1], 0))
    rates = np.asarray(lecture_runs.acceptance_rate)
    error = np.std(rates, ddof=1) / np.sqrt(len(rates))
    assert abs(acceptance.mean() - rates.mean()) < 5 * error


def test_sample_is_determined_by_its_key(lecture_runs: Samples) -> None:
    again = lecture_run(jax.random.split(jax.random.key(42), 400)[7])
    # one chain by itself is compiled differently from a batch; its errors grow along the way
    np.testing.assert_allclose(again.positions, lecture_runs.positions[7], atol=1e-8)
    assert not np.any(lecture_runs.positions[7, 1:] == lecture_runs.positions[8, 1:])
