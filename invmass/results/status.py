"""The status of a check: one enumeration, from which every table, symbol and exit status comes."""

import enum
from collections.abc import Iterable
from typing import Self


class Status(enum.StrEnum):
    """What came of a check. Members stand in the order of tables, the worst first.

    Attributes:
        symbol: one character for tables.
        colour: for pages and figures, legible on white.
        exit_status: of a command of which this is the worst status.
    """

    symbol: str
    colour: str
    exit_status: int

    FAIL = "fail", "✗", "#a83f00", 1
    ERROR = "error", "!", "#97386c", 1
    INCONCLUSIVE = "inconclusive", "?", "#7a5200", 3
    EXPECTED_FAILURE = "expected failure", "≈", "#5b5b5b", 0
    SKIPPED = "skipped", "–", "#5b5b5b", 0
    PASS = "pass", "✓", "#00694d", 0

    def __new__(cls, value: str, symbol: str = "", colour: str = "", exit_status: int = 0) -> Self:
        """A string with the attributes of the class."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.symbol, member.colour, member.exit_status = symbol, colour, exit_status
        return member

    @property
    def is_verdict(self) -> bool:
        """Whether a statistical test came to this answer."""
        return self in (Status.PASS, Status.FAIL, Status.INCONCLUSIVE)

    @property
    def is_red(self) -> bool:
        """Whether a run with such a check is not green."""
        return self.exit_status != 0


BY_SEVERITY = tuple(Status)  # the worst first
USAGE = 2  # exit status of a bad name or value


def exit_status(statuses: Iterable[str]) -> int:
    """The exit status of a command whose checks came to these, the worst one's.

    Where nothing was judged, which is no pass, it is that of a failure.
    """
    found = {Status(status) for status in statuses} - {Status.SKIPPED}
    worst = min(found, key=BY_SEVERITY.index, default=Status.FAIL)
    return worst.exit_status
