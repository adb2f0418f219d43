"""Does the library sample the density that the case states?"""

import pytest

from invmass.claims import judge
from invmass.claims.record import Settle


@pytest.mark.invmass_claim(judge.DENSITY)
@pytest.mark.invmass_once
def test_density_agrees(settle: Settle) -> None:
    """The library's unconstrained log density and the case's differ by a constant."""
    settle(judge.DENSITY)
