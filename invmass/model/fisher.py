"""Expected and observed Fisher information of a posterior, in constrained or unconstrained space.

In either space the point is given as a dictionary of *constrained* values, because a common mistake
is to evaluate the unconstrained matrix at constrained values. Everything is computed in float64.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import SingularFisherError, UsageError
from invmass.model.bijectors import Transforms
from invmass.model.distributions import Array
from invmass.model.posterior import Posterior, Sites
from invmass.model.precision import float64, float64_arrays

Space = Literal["x", "z"]
Blocks = dict[str, dict[str, np.ndarray]]


def expected(
    posterior: Posterior,
    x: Sites,
    *,
    space: Space = "z",
    transforms: Transforms | None = None,
    prior: bool = False,
    invert: bool = False,
    flat: bool = False,
) -> Blocks | np.ndarray:
    """Expected Fisher information `Jηᵀ I(η) Jη` at the constrained point `x`.

    Args:
        posterior: the model; `I(η)` comes from the family of each observation.
        x: constrained value of every site.
        space: coordinates of the result, constrained "x" or unconstrained "z".
        transforms: the bijector of each site, which defines z; by default our own.
        prior: whether to add minus the Hessian of the log prior density of that space.
        invert: whether to return the inverse, which is a covariance.
        flat: whether to return one matrix, shape (d, d), in declared order, instead of a
            dictionary of blocks `[row site][column site]`.

    Raises:
        SingularFisherError: `invert` is set, and the information is singular.
        UsageError: a site is missing, unknown or of the wrong shape.

    Source: Lehmann & Casella, *Theory of Point Estimation*, §2.6 (chain rule of the information).
    """
    return _answer(posterior, x, _likelihood_information, space, transforms, prior, invert, flat)


def observed(
    posterior: Posterior,
    x: Sites,
    *,
    space: Space = "z",
    transforms: Transforms | None = None,
    prior: bool = False,
    invert: bool = False,
    flat: bool = False,
) -> Blocks | np.ndarray:
    """Observed information: minus the Hessian of the log likelihood, given the data.

    With `prior=True` it is minus the Hessian of the log posterior density of that space. Arguments,
    results and errors are those of `expected`.
    """
    return _answer(posterior, x, _likelihood_curvature, space, transforms, prior, invert, flat)


def jeffreys_log_density(
    posterior: Posterior, x: Sites, *, space: Space = "x", transforms: Transforms | None = None
) -> float:
    """Log density of Jeffreys' prior, `½ log det F`, without its normalising constant.

    Args:
        posterior: the model.
        x: constrained value of every site.
        space: whether the density is that of the constrained "x" or the unconstrained "z".
        transforms: the bijector of each site, which defines z; by default our own.

    Returns:
        The log density; minus infinity if the information F is singular.
    """
    matrix = expected(posterior, x, space=space, transforms=transforms, flat=True)
    scale, values, _ = in_own_units(np.asarray(matrix))
    if is_singular(values):
        return -np.inf
    return float(np.sum(np.log(scale)) + 0.5 * np.sum(np.log(values)))


def in_own_units(information: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigendecomposition of an information matrix whose diagonal is scaled to ones.

    Args:
        information: shape (d, d), symmetric.

    Returns:
        The square roots of the diagonal, (d,), by which rows and columns are divided; the
        eigenvalues in ascending order, (d,); and the eigenvectors as columns, (d, d).
    """
    scale = np.sqrt(np.abs(np.diag(information)))
    scale = np.where(scale > 0, scale, 1.0)
    return scale, *np.linalg.eigh(information / np.outer(scale, scale))


def is_singular(values: np.ndarray) -> bool:
    """Whether the first of ascending eigenvalues is zero up to rounding, or negative."""
    return bool(values[0] <= 1e-11 * max(values[-1], 1.0))


def invert_information(information: np.ndarray, coordinates: tuple[str, ...]) -> np.ndarray:
    """Invert an information matrix.

    Args:
        information: shape (d, d), symmetric.
        coordinates: names of the d coordinates, for the error message.

    Raises:
        SingularFisherError: the matrix is singular, indefinite or not finite. The message names
            the direction that the data do not identify.
    """
    if not np.all(np.isfinite(information)):
        raise SingularFisherError(
            "the Fisher information is not finite here; is the point inside the support?"
        )
    scale, values, vectors = in_own_units(information)
    if is_singular(values):
        kind = "singular" if values[0] > -1e-8 else "indefinite"
        raise SingularFisherError(
            f"the Fisher information is {kind}: the data do not identify the direction "
            f"{_in_words(vectors[:, 0] / scale, coordinates)}. Add a prior (prior=True), more "
            "observations, or fix a parameter."
        )
    return (vectors / values) @ vectors.T / np.outer(scale, scale)


