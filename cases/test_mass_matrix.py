"""Is the tuned inverse mass matrix the one that the posterior's geometry calls for?"""

import pytest

from invmass.claims import judge
from invmass.claims.record import Settle


@pytest.mark.invmass_claim(judge.FISHER)
def test_inverse_fisher(settle: Settle) -> None:
    """M⁻¹ matches the inverse Fisher, or differs from it as documented."""
    settle(judge.FISHER)


@pytest.mark.invmass_claim(judge.CONVERGES)
def test_converges_to_its_target(settle: Settle) -> None:
    """M⁻¹ is what its own estimator estimates."""
    settle(judge.CONVERGES)


@pytest.mark.invmass_claim(judge.REJECTS_CONSTRAINED)
@pytest.mark.invmass_cases("notebook-uniform")
def test_constrained_inverse_fisher_is_rejected(settle: Settle) -> None:
    """The inverse Fisher of x is distinguished from that of z."""
    settle(judge.REJECTS_CONSTRAINED)


@pytest.mark.invmass_claim(judge.REJECTS_MISPLACED)
@pytest.mark.invmass_cases("notebook-uniform")
def test_misplaced_inverse_fisher_is_rejected(settle: Settle) -> None:
    """So is the inverse Fisher of z, evaluated with x where z belongs, from the right one."""
    settle(judge.REJECTS_MISPLACED)
