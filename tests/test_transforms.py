"""Bijectors against themselves, against autodiff, and against the libraries' own."""

from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from invmass.errors import UsageError
from invmass.model.bijectors import (
    Exp,
    Identity,
    IsometricLogRatio,
    LibraryTransform,
    Ordered,
    PartialCorrelations,
    ScaledSigmoid,
    StickBreaking,
    Transform,
    autodiff_log_det,
    default_transform,
    stan_transform,
)
from invmass.model.catalogue import all_cases
from invmass.model.distributions import (
    LKJ,
    Array,
    Correlation,
    Dirichlet,
    Increasing,
    Interval,
    OrderedNormal,
    Positive,
    Real,
    Simplex,
    Support,
)
from invmass.model.posterior import Posterior, Site
from invmass.model.precision import float64

TRANSFORMS = {
    "identity": (Identity(), 3),
    "exp": (Exp(), 3),
    "ordered": (Ordered(), 4),
    "partial_correlation": (PartialCorrelations(), 1),
    "partial_correlations": (PartialCorrelations(), 6),
    "sigmoid_symmetric": (ScaledSigmoid(-10.0, 10.0), 3),
    "sigmoid_shifted": (ScaledSigmoid(2.0, 5.5), 3),
    "stick_of_two": (StickBreaking(), 1),
    "stick_of_three": (StickBreaking(), 2),
    "stick_of_six": (StickBreaking(), 5),
    "log_ratio_of_two": (IsometricLogRatio(), 1),
    "log_ratios_of_six": (IsometricLogRatio(), 5),
    "library": (
        LibraryTransform(jax.nn.softplus, lambda x: x + jnp.log(-jnp.expm1(-x))),
        3,
    ),
}
EACH = pytest.mark.parametrize(("transform", "size"), TRANSFORMS.values(), ids=list(TRANSFORMS))


def support_of(transform: Transform) -> Support:
    """What the values are, as far as it matters which of their entries are free."""
    match transform:
        case StickBreaking() | IsometricLogRatio():
            return Simplex()
        case PartialCorrelations():
            return Correlation()
    return Real()


@pytest.fixture(autouse=True, scope="module")
def double_precision() -> Iterator[None]:
    with float64():
        yield


def positions(size: int) -> np.ndarray:
    """Twenty positions within about five units of the origin."""
    return np.random.default_rng(1).normal(scale=2.0, size=(20, size))


def rows(function: Callable[..., Array], *arguments: Array) -> Array:
    """`function` of each row, compiled once."""
    return jax.jit(jax.vmap(function))(*arguments)


@EACH
def test_forward_and_inverse_undo_each_other(transform: Transform, size: int) -> None:
    def there_and_back(row: Array) -> tuple[Array, Array, Array]:
        x = transform.forward(row)
        back = transform.inverse(x)
        return x, back, transform.forward(back)

    z = positions(size)
    x, back, again = rows(there_and_back, z)
    # the map flattens by e⁻⁶ at most there, so that rounding grows to 1e-13 or so
    np.testing.assert_allclose(back, z, rtol=0, atol=1e-10)
    np.testing.assert_allclose(again, x, rtol=1e-10)


@EACH
def test_log_det_is_that_of_the_jacobian(transform: Transform, size: int) -> None:
    z, step = positions(size), 1e-5

    def three_ways(row: Array) -> tuple[Array, Array, Array]:
        steps = step * jnp.eye(size)
        forward = jax.vmap(transform.forward)
        free = support_of(transform).free
        rises = jax.vmap(free)(forward(row + steps)) - jax.vmap(free)(forward(row - steps))
        differences = jnp.linalg.slogdet(rises / (2 * step))[1]
        derived = autodiff_log_det(transform.forward, row, support_of(transform))
        return transform.log_det(row), derived, differences

    closed, derived, differences = rows(three_ways, z)
    np.testing.assert_allclose(closed, derived, rtol=1e-10, atol=1e-10)
    # truncation of order step² = 1e-10, rounding of order 1e-16 / step over the smallest slope
    np.testing.assert_allclose(closed, differences, atol=1e-6)


def test_each_support_gets_stans_transform() -> None:
    assert default_transform(Real()) == Identity()
    assert default_transform(Positive()) == Exp()
    assert default_transform(Interval(0.0, 2.0)) == ScaledSigmoid(0.0, 2.0)
    assert default_transform(Simplex()) == StickBreaking()
    assert default_transform(Increasing()) == Ordered()
    assert default_transform(Correlation()) == PartialCorrelations()


def test_stan_today_differs_on_a_simplex_alone() -> None:
    assert stan_transform(Simplex()) == IsometricLogRatio()
    assert stan_transform(Positive()) == Exp()


