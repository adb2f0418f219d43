"""What changed from one release of a library to the next: verdicts, speed, and worth."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from packaging.version import InvalidVersion, Version

from . import tables, timings

COUNTED = ("pass", "fail", "inconclusive", "error")
OWN = "invmass"  # it is the measure, and not what is measured


def releases(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each release of a library, backend and timed combination, oldest first.

    For libraries of which the rows hold two releases or more under one backend. Verdicts are those
    of the newest run of each check of that release; seconds and ESS are the timings', machine by
    machine, and missing where nothing was timed.
    """
    lines = [
        line
        for library, backend in _with_history(rows)
        for line in _lines(rows[rows["backend"] == backend], library, backend)
    ]
    frame = pd.DataFrame(lines)
    if frame.empty:
        return frame
    keys = ["library", "backend", *tables.PLACE]
    frame = frame.assign(order=frame["version"].map(_ordered))
    frame = frame.sort_values([*keys, "order", "case", "metric"], kind="stable")
    return frame.drop(columns="order").reset_index(drop=True)


def _with_history(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Libraries with several releases under one backend."""
    for backend, group in rows.groupby("backend", sort=True):
        seen: dict[str, set[str]] = {}
        for versions in group["versions"]:
            for library, version in (versions if isinstance(versions, dict) else {}).items():
                seen.setdefault(library, set()).add(str(version))
        yield from (
            (library, str(backend))
            for library, versions in seen.items()
            if library != OWN and len(versions) > 1
        )


def _lines(rows: pd.DataFrame, library: str, backend: str) -> Iterator[dict[str, Any]]:
    stated = [v.get(library) if isinstance(v, dict) else None for v in rows["versions"]]
    rows = tables.located(rows.assign(release=stated))
    for (version, *place), group in rows.groupby(["release", *tables.PLACE]):
        counts = tables.verdicts(group)["status"].value_counts()
        line: dict[str, Any] = {"library": library, "version": version, "backend": backend}
        line |= dict(zip(tables.PLACE, place, strict=True))
        line |= {name: int(counts.get(name, 0)) for name in COUNTED}
        timed = timings.timings(group).to_dict("records")
        for timing in timed or [dict.fromkeys(("case", "metric"), "")]:
            yield line | timing


def _ordered(version: str) -> Any:
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0")
