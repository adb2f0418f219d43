"""What a claim is: one statement about a cell, the evidence for it, and the verdict."""

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from invmass.claims.intervals import Statistic
from invmass.claims.sequential import Verdict, exact, sequential
from invmass.results.status import Status
from invmass.runs.experiment import Experiment

# A linear regression with three correlated coefficients, whose posterior is Gaussian in every
# library's space: laws that hold for Gaussians are judged on it.
GAUSSIAN_FIT = "quadratic_fit"
NOTEBOOK = "notebook-uniform"

Per = Literal["backend", "metric"]


@dataclass(frozen=True)
class Deviations:
    """Evidence that is computed exactly.

    Attributes:
        found: deviations by the name of their entry, each at least 0.
        tolerance: the largest that is allowed.
    """

    found: Mapping[str, float]
    tolerance: float = 0.5  # for counts: none


def _says_all(_: Verdict) -> bool:
    return True


@dataclass(frozen=True)
class Estimates:
    """Evidence that is estimated from replicates, by a sequential equivalence test.

    Attributes:
        statistics: those of the first R replicates, for any R.
        margin: relative on the log scale, absolute on the linear one; None for the tolerance of
            the experiment's settings.
        settled: whether a pass says all that is asked; if not, more replicates are added.
        must_differ: the claim is that what is expected is wrong, so that a fail of the test is a
            pass of the claim.
    """

    statistics: Callable[[int], Sequence[Statistic]]
    margin: float | None = None
    settled: Callable[[Verdict], bool] = _says_all
    must_differ: bool = False


class Claim(abc.ABC):
    """A statement about a cell. One file and one final class each; `registry.py` lists them.

    Attributes:
        name: as rows, messages and `--claim` have it.
        summary: what is true if it passes, in one sentence.
        reference: what is compared with what, in the notation of docs/method.md.
        margin: how much deviation is allowed, in words.
        uses: what it uses of a backend, in the words of the contract.
        cases: the cases that it is judged on; None for all.
        per: in the quick tier it is judged once for each backend (with its default metric), or
            for each metric.
        per_in_full: the same in the full tier.
        quick_cases: those of `cases` that belong to the quick tier; None for all.
        tier: "full" if it is left out of the quick tier.
        long: left out of `check` and `sweep` unless it is named.
        needs_target: whether it applies only where the estimator converges to something: not where
            a variance is infinite.
        needs: in words what else `unmet_need` checks; empty if nothing.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    margin: ClassVar[str]
    uses: ClassVar[str]
    cases: ClassVar[tuple[str, ...] | None] = None
    per: ClassVar[Per] = "metric"
    per_in_full: ClassVar[Per | None] = None
    quick_cases: ClassVar[tuple[str, ...] | None] = None
    tier: ClassVar[Literal["quick", "full"]] = "quick"
    long: ClassVar[bool] = False
    needs_target: ClassVar[bool] = True
    needs: ClassVar[str] = ""

    @abc.abstractmethod
    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """The evidence in the order in which it is asked for; a later part only if all pass."""

    def unmet_need(self, experiment: Experiment) -> str | None:
        """Why the claim does not apply to this backend and posterior; None if it does."""
        return experiment.why_no_target if self.needs_target else None

    def not_judged_reason(self, experiment: Experiment) -> str | None:
        """Why a cell is not judged by this claim; None if it is."""
        if self.cases is not None and experiment.case.name not in self.cases:
            return f"it is judged on {', '.join(self.cases)}"
        return self.unmet_need(experiment)

    def judge(self, experiment: Experiment) -> Verdict:
        """Go through the evidence, and return the first verdict that is no pass, or the last.

        Raises:
            BackendFaultError: the backend raised, or broke its contract.
        """
        for part in self.evidence(experiment):
            verdict = _judged(experiment, part)
            if verdict.status is not Status.PASS:
                break
        return verdict

    @property
    def test_name(self) -> str:
        """The name of its test, which reads as the claim."""
        return "test_" + self.name.lower().replace(" ", "_")


def _judged(experiment: Experiment, part: Deviations | Estimates) -> Verdict:
    if isinstance(part, Deviations):
        return exact(part.found, part.tolerance)
    settings = experiment.settings
    verdict = sequential(
        part.statistics,
        margin=settings.tolerance if part.margin is None else part.margin,
        alpha=settings.false_alarm,
        first=experiment.batch,
        cap=experiment.cap,
        settled=part.settled,
    )
    if not part.must_differ:
        return verdict
    opposite = {Status.PASS: Status.FAIL, Status.FAIL: Status.PASS}
    return replace(verdict, status=opposite.get(verdict.status, verdict.status))
