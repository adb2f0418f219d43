"""Compares two results folders row by row, bit for bit: python benchmarks/same_rows.py OLD NEW.

Rows are the same if they agree in everything but names of commands, places and times. Each row of
one folder must have its equal in the other; NEW may have fields that OLD has not. Exit status: 0 if
they are the same, else 1.
"""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invmass.results.rows import read_rows

KEY = ("kind", "case", "backend", "metric", "claim", "phase", "seed", "status")
PLACES_AND_TIMES = {
    "row_id", "run_id", "time", "seconds", "library_seconds", "commit", "command", "message",
    "machine", "cores", "spec", "cell",
}  # fmt: skip
SHOWN = 10


def plain(value: Any) -> Any:
    """A value that compares equal to itself, with every bit of a number."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change of a row; a field that is null is as good as none."""
    return {
        name: plain(value)
        for name, value in row.items()
        if name not in PLACES_AND_TIMES and value is not None
    }


def keyed(folder: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a folder by what identifies them."""
    return {tuple(row.get(name) for name in KEY): numbers(row) for row in read_rows(folder)}


def main(old: Path, new: Path) -> int:
    """Say what differs, and return the exit status."""
    before, after = keyed(old), keyed(new)
    lines = [f"only in {old}: {key}" for key in before if key not in after]
    lines += [f"only in {new}: {key}" for key in after if key not in before]
    both = [key for key in before if key in after]
    added = sorted({name for key in both for name in after[key]} - set().union(*before.values()))
    for key in both:
        fields = {*before[key], *after[key]} - {*added}
        changed = sorted(f for f in fields if before[key].get(f) != after[key].get(f))
        lines += [f"differs in {', '.join(changed)}: {key}"] if changed else []
    print("\n".join(lines[:SHOWN] + [f"… and {len(lines) - SHOWN} more"] * (len(lines) > SHOWN)))
    count = sum(map(len, before.values()))
    summary = {"rows": len(both), "fields": count, "added fields": added, "differences": len(lines)}
    print(json.dumps(summary))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
