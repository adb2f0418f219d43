"""Does a sampler scatter, move and count as it should?"""

import pytest

from invmass.claims import conduct
from invmass.claims.record import Settle


@pytest.mark.invmass_claim(conduct.SPREAD)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_spread_is_honest(settle: Settle) -> None:
    """Replicates scatter as the effective draws of one window do."""
    settle(conduct.SPREAD)


@pytest.mark.invmass_claim(conduct.SPREAD)
@pytest.mark.invmass_once
@pytest.mark.invmass_full
def test_spread_is_honest_in_every_case(settle: Settle) -> None:
    """So they do on other posteriors; fewer coordinates take more replicates."""
    settle(conduct.SPREAD)


@pytest.mark.invmass_claim(conduct.STATISTICS)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_statistics_are_honest(settle: Settle) -> None:
    """Gradients, divergences and acceptance are what comes of them at other step sizes."""
    settle(conduct.STATISTICS)


@pytest.mark.invmass_claim(conduct.OVERFLOW)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_overflow_is_rejected(settle: Settle) -> None:
    """Where the energy overflows, nothing moves, whatever the sign of what comes out."""
    settle(conduct.OVERFLOW)


@pytest.mark.invmass_claim(conduct.EQUIVARIANT)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_equivariant(settle: Settle) -> None:
    """Shifted, rescaled and permuted at once, M⁻¹ is the same but for its units."""
    settle(conduct.EQUIVARIANT)


@pytest.mark.invmass_claim(conduct.EQUIVARIANT)
@pytest.mark.invmass_full
@pytest.mark.invmass_cases(conduct.FIT)
def test_every_metric_is_equivariant(settle: Settle) -> None:
    """So it is for all metrics of a backend."""
    settle(conduct.EQUIVARIANT)


@pytest.mark.invmass_claim(conduct.EQUIVARIANT_AT_LENGTHS)
@pytest.mark.invmass_once
@pytest.mark.invmass_full
@pytest.mark.invmass_cases(conduct.FIT)
def test_equivariant_at_several_lengths(settle: Settle) -> None:
    """So it is for each motion alone, after short and long warm-up."""
    settle(conduct.EQUIVARIANT_AT_LENGTHS)
