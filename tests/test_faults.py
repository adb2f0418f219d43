"""Every planted fault is seen by the claim that is there for it, and the right sampler is not."""

import pytest
from faults.catalogue import FAULTS, RIGHT, Fault

from invmass.claims.equivariant import Equivariant
from invmass.claims.equivariant_at_several_lengths import EquivariantAtSeveralLengths
from invmass.claims.inverse_fisher_of_x import InverseFisherOfX
from invmass.claims.inverse_fisher_of_z_at_x import InverseFisherOfZAtX
from invmass.claims.registry import CLAIMS, answers
from invmass.errors import BackendFaultError
from invmass.results.status import Status

# of each kind the weakest that is surely seen: benchmarks/faults.py judges them all, at ten seeds
WEAKEST = {
    fault.name.rstrip("-0123456789"): fault for fault in FAULTS if fault.backend.strength >= 0.1
}


def available(fault: Fault) -> Fault:
    if reason := fault.backend().why_unavailable():
        pytest.skip(reason)
    return fault


@pytest.mark.parametrize("fault", WEAKEST.values(), ids=lambda fault: fault.name)
def test_fault_is_caught(fault: Fault) -> None:
    """By a verdict that fails, or because what was tuned breaks the contract."""
    experiment = available(fault).combination.experiment(seed=0)
    if fault.breaks:
        with pytest.raises(BackendFaultError, match=fault.breaks):
            CLAIMS[fault.claim].judge(experiment)
        return
    verdict = CLAIMS[fault.claim].judge(experiment)
    assert verdict.status is Status.FAIL, "\n".join(map(str, verdict.intervals))


@pytest.mark.parametrize(
    "fault", RIGHT, ids=lambda fault: f"{fault.name}-{fault.case}-{fault.metric}"
)
def test_nothing_is_seen_where_nothing_is_planted(fault: Fault) -> None:
    for claim, answer in answers(available(fault).combination.experiment(seed=0)):
        right = Status.FAIL if claim == fault.known else Status.PASS
        assert getattr(answer, "status", None) is right, f"{claim}: {answer}"


def test_strengths_are_those_of_the_page() -> None:
    assert len(FAULTS) >= 30
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    lines = {(f.backend.__doc__, f.backend.strength, f.case, f.metric) for f in [*RIGHT, *FAULTS]}
    assert len(lines) == len(RIGHT) + len(FAULTS)
    for fault in FAULTS:
        assert fault.backend.__doc__, fault.name
        assert fault.claim in CLAIMS


def test_naive_variance_is_seen_at_several_lengths_of_warm_up() -> None:
    """The claim that runs when it is named alone; at which lengths and motions, its entries say."""
    (fault,) = (fault for fault in FAULTS if fault.claim == Equivariant.name)
    experiment = available(fault).combination.experiment(seed=0)
    verdict = CLAIMS[EquivariantAtSeveralLengths.name].judge(experiment)
    assert verdict.status is Status.FAIL
    assert all("shift" in interval.entry for interval in verdict.intervals if interval.outside)


def test_every_claim_has_its_fault() -> None:
    """The two wrong references are faults themselves."""
    told = {fault.claim for fault in FAULTS} | {EquivariantAtSeveralLengths.name}
    wrong_references = {InverseFisherOfX.name, InverseFisherOfZAtX.name}
    assert set(CLAIMS) == told | wrong_references