def test_log_ratios_are_made_a_simplex_as_stan_math_does_it() -> None:
    """`simplex_constrain`: the entries of a vector of sum zero in one loop from behind; softmax."""
    z = positions(4)
    zero_sum = np.zeros((len(z), 5))
    total = np.zeros(len(z))
    for i in range(4, 0, -1):
        w = z[:, i - 1] / np.sqrt(i * (i + 1))
        total += w
        zero_sum[:, i - 1] += total
        zero_sum[:, i] -= w * i
    expected = scipy.special.softmax(zero_sum, axis=1)
    np.testing.assert_allclose(rows(IsometricLogRatio().forward, z), expected, rtol=1e-12)


def test_zero_is_the_even_split_of_a_stick() -> None:
    np.testing.assert_allclose(StickBreaking().forward(jnp.zeros(4)), np.full(5, 0.2), rtol=1e-14)


@pytest.mark.parametrize(
    ("ours", "theirs", "size"),
    [
        pytest.param(Ordered(), "ordered_vector", 4, id="ordered"),
        pytest.param(PartialCorrelations(), "corr_matrix", 1, id="correlation_of_two"),
        pytest.param(PartialCorrelations(), "corr_matrix", 6, id="correlations_of_four"),
    ],
)
def test_vectors_and_matrices_are_mapped_as_by_numpyro(
    ours: Transform, theirs: str, size: int
) -> None:
    pytest.importorskip("numpyro")
    from numpyro.distributions import biject_to, constraints

    bijector, z = biject_to(getattr(constraints, theirs)), positions(size)
    x = rows(ours.forward, z)
    np.testing.assert_allclose(x, rows(bijector, z), rtol=1e-9, atol=1e-12)
    log_det = rows(bijector.log_abs_det_jacobian, z, x)
    np.testing.assert_allclose(rows(ours.log_det, z), log_det, rtol=1e-9, atol=1e-9)


def test_a_vector_or_matrix_has_no_repetitions() -> None:
    for prior in (Dirichlet(np.ones(3)), OrderedNormal(np.zeros(3), np.ones(3)), LKJ(3, 2.0)):
        with pytest.raises(UsageError, match="has no repetitions"):
            Posterior({"x": Site(prior, (2,))}, {})


@pytest.mark.parametrize("size", [1, 2, 5])
def test_stick_breaking_equals_numpyros(size: int) -> None:
    pytest.importorskip("numpyro")
    from numpyro.distributions.transforms import StickBreakingTransform

    ours, theirs, z = StickBreaking(), StickBreakingTransform(), positions(size)
    x = rows(ours.forward, z)
    np.testing.assert_allclose(x, rows(theirs, z), rtol=1e-10)
    np.testing.assert_allclose(rows(ours.inverse, x), rows(theirs.inv, x), atol=1e-10)
    np.testing.assert_allclose(
        rows(ours.log_det, z), rows(theirs.log_abs_det_jacobian, z, x), rtol=1e-10
    )


@pytest.mark.parametrize("support", ["positive", "interval"])
def test_exp_and_sigmoid_equal_numpyros(support: str) -> None:
    pytest.importorskip("numpyro")
    from numpyro.distributions import biject_to, constraints

    ours, constraint = {
        "positive": (Exp(), constraints.positive),
        "interval": (ScaledSigmoid(-3.0, 7.0), constraints.interval(-3.0, 7.0)),
    }[support]
    theirs, z = biject_to(constraint), positions(3)
    x = ours.forward(z)
    np.testing.assert_allclose(x, theirs(z), rtol=1e-10)
    np.testing.assert_allclose(ours.inverse(x), theirs.inv(x), atol=1e-10)
    np.testing.assert_allclose(
        ours.log_det(z), jnp.sum(theirs.log_abs_det_jacobian(z, x)), rtol=1e-10
    )


def test_sigmoid_equals_tfps() -> None:
    tfp = pytest.importorskip("tensorflow_probability.substrates.jax")
    ours, z = ScaledSigmoid(-3.0, 7.0), positions(3)
    low, high = np.float64(-3.0), np.float64(7.0)
    theirs = tfp.distributions.Uniform(low, high).experimental_default_event_space_bijector()
    np.testing.assert_allclose(ours.forward(z), theirs.forward(z), rtol=1e-10)


