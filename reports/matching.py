"""Matches the rows of two results folders by their keys, and explains what does not match.

Only rows that agree in their whole key are compared: case, backend, metric, settings, device and
more. A value that a row does not state is "" in its key.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from invmass.results import wording
from invmass.results.status import Status

COMBINATION = ("case", "backend", "metric")  # the first columns of every key
MAX_KEYS = 5  # listed for each reason in a message
_DEFAULTS = {"devices": 1}  # of columns that older rows lack

Row = dict[str, Any]
Key = tuple[Any, ...]


class KeyedRows(NamedTuple):
    """The rows of one kind in both folders, by key.

    Attributes:
        kind: "timing" or "verdict".
        columns: of the key; those of COMBINATION first, then phase or claim.
        base: rows of BASE.
        new: rows of NEW.
    """

    kind: str
    columns: tuple[str, ...]
    base: Mapping[Key, list[Row]]
    new: Mapping[Key, list[Row]]

    @property
    def common(self) -> list[Key]:
        """Keys that both folders hold."""
        return [key for key in self.base if key in self.new]

    def line(self, key: Key) -> Row:
        """The columns of a key as a record, with the kind; None for what is not stated."""
        stated = dict(zip(self.columns, key, strict=True))
        return {"kind": self.kind} | {c: None if v == "" else v for c, v in stated.items()}


@dataclass
class LeftOut:
    """Counts of the rows that are not compared, by folder, kind and reason."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, folder: str, kind: str, reason: str, rows: int = 1) -> None:
        """Count rows of a folder ("BASE" or "NEW") that are left out for a reason."""
        self.counts[folder, kind, reason] += rows

    def lines(self) -> list[Row]:
        """Records with folder, kind, reason and the number of rows."""
        return [
            {"folder": folder, "kind": kind, "reason": reason, "rows": count}
            for (folder, kind, reason), count in self.counts.items()
        ]


class Unmatched(NamedTuple):
    """The rows of a key that the other folder lacks.

    Attributes:
        folder: that holds them, "BASE" or "NEW".
        kind: of the rows.
        columns: of the key.
        key: their key.
        nearest: the key of the other folder with the same combination, and phase or claim, that
            differs in the fewest columns; None if there is none.
        rows: the rows.
    """

    folder: str
    kind: str
    columns: tuple[str, ...]
    key: Key
    nearest: Key | None
    rows: list[Row]

    @property
    def differing(self) -> tuple[int, ...]:
        """Indices of the columns in which the nearest key differs."""
        if self.nearest is None:
            return ()
        return tuple(i for i, value in enumerate(self.key) if value != self.nearest[i])

    @property
    def reason(self) -> str:
        """Why the rows are not compared."""
        other = "NEW" if self.folder == "BASE" else "BASE"
        if self.nearest is None:
            return f"no such row in {other}"
        columns = wording.joined(self.columns[i] for i in self.differing)
        return f"different {columns} in {other}"


def rows_of_kind(rows: pd.DataFrame, kind: str) -> list[Row]:
    """The rows of a kind as records."""
    return rows[rows["kind"] == kind].to_dict("records")


def key_of(row: Row, columns: Iterable[str]) -> Key:
    """The key of a row: its values in the columns, whole numbers as int."""
    values = [row[c] if wording.has_value(row.get(c)) else _DEFAULTS.get(c, "") for c in columns]
    return tuple(int(v) if isinstance(v, float) and v.is_integer() else v for v in values)


