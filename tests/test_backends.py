"""The contract of a backend: supplied metrics, saved ones, and arrays that break it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invmass.backends.blackjax_nuts import _matrix
from invmass.errors import BackendFaultError, BackendUnavailableError, UsageError
from invmass.model.catalogue import all_cases
from invmass.runs.experiment import Experiment, Settings
from invmass.runs.plan import select_cells
from invmass.sampling.backend import Tuned, WarmUpRequest
from invmass.sampling.batching import devices
from invmass.sampling.host_density import imported
from invmass.sampling.registry import OWN, load_backend, select_backends, unsupported_metrics

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


EVERY_METRIC = [(name, metric) for name in OWN for metric in load_backend(name).estimators]
JUDGED = {(cell.backend, cell.metric) for cell in select_cells([], [], []) if cell.tier == "quick"}
RARE = [pair for pair in EVERY_METRIC if pair not in JUDGED]


@pytest.mark.parametrize(("name", "metric"), RARE)
def test_supplied_metric_is_kept_and_used(name: str, metric: str) -> None:
    """Of metrics that the quick tier does not judge, where this is one of the claims.

    Read back bit by bit; and a metric 100 times as large asks for a tenth of the step size.
    """
    backend = load_backend(name)
    cannot_keep = backend.supplied_metric_reason(adapt_metric=False)
    if reason := backend.why_unavailable() or cannot_keep:
        pytest.skip(reason)
    experiment = Experiment(all_cases()["notebook-uniform"], backend, metric, Settings())
    reference = experiment.estimator.restrict(experiment.truth.inverse_fisher).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), REPLICATES)
    steps = []
    for supplied in (reference, 100 * reference):
        request = WarmUpRequest(
            experiment.case,
            metric,
            keys,
            experiment.starts(REPLICATES),
            num_warmup=200,
            inverse_mass_matrix=supplied,
            adapt_metric=False,
        )
        answer = backend.warm_up(request)
        answer.check(2, REPLICATES, experiment.estimator.dense, name)
        assert answer.window == 0
        np.testing.assert_array_equal(
            answer.inverse_mass_matrix, np.broadcast_to(supplied, answer.inverse_mass_matrix.shape)
        )
        steps.append(np.exp(np.mean(np.log(answer.step_size))))
    assert steps[0] / steps[1] == pytest.approx(10, rel=0.25)


ON_TWO_DEVICES = """
import sys
import jax, numpy as np
from invmass.sampling.registry import load_backend
from invmass.sampling.batching import compiled
from invmass.model.catalogue import all_cases
from invmass.runs.experiment import Experiment, Settings

case = all_cases()["notebook-uniform"]
settings = Settings(num_warmup=100)
halves = compiled(lambda x: x, (0,))(jax.numpy.arange(16))
print(len(halves.sharding.device_set))
for name in sys.argv[1:]:
    experiment = Experiment(case, load_backend(name), "dense", settings, chains=16)
    tuned, draws = experiment.tuned(16), experiment.draws(16)
    print(*(array.tobytes().hex() for array in (tuned.inverse_mass_matrix, draws.position)))
"""


def test_several_devices_share_the_replicates_and_change_none() -> None:
    """Devices are simulated. One backend hands over a function of one replicate, one of a batch.

    BlackJAX is left out: its program rounds otherwise on two.
    """
    names = [name for name in ("hmc", "numpyro") if not load_backend(name).why_unavailable()]
    answers = [
        subprocess.run(
            [sys.executable, "-c", ON_TWO_DEVICES, *names],
            env=os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"},
            capture_output=True, text=True, timeout=300, check=True,
        ).stdout.split()
        for count in (1, 2)
    ]  # fmt: skip
    assert [answer[0] for answer in answers] == ["1", "2"]
    assert len(answers[0]) == 1 + 2 * len(names)
    assert answers[0][1:] == answers[1][1:]


LOSES_A_RACE = """
from pathlib import Path

note = Path(__file__).with_suffix(".note")
if not note.exists():
    note.touch()  # as the process does that is quicker
    note.with_suffix(".tmp").replace(note)
"""


def test_library_whose_import_lost_a_race_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loses_a_race.py").write_text(LOSES_A_RACE)
    monkeypatch.syspath_prepend(tmp_path)
    assert imported("loses_a_race").note.exists()


def test_cpu_is_used_where_jax_would_rather_have_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """There JAX names the CPU's devices only if it is asked for them."""
    cpus = jax.local_devices(backend="cpu")
    of = {"cpu": cpus, None: [SimpleNamespace(platform="gpu")]}
    monkeypatch.setattr(jax, "local_devices", lambda *, backend=None: of[backend])
    with jax.default_device(cpus[0]):
        assert devices() == tuple(cpus)


