"""How pytest-xdist shares the checks out: all those of one case and backend go to one process.

They share the truth, and those of one metric their replicates: apart they would be made twice. The
`loadgroup` of xdist would do, but up to 3.8 it has no effect under pytest 9.2 (the ids that it sets
are no longer read).
"""

from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler whose unit of work is the case and backend in a test id, or else a file."""
    from xdist.scheduler import LoadScopeScheduling

    class ByCaseAndBackend(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path, _, test = nodeid.partition("::")
            return test.partition("[")[2].rpartition("-")[0] or path

    return ByCaseAndBackend(config, log)
