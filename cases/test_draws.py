"""Are the draws with the tuned metric draws from the posterior?"""

import pytest

from invmass.claims import judge
from invmass.claims.record import Settle


@pytest.mark.invmass_claim(judge.DRAWS)
@pytest.mark.invmass_once
def test_draws_are_right(settle: Settle) -> None:
    """Mean and covariance are the posterior's, in unconstrained and constrained space."""
    settle(judge.DRAWS)
