"""The base class of claims: a statement about a cell, the evidence for it, and the verdict."""

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from invmass.claims.intervals import Statistic
from invmass.claims.sequential import Verdict, exact, sequential
from invmass.results.status import Status
from invmass.runs.experiment import Experiment

# A linear regression with three correlated coefficients. Its posterior is Gaussian in the
# unconstrained space of every library, so claims about laws of Gaussians are judged on it.
GAUSSIAN_FIT = "quadratic_fit"
NOTEBOOK = "notebook-uniform"

Per = Literal["backend", "metric"]


@dataclass(frozen=True)
class Deviations:
    """Deterministic evidence: deviations that are computed, not estimated.

    Attributes:
        found: deviations by the name of their entry, each at least 0.
        tolerance: the largest allowed deviation.
    """

    found: Mapping[str, float]
    tolerance: float = 0.5  # for counts: a count of 1 exceeds it


def _always_settled(_: Verdict) -> bool:
    return True


@dataclass(frozen=True)
class Estimates:
    """Evidence that is estimated from replicates, by a sequential equivalence test.

    Attributes:
        statistics: a function that returns the statistics of the first R replicates, given R.
        margin: relative on the log scale, absolute on the linear scale; None for the tolerance
            in the experiment's settings.
        settled: whether a passing verdict is final; if not, replicates are added and the
            statistics are tested again.
        must_differ: whether the claim is that the expected values are wrong. A fail of the
            equivalence test is then a pass of the claim, and the reverse.
    """

    statistics: Callable[[int], Sequence[Statistic]]
    margin: float | None = None
    settled: Callable[[Verdict], bool] = _always_settled
    must_differ: bool = False


class Claim(abc.ABC):
    """A statement about a cell. Each claim is one final class in a file of its own.

    `registry.py` collects the claims of this folder.

    Attributes:
        name: the name in rows, in messages and for `--claim`.
        summary: one sentence that is true if the claim passes.
        reference: which quantities are compared, in the notation of docs/method.md.
        margin: the allowed deviation, in words.
        uses: the methods and fields of a backend that the claim uses.
        cases: names of the cases that the claim is judged on; None for all cases.
        per: whether the quick tier judges the claim once for each backend (with its default
            metric) or once for each metric.
        per_in_full: `per` for the full tier; None if it is the same in both tiers.
        quick_cases: those of `cases` that belong to the quick tier; None for all of them.
        tier: "full" if the quick tier leaves the claim out.
        long: whether `check` and `sweep` leave the claim out unless the user names it.
        needs_target: whether the claim needs a limit that the estimator converges to; there is
            none where the posterior variance is infinite.
        needs: the further conditions that `unmet_need` checks, in words; empty if none.
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
        """Yield the parts of the evidence; a part is computed only if all parts before it pass."""

    def unmet_need(self, experiment: Experiment) -> str | None:
        """Why the claim does not apply to this backend and posterior; None if it does."""
        return experiment.why_no_target if self.needs_target else None

    def not_judged_reason(self, experiment: Experiment) -> str | None:
        """Why this claim does not judge the cell; None if it does."""
        if self.cases is not None and experiment.case.name not in self.cases:
            return f"it is judged on {', '.join(self.cases)}"
        return self.unmet_need(experiment)

    def judge(self, experiment: Experiment) -> Verdict:
        """Judge the parts of the evidence in turn, up to the first that does not pass.

        Returns:
            The verdict on the first part that does not pass, or else on the last part.

        Raises:
            BackendFaultError: the backend raised an exception or broke its contract.
        """
        for part in self.evidence(experiment):
            verdict = _judged(experiment, part)
            if verdict.status is not Status.PASS:
                break
        return verdict

    @property
    def test_name(self) -> str:
        """The name of the pytest function that judges this claim."""
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
