"""Which cells are checked in which tier, and with which settings.

The rules, each in one place:

- **Tier of a cell** (`_tier`): that of its case. Cells with a rare metric, or with a very slow
  backend, belong to the full tier. Cells that the user names belong to the quick tier.
- **Rare metrics** (`RARE_METRICS`): checked in the full tier, on all cases of the quick tier and on
  the other cases that are marked as `structured`.
- **Slow backends** (`_is_wanted`): checked on their `default_cases`, unless the user names them.
- **Cells of a claim** (`cells_of_claim`): as the claim declares. A claim that is checked once per
  backend is checked with the backend's default metric (`default_metric`).
- **Cap on replicates** (`settings_from`): larger in the full tier.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Literal, Protocol

from invmass.model.case import Case
from invmass.model.catalogue import all_cases, select_cases
from invmass.options import REPLICATES
from invmass.runs.cell import Cell
from invmass.runs.experiment import Settings
from invmass.sampling.backend import Backend
from invmass.sampling.registry import (
    check_metrics,
    load_backend,
    metrics_of,
    select_backends,
    unsupported_metrics,
)

RARE_METRICS = ("block", "fisher_low_rank", "cov_low_rank")
# The first of these that a backend tunes on a case is its default metric: the most general one.
DEFAULT_METRICS = (
    "dense", "cov_low_rank", "fisher_low_rank", "block", "diagonal", "fisher_diag",
    "dense_unregularised", "diagonal_unregularised",
)  # fmt: skip


def select_cells(
    cases: Sequence[str], backends: Sequence[str], metrics: Sequence[str]
) -> list[Cell]:
    """The cells with the given names; an empty list stands for all names.

    The slowest cells come first, so that parallel processes end at about the same time: backends
    in the reverse order of the registry, which lists the fast ones first, and cases by falling
    dimension. A metric given by name also has cells with the backends that do not tune it, which
    are reported as skipped.

    Args:
        cases: names or patterns of cases.
        backends: names of backends, or `module:Class`.
        metrics: metric kinds.

    Raises:
        UsageError: a name is unknown.
    """
    chosen = select_backends(backends)
    check_metrics(chosen, metrics)
    specs = list(dict.fromkeys(backends)) or [backend.name for backend in chosen]

    def not_tuned(backend: Backend) -> list[str]:
        return [metric for metric in unsupported_metrics(backend, chosen) if metric in metrics]

    return [
        Cell(
            case.name,
            spec,
            backend.name,
            metric,
            _tier(case, backend, metric, cases, backends, metrics),
        )
        for spec, backend in reversed(list(zip(specs, chosen, strict=True)))
        for case in sorted(select_cases(cases), key=lambda case: -case.dimension)
        if _is_wanted(case, backend, cases, backends)
        for metric in [*not_tuned(backend), *metrics_for(case, backend, metrics)]
    ]


def metrics_for(case: Case, backend: Backend, chosen: Sequence[str]) -> list[str]:
    """The metrics that a backend tunes on a case.

    Args:
        case: without dense metrics if the case or the backend excludes them.
        backend: the backend.
        chosen: names of metrics; if empty, all but unregularised variants and, outside the quick
            tier, rare metrics on cases that are not marked as `structured`.
    """
    return [
        metric
        for metric in metrics_of(backend, chosen)
        if (metric in chosen or metric not in backend.unregularised.values())
        and not (backend.estimators[metric].dense and _has_no_dense(case, backend))
        and not (case.tier != "quick" and _is_rare(metric, chosen) and not case.structured)
    ]


def default_metric(backend: Backend, metrics: Sequence[str]) -> str:
    """The metric with which claims that are checked once per backend are checked.

    Args:
        backend: the backend.
        metrics: the metrics to choose from, not empty.

    Returns:
        The first of `DEFAULT_METRICS` that the backend tunes: dense if possible. If it tunes only
        metrics with other names, the last one that it declares; if it tunes none of the given
        metrics, the last of these.
    """
    tuned = [metric for metric in backend.estimators if metric in metrics]
    preferred = [metric for metric in DEFAULT_METRICS if metric in tuned]
    return preferred[0] if preferred else (tuned or list(metrics))[-1]


class Scope(Protocol):
    """The attributes of a claim that select its cells; see `invmass.claims.base.Claim`."""

    cases: ClassVar[tuple[str, ...] | None]
    quick_cases: ClassVar[tuple[str, ...] | None]
    per: ClassVar[Literal["backend", "metric"]]
    per_in_full: ClassVar[Literal["backend", "metric"] | None]
    tier: ClassVar[Literal["quick", "full"]]


def cells_of_claim(claim: Scope, cells: Sequence[Cell]) -> list[Cell]:
    """The cells on which a claim is checked.

    Args:
        claim: the claim.
        cells: cells as `select_cells` returns them.

    Returns:
        Cells on which the claim is checked in the full tier only have that tier.
    """
    chosen = [cell for cell in cells if claim.cases is None or cell.case in claim.cases]
    metrics: dict[tuple[str, str], list[str]] = {}
    for cell in chosen:
        metrics.setdefault((cell.case, cell.spec), []).append(cell.metric)
    default = {key: default_metric(load_backend(key[1]), names) for key, names in metrics.items()}
    judged = []
    for cell in chosen:
        further = claim.per == "backend" and cell.metric != default[cell.case, cell.spec]
        if further and claim.per_in_full != "metric":
            continue
        elsewhere = claim.quick_cases is not None and cell.case not in claim.quick_cases
        in_full = further or elsewhere or claim.tier == "full"
        judged.append(replace(cell, tier="full") if in_full else cell)
    return judged


def cells_of_timing(cells: Sequence[Cell], chains: Sequence[int]) -> list[Cell]:
    """The cells that are timed: each cell once for every number of chains that is given."""
    return [replace(cell, chains=number) for cell in cells for number in chains] or list(cells)


def runs_in_tier(tier: str, cell: Cell, *, full_check: bool = False) -> bool:
    """Whether a check of a cell runs in a tier; a full check runs in the full tier only."""
    return tier == "full" or not (full_check or cell.tier == "full")


def program_groups() -> dict[str, str]:
    """For each case the first case in the catalogue that shares its compiled programs."""
    first: dict[Any, str] = {}
    return {
        name: first.setdefault(case.posterior.structure, name) for name, case in all_cases().items()
    }


def settings_from(option: Callable[[str], Any]) -> Settings:
    """Settings from command-line options.

    Args:
        option: the value of an option by its name without dashes in front; None stands for the
            default, which for the cap on replicates depends on the option "tier".

    Raises:
        UsageError: a value is out of its range.
    """
    given = {entry.name: option(entry.name.replace("_", "-")) for entry in fields(Settings)}
    if given["replicates"] is None:
        given["replicates"] = REPLICATES[option("tier") or "quick"]
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _tier(
    case: Case,
    backend: Backend,
    metric: str,
    cases: Sequence[str],
    backends: Sequence[str],
    metrics: Sequence[str],
) -> str:
    """The tier of a cell, given the names of cases, backends and metrics that the user gave."""
    if backend.default_tier == "full" and not backends:
        return "full"
    if cases:
        return "quick"
    return "full" if _is_rare(metric, metrics) else case.tier


def _has_no_dense(case: Case, backend: Backend) -> bool:
    """Whether dense metrics are left out for this case and backend."""
    return case.diagonal_only or case.dimension > backend.largest_dense


def _is_wanted(case: Case, backend: Backend, cases: Sequence[str], backends: Sequence[str]) -> bool:
    """Whether a case and a backend are checked together.

    A slow backend is checked on its `default_cases` only, unless the user names the backend, or
    names a case and the backend is not very slow. Cases of the tier "named" must be named.
    """
    if case.tier == "named" and not cases:
        return False
    is_named = backends or (cases and backend.default_tier == "quick")
    return bool(is_named) or backend.default_cases is None or case.name in backend.default_cases


def _is_rare(metric: str, chosen: Sequence[str]) -> bool:
    """Whether a metric is rare, and no metrics were chosen by name."""
    return metric in RARE_METRICS and not chosen
