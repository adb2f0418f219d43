"""Which planted fault is to be seen by which claim, on which combination."""

from dataclasses import dataclass

from faults import reported, sampler
from faults.wrapped import RightNumPyro, RightNumPyro10, Wrapped, Wrapped10
from invmass.claims import conduct, judge
from invmass.runs.cell import Cell
from invmass.runs.experiment import Settings
from invmass.studies.sweep import Combination

SMALL, SMALL_TOLERANCE = 0.1, 0.05  # what is no larger than the usual tolerance takes another
FEW = 512  # replicates at the cap


@dataclass(frozen=True)
class Fault:
    """A planted fault.

    Attributes:
        backend: the class that has it.
        claim: one that it must turn red.
        case: on which.
        metric: of which.
        breaks: what is said of it where it breaks the contract, so that there is no verdict.
        known: a claim that fails on the library itself: docs/findings.md.
    """

    backend: type[Wrapped]
    claim: str
    case: str = conduct.FIT
    metric: str = "dense"
    breaks: str = ""
    known: str = ""

    @property
    def name(self) -> str:
        return self.backend.name if self.case == conduct.FIT else f"{self.backend.name}-{self.case}"

    @property
    def combination(self) -> Combination:
        """What is judged; with a smaller tolerance where the fault is small.

        A sampler that is broken itself, and not what is said of it, is slow; and what claims that
        the fault does not touch say of it may take long to decide.
        """
        settings = Settings()
        if self.backend.strength <= SMALL:
            settings = Settings(tolerance=SMALL_TOLERANCE)
        elif issubclass(self.backend, sampler.Replaced):
            settings = Settings(replicates=FEW)
        spec = f"{self.backend.__module__}:{self.backend.__qualname__}"
        return Combination(Cell(self.case, spec, self.backend.name, self.metric), settings)


def at_all_strengths(name: str, claim: str, *rest: str, module=reported) -> list[Fault]:
    """The full fault and the small ones."""
    return [Fault(getattr(module, f"{name}{size}"), claim, *rest) for size in ("", 20, 10, 5)]


FINE, FIRST, MANY = "fine_mean", "gaussian_scale", "mixed_sites"
AT_THE_FLOOR = (FINE, "narrow_mean", "interest_rates")  # scales that regularisation hides

