"""Fixtures of the checks: which combinations there are, and how a verdict is settled.

JAX is configured here and never in the plugin, which every pytest session loads.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest

from invmass.backends.registry import check_metrics, metrics_of, select_backends
from invmass.cases.catalogue import all_cases, select_cases
from invmass.geometry.errors import UsageError
from invmass.plugin import RECORD, TIMING, WRITER
from invmass.verdicts.equivalence import Status, Verdict
from invmass.verdicts.experiment import Experiment, Settings
from invmass.verdicts.explain import explain
from invmass.verdicts.record import timing_record, verdict_record
from invmass.verdicts.runtime import configure_jax

Settle = Callable[[str, Verdict], None]


class Cell(NamedTuple):
    """A combination by its names, as test ids show it."""

    case: str
    backend: str
    backend_name: str
    metric: str

    def __str__(self) -> str:
        return f"{self.case}-{self.backend_name}-{self.metric}"


@cache
def _combinations(config: pytest.Config) -> list[Cell]:
    """All selected combinations, the largest problems first."""

    def chosen(name: str) -> list[str]:
        return config.getoption(f"--invmass-{name}") or []

    specs = chosen("backend")
    backends = select_backends(specs)
    check_metrics(backends, chosen("metric"))
    spec_of = dict(zip((b.name for b in backends), dict.fromkeys(specs), strict=False))
    cases = sorted(select_cases(chosen("case")), key=lambda case: -case.dimension)
    return [
        Cell(case.name, spec_of.get(backend.name, backend.name), backend.name, metric)
        for case in cases
        for backend in backends
        for metric in metrics_of(backend, chosen("metric"))
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "experiment" not in metafunc.fixturenames:
        return
    try:
        cells = _combinations(metafunc.config)
        settings(metafunc.config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    node = metafunc.definition
    if marker := node.get_closest_marker("invmass_cases"):
        cells = [cell for cell in cells if cell.case in marker.args]
    if node.get_closest_marker("invmass_once"):
        cells = list({(cell.case, cell.backend): cell for cell in reversed(cells)}.values())[::-1]
    parameters = [
        pytest.param(cell, id=str(cell), marks=pytest.mark.xdist_group(str(cell))) for cell in cells
    ]
    metafunc.parametrize("experiment", parameters, indirect=True, scope="session")


def settings(config: pytest.Config) -> Settings:
    """The settings that the options give; what is not given keeps its default."""
    names = ("seed", "tolerance", "false-alarm", "replicates", "num-warmup")
    given = {name.replace("-", "_"): config.getoption(f"--invmass-{name}") for name in names}
    return Settings(**{name: value for name, value in given.items() if value is not None})


@pytest.fixture(scope="session", autouse=True)
def _jax(request: pytest.FixtureRequest) -> None:
    config = request.config
    problem = configure_jax(
        device=config.getoption("--invmass-device"), x64=config.getoption("--invmass-x64")
    )
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="session")
def experiment(request: pytest.FixtureRequest) -> Experiment:
    """The replicates of one combination, shared by all the claims about it."""
    cell: Cell = request.param
    (backend,) = select_backends([cell.backend])
    if reason := backend.why_unavailable():
        pytest.skip(reason)
    return Experiment(all_cases()[cell.case], backend, cell.metric, settings(request.config))


@pytest.fixture
def settle(request: pytest.FixtureRequest, experiment: Experiment) -> Settle:
    """Record a verdict on a claim, and fail the test unless it is a pass."""
    before = experiment.library_seconds

    def settle(claim: str, verdict: Verdict, message: str | None = None) -> None:
        record = verdict_record(experiment, claim, verdict)
        record["library_seconds"] = experiment.library_seconds - before
        request.node.stash[RECORD] = record
        if verdict.status is not Status.PASS:
            pytest.fail(explain(experiment, claim, verdict), pytrace=False)

    return settle


@pytest.fixture
def record_timing(request: pytest.FixtureRequest, experiment: Experiment) -> Any:
    """Keep a timing as a row, beside what pytest-benchmark keeps."""
    phase = request.node.get_closest_marker(TIMING).args[0]

    def record(timing: dict[str, Any]) -> None:
        row = timing_record(experiment, phase, timing)
        benchmark = request.getfixturevalue("benchmark")
        benchmark.fullname = f"{request.node.path.stem}::{request.node.name}"
        benchmark.extra_info.update(row)
        if writer := request.config.stash.get(WRITER, None):
            writer.append(row)

    return record
