"""A cell: the case, backend and metric that a check is about, by their names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A combination by its names, so that it can be written down or sent to another process.

    It imports nothing, so that every pytest session can load it.

    Attributes:
        case: name of the case.
        spec: what loads the backend: its name, or "module:Class".
        backend: name of the backend, as test ids and rows have it.
        metric: kind of the metric.
        tier: "quick" or "full": from which tier on the cell is checked.
        chains: number of replicates in one call, if it is not the usual one.
    """

    case: str
    spec: str
    backend: str
    metric: str
    tier: str = "quick"
    chains: int | None = None

    def __str__(self) -> str:
        """The cell as test ids show it."""
        named = f"{self.case}-{self.backend}-{self.metric}"
        return f"{named}-{self.chains}" if self.chains else named

    @property
    def names(self) -> tuple[str, str, str]:
        """Case, backend and metric."""
        return self.case, self.backend, self.metric
