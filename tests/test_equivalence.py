"""The sequential equivalence test: its intervals, its three answers, and their error rates."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from invmass.claims.intervals import Scale, Statistic, interval
from invmass.claims.sequential import exact, look, sequential
from invmass.results.status import Status


def log_normal(expectation: float, sd: float, count: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(-(sd**2) / 2, sd, count)
    return expectation * np.exp(noise)


def statistic(values: np.ndarray, expected: float = 1.0) -> Statistic:
    return Statistic("entry", values, expected, "log")


def first_of(values: np.ndarray) -> Callable[[int], list[Statistic]]:
    """Draws so many of the values."""
    return lambda count: [statistic(values[:count])]


def test_linear_interval_is_the_student_t_interval() -> None:
    noise = np.random.default_rng(0).normal(0.0, 2.0, 20)
    values = 3.0 + np.concatenate([noise, -noise])  # no skewness
    found = interval(Statistic("entry", values, 3.0, "linear"), 0.1, 0.01)
    expected = scipy.stats.t.interval(0.99, 39, loc=values.mean(), scale=scipy.stats.sem(values))
    np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-12)


def test_log_interval_is_centred_on_the_expectation_and_not_on_the_median() -> None:
    found = interval(statistic(log_normal(1.0, 0.5, 200_000, 1)), 0.1, 1e-6)
    assert found.low < 1.0 < found.high
    assert found.low > np.exp(-(0.5**2) / 2)  # where the mean of the logarithms sits


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_interval_covers_as_often_as_it_promises(scale: Scale) -> None:
    level, rounds = 0.05, 4000
    draws = log_normal(1.0, 0.1, 64 * rounds, 2).reshape(rounds, 64)
    missed = sum(
        not found.low <= 1.0 <= found.high
        for found in (interval(Statistic("e", d, 1.0, scale), 0.1, level) for d in draws)
    )
    # six standard deviations of a binomial on either side
    assert abs(missed - level * rounds) < 6 * np.sqrt(rounds * level * (1 - level))


@pytest.mark.parametrize("sd", [0.09, 0.22])
@pytest.mark.parametrize("tail", [0.01, 0.002])
def test_either_end_of_the_log_interval_misses_as_often_as_it_promises(
    sd: float, tail: float
) -> None:
    """Cox's interval misses 1.2 to 1.5 times as often at its upper end, where sd is 0.22."""
    rounds = 20_000
    draws = log_normal(1.0, sd, 64 * rounds, 7).reshape(rounds, 64)
    found = [interval(statistic(d), 0.1, 2 * tail) for d in draws]
    allowed = tail * rounds + 4 * np.sqrt(tail * rounds)
    assert sum(i.low > 1.0 for i in found) < allowed
    assert sum(i.high < 1.0 for i in found) < allowed
    assert sum(not i.low < 1.0 < i.high for i in found) > tail * rounds


def test_log_interval_is_the_likelihood_ratio_interval_of_a_log_normal_mean() -> None:
    """The likelihood of the log mean, maximised over the variance by a routine of SciPy's."""
    logs = np.random.default_rng(8).normal(0.3, 0.5, 40)
    logs -= logs.mean()
    logs = np.concatenate([logs, -logs])  # no skewness
    found = interval(statistic(np.exp(logs)), 0.1, 0.01)

    def deviance(theta: float) -> float:
        def negative(log_sd: float) -> float:
            sd = np.exp(log_sd)
            return -scipy.stats.norm.logpdf(logs, theta - sd**2 / 2, sd).sum()

        return 2 * scipy.optimize.minimize_scalar(negative, bounds=(-3, 2), method="bounded").fun

    best = deviance(np.log(found.found))
    quantile = scipy.stats.t.isf(0.005, len(logs) - 1)
    expected = len(logs) * np.log1p(quantile**2 / (len(logs) - 1))
    for end in (found.low, found.high):
        assert deviance(np.log(end)) - best == pytest.approx(expected, rel=1e-3)


def test_skewed_values_widen_the_interval_on_the_side_of_their_tail() -> None:
    noise = np.random.default_rng(9).gamma(1.0, 0.1, 64)
    values = 2.0 + noise - noise.mean()
    found = interval(Statistic("entry", values, 2.0, "linear"), 0.1, 1e-4)
    low, high = scipy.stats.t.interval(1 - 1e-4, 63, loc=2.0, scale=scipy.stats.sem(values))
    assert found.low == pytest.approx(low)
    assert found.high > high + 0.1 * (high - 2.0)


