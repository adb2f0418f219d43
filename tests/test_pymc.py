"""What the backend says of PyMC, against what PyMC does: all of it computed a second time."""

from importlib.util import find_spec
from typing import Any

import jax
import numpy as np
import pytest

from invmass.adaptation.estimators import BIASED_VARIANCE
from invmass.backends import pymc_nuts
from invmass.backends.pymc_nuts import PyMCNUTS, window
from invmass.errors import UsageError
from invmass.model.catalogue import all_cases
from invmass.sampling.backend import Draws, Tuned, WarmUpRequest

pytestmark = pytest.mark.skipif(find_spec("pymc") is None, reason="pymc is not installed")
CASE = all_cases()["mixed_sites"]  # five coordinates; its declared order is not the sorted one
REPLICATES = 2


@pytest.fixture(scope="module")
def starts() -> np.ndarray:
    return CASE.truth_in_own_space.starts(0, REPLICATES)


def keys(seed: int) -> jax.Array:
    return jax.random.split(jax.random.key(seed), REPLICATES)


def warm_up(
    metric: str,
    starts: np.ndarray,
    steps: int,
    seed: int = 0,
    inverse_mass_matrix: np.ndarray | None = None,
    *,
    adapt_metric: bool = True,
) -> Tuned:
    request = WarmUpRequest(
        CASE, metric, keys(seed), starts, steps, inverse_mass_matrix, adapt_metric
    )
    return PyMCNUTS().warm_up(request)


def sample(tuned: Tuned, seed: int = 1) -> Draws:
    draws = PyMCNUTS().sample(CASE, tuned, keys(seed), 10)
    draws.check(CASE.dimension, REPLICATES, 10, "pymc")
    return draws


@pytest.mark.parametrize(
    ("metric", "steps", "used"),
    [("diagonal", 110, 59), ("diagonal", 320, 117), ("dense", 150, 150)],
)
def test_metric_is_made_of_the_draws_of_its_window(
    metric: str, steps: int, used: int, starts: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last so many draws of warm-up, over n for variances and over n - 1 for covariances."""
    chains = []
    run = pymc_nuts._run

    def recording(*arguments: Any, **options: Any) -> Any:
        chains.extend(run(*arguments, **options))
        return chains[-REPLICATES:]

    monkeypatch.setattr(pymc_nuts, "_run", recording)
    tuned = warm_up(metric, starts, steps)
    assert tuned.window == used
    for chain, found in zip(chains, tuned.inverse_mass_matrix, strict=True):
        draws = chain["z"][steps - used : steps]
        expected = np.cov(draws.T) if metric == "dense" else np.var(draws, axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_window_of_a_thousand_steps() -> None:
    """Diagonal: from the end of the eighth window of 101 on. Dense: after 101 + 202 draws."""
    assert window(dense=False, num_warmup=1000) == 1000 - (8 * 101 + 1)
    assert window(dense=True, num_warmup=1000) == 1000 - (101 + 202 + 1)


def test_too_short_a_warm_up_is_refused(starts: np.ndarray) -> None:
    for metric in ("diagonal", "dense"):
        with pytest.raises(UsageError, match="tunes no metric in 102 steps: it takes 103"):
            warm_up(metric, starts, 102)


def test_keys_alone_decide(starts: np.ndarray) -> None:
    for seed, same in ((0, True), (2, False)):
        before, after = (warm_up("diagonal", starts, 103, s) for s in (0, seed))
        assert same == np.array_equal(before.inverse_mass_matrix, after.inverse_mass_matrix)
        draws, again = (sample(before, s) for s in (0, seed))
        assert same == np.array_equal(draws.position, again.position)


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
def test_supplied_metric_is_kept_bit_by_bit_or_the_first_of_others(
    metric: str, starts: np.ndarray
) -> None:
    covariance = CASE.truth_in_own_space.moments.covariance
    supplied = covariance if metric == "dense" else np.diag(covariance)
    kept = warm_up(metric, starts, 20, 0, supplied, adapt_metric=False)
    assert kept.window == 0
    for found in kept.inverse_mass_matrix:
        np.testing.assert_array_equal(found, supplied)
    begun = warm_up(metric, starts, 150, 0, supplied)
    assert begun.window == window(metric == "dense", 150)
    assert begun.gradients.sum() < 0.5 * warm_up(metric, starts, 150).gradients.sum()


def test_gradients_are_all_calls(starts: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = warm_up("dense", starts, 103)
    calls = []
    counted = pymc_nuts.log_density

    def counting(*arguments):  # type: ignore[no-untyped-def]
        called = counted(*arguments)
        return lambda z: calls.append(1) or called(z)

    monkeypatch.setattr(pymc_nuts, "log_density", counting)
    pymc_nuts._model.cache_clear()
    draws = sample(tuned)
    pymc_nuts._model.cache_clear()
    assert draws.gradients.sum() == len(calls)


def test_variance_over_n_falls_short_by_one_nth() -> None:
    variances = np.array([4.0, 9.0])
    drawn = np.random.default_rng(0).normal(size=(20_000, 10, 2)) * np.sqrt(variances)
    expected = BIASED_VARIANCE.regularised(variances, 10)
    np.testing.assert_allclose(np.var(drawn, axis=1).mean(axis=0), expected, rtol=0.02)
    np.testing.assert_allclose(expected, 0.9 * variances)
