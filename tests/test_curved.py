"""Cases far from a Gaussian, against integrals over one variable by SciPy."""

from collections.abc import Callable

import numpy as np
import scipy.integrate
import scipy.stats

from invmass.model.case import Truth
from invmass.model.catalogue import all_cases


def truth_of(name: str) -> Truth:
    case = all_cases()[name]
    return case.truth_in(case.posterior.default_transforms)


def test_pressed_against_a_bound_is_a_truncated_normal() -> None:
    law = scipy.stats.truncnorm(-0.25, 19.75, 0.5, 2.0)

    def integral(function: Callable[[float], float]) -> float:
        def at(u: float) -> float:
            x = law.ppf(u)
            return function(np.log(x) - np.log(40.0 - x))

        parts = ((0, 1e-4), (1e-4, 0.5), (0.5, 1))
        return sum(scipy.integrate.quad(at, *part, limit=500)[0] for part in parts)

    mean = integral(lambda z: z)
    variance = integral(lambda z: (z - mean) ** 2)
    moments = truth_of("pressed").moments
    np.testing.assert_allclose(moments.mean, [mean], rtol=1e-4)
    np.testing.assert_allclose(moments.covariance, [[variance]], rtol=1e-4)
    # the inverse Fisher knows nothing of the bound: dx/dz there is x (40 - x) / 40
    expected = (2.0 / (0.5 * 39.5 / 40)) ** 2
    np.testing.assert_allclose(truth_of("pressed").inverse_fisher, [[expected]], rtol=1e-10)


def test_banana_is_gaussian_in_its_level_given_its_bend() -> None:
    """The bend's density is `N(b; 20, 1) N(101; 100 + 0.2 (b - 20)², 4.25)`, the level's a mean."""
    weight_of_data = 4.0 / 4.25

    def density(b: float) -> float:
        return scipy.stats.norm.pdf(b) * scipy.stats.norm.pdf(1.0, 0.2 * b**2, np.sqrt(4.25))

    def expectation(function: Callable[[float], float]) -> float:
        def part(f: Callable[[float], float]) -> float:
            return scipy.integrate.quad(f, -12, 12, points=[-1, 0, 1], limit=500)[0]

        return part(lambda b: function(b) * density(b)) / part(density)

    def level(b: float) -> float:
        return weight_of_data * (1.0 - 0.2 * b**2)

    mean = expectation(level)
    variance = expectation(lambda b: (level(b) - mean) ** 2) + 4.0 * 0.25 / 4.25
    moments = truth_of("banana").moments
    np.testing.assert_allclose(moments.mean, [100.0 + mean, 20.0], rtol=1e-6)
    expected = np.diag([variance, expectation(lambda b: b**2)])
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(truth_of("banana").inverse_fisher, np.diag([4 / 17, 1]), rtol=1e-10)
