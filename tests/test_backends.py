"""The contract of a backend: supplied metrics, saved ones, and arrays that break it."""

from pathlib import Path

import jax
import numpy as np
import pytest

from invmass.backends.backend import Tuned
from invmass.backends.registry import OWN, load_backend, select_backends
from invmass.cases.catalogue import all_cases
from invmass.geometry.errors import BackendFaultError, BackendUnavailableError, UsageError
from invmass.verdicts.experiment import Experiment, Settings

REPLICATES = 16


def tuned(**changes: np.ndarray) -> Tuned:
    ones = np.ones(REPLICATES)
    arrays = {
        "inverse_mass_matrix": np.tile(np.eye(2), (REPLICATES, 1, 1)),
        "step_size": ones,
        "position": np.zeros((REPLICATES, 2)),
        "gradients": ones,
        "acceptance": ones,
        "divergences": 0 * ones,
    }
    return Tuned(**arrays | changes, window=500)


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
@pytest.mark.parametrize("name", OWN)
def test_supplied_metric_is_kept_and_used(name: str, metric: str) -> None:
    """Read back bit by bit; and a metric 100 times as large asks for a tenth of the step size."""
    backend = load_backend(name)
    if reason := backend.why_unavailable():
        pytest.skip(reason)
    experiment = Experiment(all_cases()["notebook-uniform"], backend, metric, Settings())
    reference = experiment.estimator.shaped(experiment.truth.inverse_fisher).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), REPLICATES)
    steps = []
    for supplied in (reference, 100 * reference):
        answer = backend.warm_up(
            experiment.case, metric, keys, experiment.starts(REPLICATES), 200, supplied
        )
        answer.check(2, REPLICATES, experiment.estimator.dense, name)
        assert answer.window == 0
        np.testing.assert_array_equal(
            answer.inverse_mass_matrix, np.broadcast_to(supplied, answer.inverse_mass_matrix.shape)
        )
        steps.append(np.exp(np.mean(np.log(answer.step_size))))
    assert steps[0] / steps[1] == pytest.approx(10, rel=0.25)


def test_tuned_matrices_are_saved_and_loaded_as_they_are(tmp_path: Path) -> None:
    before = tuned(step_size=np.linspace(0.1, 1.0, REPLICATES))
    before.save(tmp_path / "tuned.npz")
    after = Tuned.load(tmp_path / "tuned.npz")
    assert after.window == before.window
    for name in ("inverse_mass_matrix", "step_size", "position", "gradients"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_file_without_an_array_is_refused_by_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "tuned.npz", step_size=np.ones(3))
    with pytest.raises(UsageError, match=r"lacks the arrays inverse_mass_matrix, position"):
        Tuned.load(tmp_path / "tuned.npz")


def asymmetric() -> np.ndarray:
    matrices = np.tile(np.eye(2), (REPLICATES, 1, 1))
    matrices[5, 0, 1] = 0.5
    return matrices


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"step_size": np.ones(3)}, r"step_size has shape \(3,\), expected \(16,\)"),
        ({"position": np.full((REPLICATES, 2), np.inf)}, "position is not finite in 16 of 16"),
        ({"inverse_mass_matrix": np.ones((REPLICATES, 2))}, r"expected \(16, 2, 2\)"),
        ({"inverse_mass_matrix": asymmetric()}, "not symmetric in replicate 5"),
        ({"inverse_mass_matrix": np.ones((REPLICATES, 2, 2))}, "not positive definite in 16 of"),
    ],
)
def test_broken_array_is_named(changes: dict[str, np.ndarray], told: str) -> None:
    tuned().check(2, REPLICATES, dense=True, origin="good")
    with pytest.raises(BackendFaultError, match=told):
        tuned(**changes).check(2, REPLICATES, dense=True, origin="bad")


def test_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    (backend,) = select_backends(["numpyro"])
    monkeypatch.setattr(type(backend), "requires", ("numpyro-that-is-not-there",))
    with pytest.raises(BackendUnavailableError, match=r"pip install 'invmass\[numpyro\]'"):
        backend.check_available()


def test_unknown_metric_lists_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="it tunes: diagonal, dense"):
        Experiment(all_cases()["gaussian_mean"], load_backend("hmc"), "block", Settings())
