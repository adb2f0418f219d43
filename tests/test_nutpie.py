"""What the backend says of nutpie, against what nutpie does: all of it computed a second time."""

from importlib.util import find_spec
from typing import Any

import jax
import numpy as np
import pytest

from invmass.backends import nutpie_nuts
from invmass.backends.nutpie_nuts import NutpieNUTS
from invmass.errors import BackendFaultError, UsageError
from invmass.model.catalogue import all_cases
from invmass.sampling.backend import Draws, Tuned, WarmUpRequest

pytestmark = pytest.mark.skipif(find_spec("nutpie") is None, reason="nutpie is not installed")
CASE = all_cases()["mixed_sites"]  # five coordinates; its declared order is not the sorted one
REPLICATES = 2

STARTS = np.random.default_rng(0).normal(size=(REPLICATES, CASE.dimension))


def warm_up(steps: int, seed: int = 0) -> Tuned:
    keys = jax.random.split(jax.random.key(seed), REPLICATES)
    return NutpieNUTS().warm_up(WarmUpRequest(CASE, "fisher_diag", keys, STARTS, steps))


def squares(values: np.ndarray) -> np.ndarray:
    """Squared distances from the mean of the values before, summed: nutpie's n · Var."""
    return np.sum([(v - np.mean(values[:k], axis=0)) ** 2 for k, v in enumerate(values) if k], 0)


@pytest.mark.parametrize("steps", [40, 300, 1000])
def test_metric_is_made_of_the_draws_of_its_window(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the draws alone, in declared order, with another way to a running variance."""
    chains = []
    run = nutpie_nuts._run

    def recording(*arguments: Any, **options: Any) -> Any:
        chains.append(run(*arguments, **options))
        return chains[-1]

    monkeypatch.setattr(nutpie_nuts, "_run", recording)
    tuned = warm_up(steps)
    gradient = jax.jit(jax.vmap(jax.grad(CASE.posterior.log_density)))
    for start, chain, found in zip(STARTS, chains, tuned.inverse_mass_matrix, strict=True):
        leaps = np.abs(chain["index_in_trajectory"])
        enters = leaps > np.where(chain["diverging"], 4, 0)
        enters[steps - int(0.15 * steps) :] = False  # the step size alone is tuned
        path = np.concatenate([start[None], chain["z"]])
        used = np.flatnonzero([True, *enters])[-nutpie_nuts.window(chain) :]
        scores = np.asarray(gradient(path.astype(np.float32)), dtype=np.float64)
        expected = np.sqrt(squares(path[used]) / squares(scores[used]))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert tuned.window == round(np.mean([nutpie_nuts.window(chain) for chain in chains]))


def sample(tuned: Tuned, seed: int = 1) -> Draws:
    keys = jax.random.split(jax.random.key(seed), REPLICATES)
    draws = NutpieNUTS().sample(CASE, tuned, keys, 10)
    draws.check(CASE.dimension, REPLICATES, 10, "nutpie")
    return draws


def test_keys_alone_decide() -> None:
    for seed, same in ((0, True), (2, False)):
        before, after = (warm_up(40, s) for s in (0, seed))
        assert same == np.array_equal(before.inverse_mass_matrix, after.inverse_mass_matrix)
        draws, again = (sample(before, s) for s in (0, seed))
        assert same == np.array_equal(draws.position, again.position)


def test_draws_are_made_with_the_metric_that_each_replicate_tuned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read back from nutpie, which says it in the units that it was given."""
    tuned = warm_up(40)
    sample(tuned)
    run = nutpie_nuts._run

    def halved(*arguments: object, **settings: object) -> nutpie_nuts.Chain:
        chain = run(*arguments, **settings)
        return chain | {"mass_matrix_inv": 0.5 * chain["mass_matrix_inv"]}

    monkeypatch.setattr(nutpie_nuts, "_run", halved)
    with pytest.raises(BackendFaultError, match="another metric than the tuned one"):
        sample(tuned)


def test_supplied_metric_is_refused() -> None:
    keys = jax.random.split(jax.random.key(0), REPLICATES)
    metric = np.ones(CASE.dimension)
    for adapt, told in ((True, "does not start adaptation from"), (False, "does not keep")):
        request = WarmUpRequest(CASE, "fisher_diag", keys, STARTS, 40, metric, adapt)
        with pytest.raises(UsageError, match=f"nutpie {told} a supplied metric"):
            NutpieNUTS().warm_up(request)