def test_every_metric_is_tuned_or_has_a_reason_why_it_is_not() -> None:
    """Without regularisation only where the library can leave it out."""
    backends = [load_backend(name) for name in OWN]
    usual = [set(b.estimators) - set(b.unregularised.values()) for b in backends]
    metrics = set().union(*usual)
    for backend, tuned in zip(backends, usual, strict=True):
        untuned = unsupported_metrics(backend)
        assert set(untuned) == metrics - tuned
        assert set(backend.unsupported) <= set(untuned)
        assert all(backend.unsupported_reason(metric) for metric in untuned)
        assert not any(backend.unsupported_reason(metric) for metric in tuned)


def test_reason_for_a_metric_that_is_merely_not_tuned_is_derived() -> None:
    hmc = load_backend("hmc")
    assert hmc.unsupported_reason("block") == "block: this backend does not tune it"
    assert "fisher_diag: not implemented: our" in str(hmc.unsupported_reason("fisher_diag"))


def test_metric_is_kept_only_if_one_is_supplied() -> None:
    case, keys = all_cases()["notebook-uniform"], jax.random.split(jax.random.key(0), 1)
    with pytest.raises(UsageError, match="adapt_metric=False needs an inverse_mass_matrix"):
        WarmUpRequest(case, "dense", keys, np.zeros((1, 2)), 100, adapt_metric=False)


def test_metric_without_regularisation_is_judged_only_if_it_is_named() -> None:
    def metrics(*named: str) -> set[str]:
        return {cell.metric for cell in select_cells(["fine_mean"], ["numpyro"], named)}

    assert metrics() == {"diagonal", "block", "dense"}
    assert metrics("dense_unregularised") == {"dense_unregularised"}


def test_dense_metrics_of_many_coordinates_are_left_to_those_who_share_them() -> None:
    cells = select_cells(["scaling-1000-1e2", "scaling-100-1e2", "prior-normal"], [], ["dense"])
    quick = [name for name in OWN if load_backend(name).default_tier == "quick"]
    dense = [name for name in quick if "dense" in load_backend(name).estimators]
    tuned = {(cell.case, cell.backend) for cell in cells if cell.backend in dense}
    assert tuned == {("scaling-1000-1e2", "hmc-pooled")} | {
        ("scaling-100-1e2", name) for name in dense
    }


def test_case_of_neither_tier_is_judged_only_if_it_is_named() -> None:
    name = "scaling-1000-1e6"
    assert all_cases()[name].tier == "named"
    assert name not in {cell.case for cell in select_cells([], [], [])}
    assert {cell.tier for cell in select_cells(["scaling"], ["hmc"], []) if cell.case == name} == {
        "quick"
    }


def test_slow_backend_is_judged_on_its_default_cases_unless_some_are_named() -> None:
    default, named = frozenset({"gaussian_mean"}), ["notebook-uniform"]
    assert load_backend("nutpie").default_cases == default

    def judged(cases: list[str], backends: list[str], name: str) -> set[str]:
        return {cell.case for cell in select_cells(cases, backends, []) if cell.backend == name}

    assert judged([], [], "nutpie") == default < judged([], [], "hmc")
    assert judged([], ["nutpie"], "nutpie") == judged([], [], "hmc")
    assert judged(named, [], "nutpie") == judged(named, ["nutpie"], "nutpie") == set(named)


def test_very_slow_backend_is_judged_in_the_full_tier_unless_it_is_named() -> None:
    def judged(cases: list[str], backends: list[str]) -> set[tuple[str, str]]:
        cells = select_cells(cases, backends, [])
        return {(cell.case, cell.tier) for cell in cells if cell.backend == "pymc"}

    default, other = "gaussian_mean", "notebook-uniform"
    assert judged([], []) == judged([default, other], []) == {(default, "full")}
    assert judged([default, other], ["pymc"]) == {(default, "quick"), (other, "quick")}
    assert judged([], ["pymc"]) > {(default, "quick"), ("funnel", "full")}


