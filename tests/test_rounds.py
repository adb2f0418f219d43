"""Rounds of timings compared: error rates of the tests, and coverage of the intervals."""

import numpy as np
import pytest
import scipy.stats

from invmass.reports import rounds


def test_level_is_shared_among_tests_that_can_reach_it() -> None:
    """False alarms of all tests together keep the level; what can reject nothing costs nothing."""
    few, many = rounds.smallest_p(5, 5), rounds.smallest_p(10, 10)
    assert rounds.level_of_each(0.001, [many] * 8) == 0.001 / 8
    assert rounds.level_of_each(0.001, [many] * 8 + [few] * 100) == 0.001 / 8
    assert rounds.level_of_each(0.01, [few] * 2) == 0.01 / 2
    assert rounds.level_of_each(0.01, [few] * 3) == 0.01 / 3  # which none of them can reach


def test_test_keeps_its_level_with_a_coarse_clock() -> None:
    rng = np.random.default_rng(0)
    for coarse in (1e-9, 0.5):
        seconds = 10 + np.ceil(rng.random((2, 4000, 8)) / coarse) * coarse
        found = [rounds.compare_rounds(*pair).p_slower for pair in seconds.swapaxes(0, 1)]
        wrong = int(np.sum(np.less_equal(found, 0.05)))
        assert scipy.stats.binomtest(wrong, 4000, 0.05, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("size", [5, 9, 30, 120])
def test_interval_covers_as_it_says_and_agrees_with_the_test(size: int) -> None:
    rng = np.random.default_rng(size)
    half, missed, tries = (1 - rounds.CONFIDENCE) / 2, 0, 1000
    for _ in range(tries):
        base, new = np.exp(0.2 * rng.normal(size=(2, size)))
        found = rounds.compare_rounds(base, 1.2 * new)
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= 1.2 <= found.high
        if size * size <= rounds.EXACT:
            assert (found.low > 1) == (found.p_slower <= half)
            assert (found.high < 1) == (found.p_faster <= half)
    level = 1 - rounds.CONFIDENCE
    assert scipy.stats.binomtest(missed, tries, level, alternative="greater").pvalue > 1e-6
    assert rounds.compare_rounds([1.0, 1.1], [1.0, 1.1]).low is None
