"""Match the coordinates of a file with those of a case, by their names."""

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
    """Position among the names of each coordinate of the case, shape (d,).

    A name is that of a site, followed by the index as in `x[0,1]` or `x.1.2`; the name of a scalar
    site has no index. Indices may start at 0 or at 1: of the two the one that matches more indices
    of the site is taken. Sites may have their names in an exported Stan program.

    Args:
        names: names of the coordinates in the file.
        case: the case whose coordinates are looked up.
        origin: name of the file in error messages.

    Raises:
        UsageError: a coordinate is missing or there twice, or a name belongs to no coordinate.
    """
    sites = {stan_name(name): name for name in case.sites} | {name: name for name in case.sites}
    positions: dict[str, dict[Index, int]] = {name: {} for name in case.sites}
    extra = []
    for place, name in enumerate(names):
        match = _NAME.fullmatch(name.strip())
        site = sites.get(match["site"]) if match else None
        if match is None or site is None:
            extra.append(name)
            continue
        index = tuple(map(int, re.findall(r"\d+", match["bracketed"] or match["dotted"] or "")))
        if index in positions[site]:
            raise UsageError(f"{origin}: the coordinate {name} is there twice")
        positions[site][index] = place
    missing: list[str] = []
    order = np.zeros(case.dimension, dtype=int)
    for name, part in case.posterior.slices.items():
        labels = case.posterior.coordinates[part]
        expected = list(np.ndindex(*case.sites[name].free_shape))
        from_one = [tuple(i + 1 for i in index) for index in expected]
        site_indices = set(positions[name])
        starts_at_one = len(set(from_one) & site_indices) > len(set(expected) & site_indices)
        indices = from_one if starts_at_one else expected
        missing += [
            label
            for label, index in zip(labels, indices, strict=True)
            if index not in positions[name]
        ]
        extra += [names[place] for index, place in positions[name].items() if index not in indices]
        if not missing:
            order[part] = [positions[name][index] for index in indices]
    if missing or extra:
        raise mismatch(case, missing, extra, origin)
    return order


def mismatch(case: Case, missing: Sequence[str], extra: Sequence[str], origin: str) -> UsageError:
    """The error that lists the coordinates that are missing, and those that the case lacks."""
    problems = [f"missing: {', '.join(missing)}"] * bool(missing)
    problems += [f"not of this case: {', '.join(extra)}"] * bool(extra)
    return UsageError(
        f"{origin} does not match case {case.name}; {'; '.join(problems)}. Its coordinates are "
        f"{', '.join(case.posterior.coordinates)}; invmass export {case.name} writes a program "
        "with these names"
    )
