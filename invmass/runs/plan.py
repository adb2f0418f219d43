"""What runs when: which cells there are, in which tier, and with which settings.

The rules, each in one place:

- **Tier of a cell** (`_tier`): that of its case. A rare metric is of the full tier; so is every
  cell of a backend that is very slow. What is asked for by name is of the quick tier.
- **Rare metrics** (`RARE_METRICS`): in the full tier on cases of the quick one, elsewhere only on
  those that are made for them.
- **Slow backends** (`_is_wanted`): judged on their `default_cases` unless they are asked for.
- **Where and how often a claim is judged** (`cells_of_claim`): what the claim declares. Once per
  backend means with its default metric (`default_metric`).
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
# The first of these that a backend tunes on a case is its default metric there: the richest.
DEFAULT_METRICS = (
    "dense", "cov_low_rank", "fisher_low_rank", "block", "diagonal", "fisher_diag",
    "dense_unregularised", "diagonal_unregularised",
)  # fmt: skip


def select_cells(
    cases: Sequence[str], backends: Sequence[str], metrics: Sequence[str]
) -> list[Cell]:
    """All cells of the names given, or of everything.

    The slowest come first, so that processes which share them end together: the registry lists
    the quick backends first, and large problems take longest. A metric asked for by name has a
    cell with the backends that lack it too, to be skipped there.

    Raises:
        UsageError: a name that is not known.
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
    """The metrics among those chosen, or all, that a backend tunes and that suit the case."""
    return [
        metric
        for metric in metrics_of(backend, chosen)
        if (metric in chosen or metric not in backend.unregularised.values())
        and not (backend.estimators[metric].dense and _has_no_dense(case, backend))
        and not (case.tier != "quick" and _is_rare(metric, chosen) and not case.structured)
    ]


def default_metric(backend: Backend, metrics: Sequence[str]) -> str:
    """The one of some metrics that stands for a backend where one is enough.

    It is the first of `DEFAULT_METRICS` among those that the backend tunes: dense if it can be,
    else block, else diagonal. Of a backend whose metrics have none of these names it is the last
    that it declares; if it tunes none of them, the last of those asked for.
    """
    tuned = [metric for metric in backend.estimators if metric in metrics]
    known = [metric for metric in DEFAULT_METRICS if metric in tuned]
    return known[0] if known else (tuned or list(metrics))[-1]


class Scope(Protocol):
    """What a claim says of where it is judged; documented in `invmass.claims.base.Claim`."""

    cases: ClassVar[tuple[str, ...] | None]
    quick_cases: ClassVar[tuple[str, ...] | None]
    per: ClassVar[Literal["backend", "metric"]]
    per_in_full: ClassVar[Literal["backend", "metric"] | None]
    tier: ClassVar[Literal["quick", "full"]]


def cells_of_claim(claim: Scope, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that a claim is judged on; those of its full tier alone are of that tier."""
    chosen = [cell for cell in cells if claim.cases is None or cell.case in claim.cases]
    metrics: dict[tuple[str, str], list[str]] = {}
    for cell in chosen:
        metrics.setdefault((cell.case, cell.spec), []).append(cell.metric)
    default = {key: default_metric(load_backend(key[1]), names) for key, names in metrics.items()}
    found = []
    for cell in chosen:
        further = claim.per == "backend" and cell.metric != default[cell.case, cell.spec]
        if further and claim.per_in_full != "metric":
            continue
        elsewhere = claim.quick_cases is not None and cell.case not in claim.quick_cases
        in_full = further or elsewhere or claim.tier == "full"
        found.append(replace(cell, tier="full") if in_full else cell)
    return found


def cells_of_timing(cells: Sequence[Cell], chains: Sequence[int]) -> list[Cell]:
    """The cells that are timed: one for each number of chains, if there are any."""
    return [replace(cell, chains=number) for cell in cells for number in chains] or list(cells)


def runs_in_tier(tier: str, cell: Cell, *, full_check: bool = False) -> bool:
    """Whether a check of a cell runs in a tier; one marked as a full check in the full one only."""
    return tier == "full" or not (full_check or cell.tier == "full")


def program_groups() -> dict[str, str]:
    """For each case the first of the catalogue that shares its compiled programs."""
    first: dict[Any, str] = {}
    return {
        name: first.setdefault(case.posterior.structure, name) for name, case in all_cases().items()
    }


def settings_from(option: Callable[[str], Any]) -> Settings:
    """Settings from options by name; what is None keeps its default, the cap that of the tier.

    Raises:
        UsageError: a value out of its range.
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
    """The tier of a cell, given what was asked for by name."""
    if backend.default_tier == "full" and not backends:
        return "full"
    if cases:
        return "quick"
    return "full" if _is_rare(metric, metrics) else case.tier


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
    return metric in RARE_METRICS and not chosen
