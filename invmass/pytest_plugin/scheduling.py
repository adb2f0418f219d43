"""How pytest-xdist shares the checks out: what shares programs and replicates goes to one process.

The checks of one combination share their replicates, those of a backend on cases of the same
structure their compiled programs: apart they would be made twice. The `loadgroup` of xdist would
do, but up to 3.8 it has no effect under pytest 9.2 (the ids that it sets are no longer read).
"""

from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler whose unit of work is a backend on cases that are alike, or else a file."""
    from xdist.scheduler import LoadScopeScheduling

    alike = _first_alike()  # takes a while: now, while the processes are starting

    class ByProgram(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path, _, test = nodeid.partition("::")
            case, _, backend = test.partition("[")[2].rpartition("-")[0].rpartition("-")
            return f"{alike.get(case, case)}-{backend}" if backend else path

        def _reschedule(self, node: Any) -> None:
            # when two processes die at once, xdist gives work to one that has not collected yet
            if node in self.registered_collections:
                super()._reschedule(node)

    return ByProgram(config, log)


def _first_alike() -> dict[str, str]:
    """For each case the first one of the same structure."""
    from invmass.model.catalogue import all_cases

    first: dict[Any, str] = {}
    return {
        name: first.setdefault(case.posterior.structure, name) for name, case in all_cases().items()
    }
