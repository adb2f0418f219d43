"""Two tables of rows against each other: what became slower, and what is judged worse.

Only rows that agree in their whole key are compared. All rounds of one key in one folder are
pooled, so that runs of both sides made in turn count together; of verdicts the newest run counts.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from invmass.errors import NoOverlapError, UsageError
from invmass.results import wording

from . import rounds, tables

FACTOR, LEVEL = 1.15, 0.001
CONVERGES = "converges to its target"  # of its entries M⁻¹ is called changed
IDENTITY = ("case", "backend", "metric")
# The seed decides how many gradients there are to be timed.
TIMING_KEY = (
    *IDENTITY, "phase", "case_version", "device", "devices", "dtype", "machine", "cores", "seed",
    "num_warmup", "replicates", "num_samples",
)  # fmt: skip
VERDICT_KEY = (
    *IDENTITY, "claim", "case_version", "tolerance", "alpha", "num_warmup", "device", "dtype",
)  # fmt: skip
# From pass to anything else is worse, and so is what ranks higher than before.
RANKS = {"pass": 0, "expected failure": 1, "skipped": 1, "inconclusive": 2, "fail": 3, "error": 3}
_UNSTATED = {"devices": 1}  # by rows of before there could be more
SHOWN_KEYS = 5  # of each reason in a message

Row = dict[str, Any]
Key = tuple[Any, ...]


class _Keyed(NamedTuple):
    """Rows of one kind in both folders, by key; "" stands in a key for what a row does not say."""

    kind: str
    columns: tuple[str, ...]
    base: Mapping[Key, list[Row]]
    new: Mapping[Key, list[Row]]


@dataclass(frozen=True)
class Comparison:
    """What came of it; a line is a flat record with the columns of its key.

    Attributes:
        timings: with base_seconds, new_seconds (medians), ratio, low, high, p, base_rounds,
            new_rounds, noise and a status: slower, faster, same, within noise or too few rounds.
            Noise is how far two turns of one side are apart, the larger of both.
        verdicts: with base and new, the statuses, and a status: worse, better, changed or same.
        quality: with quantity, base and new, for M⁻¹ their entries and intervals, and a status:
            same or changed, with the entries whose intervals do not overlap.
        left_out: with folder, kind, reason and the number of rows.
        uncompared: kinds that both folders hold, but of which no rows have the same key.
        lost: what was timed in BASE, and in NEW is not, though its combination is there; and checks
            that broke down in NEW and are not in BASE.
        level: of each test of timings.
        rounds: on each side, from which on every timing could be decided.
    """

    timings: list[Row]
    verdicts: list[Row]
    quality: list[Row]
    left_out: list[Row]
    uncompared: list[str]
    lost: list[str]
    level: float
    rounds: int

    @property
    def worse(self) -> bool:
        """Something is slower, or judged worse."""
        return any(line["status"] in ("slower", "worse") for line in self.timings + self.verdicts)

    @property
    def undecided(self) -> bool:
        """Something had too few rounds or too much noise, was lost, or could not be compared."""
        open_ = any(line["status"] in ("too few rounds", "within noise") for line in self.timings)
        return open_ or bool(self.uncompared) or bool(self.lost)


def compare(
    base: pd.DataFrame, new: pd.DataFrame, factor: float = FACTOR, level: float = LEVEL
) -> Comparison:
    """Compare rows as loaded from two folders.

    A combination is slower if the ratio of the medians is at least `factor`, and larger than that
    of two turns of the same version, and the test rejects.
    The probability that chance makes anything slower is at most `level` for all together, if
    rounds are independent: those of one process share its luck, so pool several.

    Raises:
        NoOverlapError: there is nothing to compare; it says what differs.
        UsageError: a row is in both, so that the folders are not two runs.
    """
    if shared := set(base["row_id"].dropna()) & set(new["row_id"].dropna()):
        raise UsageError(
            f"BASE and NEW hold the same {wording.plural(len(shared), 'row')}; "
            "write each to a folder of its own, with --results"
        )
    left = _LeftOut()
    kinds = [_timings(base, new, left), _verdicts(base, new, left)]
    misses = [miss for keyed in kinds for miss in _misses(keyed)]
    for miss in misses:
        left.add(miss.folder, miss.kind, miss.reason, len(miss.rows))
    timed, judged = ([key for key in keyed.base if key in keyed.new] for keyed in kinds)
    if not timed and not judged:
        raise NoOverlapError(_nothing(misses, kinds, left))
    timings, level_of_each, needed = _timing_lines(kinds[0], timed, factor, level)
    return Comparison(
        timings,
        [_verdict_line(kinds[1], key) for key in judged],
        [*_matrix_lines(kinds[1], judged), *_worth_lines(kinds[0], timed)],
        left.lines(),
        [
            kind
            for kind, both in (("timing", timed), ("verdict", judged))
            if not both and all(rows["kind"].eq(kind).any() for rows in (base, new))
        ],
        [told for miss in misses if (told := _loss(miss, kinds))],
        level_of_each,
        needed,
    )


def names(lines: Sequence[Row]) -> list[str]:
    """`notebook-uniform, hmc, dense` of each line, and settings where two lines look alike."""
    apart = (*TIMING_KEY[len(IDENTITY) + 1 :], "tolerance", "alpha")
    alike: dict[Key, list[Row]] = defaultdict(list)
    for line in lines:
        alike[_looks(line)].append(line)
    told = []
    for line in lines:
        others = alike[_looks(line)]
        varying = [c for c in apart if any(line.get(c) != other.get(c) for other in others)]
        words = [str(line[column]) for column in IDENTITY]
        told.append(", ".join([*words, *(f"{column} {line[column]}" for column in varying)]))
    return told


def _looks(line: Row) -> Key:
    return tuple(line.get(c) for c in (*IDENTITY, "phase", "claim", "quantity"))


@dataclass
class _LeftOut:
    """Counts the rows that are not compared, by folder, kind and reason."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, folder: str, kind: str, reason: str, rows: int = 1) -> None:
        self.counts[folder, kind, reason] += rows

    def lines(self) -> list[Row]:
        return [
            {"folder": folder, "kind": kind, "reason": reason, "rows": count}
            for (folder, kind, reason), count in self.counts.items()
        ]


