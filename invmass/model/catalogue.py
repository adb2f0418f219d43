"""Cases by name: the registry of the catalogue in `cases/`."""

import fnmatch
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from invmass.errors import UsageError
from invmass.model.case import Case

CATALOGUE = "invmass.cases.catalogue"  # module whose FAMILIES are functions that return cases


@cache
def all_cases() -> dict[str, Case]:
    """All cases by name, in the order of the catalogue."""
    families = import_module(CATALOGUE).FAMILIES
    return {case.name: case for family in families for case in family()}


def select_cases(patterns: Sequence[str]) -> list[Case]:
    """The cases that match at least one pattern, in the order of the catalogue.

    Args:
        patterns: each the name of a case, the part of a name before the dash, or a shell pattern;
            if empty, all cases are selected.

    Raises:
        UsageError: a pattern matches no case.
    """
    cases = all_cases()
    if not patterns:
        return list(cases.values())
    chosen: dict[str, Case] = {}
    for pattern in patterns:
        matches = [
            name
            for name in cases
            if fnmatch.fnmatchcase(name, pattern) or name.partition("-")[0] == pattern
        ]
        if not matches:
            raise UsageError(f"unknown case {pattern!r}; the cases are: {', '.join(cases)}")
        chosen |= {name: cases[name] for name in matches}
    return [case for name, case in cases.items() if name in chosen]


def one_case(name: str) -> Case:
    """The only case that matches a name or pattern.

    Args:
        name: as in `select_cases`.

    Raises:
        UsageError: no case matches, or several do.
    """
    chosen = select_cases([name])
    if len(chosen) > 1:
        names = ", ".join(case.name for case in chosen)
        raise UsageError(f"{name} are several cases: give one of {names}")
    return chosen[0]
