"""Imports the modules of `reports/` by name."""

from importlib import import_module
from types import ModuleType


def report_module(name: str) -> ModuleType:
    """A module of `reports/`, such as "page" or "figures.matrices". The import is slow."""
    return import_module(f"invmass.reports.{name}")