# Rows by key


def _timings(base: pd.DataFrame, new: pd.DataFrame, left: _LeftOut) -> _Keyed:
    """Timings that have the seconds of each round."""
    found: list[dict[Key, list[Row]]] = []
    for folder, rows in (("BASE", base), ("NEW", new)):
        groups: dict[Key, list[Row]] = defaultdict(list)
        for row in _of_kind(rows, "timing"):
            if _are_seconds(row["round_seconds"]):
                groups[_key(row, TIMING_KEY)].append(row)
            else:
                left.add(folder, "timing", "without the seconds of each round: time it again")
        found.append(dict(groups))
    for kind in sorted({*base["kind"], *new["kind"]} - {"timing", "verdict"}):
        for folder, rows in (("BASE", base), ("NEW", new)):
            if count := int(rows["kind"].eq(kind).sum()):
                left.add(folder, kind, "of a kind that is not compared", count)
    return _Keyed("timing", TIMING_KEY, *found)


def _verdicts(base: pd.DataFrame, new: pd.DataFrame, left: _LeftOut) -> _Keyed:
    """Verdicts of the newest run of each key.

    A check that broke down says little: it stands for every key that its row does not contradict.
    """
    folders = [
        _of_kind(tables.located(rows[rows["kind"] == "verdict"]), "verdict") for rows in (base, new)
    ]
    keys = _whole_keys([*folders[0], *folders[1]])
    found = [_newest(rows, keys) for rows in folders]
    for folder, rows, groups in zip(("BASE", "NEW"), folders, found, strict=True):
        used = {id(row) for group in groups.values() for row in group}
        if older := sum(id(row) not in used for row in rows):
            left.add(folder, "verdict", "a newer run of the same check replaces it", older)
    for key in [key for key in found[0] if key in found[1]]:
        if all(_worst(groups[key])["status"] == "skipped" for groups in found):
            for folder, groups in zip(("BASE", "NEW"), found, strict=True):
                left.add(folder, "verdict", "skipped in both", len(groups.pop(key)))
    return _Keyed("verdict", VERDICT_KEY, *found)


