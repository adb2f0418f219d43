"""Is the tuned inverse mass matrix the one that the posterior's geometry calls for?"""

import pytest

from invmass.verdicts import judge
from invmass.verdicts.experiment import Experiment


@pytest.mark.invmass_claim("inverse Fisher")
def test_inverse_fisher(experiment: Experiment, settle) -> None:
    """M⁻¹ matches the inverse Fisher, or disagrees with it as the geometry predicts."""
    settle(*judge.inverse_fisher(experiment))


@pytest.mark.invmass_claim(judge.CONVERGES)
def test_converges_to_its_target(experiment: Experiment, settle) -> None:
    """M⁻¹ is what its own estimator estimates."""
    settle(judge.CONVERGES, judge.target(experiment))


@pytest.mark.invmass_claim(judge.REJECTS)
@pytest.mark.invmass_cases("notebook-uniform")
@pytest.mark.parametrize("wrong", ["constrained_inverse_fisher", "misplaced_inverse_fisher"])
def test_wrong_reference_is_rejected(experiment: Experiment, wrong: str, settle) -> None:
    """The inverse Fisher of x, and that of z evaluated at x, are told from the right one."""
    settle(judge.REJECTS, judge.rejection(experiment, getattr(experiment.truth, wrong)))
