"""Fixtures of the checks: the cells, and the judging of claims.

JAX is configured here and not in the plugin, because every pytest session loads the plugin.
"""

import gc
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from invmass.claims.explain import explain
from invmass.claims.record import Settle, timing_record, verdict_record
from invmass.claims.registry import CLAIMS
from invmass.model.catalogue import all_cases
from invmass.pytest_plugin.isolation import process_count
from invmass.pytest_plugin.markers import TIMING, claim_of
from invmass.pytest_plugin.options import chosen_names, option
from invmass.pytest_plugin.recording import RECORD, WRITER
from invmass.results.status import Status
from invmass.runs.cell import Cell
from invmass.runs.cores import pin_to_share
from invmass.runs.environment import configure_jax
from invmass.runs.experiment import Experiment
from invmass.runs.plan import cells_of_claim, cells_of_timing, select_cells, settings_from
from invmass.sampling.backend import Backend
from invmass.sampling.registry import load_backend


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "experiment" not in metafunc.fixturenames:
        return
    node = metafunc.definition
    cells = _cells(metafunc.config)
    if claim := claim_of(node):
        cells = cells_of_claim(CLAIMS[claim], cells)
    if node.get_closest_marker(TIMING):
        cells = cells_of_timing(cells, option(metafunc.config, "chains") or ())
    parameters = [pytest.param(cell, id=str(cell)) for cell in cells]
    metafunc.parametrize("experiment", parameters, indirect=True, scope="session")
    if "turn" in metafunc.fixturenames:
        turns = range(1, option(metafunc.config, "turns") + 1)
        metafunc.parametrize("turn", turns, ids=[f"turn{number}" for number in turns])


_NO_TURN = SimpleNamespace(params={})


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the first turn of all timings, then the second turn of all timings, and so on."""
    items.sort(key=lambda item: getattr(item, "callspec", _NO_TURN).params.get("turn", 0))


@cache
def _cells(config: pytest.Config) -> list[Cell]:
    return select_cells(*chosen_names(config))


@pytest.fixture(scope="session", autouse=True)
def _jax(request: pytest.FixtureRequest) -> Iterator[None]:
    pin_to_share(process_count(request.config))
    problem = configure_jax(
        device=option(request.config, "device"), x64=option(request.config, "x64")
    )
    if problem:
        pytest.skip(problem)
    yield
    gc.freeze()  # pytest collects garbage repeatedly at exit, which is slow with so many objects


_latest: dict[str, Backend] = {}  # the backend of the latest cell in this process


@pytest.fixture(scope="session")
def experiment(request: pytest.FixtureRequest) -> Iterator[Experiment]:
    """The replicates of one cell, shared by all the claims about it."""
    cell: Cell = request.param
    backend = load_backend(cell.spec)
    if reason := backend.why_unavailable() or backend.unsupported_reason(cell.metric):
        pytest.skip(reason)
    settings = settings_from(lambda name: option(request.config, name))
    case = all_cases()[cell.case]
    if _latest.get("backend", backend) is not backend:  # compiled programs are not shared
        jax.clear_caches()
    _latest["backend"] = backend
    yield Experiment(case, backend, cell.metric, settings, cell.chains)
    if case.tier != "quick":  # few of these share compiled programs, which would fill the memory
        jax.clear_caches()


@pytest.fixture
def settle(request: pytest.FixtureRequest, experiment: Experiment) -> Settle:
    """A function that judges a claim, records the verdict, and fails the test unless it passes."""
    before = experiment.library_seconds

    def settle(name: str) -> None:
        claim = CLAIMS[name]
        if reason := claim.not_judged_reason(experiment):
            pytest.skip(reason)
        verdict = claim.judge(experiment)
        record = verdict_record(experiment, name, verdict)
        record["library_seconds"] = experiment.library_seconds - before
        request.node.stash[RECORD] = record
        if verdict.status is not Status.PASS:
            pytest.fail(explain(experiment, name, verdict), pytrace=False)

    return settle


@pytest.fixture
def record_timing(request: pytest.FixtureRequest, experiment: Experiment) -> Any:
    """A function that records a timing as a row, and in the report of pytest-benchmark."""
    phase = request.node.get_closest_marker(TIMING).args[0]

    def record(timing: dict[str, Any]) -> None:
        row = timing_record(experiment, phase, timing)
        benchmark = request.getfixturevalue("benchmark")
        benchmark.fullname = f"{request.node.path.stem}::{request.node.name}"
        benchmark.extra_info.update(row)
        if writer := request.config.stash.get(WRITER, None):
            writer.append(row)

    return record