def _of_kind(rows: pd.DataFrame, kind: str) -> list[Row]:
    return rows[rows["kind"] == kind].to_dict("records")


def _key(row: Row, columns: Iterable[str]) -> Key:
    values = [row[c] if wording.known(row.get(c)) else _UNSTATED.get(c, "") for c in columns]
    return tuple(int(v) if isinstance(v, float) and v.is_integer() else v for v in values)


def _whole_keys(rows: Iterable[Row]) -> list[Key]:
    """Keys of all rows, but for those that say no more than another's."""
    by_combination: dict[Key, list[Key]] = defaultdict(list)
    for key in sorted(
        dict.fromkeys(_key(row, VERDICT_KEY) for row in rows), key=lambda key: key.count("")
    ):
        known = by_combination[key[: len(IDENTITY)]]
        if not any(_agree(key, other) for other in known):
            known.append(key)
    return [key for known in by_combination.values() for key in known]


def _newest(rows: Iterable[Row], keys: Iterable[Key]) -> dict[Key, list[Row]]:
    """For each key all rows of the newest run: its last must not hide that its first failed."""
    by_combination: dict[Key, list[tuple[Key, Row]]] = defaultdict(list)
    for row in rows:
        key = _key(row, VERDICT_KEY)
        by_combination[key[: len(IDENTITY)]].append((key, row))
    found = {}
    for key in keys:
        known = by_combination[key[: len(IDENTITY)]]
        if agreeing := [row for other, row in known if _agree(key, other)]:
            run = agreeing[-1]["run_id"]
            found[key] = [row for row in agreeing if row["run_id"] == run]
    return found


def _agree(key: Key, other: Key) -> bool:
    return all(a == b or "" in (a, b) for a, b in zip(key, other, strict=True))


def _are_seconds(cell: Any) -> bool:
    if not isinstance(cell, list) or not cell:
        return False
    numbers = all(isinstance(value, int | float) for value in cell)
    return numbers and all(np.isfinite(value) and value > 0 for value in cell)


# Rows without a partner


class _Miss(NamedTuple):
    """Rows of a key that the other folder does not hold, and its key that is nearest."""

    folder: str
    kind: str
    columns: tuple[str, ...]
    key: Key
    nearest: Key | None
    rows: list[Row]

    @property
    def differing(self) -> tuple[int, ...]:
        """Places of the columns in which the nearest key differs."""
        if self.nearest is None:
            return ()
        return tuple(i for i, value in enumerate(self.key) if value != self.nearest[i])

    @property
    def reason(self) -> str:
        other = "NEW" if self.folder == "BASE" else "BASE"
        if self.nearest is None:
            return f"nothing like it in {other}"
        differing = wording.listed(self.columns[i] for i in self.differing)
        return f"another {differing} in {other}"


def _misses(keyed: _Keyed) -> Iterator[_Miss]:
    """Keys of one folder alone; the nearest has the same combination, and phase or claim."""
    same = len(IDENTITY) + 1
    for folder, these, those in (("BASE", keyed.base, keyed.new), ("NEW", keyed.new, keyed.base)):
        near: dict[Key, list[Key]] = defaultdict(list)
        for key in those:
            near[key[:same]].append(key)
        for key, rows in these.items():
            if key not in those:
                nearest = min(near[key[:same]], key=partial(_distance, key), default=None)
                yield _Miss(folder, keyed.kind, keyed.columns, key, nearest, rows)


