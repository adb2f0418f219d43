"""A cell: the names of the case, backend and metric that a check concerns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A combination of case, backend and metric, given by names so that it can be pickled.

    This module imports nothing from the suite, so that every pytest session can load it quickly.

    Attributes:
        case: name of the case.
        spec: argument of `load_backend`: the backend's name, or "module:Class".
        backend: name of the backend in test ids and rows.
        metric: metric kind.
        tier: "quick" if the cell is checked in both tiers, "full" if in the full tier only.
        chains: number of replicates in one call; None for the default.
    """

    case: str
    spec: str
    backend: str
    metric: str
    tier: str = "quick"
    chains: int | None = None

    def __str__(self) -> str:
        """The cell as it appears in test ids."""
        named = f"{self.case}-{self.backend}-{self.metric}"
        return f"{named}-{self.chains}" if self.chains else named

    @property
    def names(self) -> tuple[str, str, str]:
        """Case, backend and metric."""
        return self.case, self.backend, self.metric
