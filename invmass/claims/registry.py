"""All claims by name: which of them are about a combination, and the verdict on one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from invmass.claims import conduct, judge
from invmass.claims.equivalence import Verdict
from invmass.errors import InvmassError, UsageError
from invmass.results.rows import RENAMED
from invmass.runs.experiment import Experiment

WhyNot = Callable[[Experiment], str | None]
NOTEBOOK = "notebook-uniform"  # the two wrong comparisons are those of its author


@dataclass(frozen=True)
class Claim:
    """What can be asserted about a combination.

    Attributes:
        name: as rows and messages have it.
        judge: reaches the verdict.
        why_not: the reason why a combination is not judged by it; None if it is.
        long: left out unless it is named.
    """

    name: str
    judge: Callable[[Experiment], Verdict]
    why_not: WhyNot
    long: bool = False


def answers(
    experiment: Experiment, named: Sequence[str] = ()
) -> Iterator[tuple[str, Verdict | InvmassError]]:
    """Claims about a combination as they are reached: those named, or all but the long ones.

    Each with its verdict, or with the error that stood in its way.

    Raises:
        UsageError: a name that is not known, or a claim that is not about this combination.
    """
    for name in named:
        if reason := why_not_judged(experiment, name):
            raise UsageError(reason)
    asked = [CLAIMS[name] for name in dict.fromkeys(RENAMED.get(n, n) for n in named)]
    for claim in asked or CLAIMS.values():
        if claim.long and not named:
            continue
        try:
            if claim.why_not(experiment) is None:
                yield claim.name, claim.judge(experiment)
        except InvmassError as error:
            yield claim.name, error


def why_not_judged(experiment: Experiment, name: str) -> str | None:
    """The reason why a combination is not judged by the claim of this name; None if it is.

    Raises:
        UsageError: the name is not known.
    """
    name = RENAMED.get(name, name)
    if name not in CLAIMS:
        raise UsageError(f"unknown claim {name!r}; the claims are: {', '.join(CLAIMS)}")
    if reason := CLAIMS[name].why_not(experiment):
        return f"{experiment.name} is not judged by {name!r}: {reason}"
    return None


def _always(_: Experiment) -> None:
    return None


def _untargeted(experiment: Experiment) -> str | None:
    return experiment.why_no_target


def _unsupplied(experiment: Experiment) -> str | None:
    return experiment.backend.supplied_metric_reason(adapt_metric=False)


def _only(cases: Sequence[str], further: WhyNot = _always) -> WhyNot:
    def why_not(experiment: Experiment) -> str | None:
        if experiment.case.name not in cases:
            return f"it is judged on {', '.join(cases)}"
        return further(experiment)

    return why_not


_ALL = (
    Claim(judge.FISHER, judge.inverse_fisher, _untargeted),
    Claim(judge.CONVERGES, judge.target, _untargeted),
    Claim(judge.REJECTS_CONSTRAINED, judge.constrained_is_rejected, _only([NOTEBOOK], _untargeted)),
    Claim(judge.REJECTS_MISPLACED, judge.misplaced_is_rejected, _only([NOTEBOOK], _untargeted)),
    Claim(judge.DRAWS, judge.draws, _untargeted),
    Claim(judge.DENSITY, judge.density, _always),
    Claim(conduct.CONTRACT, conduct.contract, _always),
    Claim(conduct.SPREAD, conduct.spread, conduct.why_no_spread),
    Claim(conduct.RESUMES, conduct.resumes, _only(conduct.RESUMED)),
    Claim(conduct.SUPPLIED, conduct.supplied, _only(conduct.SUPPLIED_ON, _unsupplied)),
    Claim(conduct.EQUIVARIANT, conduct.moved, _only([conduct.FIT])),
    Claim(
        conduct.EQUIVARIANT_AT_LENGTHS, conduct.moved_at_lengths, _only([conduct.FIT]), long=True
    ),
    Claim(conduct.STATISTICS, conduct.statistics, _only([conduct.FIT])),
    Claim(conduct.OVERFLOW, conduct.overflow, _only([conduct.FIT])),
)
CLAIMS = {claim.name: claim for claim in _ALL}
