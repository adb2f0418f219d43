"""Does a sampler scatter, move and count as it should?"""

import pytest

from invmass.verdicts import conduct
from invmass.verdicts.experiment import Experiment
from invmass.verdicts.record import Settle


@pytest.mark.invmass_claim(conduct.SPREAD)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_spread_is_honest(experiment: Experiment, settle: Settle) -> None:
    """Replicates scatter as the effective draws of one window do."""
    _settle_spread(experiment, settle)


@pytest.mark.invmass_claim(conduct.SPREAD)
@pytest.mark.invmass_once
@pytest.mark.invmass_full
def test_spread_is_honest_in_every_case(experiment: Experiment, settle: Settle) -> None:
    """So they do on other posteriors; fewer coordinates take more replicates."""
    _settle_spread(experiment, settle)


def _settle_spread(experiment: Experiment, settle: Settle) -> None:
    if reason := conduct.why_no_spread(experiment):
        pytest.skip(reason)
    settle(conduct.SPREAD, conduct.spread(experiment))


@pytest.mark.invmass_claim(conduct.STATISTICS)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_statistics_are_honest(experiment: Experiment, settle: Settle) -> None:
    """Gradients, divergences and acceptance are what comes of them at other step sizes."""
    settle(conduct.STATISTICS, conduct.statistics(experiment))


@pytest.mark.invmass_claim(conduct.EQUIVARIANT)
@pytest.mark.invmass_once
@pytest.mark.invmass_cases(conduct.FIT)
def test_equivariant(experiment: Experiment, settle: Settle) -> None:
    """Shifted, rescaled and permuted at once, M⁻¹ is the same but for its units."""
    settle(conduct.EQUIVARIANT, conduct.moved(experiment))


@pytest.mark.invmass_claim(conduct.EQUIVARIANT)
@pytest.mark.invmass_full
@pytest.mark.invmass_cases(conduct.FIT)
def test_every_metric_is_equivariant(experiment: Experiment, settle: Settle) -> None:
    """So it is for all metrics of a backend."""
    settle(conduct.EQUIVARIANT, conduct.moved(experiment))


@pytest.mark.invmass_claim(conduct.EQUIVARIANT)
@pytest.mark.invmass_once
@pytest.mark.invmass_full
@pytest.mark.invmass_cases(conduct.FIT)
def test_equivariant_at_several_lengths(experiment: Experiment, settle: Settle) -> None:
    """So it is for each motion alone, after short and long warm-up."""
    settle(conduct.EQUIVARIANT, conduct.moved_at_lengths(experiment))
