"""Fisher information of a posterior, expected or observed, in constrained or unconstrained space.

The point is always given as a dictionary of *constrained* values, whichever space the answer is
in: evaluating the unconstrained matrix at constrained numbers is the classic mistake.
Everything is computed in float64.
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
        space: coordinates of the answer, constrained "x" or unconstrained "z".
        transforms: the bijector that defines z; ours if not given.
        prior: add minus the Hessian of the log prior (in z space, Jacobian included).
        invert: return the inverse, a covariance.
        flat: return one (d, d) matrix in declared order instead of a dictionary of blocks.

    Raises:
        SingularFisherError: the inverse was asked for and does not exist.
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
    """Observed information: minus the Hessian of the log likelihood at the data.

    With `prior=True`, minus the Hessian of the log posterior density of that space. The arguments
    and errors are those of `expected`.
    """
    return _answer(posterior, x, _likelihood_curvature, space, transforms, prior, invert, flat)


def jeffreys_log_density(
    posterior: Posterior, x: Sites, *, space: Space = "x", transforms: Transforms | None = None
) -> float:
    """Log of Jeffreys' prior `sqrt(det F)`, not normalised, as a density of the given space.

    Minus infinity where F is singular.
    """
    matrix = expected(posterior, x, space=space, transforms=transforms, flat=True)
    scale, values, _ = in_own_units(np.asarray(matrix))
    if is_singular(values):
        return -np.inf
    return float(np.sum(np.log(scale)) + 0.5 * np.sum(np.log(values)))


def in_own_units(information: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Roots of the diagonal, and rising eigenvalues and vectors of what is left without them."""
    scale = np.sqrt(np.abs(np.diag(information)))
    scale = np.where(scale > 0, scale, 1.0)
    return scale, *np.linalg.eigh(information / np.outer(scale, scale))


def is_singular(values: np.ndarray) -> bool:
    """Whether the smallest of rising eigenvalues is no more than rounding."""
    return bool(values[0] <= 1e-11 * max(values[-1], 1.0))


def invert_information(information: np.ndarray, coordinates: tuple[str, ...]) -> np.ndarray:
    """Inverse of a (d, d) information matrix.

    Raises:
        SingularFisherError: names the direction about which the model says nothing.
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
    """The direction along which a (d, d) curvature is zero, in words; None if there is none."""
    scale, values, vectors = in_own_units(curvature)
    return _in_words(vectors[:, 0] / scale, coordinates) if abs(values[0]) <= 1e-8 else None


def _in_words(direction: np.ndarray, coordinates: tuple[str, ...]) -> str:
    """`+1·a -0.5·b`."""
    direction = direction / direction[np.argmax(np.abs(direction))]
    return " ".join(
        f"{weight:+.3g}·{name}"
        for weight, name in zip(direction, coordinates, strict=True)
        if abs(weight) > 1e-6
    )


def blocks(matrix: np.ndarray, posterior: Posterior) -> Blocks:
    """A (d, d) matrix as a dictionary of blocks, one for each pair of sites."""
    return {
        row: {column: matrix[a, b] for column, b in posterior.slices.items()}
        for row, a in posterior.slices.items()
    }


def from_blocks(blocks: Mapping[str, Mapping[str, Array]], posterior: Posterior) -> np.ndarray:
    """The inverse of `blocks`; the sites may come in any order."""
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
    total = jnp.zeros((at.size, at.size))
    for observation in posterior.observations.values():

        def parameters(v: Array, observation=observation):  # type: ignore[no-untyped-def]
            return observation.distribution(to_x(v)).broadcast(observation.values)

        total = total + parameters(at).information(jax.jacfwd(parameters)(at))
    return total


def _likelihood_curvature(
    posterior: Posterior, to_x: Callable[[Array], dict[str, Array]], at: Array
) -> Array:
    return -jax.hessian(lambda v: posterior.log_likelihood(to_x(v)))(at)
