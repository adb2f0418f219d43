"""Cases by name: the registry of what `cases/` holds."""

import fnmatch
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from invmass.errors import UsageError
from invmass.model.case import Case

CATALOGUE = "invmass.cases.catalogue"  # its FAMILIES are functions that make cases


@cache
def all_cases() -> dict[str, Case]:
    """Every case by name, in the order in which the catalogue has them."""
    families = import_module(CATALOGUE).FAMILIES
    return {case.name: case for family in families for case in family()}


def select_cases(patterns: Sequence[str]) -> list[Case]:
    """Cases by name, by what stands before the dash, or by a shell pattern; all if none given.

    Raises:
        UsageError: a pattern that matches nothing.
    """
    cases = all_cases()
    if not patterns:
        return list(cases.values())
    chosen: dict[str, Case] = {}
    for pattern in patterns:
        found = [
            name
            for name in cases
            if fnmatch.fnmatchcase(name, pattern) or name.partition("-")[0] == pattern
        ]
        if not found:
            raise UsageError(f"unknown case {pattern!r}; the cases are: {', '.join(cases)}")
        chosen |= {name: cases[name] for name in found}
    return [case for name, case in cases.items() if name in chosen]


def one_case(name: str) -> Case:
    """The case of that name, or the only one that a pattern matches.

    Raises:
        UsageError: there is none, or there are several.
    """
    chosen = select_cases([name])
    if len(chosen) > 1:
        names = ", ".join(case.name for case in chosen)
        raise UsageError(f"{name} are several cases: give one of {names}")
    return chosen[0]
