"""The reading of a tuned M⁻¹: how it relates to the inverse Fisher."""

import enum
from typing import Self


class Reading(enum.StrEnum):
    """How the ratio of M⁻¹ to the inverse Fisher is read, for one entry or for all together.

    Attributes:
        meaning: the reading in one sentence part, for legends.
    """

    meaning: str

    MATCHES = "matches", "the ratio is within the margin of 1"
    DIFFERS = (
        "differs as documented",
        "the ratio is outside the margin of 1, but it is the one that the posterior’s geometry and "
        "the library’s documented regularisation predict",
    )
    UNDECIDED = (
        "undecided",
        "the confidence interval is too wide to decide, or the regularisation hides what the data "
        "contribute",
    )
    WRONG = "wrong", "the ratio is not the predicted one"

    # The default is never used: it lets type checkers accept the lookup `Reading("wrong")`.
    def __new__(cls, value: str, meaning: str = "") -> Self:
        """A string with the attribute of the class."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member