def _loss(miss: _Miss, kinds: Sequence[_Keyed]) -> str | None:
    """What of a combination of both folders only one holds, if that says that it went wrong."""
    if miss.nearest is not None:
        return None
    place = len(IDENTITY)
    name = ", ".join(map(str, miss.key[: place + 1]))
    if (miss.folder, miss.kind) == ("BASE", "timing"):
        held = any(key[:place] == miss.key[:place] for keyed in kinds for key in keyed.new)
        return f"{name}: timed in BASE, not in NEW" if held else None
    broke = miss.folder == "NEW" and any(row.get("status") == "error" for row in miss.rows)
    return f"{name}: broke down in NEW, not judged in BASE" if broke else None


def _distance(key: Key, other: Key) -> int:
    return sum(a != b for a, b in zip(key, other, strict=True))


def _nothing(misses: Sequence[_Miss], kinds: Sequence[_Keyed], left: _LeftOut) -> str:
    """The message where no rows of both folders can be compared: what differed, and what to do."""
    told = ["no row of BASE can be compared with one of NEW"]
    groups: dict[tuple[Any, ...], list[_Miss]] = defaultdict(list)
    for miss in misses:
        if miss.folder == "BASE" and miss.nearest is not None:
            values = [(miss.columns[i], miss.key[i], miss.nearest[i]) for i in miss.differing]
            groups[miss.kind, *values].append(miss)
    for (kind, *values), group in groups.items():
        differing = wording.listed(column for column, *_ in values)
        sides = [", ".join(_quoted(value[side]) for value in values) for side in (1, 2)]
        keys = [", ".join(map(str, miss.key[: len(IDENTITY) + 1])) for miss in group]
        more = [f"{len(keys) - SHOWN_KEYS} more"] * (len(keys) > SHOWN_KEYS)
        told.append(
            f"but for {differing} ({sides[0]} in BASE, {sides[1]} in NEW) "
            f"{wording.plural(len(keys), kind)} would match: "
            + "; ".join([*keys[:SHOWN_KEYS], *more])
        )
    for keyed in kinds:
        if keyed.base and keyed.new:
            told += _apart(keyed)
        elif keyed.base or keyed.new:
            without = "NEW" if keyed.base else "BASE"
            told.append(f"{without} holds no {keyed.kind} that can be compared")
    told += [
        f"{line['folder']}: {wording.plural(line['rows'], line['kind'])} left out, {line['reason']}"
        for line in left.lines()
        if not any(line["reason"] == miss.reason for miss in misses)
    ]
    remedy = (
        "run the same `invmass benchmark` or `invmass validate` for both, on one machine, "
        "with --results BASE and --results NEW"
    )
    return "\n  ".join([*told, remedy])


def _apart(keyed: _Keyed) -> Iterator[str]:
    """Cases, backends, metrics, phases or claims of which none is in both folders."""
    for i, column in enumerate(keyed.columns[: len(IDENTITY) + 1]):
        these, those = ({key[i]: None for key in side} for side in (keyed.base, keyed.new))
        if not these.keys() & those.keys():
            base, new = (", ".join(map(_quoted, side)) for side in (these, those))
            yield f"no {column} of a {keyed.kind} is in both: {base} in BASE, {new} in NEW"


def _quoted(value: Any) -> str:
    return repr(value) if value != "" else "not stated"


# Lines


def _line(keyed: _Keyed, key: Key) -> Row:
    stated = dict(zip(keyed.columns, key, strict=True))
    return {"kind": keyed.kind} | {c: None if v == "" else v for c, v in stated.items()}


