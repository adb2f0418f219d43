"""All claims by name, and the verdicts on one cell."""

from collections.abc import Iterator, Sequence

from invmass.claims.base import Claim
from invmass.claims.converges_to_its_target import ConvergesToItsTarget
from invmass.claims.density import DensityAgrees
from invmass.claims.draws import DrawsAreRight
from invmass.claims.equivariant import Equivariant
from invmass.claims.equivariant_at_several_lengths import EquivariantAtSeveralLengths
from invmass.claims.inverse_fisher import InverseFisher
from invmass.claims.inverse_fisher_of_x import InverseFisherOfX
from invmass.claims.inverse_fisher_of_z_at_x import InverseFisherOfZAtX
from invmass.claims.overflow import OverflowIsRejected
from invmass.claims.reported_statistics import ReportedStatistics
from invmass.claims.resumes_from_file import ResumesFromFile
from invmass.claims.sequential import Verdict
from invmass.claims.supplied_metric import SuppliedMetric
from invmass.claims.tuned_matrix_contract import TunedMatrixContract
from invmass.claims.window_effective_sample_size import WindowEffectiveSampleSize
from invmass.errors import InvmassError, UsageError
from invmass.results.rows import RENAMED
from invmass.runs.experiment import Experiment

_ALL: tuple[type[Claim], ...] = (  # in the order in which they are judged
    InverseFisher,
    ConvergesToItsTarget,
    InverseFisherOfX,
    InverseFisherOfZAtX,
    DrawsAreRight,
    DensityAgrees,
    TunedMatrixContract,
    WindowEffectiveSampleSize,
    ResumesFromFile,
    SuppliedMetric,
    Equivariant,
    EquivariantAtSeveralLengths,
    ReportedStatistics,
    OverflowIsRejected,
)
CLAIMS: dict[str, Claim] = {claim.name: claim() for claim in _ALL}


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