FAULTS = [
    *at_all_strengths("AllEntriesLarge", judge.CONVERGES),
    *at_all_strengths("AllEntriesSmall", judge.CONVERGES),
    *at_all_strengths("OneEntryLarge", judge.CONVERGES),
    *at_all_strengths("CorrelationsShrunk", judge.CONVERGES),
    *at_all_strengths("DrawsTooWide", judge.DRAWS),
    *at_all_strengths("Tempered", judge.DRAWS, module=sampler),
    *at_all_strengths("GradientTooLong", conduct.STATISTICS, module=sampler),
    *at_all_strengths("CountsTooManyGradients", conduct.STATISTICS),
    Fault(reported.Identity, judge.CONVERGES),
    Fault(reported.MassNotInverse, conduct.CONTRACT),
    Fault(reported.StandardDeviations, conduct.CONTRACT),
    Fault(reported.SitesPermuted, judge.CONVERGES),
    Fault(reported.OrderByName, conduct.CONTRACT, MANY),
    Fault(reported.CorrelationsFlipped, judge.CONVERGES),
    Fault(reported.ConstrainedCovariance, judge.CONVERGES, FIRST),
    Fault(reported.ScoresNotInverted, judge.CONVERGES, FIRST),
    Fault(reported.AnotherEstimator, judge.CONVERGES, metric="diagonal"),
    Fault(reported.RegularisationDropped, judge.CONVERGES, FINE),
    Fault(reported.RegularisationDoubled, judge.CONVERGES, FINE),
    Fault(reported.RegularisationTimesDraws, judge.CONVERGES, FINE),
    *(Fault(reported.TenfoldUnderTheFloor, judge.FISHER, case) for case in AT_THE_FLOOR),
    *(Fault(reported.NothingLearned, judge.FISHER, case) for case in AT_THE_FLOOR),
    Fault(reported.NotSymmetric, conduct.CONTRACT),
    Fault(reported.IndefiniteInSinglePrecision, conduct.CONTRACT, breaks="not positive definite"),
    Fault(reported.OneForAll, conduct.CONTRACT),
    Fault(reported.NaiveVariance, conduct.EQUIVARIANT),
    Fault(reported.WindowNotReset, conduct.SPREAD),
    Fault(reported.WindowMissing, conduct.SPREAD),
    Fault(sampler.NeverResets, conduct.SPREAD),
    Fault(sampler.SkipsTheLastWindow, conduct.SPREAD),
    Fault(sampler.HalvesTheLastWindow, conduct.SPREAD),
    Fault(sampler.TransientLeftIn, judge.CONVERGES),
    Fault(reported.IgnoresSupplied, conduct.SUPPLIED),
    Fault(reported.KeepsSuppliedUnused, conduct.SUPPLIED),
    Fault(reported.UsesTheDiagonalOfSupplied, conduct.SUPPLIED),
    Fault(reported.LosesTheMetricInAFile, conduct.RESUMES, MANY),
    Fault(reported.ForgetsTheJacobian, judge.DENSITY, FIRST),
    Fault(sampler.MovesWithoutTheJacobian, judge.DRAWS, "priors"),
    Fault(sampler.AnotherBijector, judge.DENSITY, FIRST),
    Fault(sampler.ForgetsTheLogDeterminant, judge.DRAWS, "priors"),
    Fault(sampler.KineticEnergyWithoutHalf, conduct.STATISTICS),
    Fault(sampler.MomentaOfTheInverse, judge.DRAWS),
    Fault(sampler.OneMomentumForAll, judge.DRAWS),
    Fault(sampler.AcceptsAnOverflow, conduct.OVERFLOW),
    Fault(sampler.AlwaysAccepts, conduct.STATISTICS, breaks="not finite"),
    Fault(sampler.AcceptsTheWorse, conduct.STATISTICS, breaks="not finite"),
    Fault(sampler.HalfStepBackwards, conduct.STATISTICS),
    Fault(reported.CountsDrawsAsGradients, conduct.STATISTICS),
    Fault(reported.AcceptanceMisreported, conduct.STATISTICS),
    Fault(reported.HidesDivergences, conduct.STATISTICS),
    Fault(reported.WarmUpMissesItsTarget, conduct.STATISTICS),
    Fault(reported.SamplesAtAnotherStep, conduct.STATISTICS),
]

RIGHT = [
    Fault(Wrapped, ""),
    Fault(Wrapped, "", metric="diagonal"),
    Fault(Wrapped10, ""),
    Fault(Wrapped, "", FIRST),
    *(Fault(Wrapped, "", case) for case in AT_THE_FLOOR),
    Fault(Wrapped, "", MANY),
    Fault(Wrapped, "", "priors"),
    Fault(RightNumPyro, "", known=conduct.OVERFLOW),
    Fault(RightNumPyro10, "", known=conduct.OVERFLOW),
]

UNSEEN = {
    "A metric that is multiplied where the step size is divided by the root": (
        "HMC moves in the same way, so that it is no fault"
    ),
    "Energies that are reported wrong": (
        "they do not cross the contract of a backend; what is accepted is counted instead"
    ),
    "Paths of whole periods, without jitter": (
        "leapfrog has a period of its own, so that chains do not stand still; what they tune is "
        "right, and ESS per gradient is what suffers"
    ),
    "A constant in the log density": "no sampler depends on it",
    "A window that is shorter or longer by less than half": (
        "the expectation of its metric is the same, and its scatter is predicted no better"
    ),
    "A deviation within the tolerance": "that is what a tolerance is; --tolerance makes it smaller",
}
