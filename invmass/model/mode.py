"""Find the highest mode of an unconstrained log density from several starting points."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
import scipy.optimize

from invmass.errors import NoModeError
from invmass.model.derivatives import gradient, hessian
from invmass.model.distributions import Array
from invmass.model.fisher import flat_direction, in_own_units, is_singular

STARTS = 4  # number of starting points
_LEVEL = 1e-6  # a gradient whose entries are smaller counts as zero
_SHRINKINGS = 60  # largest number of halvings of a start, until the density is finite there


def find_mode(log_density: Callable[[Array], Array], coordinates: tuple[str, ...]) -> np.ndarray:
    """Find the point at which the log density is largest, shape (d,).

    The search starts at the origin and at points drawn uniformly from (-2, 2)^d. Far from a mode
    the log density may be -1e100 or overflow, and Newton's method fails. Therefore L-BFGS first
    minimises asinh of minus the log density, whose gradient is moderate everywhere, and Newton's
    method in a trust region continues from there.

    Args:
        log_density: a function of a position of shape (d,).
        coordinates: names of the d coordinates, for error messages.

    Raises:
        NoModeError: no mode was found; the message gives the reason.
    """
    energy = _Energy(log_density)
    starts = np.random.default_rng(0).uniform(-2, 2, (STARTS, len(coordinates)))
    starts[0] = 0.0
    modes = []
    flat: list[str | None] = []  # directions of zero curvature at points of zero gradient
    for start in _finite(starts, energy.value_and_slope):
        rough = scipy.optimize.minimize(energy.moderate, start, jac=True, method="L-BFGS-B").x
        for point in (rough, start):
            result = energy.newton(point)
            if result is None:
                continue
            if np.max(np.abs(result.jac)) < _LEVEL and np.all(np.isfinite(result.hess)):
                flat.append(flat_direction(result.hess, coordinates))
            if _is_minimum(result.jac, result.hess):
                modes.append((result.fun, result.x))
                break
    if modes:
        return min(modes, key=lambda mode: mode[0])[1]
    if named := next(filter(None, flat), None):
        raise NoModeError(f"no mode was found: the density in z is flat along {named}")
    raise NoModeError(
        "no mode was found: the density in z may rise without bound, as that of a centred "
        "hierarchical model does where its scale vanishes"
    )


class _Energy:
    """Minus a log density, with its derivatives, compiled for the two minimisers."""

    def __init__(self, log_density: Callable[[Array], Array]) -> None:
        def energy(z: Array) -> Array:
            return -log_density(z)

        self._value = jax.jit(energy)
        self._slope, self._curvature = jax.jit(gradient(energy)), jax.jit(hessian(energy))

    def value_and_slope(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """The energy, infinite where it is not finite, and its gradient."""
        value = float(self._value(z))
        return (value if np.isfinite(value) else np.inf), np.asarray(self._slope(z))

    def moderate(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """asinh of the energy, and its gradient."""
        value, slope = self.value_and_slope(z)
        if not (np.isfinite(value) and np.all(np.isfinite(slope))):
            return 1e6, np.zeros_like(slope)  # larger than asinh of any float
        return float(np.arcsinh(value)), slope / np.hypot(1.0, value)

    def newton(self, start: np.ndarray) -> scipy.optimize.OptimizeResult | None:
        """Minimise by Newton's method in a trust region; None if a Hessian is not finite."""
        try:
            return scipy.optimize.minimize(
                self.value_and_slope,
                start,
                jac=True,
                hess=self._finite_curvature,
                method="trust-exact",
                options={"gtol": 1e-8, "maxiter": 200},
            )
        except FloatingPointError:
            return None

    def _finite_curvature(self, z: np.ndarray) -> np.ndarray:
        curvature = np.asarray(self._curvature(z))
        if not np.all(np.isfinite(curvature)):
            raise FloatingPointError("the density rises without bound here")
        return curvature


def _finite(
    starts: np.ndarray, energy: Callable[[np.ndarray], tuple[float, np.ndarray]]
) -> Sequence[np.ndarray]:
    """The starts, each halved until energy and gradient are finite there; others are left out."""
    finite = []
    for start in starts:
        for halvings in range(_SHRINKINGS):
            value, slope = energy(start * 0.5**halvings)
            if np.isfinite(value) and np.all(np.isfinite(slope)):
                finite.append(start * 0.5**halvings)
                break
    return finite


def _is_minimum(slope: np.ndarray, curvature: np.ndarray) -> bool:
    """Whether the Hessian is positive definite and another Newton step would gain nothing."""
    if not (np.all(np.isfinite(slope)) and np.all(np.isfinite(curvature))):
        return False
    scale, values, vectors = in_own_units(curvature)
    if is_singular(values):
        return False
    return float(np.sum((vectors.T @ (slope / scale)) ** 2 / values)) < 1e-8
