"""The claim "reported statistics"."""

from collections.abc import Iterator
from typing import final

import numpy as np

from invmass.claims.base import GAUSSIAN_FIT, Claim, Deviations, Estimates
from invmass.claims.intervals import Statistic
from invmass.claims.replicates import draws_at_step, replicates_that_moved
from invmass.runs.experiment import NUM_SAMPLES, Experiment
from invmass.sampling.backend import Draws, Tuned

FACTOR_TWO = 1.0  # relative margin
# Relative margin: the law holds for short steps, and tuned steps are near the stability limit.
HALVED_GRADIENTS = 0.5
NEAR_TARGET, COUNTED = 0.05, 0.02  # absolute margins of acceptance
EQUAL_GRADIENTS = 1e-5  # relative margin of counts that must be equal


@final
class ReportedStatistics(Claim):
    """Do the reported acceptance, gradients and divergences follow known laws of the step size?

    - At a thousand times the tuned step, every draw takes exactly one gradient, diverges and is
      rejected, and no chain moves.
    - At half the step, trajectories of the same length take twice as many gradients, and the
      rejection rate falls to a quarter, because the energy error is of second order in the step
      size. The same holds from half the step to a quarter of it.
    - A sampler with a fixed number of steps, two or more, that completes its trajectory before it
      rejects takes the same number of gradients at every step size. Its trajectories are shorter
      at half the step, so no law of the acceptance is tested.
    - Acceptance during warm-up equals its target, and acceptance after warm-up is not below it.
    - If the sampler has an accept/reject step, the reported acceptance equals the fraction of
      draws that differ from the draw before.

    The backend contract does not include energies, so they are not judged.
    """

    name = "reported statistics"
    summary = (
        "The acceptance, gradient counts and divergences that the library reports agree with "
        "recomputation at other step sizes."
    )
    reference = (
        "at a thousandfold step every draw is divergent and rejected, after one gradient (or "
        "after the fixed number of an accept/reject step); at half the step gradients double "
        "and the lack of acceptance falls to a quarter; acceptance is at its target"
    )
    margin = "exact at a thousandfold step; then 2% to a factor of 2"
    uses = (
        "`sample` at any step size: `gradients`, `acceptance`, `divergences`; "
        "`target_acceptance` if it is declared"
    )
    cases = (GAUSSIAN_FIT,)
    per = "backend"
    needs_target = False

    def evidence(self, experiment: Experiment) -> Iterator[Deviations | Estimates]:
        """Counts at a thousandfold step; then ratios at half and at a quarter of the tuned step."""
        huge_step = draws_at_step(experiment, 1000.0)(experiment.batch)
        tuned_step = experiment.draws(experiment.batch)
        fixed = experiment.backend.has_accept_reject and _has_fixed_number_of_steps(
            huge_step, tuned_step
        )
        counts = np.sum(huge_step.gradients != NUM_SAMPLES)
        yield Deviations(
            {
                f"replicates {fault} at the thousandfold step": float(count)
                for fault, count in (
                    ("with other than one gradient a draw", 0 if fixed else counts),
                    (
                        "with draws that did not diverge",
                        np.sum(huge_step.divergences != NUM_SAMPLES),
                    ),
                    ("with acceptance", np.sum(huge_step.acceptance > 0)),
                    ("that moved", replicates_that_moved(experiment, huge_step)),
                )
            }
        )
        halved, quartered = draws_at_step(experiment, 0.5), draws_at_step(experiment, 0.25)
        target = experiment.backend.target_acceptance

        def values(count: int) -> list[Statistic]:
            draws, half, tuned = experiment.draws(count), halved(count), experiment.tuned(count)
            gradient_ratio = half.gradients / draws.gradients
            # the ratio is below two because HMC rounds the number of steps up, and NUTS doubles
            # the length of its trajectory
            law = (1.0, EQUAL_GRADIENTS) if fixed else (2.0, HALVED_GRADIENTS)
            found = [Statistic("gradients at half the step", gradient_ratio, law[0], "log", law[1])]
            if not fixed:
                at_half = (1 - half.acceptance) / (1 - draws.acceptance)
                at_quarter = (1 - quartered(count).acceptance) / (1 - half.acceptance)
                found += [
                    Statistic(
                        "lack of acceptance at half the step", at_half, 0.25, "log", FACTOR_TWO
                    ),
                    Statistic(
                        "lack of acceptance at a quarter of it", at_quarter, 0.25, "log", FACTOR_TWO
                    ),
                ]
            if target is not None:
                found += _acceptance_at_target(tuned, draws, target)
            if experiment.backend.has_accept_reject:
                moves = np.any(np.diff(draws.position, axis=1) != 0, axis=2).mean(axis=1)
                difference = moves - draws.acceptance
                found.append(
                    Statistic(
                        "acceptance counted less reported", difference, 0.0, "linear", COUNTED
                    )
                )
            return found

        yield Estimates(values, NEAR_TARGET)


def _acceptance_at_target(tuned: Tuned, draws: Draws, target: float) -> list[Statistic]:
    """Statistics of acceptance: at its target during warm-up, and not below it after warm-up."""
    low, high = target - NEAR_TARGET, 1 - (1 - target) / 10
    middle, half = (low + high) / 2, (high - low) / 2
    return [
        Statistic("acceptance during warm-up", tuned.acceptance, target, "linear", NEAR_TARGET),
        Statistic("acceptance after warm-up", draws.acceptance, middle, "linear", half),
    ]


def _has_fixed_number_of_steps(huge_step: Draws, tuned_step: Draws) -> bool:
    """Whether draws take the same number of gradients at a thousandfold step as at the tuned step.

    The number must exceed one a draw. Otherwise a sampler that wrongly reports one gradient for
    every draw would be taken for a sampler with a fixed number of steps.
    """
    return bool(
        np.all(huge_step.gradients == tuned_step.gradients)
        and np.all(huge_step.gradients > NUM_SAMPLES)
    )
