"""The verdicts of two results folders compared: what is worse, and where M⁻¹ has changed.

If a check was run more than once, its newest run counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from invmass.results import wording
from invmass.results.schema import CONVERGES
from invmass.results.status import BY_SEVERITY, Status, parse_status

from . import tables
from .matching import COMBINATION, Key, KeyedRows, LeftOut, Row, key_of, or_none, rows_of_kind

VERDICT_KEY = (
    *COMBINATION, "claim", "case_version", "tolerance", "alpha", "num_warmup", "device", "dtype",
)  # fmt: skip


def keyed_verdicts(base: pd.DataFrame, new: pd.DataFrame, left_out: LeftOut) -> KeyedRows:
    """The verdicts of the newest run of each key, in both folders.

    The row of a check that raised an error may lack values of the key, such as the tolerance. It
    counts for every key that agrees in the values that it has.
    """
    folders = ("BASE", "NEW")
    rows = [
        rows_of_kind(tables.with_device(side[side["kind"] == "verdict"]), "verdict")
        for side in (base, new)
    ]
    keys = _complete_keys([*rows[0], *rows[1]])
    sides = [_newest(side, keys) for side in rows]
    for folder, all_rows, groups in zip(folders, rows, sides, strict=True):
        used = {id(row) for group in groups.values() for row in group}
        if older := sum(id(row) not in used for row in all_rows):
            left_out.add(folder, "verdict", "a newer run of the same check replaces it", older)
    for key in [key for key in sides[0] if key in sides[1]]:
        if all(worst_row(groups[key])["status"] is Status.SKIPPED for groups in sides):
            for folder, groups in zip(folders, sides, strict=True):
                left_out.add(folder, "verdict", "skipped in both", len(groups.pop(key)))
    return KeyedRows("verdict", VERDICT_KEY, *sides)


def verdict_lines(keyed: KeyedRows) -> list[Row]:
    """Lines as `Comparison.verdicts` has them, for all common keys."""
    return [_verdict_line(keyed, key) for key in keyed.common]


def matrix_lines(keyed: KeyedRows) -> Iterator[Row]:
    """Changes of M⁻¹ over its target: the worst entry of each side, and all entries that changed.

    An entry has changed if the confidence intervals of the two sides do not overlap.
    """
    for key in keyed.common:
        base, new = (worst_row(side[key]) for side in (keyed.base, keyed.new))
        if CONVERGES not in (base["claim"], new["claim"]):
            continue
        if not (wording.has_value(base["found"]) and wording.has_value(new["found"])):
            continue
        before, after = _intervals(base), _intervals(new)
        changed = [e for e in before if e in after and _are_disjoint(before[e], after[e])]
        line = keyed.line(key) | {"quantity": "M⁻¹, worst entry"}
        for side, row in (("base", base), ("new", new)):
            line |= {side: or_none(row["found"])}
            line |= {f"{side}_{c}": or_none(row[c]) for c in ("entry", "low", "high")}
        yield line | {"entries": changed, "status": "changed" if changed else "same"}


def worst_row(rows: Sequence[Row]) -> Row:
    """The row with the worst status, which is replaced by the member of `Status`."""
    parsed = [row | {"status": parse_status(row["status"])} for row in rows]
    return min(parsed, key=lambda row: BY_SEVERITY.index(row["status"]))


def _verdict_line(keyed: KeyedRows, key: Key) -> Row:
    base, new = (worst_row(side[key]) for side in (keyed.base, keyed.new))
    before, after = base["status"], new["status"]
    if before is after:
        change = "same"
    elif after.is_worse_than(before):
        change = "worse"
    else:
        change = "better" if after is Status.PASS else "changed"
    return keyed.line(key) | {
        "claim": new["claim"] if wording.has_value(new["claim"]) else or_none(base["claim"]),
        "base": str(before),
        "new": str(after),
        "status": change,
        "message": wording.first_error_line(new["message"]) or None,
        "command": or_none(new["command"]),
    }


def _complete_keys(rows: Iterable[Row]) -> list[Key]:
    """The keys of all rows, without incomplete keys that agree with a more complete one."""
    by_combination: dict[Key, list[Key]] = defaultdict(list)
    for key in sorted(
        dict.fromkeys(key_of(row, VERDICT_KEY) for row in rows), key=lambda key: key.count("")
    ):
        complete = by_combination[key[: len(COMBINATION)]]
        if not any(_agree(key, other) for other in complete):
            complete.append(key)
    return [key for complete in by_combination.values() for key in complete]


def _newest(rows: Iterable[Row], keys: Iterable[Key]) -> dict[Key, list[Row]]:
    """All rows of the newest run for each key: the last must not hide a failure before it."""
    by_combination: dict[Key, list[tuple[Key, Row]]] = defaultdict(list)
    for row in rows:
        key = key_of(row, VERDICT_KEY)
        by_combination[key[: len(COMBINATION)]].append((key, row))
    found = {}
    for key in keys:
        candidates = by_combination[key[: len(COMBINATION)]]
        if agreeing := [row for other, row in candidates if _agree(key, other)]:
            run = agreeing[-1]["run_id"]
            found[key] = [row for row in agreeing if row["run_id"] == run]
    return found


def _agree(key: Key, other: Key) -> bool:
    """Whether two keys are equal in all values that both state."""
    return all(a == b or "" in (a, b) for a, b in zip(key, other, strict=True))


def _intervals(row: Row) -> dict[str, Row]:
    """Intervals by entry: all that the row holds, or else that of its worst entry."""
    return {record["entry"]: record for record in tables.records(row["intervals"]) or [row]}


def _are_disjoint(one: Row, other: Row) -> bool:
    ends = [interval[end] for interval in (one, other) for end in ("low", "high")]
    if not all(wording.has_value(end) for end in ends):
        return False
    low, high, other_low, other_high = ends
    return bool(low > other_high or other_low > high)