def or_none(value: Any) -> Any:
    """The value, or None if it is missing or not finite, for which JSON has no number."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if wording.has_value(value) else None


def unmatched(keyed: KeyedRows) -> Iterator[Unmatched]:
    """Keys that only one of the folders holds."""
    same = len(COMBINATION) + 1
    for folder, these, those in (("BASE", keyed.base, keyed.new), ("NEW", keyed.new, keyed.base)):
        near: dict[Key, list[Key]] = defaultdict(list)
        for key in those:
            near[key[:same]].append(key)
        for key, rows in these.items():
            if key not in those:
                nearest = min(near[key[:same]], key=partial(_distance, key), default=None)
                yield Unmatched(folder, keyed.kind, keyed.columns, key, nearest, rows)


def loss(missing: Unmatched, kinds: Sequence[KeyedRows]) -> str | None:
    """A sentence on rows that only one folder holds, if that suggests that NEW is broken."""
    if missing.nearest is not None:
        return None
    width = len(COMBINATION)
    name = ", ".join(map(str, missing.key[: width + 1]))
    if (missing.folder, missing.kind) == ("BASE", "timing"):
        held = any(key[:width] == missing.key[:width] for keyed in kinds for key in keyed.new)
        return f"{name}: timed in BASE, not in NEW" if held else None
    failed = any(row.get("status") == Status.ERROR for row in missing.rows)
    return (
        f"{name}: error in NEW, not judged in BASE" if missing.folder == "NEW" and failed else None
    )


def no_overlap_message(
    missing: Sequence[Unmatched], kinds: Sequence[KeyedRows], left_out: LeftOut
) -> str:
    """The message if no rows of the two folders can be compared: what differs, and the remedy."""
    lines = ["no row of BASE can be compared with one of NEW", *_differences(missing)]
    for keyed in kinds:
        if keyed.base and keyed.new:
            lines += _disjoint_columns(keyed)
        elif keyed.base or keyed.new:
            without = "NEW" if keyed.base else "BASE"
            lines.append(f"{without} holds no {keyed.kind} that can be compared")
    lines += [
        f"{line['folder']}: {wording.plural(line['rows'], line['kind'])} left out, {line['reason']}"
        for line in left_out.lines()
        if not any(line["reason"] == each.reason for each in missing)
    ]
    remedy = (
        "run the same `invmass benchmark` or `invmass validate` for both, on one machine, "
        "with --results BASE and --results NEW"
    )
    return "\n  ".join([*lines, remedy])


def _differences(missing: Sequence[Unmatched]) -> Iterator[str]:
    """For each set of differing values, the keys that differ in nothing else."""
    groups: dict[tuple[Any, ...], list[Unmatched]] = defaultdict(list)
    for each in missing:
        if each.folder == "BASE" and each.nearest is not None:
            values = [(each.columns[i], each.key[i], each.nearest[i]) for i in each.differing]
            groups[each.kind, *values].append(each)
    for (kind, *values), group in groups.items():
        columns = wording.joined(column for column, *_ in values)
        sides = [", ".join(_quoted(value[side]) for value in values) for side in (1, 2)]
        keys = [", ".join(map(str, each.key[: len(COMBINATION) + 1])) for each in group]
        more = [f"{len(keys) - MAX_KEYS} more"] * (len(keys) > MAX_KEYS)
        yield (
            f"{wording.plural(len(keys), kind)} with a different {columns} "
            f"({sides[0]} in BASE, {sides[1]} in NEW): " + "; ".join([*keys[:MAX_KEYS], *more])
        )


def _disjoint_columns(keyed: KeyedRows) -> Iterator[str]:
    """Sentences on the columns (case, backend, …) of which no value is in both folders."""
    for i, column in enumerate(keyed.columns[: len(COMBINATION) + 1]):
        these, those = ({key[i]: None for key in side} for side in (keyed.base, keyed.new))
        if not these.keys() & those.keys():
            base, new = (", ".join(map(_quoted, side)) for side in (these, those))
            yield f"no {column} of a {keyed.kind} is in both: {base} in BASE, {new} in NEW"


def _distance(key: Key, other: Key) -> int:
    return sum(a != b for a, b in zip(key, other, strict=True))


def _quoted(value: Any) -> str:
    return repr(value) if value != "" else "not stated"
