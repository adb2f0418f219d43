"""How pytest-xdist shares the checks out: all those of one combination go to one process.

They share their replicates, so apart they would warm up twice. The `loadgroup` of xdist would do,
but up to 3.8 it has no effect under pytest 9.2 (the ids that it sets are no longer read).
"""

from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler whose unit of work is what stands in the brackets of a test id, or a file."""
    from xdist.scheduler import LoadScopeScheduling

    class ByCombination(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path, _, test = nodeid.partition("::")
            return test.partition("[")[2] or path

    return ByCombination(config, log)
