"""All claims by name, found in this folder, and the verdicts on one cell."""

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


def _found() -> Iterator[type[Claim]]:
    """The final classes of claims in the modules of this package, by the modules' names."""
    for module in iter_modules(invmass.claims.__path__, "invmass.claims."):
        if module.name == __name__:
            continue
        for value in vars(import_module(module.name)).values():
            is_claim = isinstance(value, type) and issubclass(value, Claim)
            if is_claim and value.__module__ == module.name and hasattr(value, "name"):
                yield value


_ALL: list[type[Claim]] = [InverseFisher, *_found()]  # the headline first
CLAIMS = {claim.name: claim() for claim in _ALL}


def claim_named(name: str) -> Claim:
    """The claim of this name, or of one that it had in earlier releases.

    Raises:
        UsageError: the name is not known.
    """
    current = RENAMED.get(name, name)
    if current not in CLAIMS:
        raise UsageError(f"unknown claim {name!r}; the claims are: {', '.join(CLAIMS)}")
    return CLAIMS[current]


def answers(
    experiment: Experiment, named: Sequence[str] = ()
) -> Iterator[tuple[str, Verdict | InvmassError]]:
    """Claims about a cell as they are judged: those named, or all but the long ones.

    Each with its verdict, or with the error that prevented one.

    Raises:
        UsageError: a name that is not known, or a claim that does not apply to this cell.
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
    """Why a cell is not judged by the claim of this name, as a sentence; None if it is.

    Raises:
        UsageError: the name is not known.
    """
    claim = claim_named(name)
    if reason := claim.not_judged_reason(experiment):
        return f"{experiment.name} is not judged by {claim.name!r}: {reason}"
    return None
