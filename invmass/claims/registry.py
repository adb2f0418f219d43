"""All claims of this folder by name, and the verdicts on one cell."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pkgutil import iter_modules

import invmass.claims
from invmass.claims.base import Claim
from invmass.claims.inverse_fisher import InverseFisher
from invmass.claims.sequential import Verdict
from invmass.errors import InvmassError, UsageError
from invmass.results.schema import RENAMED
from invmass.runs.experiment import Experiment


def _claim_classes() -> Iterator[type[Claim]]:
    """The final claim classes of the modules of this package, in the order of the module names."""
    for module in iter_modules(invmass.claims.__path__, "invmass.claims."):
        if module.name == __name__:
            continue
        for value in vars(import_module(module.name)).values():
            is_claim = isinstance(value, type) and issubclass(value, Claim)
            if is_claim and value.__module__ == module.name and hasattr(value, "name"):
                yield value


_ALL: list[type[Claim]] = [InverseFisher, *_claim_classes()]  # the headline first
CLAIMS = {claim.name: claim() for claim in _ALL}


def claim_named(name: str) -> Claim:
    """The claim with this name, which may be its name in an earlier release.

    Raises:
        UsageError: no claim has this name.
    """
    current = RENAMED.get(name, name)
    if current not in CLAIMS:
        raise UsageError(f"unknown claim {name!r}; the claims are: {', '.join(CLAIMS)}")
    return CLAIMS[current]


def answers(
    experiment: Experiment, named: Sequence[str] = ()
) -> Iterator[tuple[str, Verdict | InvmassError]]:
    """Judge a cell by the named claims, or by all claims except the long ones.

    Yields:
        The name of each claim with its verdict, or with the error that prevented a verdict.

    Raises:
        UsageError: no claim has one of the names, or a named claim does not apply to this cell.
    """
    for name in named:
        if reason := not_judged_reason(experiment, name):
            raise UsageError(reason)
    chosen = list(dict.fromkeys(map(claim_named, named)))
    for claim in chosen or CLAIMS.values():
        if claim.long and not named:
            continue
        try:
            if claim.not_judged_reason(experiment) is None:
                yield claim.name, claim.judge(experiment)
        except InvmassError as error:
            yield claim.name, error


def not_judged_reason(experiment: Experiment, name: str) -> str | None:
    """Why the claim with this name does not judge the cell, as a sentence; None if it does.

    Raises:
        UsageError: no claim has this name.
    """
    claim = claim_named(name)
    if reason := claim.not_judged_reason(experiment):
        return f"{experiment.name} is not judged by {claim.name!r}: {reason}"
    return None
