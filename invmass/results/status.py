"""The status of a check: one enumeration, from which every table, symbol and exit status comes."""

import enum
from collections.abc import Iterable
from typing import Any, Self


class Status(enum.StrEnum):
    """The result of a check. Members stand in the order of tables, the worst first.

    Attributes:
        symbol: one character for tables.
        colour: for pages and figures, legible on white.
        exit_status: of a command of which this is the worst status.
        marker: shape in figures, as matplotlib names it.
    """

    symbol: str
    colour: str
    exit_status: int
    marker: str

    FAIL = "fail", "✗", "#a83f00", 1, "X"
    ERROR = "error", "!", "#97386c", 1, "v"
    INCONCLUSIVE = "inconclusive", "?", "#7a5200", 3, "D"
    EXPECTED_FAILURE = "expected failure", "≈", "#5b5b5b", 0, "s"
    SKIPPED = "skipped", "–", "#5b5b5b", 0, "_"
    PASS = "pass", "✓", "#00694d", 0, "o"

    # The defaults are never used: they let type checkers accept the lookup `Status("pass")`.
    def __new__(
        cls,
        value: str,
        symbol: str = "",
        colour: str = "",
        exit_status: int = 0,
        marker: str = "",
    ) -> Self:
        """A string with the attributes of the class."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.symbol, member.colour = symbol, colour
        member.exit_status, member.marker = exit_status, marker
        return member

    @property
    def is_verdict(self) -> bool:
        """Whether a statistical test came to this answer."""
        return self in (Status.PASS, Status.FAIL, Status.INCONCLUSIVE)

    @property
    def is_red(self) -> bool:
        """Whether a run with such a check is not green."""
        return self.exit_status != 0

    @property
    def was_tested(self) -> bool:
        """Whether a test was run to its end: no error occurred, and it was not skipped."""
        return self.is_verdict or self is Status.EXPECTED_FAILURE

    def is_worse_than(self, other: "Status") -> bool:
        """Whether a change from `other` to this status is a regression.

        From pass to anything else is one. So is any change to a status with a worse exit status,
        except from skipped, where nothing was tested before.
        """
        if other is Status.PASS:
            return self is not Status.PASS
        if other is Status.SKIPPED or self.exit_status == other.exit_status:
            return False
        return BY_SEVERITY.index(self) < BY_SEVERITY.index(other)


BY_SEVERITY = tuple(Status)  # the worst first
USAGE = 2  # exit status of a bad name or value


def parse_status(value: Any) -> Status:
    """The status that a row states; a value that is none counts as an error, never as green."""
    try:
        return Status(value)
    except ValueError:
        return Status.ERROR


def exit_status(statuses: Iterable[str]) -> int:
    """The exit status of a command whose checks came to these, the worst one's.

    Where nothing was judged, which is no pass, it is that of a failure.
    """
    found = {Status(status) for status in statuses} - {Status.SKIPPED}
    worst = min(found, key=BY_SEVERITY.index, default=Status.FAIL)
    return worst.exit_status
