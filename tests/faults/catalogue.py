"""Which planted fault is to be seen by which claim, on which combination."""

from dataclasses import dataclass

from faults import reported, sampler, supplied
from faults.wrapped import RightNumPyro, RightNumPyro10, Wrapped, Wrapped10
from invmass.claims.base import GAUSSIAN_FIT
from invmass.claims.converges_to_its_target import ConvergesToItsTarget
from invmass.claims.density import DensityAgrees
from invmass.claims.draws import DrawsAreRight
from invmass.claims.equivariant import Equivariant
from invmass.claims.inverse_fisher import InverseFisher
from invmass.claims.overflow import OverflowIsRejected
from invmass.claims.reported_statistics import ReportedStatistics
from invmass.claims.resumes_from_file import ResumesFromFile
from invmass.claims.supplied_metric import SuppliedMetric
from invmass.claims.tuned_matrix_contract import TunedMatrixContract
from invmass.claims.window_effective_sample_size import WindowEffectiveSampleSize
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
    case: str = GAUSSIAN_FIT
    metric: str = "dense"
    breaks: str = ""
    known: str = ""

    @property
    def name(self) -> str:
        return (
            self.backend.name if self.case == GAUSSIAN_FIT else f"{self.backend.name}-{self.case}"
        )

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
    *at_all_strengths("AllEntriesLarge", ConvergesToItsTarget.name),
    *at_all_strengths("AllEntriesSmall", ConvergesToItsTarget.name),
    *at_all_strengths("OneEntryLarge", ConvergesToItsTarget.name),
    *at_all_strengths("CorrelationsShrunk", ConvergesToItsTarget.name),
    *at_all_strengths("DrawsTooWide", DrawsAreRight.name),
    *at_all_strengths("Tempered", DrawsAreRight.name, module=sampler),
    *at_all_strengths("GradientTooLong", ReportedStatistics.name, module=sampler),
    *at_all_strengths("CountsTooManyGradients", ReportedStatistics.name),
    Fault(reported.Identity, ConvergesToItsTarget.name),
    Fault(reported.MassNotInverse, TunedMatrixContract.name),
    Fault(reported.StandardDeviations, TunedMatrixContract.name),
    Fault(reported.SitesPermuted, ConvergesToItsTarget.name),
    Fault(reported.OrderByName, TunedMatrixContract.name, MANY),
    Fault(reported.CorrelationsFlipped, ConvergesToItsTarget.name),
    Fault(reported.ConstrainedCovariance, ConvergesToItsTarget.name, FIRST),
    Fault(reported.ScoresNotInverted, ConvergesToItsTarget.name, FIRST),
    Fault(reported.AnotherEstimator, ConvergesToItsTarget.name, metric="diagonal"),
    Fault(reported.RegularisationDropped, ConvergesToItsTarget.name, FINE),
    Fault(reported.RegularisationDoubled, ConvergesToItsTarget.name, FINE),
    Fault(reported.RegularisationTimesDraws, ConvergesToItsTarget.name, FINE),
    *(Fault(reported.TenfoldUnderTheFloor, InverseFisher.name, case) for case in AT_THE_FLOOR),
    *(Fault(reported.NothingLearned, InverseFisher.name, case) for case in AT_THE_FLOOR),
    Fault(reported.NotSymmetric, TunedMatrixContract.name),
    Fault(
        reported.IndefiniteInSinglePrecision,
        TunedMatrixContract.name,
        breaks="not positive definite",
    ),
    Fault(reported.OneForAll, TunedMatrixContract.name),
    Fault(reported.NaiveVariance, Equivariant.name),
    Fault(reported.WindowNotReset, WindowEffectiveSampleSize.name),
    Fault(reported.WindowMissing, WindowEffectiveSampleSize.name),
    Fault(sampler.NeverResets, WindowEffectiveSampleSize.name),
    Fault(sampler.SkipsTheLastWindow, WindowEffectiveSampleSize.name),
    Fault(sampler.HalvesTheLastWindow, WindowEffectiveSampleSize.name),
    Fault(sampler.TransientLeftIn, ConvergesToItsTarget.name),
    Fault(supplied.IgnoresSupplied, SuppliedMetric.name),
    Fault(supplied.KeepsSuppliedUnused, SuppliedMetric.name),
    Fault(supplied.UsesTheDiagonalOfSupplied, SuppliedMetric.name),
    Fault(reported.LosesTheMetricInAFile, ResumesFromFile.name, MANY),
    Fault(reported.ForgetsTheJacobian, DensityAgrees.name, FIRST),
    Fault(sampler.MovesWithoutTheJacobian, DrawsAreRight.name, "priors"),
    Fault(sampler.AnotherBijector, DensityAgrees.name, FIRST),
    Fault(sampler.ForgetsTheLogDeterminant, DrawsAreRight.name, "priors"),
    Fault(sampler.KineticEnergyWithoutHalf, ReportedStatistics.name),
    Fault(sampler.MomentaOfTheInverse, DrawsAreRight.name),
    Fault(sampler.OneMomentumForAll, DrawsAreRight.name),
    Fault(sampler.AcceptsAnOverflow, OverflowIsRejected.name),
    Fault(sampler.AlwaysAccepts, ReportedStatistics.name, breaks="not finite"),
    Fault(sampler.AcceptsTheWorse, ReportedStatistics.name, breaks="not finite"),
    Fault(sampler.HalfStepBackwards, ReportedStatistics.name),
    Fault(reported.CountsDrawsAsGradients, ReportedStatistics.name),
    Fault(reported.AcceptanceMisreported, ReportedStatistics.name),
    Fault(reported.HidesDivergences, ReportedStatistics.name),
    Fault(reported.WarmUpMissesItsTarget, ReportedStatistics.name),
    Fault(reported.SamplesAtAnotherStep, ReportedStatistics.name),
]

RIGHT = [
    Fault(Wrapped, ""),
    Fault(Wrapped, "", metric="diagonal"),
    Fault(Wrapped10, ""),
    Fault(Wrapped, "", FIRST),
    *(Fault(Wrapped, "", case) for case in AT_THE_FLOOR),
    Fault(Wrapped, "", MANY),
    Fault(Wrapped, "", "priors"),
    Fault(RightNumPyro, "", known=OverflowIsRejected.name),
    Fault(RightNumPyro10, "", known=OverflowIsRejected.name),
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
