"""What `reports/` makes of rows, by name."""

from importlib import import_module
from types import ModuleType


def report_module(name: str) -> ModuleType:
    """A module of `reports/`, such as "page" or "figures.matrices"; slow to import."""
    return import_module(f"invmass.reports.{name}")
