"""Compares the rows of two results folders: what is slower, and what is judged worse."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from invmass.errors import NoOverlapError, UsageError
from invmass.results import wording

from .matching import COMBINATION, Key, LeftOut, Row, loss, no_overlap_message, unmatched
from .timings_compared import TIMING_KEY, ess_lines, keyed_timings, timing_lines
from .verdicts_compared import keyed_verdicts, matrix_lines, verdict_lines

FACTOR, LEVEL = 1.15, 0.001


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison. Each line is a flat record with the columns of its key.

    Attributes:
        timings: with base_seconds and new_seconds (medians), ratio, low, high, p, base_rounds,
            new_rounds, noise, and a status: slower, faster, same, within noise or too few rounds.
            Noise is the ratio of the medians of two turns of one side, the larger of both sides.
        verdicts: with base and new (statuses of the check) and a status: worse, better, changed or
            same.
        quality: with quantity, base, new and a status. For M⁻¹, base and new are the worst entries
            with their intervals; the status is same or changed, and entries lists those whose
            intervals do not overlap.
        left_out: with folder, kind, reason and the number of rows.
        uncompared: kinds that both folders hold, but without a common key.
        lost: sentences on timings of BASE that NEW lacks although it holds the combination, and on
            errors in NEW of checks that BASE lacks.
        level: of each test of timings.
        rounds: number of rounds on each side with which every timing could be decided.
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
        """Whether anything is slower, or judged worse."""
        return any(line["status"] in ("slower", "worse") for line in self.timings + self.verdicts)

    @property
    def undecided(self) -> bool:
        """Whether anything had too few rounds or too much noise, was lost or was not compared."""
        undecided = ("too few rounds", "within noise")
        return (
            any(line["status"] in undecided for line in self.timings)
            or bool(self.uncompared)
            or bool(self.lost)
        )


def compare(
    base: pd.DataFrame, new: pd.DataFrame, factor: float = FACTOR, level: float = LEVEL
) -> Comparison:
    """Compare the rows of two folders.

    A timing is slower if the ratio of the medians is at least `factor` and larger than that of two
    turns of one version, and the test rejects. The rounds of one process are not independent of
    each other, so several runs of each side should be pooled.

    Args:
        base: rows as loaded.
        new: rows as loaded, to be compared with `base`.
        factor: the smallest slowdown that counts, such as 1.15.
        level: the probability that chance makes any timing slower, if rounds are independent.

    Raises:
        NoOverlapError: no rows can be compared; the message says what differs.
        UsageError: a row is in both, so that the folders are not two runs.
    """
    if shared := set(base["row_id"].dropna()) & set(new["row_id"].dropna()):
        raise UsageError(
            f"BASE and NEW hold the same {wording.plural(len(shared), 'row')}; "
            "write each to a folder of its own, with --results"
        )
    left_out = LeftOut()
    timed = keyed_timings(base, new, left_out)
    for kind in sorted({*base["kind"], *new["kind"]} - {"timing", "verdict"}):
        for folder, rows in (("BASE", base), ("NEW", new)):
            if count := int(rows["kind"].eq(kind).sum()):
                left_out.add(folder, kind, "rows of this kind are not compared", count)
    kinds = [timed, keyed_verdicts(base, new, left_out)]
    missing = [each for keyed in kinds for each in unmatched(keyed)]
    for each in missing:
        left_out.add(each.folder, each.kind, each.reason, len(each.rows))
    if not any(keyed.common for keyed in kinds):
        raise NoOverlapError(no_overlap_message(missing, kinds, left_out))
    timings, level_of_each, rounds_needed = timing_lines(timed, factor, level)
    return Comparison(
        timings,
        verdict_lines(kinds[1]),
        [*matrix_lines(kinds[1]), *ess_lines(timed)],
        left_out.lines(),
        [
            keyed.kind
            for keyed in kinds
            if not keyed.common and all(rows["kind"].eq(keyed.kind).any() for rows in (base, new))
        ],
        [sentence for each in missing if (sentence := loss(each, kinds))],
        level_of_each,
        rounds_needed,
    )


def names(lines: Sequence[Row]) -> list[str]:
    """The name of each line, `notebook-uniform, hmc, dense`.

    Settings are added where lines would otherwise have the same name.
    """
    settings = (*TIMING_KEY[len(COMBINATION) + 1 :], "tolerance", "alpha")
    same_name: dict[Key, list[Row]] = defaultdict(list)
    for line in lines:
        same_name[_name_key(line)].append(line)
    found = []
    for line in lines:
        others = same_name[_name_key(line)]
        varying = [c for c in settings if any(line.get(c) != other.get(c) for other in others)]
        words = [str(line[column]) for column in COMBINATION]
        found.append(", ".join([*words, *(f"{column} {line[column]}" for column in varying)]))
    return found


def _name_key(line: Row) -> Key:
    return tuple(line.get(c) for c in (*COMBINATION, "phase", "claim", "quantity"))