@pytest.mark.parametrize("metric", ["diagonal", "block"])
def test_numpyros_single_chain_is_one_of_two(metric: str) -> None:
    """It has other shapes there. Few steps: later, rounding makes a difference."""
    pytest.importorskip("numpyro")
    case, numpyro = all_cases()["mixed_sites"], load_backend("numpyro")
    keys = jax.random.split(jax.random.key(0), 2)
    starts = Experiment(case, numpyro, metric, Settings()).starts(2)
    one, two = (
        numpyro.warm_up(WarmUpRequest(case, metric, keys[:n], starts[:n], 3)) for n in (1, 2)
    )
    one.check(case.dimension, 1, metric == "block", "numpyro")
    for name in ("inverse_mass_matrix", "step_size", "position", "acceptance", "gradients"):
        np.testing.assert_allclose(getattr(one, name)[0], getattr(two, name)[0], rtol=1e-3)


def test_block_metric_is_split_by_sites_and_joined_in_declared_order() -> None:
    """mixed_sites declares level, shares, bend, gain: the block is level and bend."""
    pytest.importorskip("numpyro")
    case, backend = all_cases()["mixed_sites"], load_backend("numpyro")
    truth = Experiment(case, backend, "block", Settings()).truth
    supplied = np.diag(np.diag(truth.inverse_fisher))
    level, bend = (case.posterior.slices[name].start for name in ("level", "bend"))
    supplied[level, bend] = supplied[bend, level] = 0.4 * np.sqrt(
        supplied[level, level] * supplied[bend, bend]
    )
    supplied = supplied.astype(np.float32)

    def warm_up(matrix: np.ndarray) -> Tuned:
        keys = jax.random.split(jax.random.key(0), REPLICATES)
        starts = np.tile(truth.position.astype(np.float32), (REPLICATES, 1))
        return backend.warm_up(
            WarmUpRequest(case, "block", keys, starts, 20, matrix, adapt_metric=False)
        )

    found = warm_up(supplied).inverse_mass_matrix
    np.testing.assert_array_equal(found, np.broadcast_to(supplied, found.shape))
    supplied[level, bend + 1] = supplied[bend + 1, level] = 1e-3
    with pytest.raises(UsageError, match="zero outside its block"):
        warm_up(supplied)


def test_draws_with_the_matrix_of_a_low_rank_metric_are_draws_with_that_metric() -> None:
    """BlackJAX gives both the same kinetic energy, and momenta of the same covariance."""
    metrics = pytest.importorskip("blackjax.mcmc.metrics")
    random = np.random.default_rng(0)
    sigma, values = np.exp(random.normal(size=5)), np.exp(random.normal(size=3))
    vectors = np.linalg.qr(random.normal(size=(5, 3)))[0]
    low_rank = metrics.default_metric(metrics.LowRankInverseMassMatrix(sigma, vectors, values))
    matrix = metrics.default_metric(_matrix(jnp.asarray(sigma), vectors, values))
    momentum = jnp.asarray(random.normal(size=5))
    assert low_rank.kinetic_energy(momentum) == pytest.approx(
        float(matrix.kinetic_energy(momentum)), rel=1e-5
    )

    def mass(metric: Any) -> np.ndarray:
        root = jax.vmap(lambda e: metric.scale(None, e, inv=False, trans=False))(jnp.eye(5))
        return np.asarray(root.T @ root)

    np.testing.assert_allclose(mass(low_rank), mass(matrix), rtol=1e-4, atol=1e-5)


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


ENTRY_POINTS = """[invmass.backends]
hmc = brought_by_others:Other
other = brought_by_others:Other
misnamed = brought_by_others:Other
"""
OTHER = """from invmass.backends.hmc_static import HandRolledHMC
from invmass.sampling.backend import Backend
members = {name: getattr(HandRolledHMC, name) for name in Backend.__abstractmethods__}
Other = type("Other", (Backend,), members | {"name": "other", "estimators": {}})
"""


def test_entry_point_takes_no_name_of_ours_and_has_that_of_its_backend(tmp_path: Path) -> None:
    """In a process of its own, whose path has the package of another."""
    (tmp_path / "brought_by_others.py").write_text(OTHER)
    metadata = tmp_path / "brought_by_others-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: brought_by_others\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    code = (
        "from invmass.sampling.registry import load_backend\n"
        "print(type(load_backend('other')).__name__, type(load_backend('hmc')).__name__)\n"
        "load_backend('misnamed')"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert answer.stdout.split() == ["Other", "HandRolledHMC"], answer.stderr
    assert "is called 'other'; its entry point is 'misnamed'" in answer.stderr
