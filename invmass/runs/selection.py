"""Which combinations a run is about, from the names that its options give."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from invmass.model.case import Case
from invmass.model.catalogue import select_cases
from invmass.runs.experiment import Settings
from invmass.sampling.backend import Backend
from invmass.sampling.registry import (
    check_metrics,
    metrics_of,
    select_backends,
    unsupported_metrics,
)

_FULL_REPLICATES = 8192  # its skewed posteriors leave 6% between a metric and its target
_RARE_METRICS = ("block", "fisher_low_rank", "cov_low_rank")  # full tier, not of all its cases


class Cell(NamedTuple):
    """A combination by its names, as test ids show it; `spec` is what loads the backend.

    `tier` is that of the case, or "quick" if the case was asked for; "full" for a rare metric, and
    for a very slow library that was not asked for.
    `chains` is the number of replicates in one call, if it is not the usual one.
    """

    case: str
    spec: str
    backend: str
    metric: str
    tier: str = "quick"
    chains: int | None = None

    def __str__(self) -> str:
        named = f"{self.case}-{self.backend}-{self.metric}"
        return f"{named}-{self.chains}" if self.chains else named


def select_cells(
    cases: Sequence[str], backends: Sequence[str], metrics: Sequence[str]
) -> list[Cell]:
    """All combinations of the names given, or of everything.

    The slowest come first, so that processes which share them end together: the registry lists
    the quick backends first, and large problems take longest. A metric asked for by name has a
    cell with the backends that do not tune it too, to be skipped there with the reason.

    Raises:
        UsageError: a name that is not known.
    """
    chosen = select_backends(backends)
    check_metrics(chosen, metrics)
    specs = list(dict.fromkeys(backends)) or [backend.name for backend in chosen]

    def tier(case: Case, backend: Backend, metric: str) -> str:
        if backend.default_tier == "full" and not backends:
            return "full"
        if cases:
            return "quick"
        return "full" if _is_rare(metric, metrics) else case.tier

    def not_tuned(backend: Backend) -> list[str]:
        return [metric for metric in unsupported_metrics(backend, chosen) if metric in metrics]

    return [
        Cell(case.name, spec, backend.name, metric, tier(case, backend, metric))
        for spec, backend in reversed(list(zip(specs, chosen, strict=True)))
        for case in sorted(select_cases(cases), key=lambda case: -case.dimension)
        if _is_wanted(case, backend, cases, backends)
        for metric in [*not_tuned(backend), *metrics_for(case, backend, metrics)]
    ]


def metrics_for(case: Case, backend: Backend, chosen: Sequence[str]) -> list[str]:
    """The metrics among those chosen, or all, that a backend tunes and that suit the case."""
    return [
        metric
        for metric in metrics_of(backend, chosen)
        if (metric in chosen or metric not in backend.unregularised.values())
        and not (backend.estimators[metric].dense and _has_no_dense(case, backend))
        and not (case.tier != "quick" and _is_rare(metric, chosen) and not case.structured)
    ]


def _has_no_dense(case: Case, backend: Backend) -> bool:
    return case.diagonal_only or case.dimension > backend.largest_dense


def _is_wanted(case: Case, backend: Backend, cases: Sequence[str], backends: Sequence[str]) -> bool:
    """Of a slow backend few cases, unless it was asked for, or, if it is not very slow, a case.

    A case that belongs to neither tier has to be asked for.
    """
    if case.tier == "named" and not cases:
        return False
    asked = backends or (cases and backend.default_tier == "quick")
    return bool(asked) or backend.default_cases is None or case.name in backend.default_cases


def _is_rare(metric: str, chosen: Sequence[str]) -> bool:
    return metric in _RARE_METRICS and not chosen


class Scope(Protocol):
    """What a claim says of where it is judged; documented in `invmass.claims.base.Claim`."""

    cases: ClassVar[tuple[str, ...] | None]
    quick_cases: ClassVar[tuple[str, ...] | None]
    per: ClassVar[Literal["backend", "metric"]]
    per_in_full: ClassVar[Literal["backend", "metric"] | None]
    tier: ClassVar[Literal["quick", "full"]]


def cells_of_claim(claim: Scope, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that a claim is judged on; `tier` is "full" where the full tier alone has them."""
    chosen = [cell for cell in cells if claim.cases is None or cell.case in claim.cases]
    default = {(cell.case, cell.backend): cell.metric for cell in chosen}
    found = []
    for cell in chosen:
        once = claim.per == "backend" and cell.metric != default[cell.case, cell.backend]
        if once and claim.per_in_full != "metric":
            continue
        elsewhere = claim.quick_cases is not None and cell.case not in claim.quick_cases
        in_full = once or elsewhere or claim.tier == "full"
        found.append(cell._replace(tier="full") if in_full else cell)
    return found


def settings_from(option: Callable[[str], Any]) -> Settings:
    """Settings from options by name; what is not given keeps its default for the tier.

    Raises:
        UsageError: a value out of its range.
    """
    names = ("seed", "tolerance", "false-alarm", "replicates", "num-warmup")
    given = {name.replace("-", "_"): option(name) for name in names}
    if given["replicates"] is None and option("tier") == "full":
        given["replicates"] = _FULL_REPLICATES
    return Settings(**{name: value for name, value in given.items() if value is not None})
