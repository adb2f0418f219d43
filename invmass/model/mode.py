"""The highest mode of an unconstrained log density, found from several points."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
import scipy.optimize

from invmass.errors import NoModeError
from invmass.model.derivatives import gradient, hessian
from invmass.model.distributions import Array
from invmass.model.fisher import flat_direction, in_own_units, is_singular

STARTS = 4  # points from which it is searched
_LEVEL = 1e-6  # a slope that is none
_SHRINKINGS = 60  # halvings of a start towards the origin, until the density is finite there


def find_mode(log_density: Callable[[Array], Array], coordinates: tuple[str, ...]) -> np.ndarray:
    """Where the log density is largest, shape (d,).

    From the origin and from points uniform on (-2, 2). Far from a mode the density may be e^-1e100
    or overflow, where Newton steps are of no use: first L-BFGS goes down asinh of the energy, whose
    slope is moderate everywhere, then Newton steps within a trust region go on from there.

    Args:
        log_density: of a position of shape (d,).
        coordinates: names of the d coordinates.

    Raises:
        NoModeError: there is no mode, or none was found; the message says why.
    """
    energy = _Energy(log_density)
    starts = np.random.default_rng(0).uniform(-2, 2, (STARTS, len(coordinates)))
    starts[0] = 0.0
    modes = []
    flat: list[str | None] = []  # directions along which there is no slope at all
    for start in _finite(starts, energy.value_and_slope):
        rough = scipy.optimize.minimize(energy.moderate, start, jac=True, method="L-BFGS-B").x
        for begin in (rough, start):
            found = energy.newton(begin)
            if found is None:
                continue
            if np.max(np.abs(found.jac)) < _LEVEL and np.all(np.isfinite(found.hess)):
                flat.append(flat_direction(found.hess, coordinates))
            if _is_minimum(found.jac, found.hess):
                modes.append((found.fun, found.x))
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
    """Minus a log density, compiled, with what the two minimisers need of it."""

    def __init__(self, log_density: Callable[[Array], Array]) -> None:
        def energy(z: Array) -> Array:
            return -log_density(z)

        self._value = jax.jit(energy)
        self._slope, self._curvature = jax.jit(gradient(energy)), jax.jit(hessian(energy))

    def value_and_slope(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """The energy, infinite where it is not finite, and its gradient."""
        at = float(self._value(z))
        return (at if np.isfinite(at) else np.inf), np.asarray(self._slope(z))

    def moderate(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """asinh of the energy, and its gradient."""
        at, down = self.value_and_slope(z)
        if not (np.isfinite(at) and np.all(np.isfinite(down))):
            return 1e6, np.zeros_like(down)  # beyond asinh of any float
        return float(np.arcsinh(at)), down / np.hypot(1.0, at)

    def newton(self, begin: np.ndarray) -> scipy.optimize.OptimizeResult | None:
        """Where Newton steps end; None if the density rises without bound on the way."""
        try:
            return scipy.optimize.minimize(
                self.value_and_slope,
                begin,
                jac=True,
                hess=self._finite_curvature,
                method="trust-exact",
                options={"gtol": 1e-8, "maxiter": 200},
            )
        except FloatingPointError:
            return None

    def _finite_curvature(self, z: np.ndarray) -> np.ndarray:
        found = np.asarray(self._curvature(z))
        if not np.all(np.isfinite(found)):
            raise FloatingPointError("the density rises without bound here")
        return found


def _finite(
    starts: np.ndarray, energy: Callable[[np.ndarray], tuple[float, np.ndarray]]
) -> Sequence[np.ndarray]:
    """The starts, drawn towards the origin as far as energy and slope are finite there."""
    found = []
    for start in starts:
        for halvings in range(_SHRINKINGS):
            at, down = energy(start * 0.5**halvings)
            if np.isfinite(at) and np.all(np.isfinite(down)):
                found.append(start * 0.5**halvings)
                break
    return found


def _is_minimum(slope: np.ndarray, curvature: np.ndarray) -> bool:
    """A positive definite Hessian, and a Newton step that would gain nothing."""
    if not (np.all(np.isfinite(slope)) and np.all(np.isfinite(curvature))):
        return False
    scale, values, vectors = in_own_units(curvature)
    if is_singular(values):
        return False
    return float(np.sum((vectors.T @ (slope / scale)) ** 2 / values)) < 1e-8
