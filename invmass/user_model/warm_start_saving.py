"""What starting warm-up from the reference saves: gradients and seconds, on a user's model."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invmass.adaptation.condition_number import QUALITY, condition, null_condition
from invmass.runs.experiment import BATCH
from invmass.user_model.adaptation import Adaptation

ROUNDS, ENOUGH = 3, 1.0  # calls of each timing; fewer once they took so many seconds


@dataclass(frozen=True)
class Saving:
    """Warm-up until the metric is good, from the identity and from a reference.

    A metric is good when the condition number κ of M⁻¹, whitened by what adaptation converges to
    (the mean over replicates, without its regularisation), is below `threshold`.

    Attributes:
        threshold: 1.5 times the null of κ at the last window's length.
        reference: what it is called.
        supplied_kappa: κ of the reference: if above the threshold, it saves nothing.
        found: fraction of replicates whose metric becomes good, and stays so, by adaptation.
        steps: from the identity until then, median over replicates; infinite if most never do.
        gradients: likewise.
        seconds: of all replicates in one call, for that many steps; infinite likewise.
        supplied_steps: in which the step size is adapted to the supplied metric.
        supplied_gradients: of these steps, median over replicates.
        supplied_seconds: of all replicates in one call.
        replicates: in that call.
    """

    threshold: float
    reference: str
    supplied_kappa: float
    found: float
    steps: float
    gradients: float
    seconds: float
    supplied_steps: int
    supplied_gradients: float
    supplied_seconds: float
    replicates: int

    @property
    def good(self) -> bool:
        """Whether the reference is a metric of that quality."""
        return self.supplied_kappa < self.threshold

    def __str__(self) -> str:
        quality = f"κ = {self.supplied_kappa:.3g}, a good metric has κ < {self.threshold:.3g}"
        supplied = (
            f"the {self.reference} ({quality}) takes {self.supplied_gradients:.0f} gradients and "
            f"{self.supplied_seconds:.2g} s to tune the step size to it ({self.supplied_steps} "
            "steps)"
        )
        if np.isfinite(self.steps):
            identity = (
                f"from the identity a good one is found after {self.steps:.0f} steps, "
                f"{self.gradients:.0f} gradients and {self.seconds:.2g} s"
            )
        else:
            identity = (
                f"from the identity a good one is found in {100 * self.found:.0f}% of warm-ups"
            )
        return f"{supplied}; {identity} (medians; seconds of {self.replicates} chains at once)"


def saving(adaptation: Adaptation) -> Saving:
    """Gradients and seconds until a good metric, from the identity and from the reference.

    Args:
        adaptation: whose entries are judged already: κ is taken over the mean of all replicates
            that were run for them.

    Raises:
        BackendFaultError: warm-up left something that is not finite.
    """
    run, nuts = adaptation.run(1), adaptation.nuts
    block, window = adaptation.metric.largest_block, nuts.last_window
    threshold = QUALITY * null_condition(block, window, dense=True)
    mean = adaptation.tuned(adaptation.judged).mean(axis=0)
    limit = adaptation.estimator.data_part(mean, window)  # what adaptation converges to
    bad = condition(run.matrices, limit) >= threshold  # (R, W)
    windows = bad.shape[1]
    first_good = np.where(bad.any(axis=1), windows - np.argmax(bad[:, ::-1], axis=1), 0)
    found = first_good < windows
    at = np.minimum(first_good, windows - 1)
    steps = float(np.median(np.where(found, nuts.window_ends[at], np.inf)))
    gradients = np.where(found, run.gradients[np.arange(BATCH), at], np.inf)

    keys, starts, first = adaptation.keys(1), adaptation.starts(1), nuts.first_interval
    reference = adaptation.reference
    supplied = nuts.run(keys, starts, first, supplied=reference)
    return Saving(
        threshold=threshold,
        reference=adaptation.reference_name,
        supplied_kappa=float(condition(reference, limit)),
        found=float(found.mean()),
        steps=steps,
        gradients=float(np.median(gradients)),
        seconds=(
            _seconds(lambda: nuts.run(keys, starts, int(steps))) if np.isfinite(steps) else np.inf
        ),
        supplied_steps=first,
        supplied_gradients=float(np.median(supplied.all_gradients)),
        supplied_seconds=_seconds(lambda: nuts.run(keys, starts, first, supplied=reference)),
        replicates=BATCH,
    )


def _seconds(call: Callable[[], object]) -> float:
    """Median seconds of a call that is compiled already."""
    times: list[float] = []
    while len(times) < ROUNDS and sum(times) < ENOUGH:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))
