"""Changes from one release of a library to the next: statuses, speed, and ESS per gradient."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from packaging.version import InvalidVersion, Version

from . import tables, timings

OWN = "invmass"  # a change of the suite itself is no release of a library


def releases(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each release of a library, backend and timed combination, oldest first.

    Only libraries of which the rows hold at least two releases under one backend.

    Returns:
        Columns library, version, backend, those of HARDWARE, counts of the statuses of the newest
        run of each check of that release, and the columns of `timings`, which are missing where
        nothing was timed.
    """
    lines = [
        line
        for library, backend in _with_history(rows)
        for line in _lines(rows[rows["backend"] == backend], library, backend)
    ]
    frame = pd.DataFrame(lines)
    if frame.empty:
        return frame
    keys = ["library", "backend", *tables.HARDWARE]
    frame = frame.assign(order=frame["version"].map(_ordered))
    frame = frame.sort_values([*keys, "order", "case", "metric"], kind="stable")
    return frame.drop(columns="order").reset_index(drop=True)


def _with_history(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Libraries with several releases under one backend, as pairs of library and backend."""
    for backend, group in rows.groupby("backend", sort=True):
        found: dict[str, set[str]] = {}
        for versions in group["versions"]:
            for library, version in (versions if isinstance(versions, dict) else {}).items():
                found.setdefault(library, set()).add(str(version))
        yield from (
            (library, str(backend))
            for library, versions in found.items()
            if library != OWN and len(versions) > 1
        )


def _lines(rows: pd.DataFrame, library: str, backend: str) -> Iterator[dict[str, Any]]:
    stated = [v.get(library) if isinstance(v, dict) else None for v in rows["versions"]]
    rows = tables.with_device(rows.assign(release=stated))
    for (version, *hardware), group in rows.groupby(["release", *tables.HARDWARE]):
        counts = tables.verdicts(group)["status"].value_counts()
        line: dict[str, Any] = {"library": library, "version": version, "backend": backend}
        line |= dict(zip(tables.HARDWARE, hardware, strict=True))
        line |= {str(status): int(counts.get(status, 0)) for status in tables.COUNTED}
        timed = timings.timings(group).to_dict("records")
        for timing in timed or [dict.fromkeys(("case", "metric"), "")]:
            yield line | timing


def _ordered(version: str) -> Any:
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0")
