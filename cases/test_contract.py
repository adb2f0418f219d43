"""Does a backend keep the contract of a tuned matrix, and use the metric that it is handed?"""

import pytest

from invmass.verdicts import conduct
from invmass.verdicts.experiment import Experiment
from invmass.verdicts.record import Settle


@pytest.mark.invmass_claim(conduct.CONTRACT)
def test_contract_of_a_tuned_matrix(experiment: Experiment, settle: Settle) -> None:
    """M⁻¹ and not M, variances, in declared order, one for each replicate, positive definite."""
    settle(conduct.CONTRACT, conduct.contract(experiment))


@pytest.mark.invmass_claim(conduct.RESUMES)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(*conduct.RESUMED)
def test_resumes_from_a_file(experiment: Experiment, settle: Settle) -> None:
    """What was tuned can be saved and loaded, and goes on as it would have."""
    settle(conduct.RESUMES, conduct.resumes(experiment))


@pytest.mark.invmass_claim(conduct.SUPPLIED)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_supplied_metric_is_used(experiment: Experiment, settle: Settle) -> None:
    """It is read back as it was, and the step size is tuned to it."""
    _settle_supplied(experiment, settle)


@pytest.mark.invmass_claim(conduct.SUPPLIED)
@pytest.mark.invmass_full
@pytest.mark.invmass_cases(conduct.FIT, "gaussian_mean")
def test_every_supplied_metric_is_used(experiment: Experiment, settle: Settle) -> None:
    """So it is for all metrics of a backend."""
    _settle_supplied(experiment, settle)


def _settle_supplied(experiment: Experiment, settle: Settle) -> None:
    if reason := experiment.backend.why_lacking("supplied"):
        pytest.skip(reason)
    settle(conduct.SUPPLIED, conduct.supplied(experiment))
