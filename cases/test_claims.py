"""One test for each claim in the registry, named after the claim, on all cells."""

from collections.abc import Callable

import pytest

from invmass.claims.base import Claim
from invmass.claims.record import Settle
from invmass.claims.registry import CLAIMS


def _test_of(claim: Claim) -> Callable[[Settle], None]:
    @pytest.mark.invmass_claim(claim.name)
    def test(settle: Settle) -> None:
        settle(claim.name)

    test.__name__ = test.__qualname__ = claim.test_name
    test.__doc__ = claim.summary
    return test


globals().update({claim.test_name: _test_of(claim) for claim in CLAIMS.values()})
