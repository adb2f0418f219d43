"""The markers of the suite's checks."""

import pytest

CLAIM = "invmass_claim"
TIMING = "invmass_timing"
FULL = "invmass_full"
DESCRIPTIONS = {
    f"{CLAIM}(text)": "the claim that a check of invmass judges",
    f"{TIMING}(phase)": "the phase that a benchmark of invmass times",
    FULL: "a check of the full tier, left out of the quick one",
}


def pytest_configure(config: pytest.Config) -> None:
    for marker, description in DESCRIPTIONS.items():
        config.addinivalue_line("markers", f"{marker}: {description}")


def claim_of(item: pytest.Item) -> str | None:
    """The claim that a check judges; None if it is no check."""
    marker = item.get_closest_marker(CLAIM)
    return marker.args[0] if marker else None
