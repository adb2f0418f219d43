"""Coordinates by name: ours, Stan's, and those of any other writer who counts from 0 or from 1."""

import re
from collections.abc import Sequence

import numpy as np

from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.stan.names import stan_name

_NAME = re.compile(
    r"(?P<site>[^\[\].]+)(?:\[(?P<bracketed>\d+(?:, *\d+)*)\]|(?P<dotted>(?:\.\d+)+))?"
)

Index = tuple[int, ...]


def places(names: Sequence[str], case: Case, origin: str) -> np.ndarray:
    """Where each coordinate of the case stands among the names, shape (d,).

    A name is a site's, followed by its index as in `x[0,1]` or `x.1.2`; a scalar site's is bare.
    Whether a site is counted from 0 or from 1 is told by all its indices together. A site may be
    called as in an exported Stan program.

    Raises:
        UsageError: lists what is missing, and what belongs to no coordinate.
    """
    sites = {stan_name(name): name for name in case.sites} | {name: name for name in case.sites}
    found: dict[str, dict[Index, int]] = {name: {} for name in case.sites}
    extra = []
    for place, name in enumerate(names):
        match = _NAME.fullmatch(name.strip())
        site = sites.get(match["site"]) if match else None
        if match is None or site is None:
            extra.append(name)
            continue
        index = tuple(map(int, re.findall(r"\d+", match["bracketed"] or match["dotted"] or "")))
        if index in found[site]:
            raise UsageError(f"{origin}: the coordinate {name} is there twice")
        found[site][index] = place
    missing: list[str] = []
    order = np.zeros(case.dimension, dtype=int)
    for name, part in case.posterior.slices.items():
        labels = case.posterior.coordinates[part]
        expected = list(np.ndindex(*case.sites[name].free_shape))
        from_one = [tuple(i + 1 for i in index) for index in expected]
        one = len(set(from_one) & set(found[name])) > len(set(expected) & set(found[name]))
        indices = from_one if one else expected
        missing += [
            label for label, index in zip(labels, indices, strict=True) if index not in found[name]
        ]
        extra += [names[place] for index, place in found[name].items() if index not in indices]
        if not missing:
            order[part] = [found[name][index] for index in indices]
    if missing or extra:
        raise mismatch(case, missing, extra, origin)
    return order


def mismatch(case: Case, missing: Sequence[str], extra: Sequence[str], origin: str) -> UsageError:
    """The error that says which coordinates are missing, and which are not the case's."""
    told = [f"missing: {', '.join(missing)}"] * bool(missing)
    told += [f"not of this case: {', '.join(extra)}"] * bool(extra)
    return UsageError(
        f"{origin} does not match case {case.name}; {'; '.join(told)}. Its coordinates are "
        f"{', '.join(case.posterior.coordinates)}; invmass export {case.name} writes a program "
        "with these names"
    )