def flat_direction(curvature: np.ndarray, coordinates: tuple[str, ...]) -> str | None:
    """The direction along which a (d, d) Hessian is zero, as text; None if there is none."""
    scale, values, vectors = in_own_units(curvature)
    return _in_words(vectors[:, 0] / scale, coordinates) if abs(values[0]) <= 1e-8 else None


def _in_words(direction: np.ndarray, coordinates: tuple[str, ...]) -> str:
    """A direction as a linear combination of coordinates, such as `+1·a -0.5·b`."""
    direction = direction / direction[np.argmax(np.abs(direction))]
    return " ".join(
        f"{weight:+.3g}·{name}"
        for weight, name in zip(direction, coordinates, strict=True)
        if abs(weight) > 1e-6
    )


def blocks(matrix: np.ndarray, posterior: Posterior) -> Blocks:
    """Split a (d, d) matrix into a dictionary of blocks `[row site][column site]`."""
    return {
        row: {column: matrix[a, b] for column, b in posterior.slices.items()}
        for row, a in posterior.slices.items()
    }


def from_blocks(blocks: Mapping[str, Mapping[str, Array]], posterior: Posterior) -> np.ndarray:
    """Join blocks to a (d, d) matrix in declared order; their own order does not matter."""
    names = list(posterior.sites)
    return np.block([[np.atleast_2d(blocks[row][column]) for column in names] for row in names])


Information = Callable[[Posterior, Callable[[Array], dict[str, Array]], Array], Array]


def _answer(
    posterior: Posterior,
    x: Sites,
    information: Information,
    space: Space,
    transforms: Transforms | None,
    prior: bool,
    invert: bool,
    flat: bool,
) -> Blocks | np.ndarray:
    if space not in ("x", "z"):
        raise UsageError(f"space must be 'x' (constrained) or 'z' (unconstrained), not {space!r}")
    transforms = transforms or posterior.default_transforms
    with float64():
        z = posterior.to_unconstrained(float64_arrays(x), transforms)
        if space == "z":
            at = posterior.flatten(z)

            def to_x(v: Array) -> dict[str, Array]:
                return posterior.to_constrained(posterior.unflatten(v), transforms)

            def log_prior(v: Array) -> Array:
                log_det = sum(
                    transforms[name].log_det(value)
                    for name, value in posterior.unflatten(v).items()
                )
                return posterior.log_prior(to_x(v)) + log_det
        else:
            at = posterior.free(float64_arrays(x))

            def to_x(v: Array) -> dict[str, Array]:
                return posterior.from_free(v)

            def log_prior(v: Array) -> Array:
                return posterior.log_prior(to_x(v))

        def compute(v: Array) -> Array:
            matrix = information(posterior, to_x, v)
            return matrix - jax.hessian(log_prior)(v) if prior else matrix

        matrix = np.asarray(jax.jit(compute)(at), dtype=np.float64)
    if invert:
        matrix = invert_information(matrix, posterior.coordinates)
    return matrix if flat else blocks(matrix, posterior)


def _likelihood_information(
    posterior: Posterior, to_x: Callable[[Array], dict[str, Array]], at: Array
) -> Array:
    """Expected information of the observations, (d, d), by the chain rule at the point `at`."""
    total = jnp.zeros((at.size, at.size))
    for observation in posterior.observations.values():

        def parameters(v: Array, observation=observation):  # type: ignore[no-untyped-def]
            return observation.distribution(to_x(v)).broadcast(observation.values)

        total = total + parameters(at).information(jax.jacfwd(parameters)(at))
    return total


def _likelihood_curvature(
    posterior: Posterior, to_x: Callable[[Array], dict[str, Array]], at: Array
) -> Array:
    """Minus the Hessian of the log likelihood, (d, d), at the point `at`."""
    return -jax.hessian(lambda v: posterior.log_likelihood(to_x(v)))(at)
