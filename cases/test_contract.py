"""Does a backend keep the contract of a tuned matrix, and use the metric that it is handed?"""

import pytest

from invmass.claims import conduct
from invmass.claims.record import Settle


@pytest.mark.invmass_claim(conduct.CONTRACT)
def test_contract_of_a_tuned_matrix(settle: Settle) -> None:
    """M⁻¹ and not M, variances, in declared order, one for each replicate, positive definite."""
    settle(conduct.CONTRACT)


@pytest.mark.invmass_claim(conduct.RESUMES)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(*conduct.RESUMED)
def test_resumes_from_a_file(settle: Settle) -> None:
    """What was tuned can be saved and loaded, and goes on as it would have."""
    settle(conduct.RESUMES)


@pytest.mark.invmass_claim(conduct.SUPPLIED)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_supplied_metric_is_used(settle: Settle) -> None:
    """It is read back as it was, and the step size is tuned to it."""
    settle(conduct.SUPPLIED)


@pytest.mark.invmass_claim(conduct.SUPPLIED)
@pytest.mark.invmass_full
@pytest.mark.invmass_cases(*conduct.SUPPLIED_ON)
def test_every_supplied_metric_is_used(settle: Settle) -> None:
    """So it is for all metrics of a backend."""
    settle(conduct.SUPPLIED)
