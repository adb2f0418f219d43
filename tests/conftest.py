"""Room for what is compiled next, and cores for who compiles it."""

import sys
from collections.abc import Iterator

import pytest

from invmass.pytest_plugin.isolation import process_count
from invmass.runs.cores import pin_to_share


def pytest_configure(config: pytest.Config) -> None:
    pin_to_share(process_count(config))


@pytest.fixture(autouse=True, scope="module")
def _no_programs_of_other_modules() -> Iterator[None]:
    """Let go of what a module has compiled: a process has room for so many programs only.

    At its end XLA finds no memory for another, and ends the process.
    """
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