def test_exp_is_not_what_tfp_takes_for_a_half_normal() -> None:
    tfp = pytest.importorskip("tensorflow_probability.substrates.jax")
    prior = tfp.distributions.HalfNormal(np.float64(1.0))
    theirs, z = prior.experimental_default_event_space_bijector(), positions(3)
    np.testing.assert_allclose(theirs.forward(z), np.log1p(np.exp(z)), rtol=1e-10)
    assert np.all(np.abs(theirs.forward(z) / Exp().forward(z) - 1.0) > 1e-3)


def test_library_transform_takes_its_log_det_from_the_map_itself() -> None:
    pytest.importorskip("numpyro")
    from numpyro.distributions.transforms import StickBreakingTransform

    library = StickBreakingTransform()
    wrapped, z = LibraryTransform(library, library.inv, Simplex()), positions(3)
    np.testing.assert_allclose(
        rows(wrapped.log_det, z), rows(StickBreaking().log_det, z), rtol=1e-10
    )


# -- a posterior's sites


@pytest.fixture
def mixed() -> Posterior:
    return all_cases()["mixed_sites"].posterior


@pytest.fixture
def truth() -> Mapping[str, Array]:
    return all_cases()["mixed_sites"].truth


def test_coordinates_follow_the_declared_order(mixed: Posterior) -> None:
    assert mixed.coordinates == ("level", "shares[0]", "shares[1]", "bend", "gain")
    assert mixed.slices == {
        "level": slice(0, 1),
        "shares": slice(1, 3),
        "bend": slice(3, 4),
        "gain": slice(4, 5),
    }


def test_constrained_unconstrained_and_flat_round_trip(
    mixed: Posterior, truth: Mapping[str, Array]
) -> None:
    z = mixed.to_unconstrained(truth)
    flat = mixed.flatten(z)
    assert flat.shape == (5,)
    again = mixed.to_constrained(mixed.unflatten(flat))
    assert list(again) == list(truth)
    for name, value in truth.items():
        np.testing.assert_allclose(again[name], value, rtol=1e-12)


def test_flat_coordinates_are_the_transforms_of_the_sites(
    mixed: Posterior, truth: Mapping[str, Array]
) -> None:
    expected = [
        500.0,
        np.log(0.5 / 0.5) + np.log(2.0),  # a share of the whole, then of what is left
        np.log(0.3 / 0.2),
        np.log(1000.0),
        np.log(0.8 / 1.2),
    ]
    np.testing.assert_allclose(mixed.flatten(mixed.to_unconstrained(truth)), expected, rtol=1e-12)


def test_free_coordinates_round_trip(mixed: Posterior, truth: Mapping[str, Array]) -> None:
    free = mixed.free(truth)
    np.testing.assert_allclose(free, [500.0, 0.5, 0.3, 1000.0, 0.8], rtol=1e-15)
    for name, value in mixed.from_free(free).items():
        np.testing.assert_allclose(value, truth[name], rtol=1e-12)


def test_given_transforms_replace_the_default_ones(
    mixed: Posterior, truth: Mapping[str, Array]
) -> None:
    transforms = {**mixed.default_transforms, "bend": Identity()}
    z = mixed.to_unconstrained(truth, transforms)
    assert z["bend"] == 1000.0
    assert mixed.to_constrained(z, transforms)["bend"] == 1000.0


@pytest.mark.parametrize("method", ["to_unconstrained", "to_constrained", "flatten"])
def test_missing_and_unknown_sites_are_named(
    mixed: Posterior, truth: Mapping[str, Array], method: str
) -> None:
    wrong = {name: value for name, value in truth.items() if name != "gain"} | {"grain": 0.8}
    with pytest.raises(UsageError, match=r"missing \['gain'\].*unknown \['grain'\]"):
        getattr(mixed, method)(wrong)


def test_a_site_of_the_wrong_shape_is_named_with_the_right_one(
    mixed: Posterior, truth: Mapping[str, Array]
) -> None:
    with pytest.raises(UsageError, match=r"'shares' has shape \(2,\), expected \(3,\)"):
        mixed.to_unconstrained({**truth, "shares": np.array([0.5, 0.3])})
    with pytest.raises(UsageError, match=r"'shares' has shape \(3,\), expected \(2,\)"):
        mixed.to_constrained({**mixed.to_unconstrained(truth), "shares": np.zeros(3)})


def test_a_vector_of_the_wrong_length_is_told_its_coordinates(mixed: Posterior) -> None:
    with pytest.raises(UsageError, match=r"shares\[0\], shares\[1\], bend, gain.*\(4,\)"):
        mixed.unflatten(np.zeros(4))


def test_repetitions_of_a_simplex_are_refused() -> None:
    with pytest.raises(UsageError, match="'shares'"):
        Posterior({"shares": Site(Dirichlet(np.ones(3)), (2,))}, {})
