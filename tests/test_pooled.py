"""Many coordinates are judged together: by statistics whose error is what it is said to be."""

import numpy as np
import pytest

from invmass.verdicts.equivalence import interval
from invmass.verdicts.judge import _pooled

D, REPLICATES, SIZE = 45, 16, 0.2


def matrices(generator: np.random.Generator, correlation: float) -> np.ndarray:
    """Whitened covariances of 225 draws, as many neighbours correlating as there are."""
    truth = np.eye(D) + correlation * (np.eye(D, k=1) + np.eye(D, k=-1))
    draws = generator.multivariate_normal(np.zeros(D), truth, size=(REPLICATES, 225))
    return np.einsum("rni,rnj->rij", draws, draws) / 225


@pytest.mark.parametrize("correlation", [0.0, SIZE])
def test_pooled_statistics_miss_no_more_often_than_they_promise(correlation: float) -> None:
    """Were the products taken for independent, the squares would miss ten times as often."""
    alpha, rounds = 0.02, 600
    generator = np.random.default_rng(1)
    expected = {"squares off the diagonal": 2 * (D - 1) * correlation**2 / D}
    missed = dict.fromkeys(("mean of the ratios", "squares off the diagonal"), 0)
    for _ in range(rounds):
        found = {s.entry: s for s in _pooled(matrices(generator, correlation), "ratios")}
        for name in missed:
            seen, truth = interval(found[name], 0.1, alpha), expected.get(name, 1.0)
            missed[name] += not seen.low <= truth <= seen.high
    for name, count in missed.items():
        assert count < 1.5 * alpha * rounds + 4 * np.sqrt(alpha * rounds), name


def test_squares_off_the_diagonal_are_estimated_without_bias() -> None:
    generator = np.random.default_rng(2)
    found = [_pooled(matrices(generator, SIZE), "ratios")[2].values.mean() for _ in range(200)]
    expected = 2 * (D - 1) * SIZE**2 / D
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(200))
