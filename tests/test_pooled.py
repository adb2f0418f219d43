"""Many coordinates are judged together: by statistics whose error is what it is said to be."""

import numpy as np
import pytest

from invmass.claims.intervals import interval
from invmass.claims.pooled import pooled_statistics
from invmass.claims.sequential import look
from invmass.results.status import Status

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
        found = {
            s.entry: s for s in pooled_statistics(matrices(generator, correlation), "ratios", 0.1)
        }
        for name in missed:
            seen, truth = interval(found[name], 0.1, alpha), expected.get(name, 1.0)
            missed[name] += not seen.low <= truth <= seen.high
    for name, count in missed.items():
        assert count < 1.5 * alpha * rounds + 4 * np.sqrt(alpha * rounds), name


def test_squares_off_the_diagonal_are_estimated_without_bias() -> None:
    generator = np.random.default_rng(2)
    found = [
        pooled_statistics(matrices(generator, SIZE), "ratios", 0.1)[2].values.mean()
        for _ in range(200)
    ]
    expected = 2 * (D - 1) * SIZE**2 / D
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(200))


@pytest.mark.parametrize(("entry", "factor"), [("smallest", 0.5), ("largest", 2.0)])
def test_furthest_ratio_at_its_margin_is_missed_no_more_often_than_promised(
    entry: str, factor: float
) -> None:
    alpha, rounds = 0.02, 1000
    generator = np.random.default_rng(5)
    scale = np.where(np.arange(D) == 17, np.sqrt(factor), 1.0)
    missed = 0
    for _ in range(rounds):
        draws = scale * generator.normal(size=(REPLICATES, 225, D))
        found = {s.entry: s for s in pooled_statistics(np.mean(draws**2, axis=1), "ratios", 0.1)}
        seen = interval(found[f"{entry} of the ratios"], 1.0, alpha)
        missed += not seen.low <= factor <= seen.high
    assert missed < 1.5 * alpha * rounds + 4 * np.sqrt(alpha * rounds)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("factor", [1 / 7, 1.0, 7.0])
def test_one_coordinate_of_many_is_not_lost_among_them(dense: bool, factor: float) -> None:
    """As it would be in means: a hundredth of 7 is within their margin."""
    generator = np.random.default_rng(3)
    scale = np.where(np.arange(100) == 17, np.sqrt(factor), 1.0)
    draws = scale * generator.normal(size=(16, 225, 100))
    ratios = np.mean(draws**2, axis=1)
    if dense:
        ratios = np.einsum("rni,rnj->rij", draws, draws) / 225
    verdict = look(pooled_statistics(ratios, "ratios", 0.1), 0.1, 1e-6, 1)
    assert verdict.status is (Status.PASS if factor == 1 else Status.FAIL)
    if factor != 1:
        outside = {interval.entry for interval in verdict.intervals if interval.outside}
        assert f"{'largest' if factor > 1 else 'smallest'} of the ratios" in outside
        assert "mean of the ratios" not in outside


def test_one_pair_of_many_that_correlates_is_not_lost_among_them() -> None:
    generator = np.random.default_rng(4)
    draws = generator.normal(size=(16, 225, 100))
    draws[..., 3] = 0.95 * draws[..., 60] + np.sqrt(1 - 0.95**2) * draws[..., 3]
    ratios = np.einsum("rni,rnj->rij", draws, draws) / 225
    assert look(pooled_statistics(ratios, "ratios", 0.1), 0.1, 1e-6, 1).status is Status.FAIL


@pytest.mark.parametrize("size", [20, 200])
def test_few_draws_in_a_window_are_no_deviation(size: int) -> None:
    """The mean of the inverse ratios would be 1.1 with twenty."""
    generator = np.random.default_rng(6)
    ratios = np.mean(generator.normal(size=(64, size, 100)) ** 2, axis=1)
    assert look(pooled_statistics(ratios, "ratios", 0.1), 0.1, 1e-6, 1).status is Status.PASS


def test_a_fifth_of_the_coordinates_is_not_lost_among_the_others() -> None:
    """Their mean is 0.91, and none is below a half."""
    generator = np.random.default_rng(7)
    scale = np.where(np.arange(100) % 5 == 0, 0.55, 1.0)
    ratios = scale * np.mean(generator.normal(size=(16, 225, 100)) ** 2, axis=1)
    verdict = look(pooled_statistics(ratios, "ratios", 0.1), 0.1, 1e-6, 1)
    assert verdict.status is Status.FAIL
    assert verdict.worst.entry == "mean square deviation of the ratios"
