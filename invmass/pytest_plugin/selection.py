"""Which checks of the suite a session runs: claims or timings, of the chosen cases and tier."""

import pytest

from invmass.pytest_plugin.markers import CLAIM, FULL, TIMING
from invmass.pytest_plugin.options import option
from invmass.runs.cell import Cell


def cell_of(item: pytest.Item) -> Cell | None:
    """The cell that a check or timing is about.

    None for any other item, and for the one that pytest keeps where a check is about no cell.
    """
    if not (item.get_closest_marker(CLAIM) or item.get_closest_marker(TIMING)):
        return None
    cell = item.callspec.params["experiment"]  # type: ignore[attr-defined]
    return cell if isinstance(cell, Cell) else None


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the checks that this session does not run, and report them as deselected."""
    wanted = {item: _is_wanted(config, item) for item in items}
    if unwanted := [item for item in items if not wanted[item]]:
        config.hook.pytest_deselected(items=unwanted)
        items[:] = [item for item in items if wanted[item]]


def _is_wanted(config: pytest.Config, item: pytest.Item) -> bool:
    """Timings run with `--benchmark-only`, claims without; both only in their tier."""
    if not (item.get_closest_marker(CLAIM) or item.get_closest_marker(TIMING)):
        return True  # not ours
    from invmass.runs.plan import runs_in_tier

    wanted = TIMING if config.getoption("--benchmark-only", default=False) else CLAIM
    cell = cell_of(item)
    if cell is None or item.get_closest_marker(wanted) is None:
        return False
    full_check = item.get_closest_marker(FULL) is not None
    return runs_in_tier(option(config, "tier"), cell, full_check=full_check)
