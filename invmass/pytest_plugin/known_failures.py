"""Known failures: checks that are expected to fail, listed in a file with their reasons.

They are strict: an entry that passes is a failure, and so is one that is no check.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from invmass.pytest_plugin.markers import claim_of
from invmass.pytest_plugin.options import option

FINDINGS = Path(__file__).parent / "findings.txt"  # docs/findings.md: failures of the libraries
STALE = "entries that match no test"
# Ids of earlier releases: all claims are in one file, and some have other names.
FORMER_FILES = ("test_mass_matrix", "test_contract", "test_density", "test_draws", "test_conduct")
FORMER_TESTS = {
    "test_spread_is_honest": "test_window_effective_sample_size",
    "test_spread_is_honest_in_every_case": "test_window_effective_sample_size",
    "test_supplied_metric_is_used": "test_supplied_metric",
    "test_every_supplied_metric_is_used": "test_supplied_metric",
    "test_every_metric_is_equivariant": "test_equivariant",
    "test_statistics_are_honest": "test_reported_statistics",
    "test_constrained_inverse_fisher_is_rejected": "test_inverse_fisher_of_x_is_rejected",
    "test_misplaced_inverse_fisher_is_rejected": "test_inverse_fisher_of_z_at_x_is_rejected",
}


class StaleEntries(pytest.Item):
    """A failure that is no check: entries of known failures that match no check."""

    def __init__(self, *, reason: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.reason = reason

    def runtest(self) -> None:
        pytest.fail(self.reason, pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse a file that cannot be read before anything runs."""
    if path := option(session.config, "xfails-file"):
        known_failures(path)


def mark_known_failures(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Expect the failures that a file of the user's lists, and those that are findings of ours.

    Returns:
        The entries that match no check.

    Raises:
        pytest.UsageError: a file cannot be read.
    """
    if not any(claim_of(item) for item in items):
        return []
    stale = []
    for path in filter(None, (FINDINGS, option(config, "xfails-file"))):
        known = known_failures(path)
        for item in items:
            if (key := stable_id(item)) in known:
                item.add_marker(pytest.mark.xfail(reason=known[key], strict=True))
        stale += [f"{path}: {key}" for key in known if not _could_match(key, config, items)]
    return stale


def failure_of_stale(session: pytest.Session, stale: list[str]) -> list[pytest.Item]:
    """The failure that lists stale entries; none if there are none."""
    if not stale:
        return []
    reason = "\n".join([STALE, *stale])
    return [StaleEntries.from_parent(session, name=STALE, reason=reason)]


def stable_id(item: pytest.Item) -> str:
    """The same id in a checkout and with `--pyargs`; keys the known failures."""
    return f"{item.path.stem}::{item.name}"


def known_failures(path: Path) -> dict[str, str]:
    """The reasons by stable id.

    Raises:
        pytest.UsageError: the file cannot be read, or a line has no reason.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise pytest.UsageError(f"--xfails-file {path}: {error.strerror}") from error
    known = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, separator, reason = line.partition("  # ")
        if not separator or not reason.strip():
            raise pytest.UsageError(f"{path}:{number}: write 'id  # reason'; a reason is required")
        known[current_id(key.strip())] = reason.strip()
    return known


def current_id(key: str) -> str:
    """The id of a check, given that of this or of an earlier release."""
    stem, separator, name = key.partition("::")
    if stem not in FORMER_FILES:
        return key
    function, bracket, cell = name.partition("[")
    return f"test_claims{separator}{FORMER_TESTS.get(function, function)}{bracket}{cell}"


def _could_match(key: str, config: pytest.Config, items: list[pytest.Item]) -> bool:
    """Whether an entry is a check of a cell that there is, chosen now or not.

    Of a file that is not collected nothing is known; but where the suite's own are asked for by
    their package, it must be one of them.
    """
    stem, _, name = key.partition("::")
    modules = {item.path.stem: item.module for item in items if isinstance(item, pytest.Function)}
    if stem not in modules:
        own = find_spec("invmass.cases")
        places = [Path(place) for place in own.submodule_search_locations or ()] if own else []
        return not config.getoption("pyargs") or any((p / f"{stem}.py").exists() for p in places)
    function, _, cell = name.removesuffix("]").partition("[")
    return hasattr(modules[stem], function) and cell in _all_cells(config)


@cache
def _all_cells(config: pytest.Config) -> set[str]:
    """Every cell of our own backends and of those that were named, as test ids have it."""
    from invmass.runs.plan import select_cells
    from invmass.sampling.registry import OWN, metrics_of, select_backends

    specs = list(dict.fromkeys([*OWN, *(option(config, "backend") or [])]))
    metrics = {m: None for backend in select_backends(specs) for m in metrics_of(backend, [])}
    return set(map(str, select_cells([], specs, list(metrics))))