def _timing_lines(
    keyed: _Keyed, keys: Sequence[Key], factor: float, level: float
) -> tuple[list[Row], float, int]:
    """Lines, the level of each test, and the rounds from which on all could reach theirs."""
    sides = [
        [[s for row in side[key] for s in row["round_seconds"]] for side in (keyed.base, keyed.new)]
        for key in keys
    ]
    smallest = [rounds.smallest_p(len(base), len(new)) for base, new in sides]
    each = rounds.level_of_each(level, smallest)
    lines = []
    for key, (base, new), least in zip(keys, sides, smallest, strict=True):
        found = rounds.compare_rounds(base, new)
        noise = max(
            rounds.noise([row["round_seconds"] for row in side[key]])
            for side in (keyed.base, keyed.new)
        )
        if least >= each:
            status = "too few rounds"
        elif factor <= max(found.ratio, 1 / found.ratio) <= noise:
            status = "within noise"
        elif found.ratio >= factor and found.p_slower < each:
            status = "slower"
        elif found.ratio <= 1 / factor and found.p_faster < each:
            status = "faster"
        else:
            status = "same"
        lines.append(
            _line(keyed, key)
            | {
                "base_rounds": len(base),
                "new_rounds": len(new),
                "base_seconds": found.base,
                "new_seconds": found.new,
                "ratio": found.ratio,
                "low": found.low,
                "high": found.high,
                "noise": noise,
                "p": found.p_slower if found.ratio >= 1 else found.p_faster,
                "status": status,
            }
        )
    return lines, each, rounds.rounds_needed(level / max(1, len(keys)))


def _verdict_line(keyed: _Keyed, key: Key) -> Row:
    base, new = (_worst(side[key]) for side in (keyed.base, keyed.new))
    before, after = base["status"], new["status"]
    if before == after:
        status = "same"
    elif RANKS[after] > RANKS[before] and before != "skipped":  # then it was not judged
        status = "worse"
    else:
        status = "better" if after == "pass" else "changed"
    told = {"message": wording.gist(new["message"]) or None, "command": _stated(new["command"])}
    names = {"claim": new["claim"] if wording.known(new["claim"]) else _stated(base["claim"])}
    return _line(keyed, key) | names | {"base": before, "new": after, "status": status} | told


def _worst(rows: Sequence[Row]) -> Row:
    """Of several the one with the worst status; one that nobody defined is an error."""
    known = [row | {"status": row["status"] if row["status"] in RANKS else "error"} for row in rows]
    return max(known, key=lambda row: RANKS[row["status"]])


def _matrix_lines(keyed: _Keyed, keys: Iterable[Key]) -> Iterator[Row]:
    """M⁻¹ over what its estimator converges to: the worst entries, and all that have changed."""
    for key in keys:
        base, new = (_worst(side[key]) for side in (keyed.base, keyed.new))
        if CONVERGES not in (base["claim"], new["claim"]):
            continue
        if not (wording.known(base["found"]) and wording.known(new["found"])):
            continue
        before, after = _intervals(base), _intervals(new)
        changed = [e for e in before if e in after and _disjoint(before[e], after[e])]
        line = _line(keyed, key) | {"quantity": "M⁻¹, worst entry"}
        for side, row in (("base", base), ("new", new)):
            line |= {side: _stated(row["found"])}
            line |= {f"{side}_{c}": _stated(row[c]) for c in ("entry", "low", "high")}
        yield line | {"entries": changed, "status": "changed" if changed else "same"}


def _worth_lines(keyed: _Keyed, keys: Iterable[Key]) -> Iterator[Row]:
    """What a gradient is worth, the median of the rows; the statuses of its lines are all None."""
    for key in keys:
        sides = [
            [row["ess_per_gradient"] for row in side[key] if wording.known(row["ess_per_gradient"])]
            for side in (keyed.base, keyed.new)
        ]
        if all(sides):
            base, new = (float(np.median(side)) for side in sides)
            told = {"quantity": "ESS per gradient", "base": base, "new": new, "status": None}
            yield _line(keyed, key) | told


def _intervals(row: Row) -> dict[str, Row]:
    """Intervals by entry: all that a row keeps, or that of its worst."""
    return {record["entry"]: record for record in tables.records(row["intervals"]) or [row]}


def _disjoint(one: Row, other: Row) -> bool:
    ends = [interval[end] for interval in (one, other) for end in ("low", "high")]
    if not all(wording.known(end) for end in ends):
        return False
    low, high, other_low, other_high = ends
    return bool(low > other_high or other_low > high)


def _stated(value: Any) -> Any:
    """None for what is not known, which JSON has a word for."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if wording.known(value) else None
