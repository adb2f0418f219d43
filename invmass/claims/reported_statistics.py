"""The claim "reported statistics"."""

from collections.abc import Iterator
from typing import final

import numpy as np

from invmass.claims.base import GAUSSIAN_FIT, Claim, Deviations, Estimates
from invmass.claims.intervals import Statistic
from invmass.claims.replicates import draws_at_step, replicates_that_moved
from invmass.runs.experiment import NUM_SAMPLES, Experiment
from invmass.sampling.backend import Draws, Tuned

FACTOR_TWO = 1.0  # margin, relative
HALVED_GRADIENTS = 0.5  # the law holds for short steps; tuned ones are near the longest stable
NEAR_TARGET, COUNTED = 0.05, 0.02  # margins of acceptance, absolute
EQUAL_GRADIENTS = 1e-5


@final
class ReportedStatistics(Claim):
    """Is what the library says of its draws what comes of them at other step sizes?

    At a thousandfold step each draw is one gradient, divergent and rejected, and the chain stays
    where it was: exactly. At half the step, trajectories of the same length take twice the
    gradients, and acceptance falls short of one by a quarter as much, for the error of the energy
    is of second order; and again at half of that. A sampler that takes the same number of steps,
    two or more, at any step size, and finishes its trajectory before it rejects, has as many
    gradients at each of them; as its trajectories are shorter at half the step, no law holds for
    its acceptance there.
    Acceptance is at its target while the step size follows it, and not below it afterwards. Where
    draws are accepted or rejected as a whole, acceptance is also counted.

    Energies do not cross the contract of a backend, and are not judged here.
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
        """Counts at a thousandfold step; then laws at a half and a quarter of the tuned one."""
        far, near = (
            draws_at_step(experiment, 1000.0)(experiment.batch),
            experiment.draws(experiment.batch),
        )
        fixed = experiment.backend.has_accept_reject and _has_fixed_number_of_steps(far, near)
        counts = np.sum(far.gradients != NUM_SAMPLES)
        yield Deviations(
            {
                f"replicates {fault} at the thousandfold step": float(count)
                for fault, count in (
                    ("with other than one gradient a draw", 0 if fixed else counts),
                    ("with draws that did not diverge", np.sum(far.divergences != NUM_SAMPLES)),
                    ("with acceptance", np.sum(far.acceptance > 0)),
                    ("that moved", replicates_that_moved(experiment, far)),
                )
            }
        )
        halved, quartered = draws_at_step(experiment, 0.5), draws_at_step(experiment, 0.25)
        target = experiment.backend.target_acceptance

        def values(count: int) -> list[Statistic]:
            draws, half, tuned = experiment.draws(count), halved(count), experiment.tuned(count)
            leaps = half.gradients / draws.gradients
            # below two, because HMC rounds up and NUTS doubles
            law = (1.0, EQUAL_GRADIENTS) if fixed else (2.0, HALVED_GRADIENTS)
            found = [Statistic("gradients at half the step", leaps, law[0], "log", law[1])]
            if not fixed:
                shortfall = (1 - half.acceptance) / (1 - draws.acceptance)
                again = (1 - quartered(count).acceptance) / (1 - half.acceptance)
                found += [
                    Statistic(
                        "lack of acceptance at half the step", shortfall, 0.25, "log", FACTOR_TWO
                    ),
                    Statistic(
                        "lack of acceptance at a quarter of it", again, 0.25, "log", FACTOR_TWO
                    ),
                ]
            if target is not None:
                found += _acceptance_at_target(tuned, draws, target)
            if experiment.backend.has_accept_reject:
                moves = np.any(np.diff(draws.position, axis=1) != 0, axis=2).mean(axis=1)
                off = moves - draws.acceptance
                found.append(
                    Statistic("acceptance counted less reported", off, 0.0, "linear", COUNTED)
                )
            return found

        yield Estimates(values, NEAR_TARGET)


def _acceptance_at_target(tuned: Tuned, draws: Draws, target: float) -> list[Statistic]:
    """Acceptance during warm-up is at its target, and after warm-up not below it."""
    low, high = target - NEAR_TARGET, 1 - (1 - target) / 10
    middle, half = (low + high) / 2, (high - low) / 2
    return [
        Statistic("acceptance during warm-up", tuned.acceptance, target, "linear", NEAR_TARGET),
        Statistic("acceptance after warm-up", draws.acceptance, middle, "linear", half),
    ]


def _has_fixed_number_of_steps(far: Draws, near: Draws) -> bool:
    """Whether each draw takes as many gradients at a thousandfold step as at the tuned one.

    More than one: of a sampler that reports one gradient for each draw, whatever it takes, the same
    would be seen.
    """
    return bool(np.all(far.gradients == near.gradients) and np.all(far.gradients > NUM_SAMPLES))
