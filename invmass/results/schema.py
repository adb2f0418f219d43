"""The names in rows: columns, phases of a timing, claims that reports single out, and old names."""

import enum
from typing import Self

# What every row carries, in the order in which tables show it.
COMMON = (
    "row_id", "run_id", "time", "kind", "case", "case_version", "backend", "spec", "metric", "seed",
    "device", "platform", "devices", "dtype", "commit", "machine", "cores", "python", "versions",
    "command",
)  # fmt: skip
VERDICT = (
    "claim", "status", "entry", "found", "low", "high", "expected", "margin", "scale", "tolerance",
    "alpha", "false_alarm", "replicates", "cap", "looks", "num_warmup", "seconds",
    "library_seconds", "message",
    "reading", "readings", "intervals", "parts", "coordinates", "position", "inverse_fisher",
    "target", "tuned", "window", "step_size", "gradients", "acceptance", "divergences",
)  # fmt: skip
TIMING = (
    "phase", "turn", "compile_seconds", "seconds", "rounds", "round_seconds", "warmup_rounds",
    "replicates", "dimension", "condition", "num_warmup", "num_samples", "gradients",
    "gradients_per_second", "peak_bytes", "min_bulk_ess", "min_square_ess", "max_rhat",
    "acceptance", "divergences", "e_bfmi",
    "ess_per_second", "square_ess_per_second", "ess_per_gradient", "square_ess_per_gradient",
    "steps", "kappa", "kappa_bound", "usable", "threads", "load", "compilation_cache", "message",
)  # fmt: skip

INVERSE_FISHER = "inverse Fisher"  # the claim that the matrix of verdicts shows
CONVERGES = "converges to its target"  # the claim by which `compare` says that M⁻¹ has changed
# Claims of older rows and commands, and the names that they have now.
RENAMED = {
    "matches the inverse Fisher": INVERSE_FISHER,
    "disagrees as predicted": INVERSE_FISHER,
    "spread is honest": "window effective sample size",
    "statistics are honest": "reported statistics",
    "supplied metric is used": "supplied metric",
}


class Phase(enum.StrEnum):
    """What a timing row timed.

    Attributes:
        prefix: of the phase's columns in tables that show several phases in one line.
    """

    prefix: str

    WARM_UP = "warm-up", "warmup"
    SAMPLING = "sampling", "sampling"
    # The shortest warm-up that ends with a usable metric, by the metric that it starts from.
    FROM_IDENTITY = "usable metric from the identity", "identity"
    FROM_FISHER = "usable metric from the inverse Fisher", "fisher"
    FISHER_FIXED = "the inverse Fisher kept", "fixed"  # only the step size is tuned

    # The default is never used: it lets type checkers accept the lookup `Phase("sampling")`.
    def __new__(cls, value: str, prefix: str = "") -> Self:
        """A string with the attribute of the class."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.prefix = prefix
        return member