@pytest.mark.parametrize(
    ("effect", "status"),
    [(1.0, Status.PASS), (1.02, Status.PASS), (1.3, Status.FAIL), (0.75, Status.FAIL)],
)
def test_answer_follows_the_effect(effect: float, status: Status) -> None:
    values = log_normal(effect, 0.09, 4096, 3)
    verdict = sequential(lambda n: [statistic(values[:n])], 0.1, 1e-6, 128, 4096)
    assert verdict.status is status
    assert verdict.replicates <= 256


def test_effect_on_the_margin_is_inconclusive_at_the_cap() -> None:
    values = log_normal(1.1, 0.09, 2048, 4)
    verdict = sequential(lambda n: [statistic(values[:n])], 0.1, 1e-6, 128, 2048)
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.replicates == 2048
    assert verdict.looks == 10


def test_one_bad_entry_among_many_good_ones_fails() -> None:
    good = [statistic(log_normal(1.0, 0.09, 128, seed)) for seed in range(14)]
    bad = Statistic("bad", log_normal(1.4, 0.09, 128, 99), 1.0, "log")
    verdict = look([*good, bad], 0.1, 1e-6, 1)
    assert verdict.status is Status.FAIL
    assert verdict.worst.entry == "bad"


def test_alpha_is_divided_over_looks_and_where_any_entry_decides_over_entries() -> None:
    right, wrong = (statistic(log_normal(size, 0.1, 256, 5)) for size in (1.0, 1.5))
    for number, share in ((1, 1 / 2), (3, 1 / 12)):
        passed = look([right] * 5, 0.1, 1e-6, number)
        assert passed.status is Status.PASS
        assert passed.intervals[0] == interval(right, 0.1, 2 * share * 1e-6)  # one-sided
        failed = look([right] * 4 + [wrong], 0.1, 1e-6, number)
        assert failed.status is Status.FAIL
        assert failed.intervals[0] == interval(right, 0.1, share * 1e-6 / 5)


def test_shares_of_the_looks_add_up_to_one() -> None:
    assert sum(1 / (n * (n + 1)) for n in range(1, 10_000)) == pytest.approx(1.0, abs=2e-4)


@pytest.mark.parametrize("entries", [1, 4])
@pytest.mark.parametrize("edge", [1.1, 1 / 1.1])
def test_one_entry_on_the_margin_passes_more_rarely_than_alpha(entries: int, edge: float) -> None:
    """The worst case of a wrong pass: all other entries are right, and known to be."""
    alpha, rounds = 0.05, 400
    right = statistic(log_normal(1.0, 1e-4, 1024, 0))
    passed = 0
    for seed in range(rounds):
        values = log_normal(edge, 0.09, 1024, seed)

        def draw(count: int, v: np.ndarray = values) -> list[Statistic]:
            others = [statistic(right.values[:count])] * (entries - 1)
            return [*others, statistic(v[:count])]

        passed += sequential(draw, 0.1, alpha, 64, 1024).status is Status.PASS
    assert passed <= alpha * rounds + 5 * np.sqrt(alpha * rounds)


def test_wrong_answers_on_the_margin_are_rarer_than_alpha() -> None:
    alpha, rounds = 0.05, 400
    wrong = 0
    for seed in range(rounds):
        values = log_normal(1.1, 0.09, 1024, seed)
        verdict = sequential(first_of(values), 0.1, alpha, 128, 1024)
        wrong += verdict.status is not Status.INCONCLUSIVE
    # a pass and a fail are each wrong with probability at most alpha
    assert wrong <= 2 * alpha * rounds + 5 * np.sqrt(2 * alpha * rounds)


def test_expected_value_need_not_be_one() -> None:
    verdict = look([statistic(log_normal(0.44, 0.05, 128, 6), 0.44)], 0.1, 1e-6, 1)
    assert verdict.status is Status.PASS


def test_exact_claim_has_no_room_for_chance() -> None:
    assert exact({"spread": 1e-12}, 1e-10).status is Status.PASS
    assert exact({"spread": 1e-9}, 1e-10).status is Status.FAIL
    assert exact({"spread": float("nan")}, 1e-10).status is Status.FAIL
