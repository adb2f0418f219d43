"""How pytest-xdist shares the checks out: what shares programs and replicates goes to one process.

The checks of one cell share their replicates, those of a backend on cases of the same structure
their compiled programs: in several processes they would be made several times.

The `--dist loadgroup` of xdist cannot do it: up to 3.8 it has no effect under pytest 9.2, for the
group is appended to an attribute that pytest no longer reads (docs/findings.md). So every process
writes down the group of each of its checks, by their ids, and the scheduler looks them up.
"""

import json
from functools import cached_property
from typing import Any

import pytest

from invmass.pytest_plugin.isolation import INPUT, shared_folder
from invmass.pytest_plugin.selection import cell_of

GROUPS = "groups.json"


@pytest.hookimpl(tryfirst=True)  # before xdist says that the process is ready
def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the groups where the process that shares the checks out finds them."""
    config = session.config
    given = getattr(config, "workerinput", {})
    if INPUT not in given:
        return
    path = shared_folder(config) / GROUPS
    part = path.with_suffix(f".{given['workerid']}")
    part.write_text(json.dumps(groups(session.items)), encoding="utf-8")
    part.replace(path)  # at once: several processes write the same


def groups(items: list[pytest.Item]) -> dict[str, str]:
    """The group of each item by its id: a backend on cases that are alike; else its file."""
    found = {item.nodeid: cell_of(item) for item in items}
    alike = {}
    if any(found.values()):
        from invmass.runs.plan import program_groups

        alike = program_groups()
    return {
        item.nodeid: json.dumps([alike[cell.case], cell.spec])
        if (cell := found[item.nodeid])
        else str(item.path)
        for item in items
    }


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler whose unit of work is one group."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        @cached_property
        def groups(self) -> dict[str, str]:
            """Read when the first process has collected, and not before."""
            return json.loads((shared_folder(config) / GROUPS).read_text(encoding="utf-8"))

        def _split_scope(self, nodeid: str) -> str:
            return self.groups[nodeid]

        def _reschedule(self, node: Any) -> None:
            # when two processes die at once, xdist gives work to one that has not collected yet
            if node in self.registered_collections:
                super()._reschedule(node)

    return ByGroup(config, log)
