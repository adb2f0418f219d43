"""A user's own model: does adaptation find its inverse Fisher, and what does starting there save?

The posterior of a user's model is no Gaussian, so that M⁻¹ differs from the inverse Fisher is no
fault of the model or of the sampler: it is what is to be known. Each entry is decided by the
sequential equivalence test, α for all entries of a structure together; nothing here is a pass or a
fail. There are no exact draws to start from, and `STARTS` says what takes their place.
"""

import enum
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import jax
import numpy as np

from invmass.backends.own_model_nuts import OwnModelNUTS, WarmUp
from invmass.cases.own_model import OwnModel, Structure
from invmass.geometry.errors import BackendFaultError, UsageError
from invmass.geometry.estimators import WELFORD_DENSE
from invmass.geometry.quality import QUALITY, null_condition
from invmass.verdicts.equivalence import Statistic, Status, sequential
from invmass.verdicts.experiment import BATCH, Settings

STARTS = (
    "where an earlier warm-up of the same length ended, the first of which began at draws of the "
    "Laplace approximation"
)
ROUNDS, ENOUGH = 3, 1.0  # of each timing; fewer if they took so many seconds already


class Finding(enum.StrEnum):
    """What is known of one entry."""

    MATCHES = "matches"
    DIFFERS = "differs"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Entry:
    """One entry of M⁻¹ whitened by the inverse Fisher under the documented regularisation.

    Attributes:
        name: of its coordinate, or of two.
        finding: whether it is within the margin of what the inverse Fisher says.
        found: the ratio to the inverse Fisher, or beside the diagonal, the correlation left.
        low: lower end of its confidence interval.
        high: upper end.
        unregularised: the same with the inverse Fisher itself as reference.
        margin: of the equivalence test, relative; absolute beside the diagonal.
        replicates: from how many warm-ups it was decided.
    """

    name: str
    finding: Finding
    found: float
    low: float
    high: float
    unregularised: float
    margin: float
    replicates: int

    def __str__(self) -> str:
        within = f"within {100 * self.margin:.3g}%"
        measure = f"{self.found:.3g} [{self.low:.3g}, {self.high:.3g}]"
        words = {
            Finding.MATCHES: f"matches {within}: {measure}",
            Finding.DIFFERS: f"differs: {measure}",
            Finding.UNDECIDED: f"undecided at {self.replicates} replicates: {measure}",
        }
        return words[self.finding]


@dataclass(frozen=True)
class Saving:
    """Warm-up until the metric is good, from the identity and from the inverse Fisher.

    A metric is good when the condition number κ of M⁻¹, whitened by what adaptation converges to
    (the mean over replicates, without its regularisation), is below `threshold`.

    Attributes:
        threshold: 1.5 times the null of κ at the last window's length.
        supplied_kappa: κ of the inverse Fisher: if above the threshold, it saves nothing.
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
        """Whether the inverse Fisher is a metric of that quality."""
        return self.supplied_kappa < self.threshold

    def __str__(self) -> str:
        quality = f"κ = {self.supplied_kappa:.3g}, a good metric has κ < {self.threshold:.3g}"
        supplied = (
            f"the inverse Fisher ({quality}) takes {self.supplied_gradients:.0f} gradients and "
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


@dataclass(eq=False)
class Adaptation:
    """Warm-ups of a model under one structure of the metric, as they are needed.

    Args:
        own: the model.
        structure: "diagonal", "dense" or blocks of sites.
        settings: `replicates` is the cap.

    Raises:
        UsageError: the warm-up is too short for a metric of that structure.
    """

    own: OwnModel
    structure: Structure
    settings: Settings
    _runs: list[WarmUp] = field(default_factory=list)  # the first is not judged
    _ratios: dict[tuple[int, bool], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.nuts.window_ends) == 0 or self._largest_block >= self.nuts.last_window:
            raise UsageError(
                f"{self.settings.num_warmup} warm-up steps are too few for a block of "
                f"{self._largest_block} coordinates: give more, or a metric of smaller blocks"
            )

    @cached_property
    def nuts(self) -> OwnModelNUTS:
        """The sampler that adapts from the identity."""
        return OwnModelNUTS(self.own, self.structure, self.settings.num_warmup)

    @cached_property
    def reference(self) -> np.ndarray:
        """The inverse Fisher within the structure, shape (d, d), zero outside."""
        return np.where(self._mask, self.own.inverse_fisher, 0.0)

    def entries(self) -> Iterator[Entry]:
        """Each entry of the structure, as it is decided.

        Raises:
            BackendFaultError: warm-up left something that is not finite.
        """
        names = self.own.coordinates
        places = [(int(i), int(j)) for i, j in zip(*np.nonzero(np.tril(self._mask)), strict=True)]
        for i, j in places:

            def statistic(count: int, i: int = i, j: int = j) -> list[Statistic]:
                values = self._whitened(count, True)[:, i, j]
                return [Statistic("", values, float(i == j), "log" if i == j else "linear")]

            verdict = sequential(
                statistic,
                margin=self.settings.tolerance,
                alpha=self.settings.false_alarm / len(places),
                first=BATCH,
                cap=self.settings.replicates,
            )
            (interval,) = verdict.intervals
            yield Entry(
                name=names[i] if i == j else f"{names[i]}, {names[j]}",
                finding=_FINDINGS[verdict.status],
                found=interval.found,
                low=interval.low,
                high=interval.high,
                unregularised=float(self._whitened(verdict.replicates, False)[:, i, j].mean()),
                margin=verdict.margin,
                replicates=verdict.replicates,
            )

    def saving(self) -> Saving:
        """Gradients and seconds until a good metric, from the identity and from the inverse Fisher.

        Raises:
            BackendFaultError: warm-up left something that is not finite.
        """
        run, nuts = self._run(1), self.nuts
        threshold = QUALITY * null_condition(self._largest_block, nuts.last_window, dense=True)
        bad = self._condition(run.matrices) >= threshold  # (R, W)
        windows = bad.shape[1]
        first_good = np.where(bad.any(axis=1), windows - np.argmax(bad[:, ::-1], axis=1), 0)
        found = first_good < windows
        at = np.minimum(first_good, windows - 1)
        steps = float(np.median(np.where(found, nuts.window_ends[at], np.inf)))
        gradients = np.where(found, run.gradients[np.arange(BATCH), at], np.inf)

        keys, starts, first = self._keys(1), self._start_of(1), nuts.first_interval
        supplied = nuts.run(keys, starts, first, supplied=True)
        return Saving(
            threshold=threshold,
            supplied_kappa=float(self._condition(self.reference)),
            found=float(found.mean()),
            steps=steps,
            gradients=float(np.median(gradients)),
            seconds=(
                _seconds(lambda: nuts.run(keys, starts, int(steps)))
                if np.isfinite(steps)
                else np.inf
            ),
            supplied_steps=first,
            supplied_gradients=float(np.median(supplied.all_gradients)),
            supplied_seconds=_seconds(lambda: nuts.run(keys, starts, first, supplied=True)),
            replicates=BATCH,
        )

    @property
    def divergences(self) -> float:
        """Fraction of divergent transitions in the warm-ups that were judged so far."""
        counts = [run.divergences.mean() for run in self._runs[1:]]
        return float(np.mean(counts)) / self.settings.num_warmup if counts else 0.0

    @cached_property
    def _mask(self) -> np.ndarray:
        mask = np.eye(self.own.dimension, dtype=bool)
        for names, dense in self.own.blocks(self.structure):
            if dense:
                indices = self.own.indices(names)
                mask[np.ix_(indices, indices)] = True
        return mask

    @cached_property
    def _largest_block(self) -> int:
        return int(self._mask.sum(axis=1).max())

    def _run(self, number: int) -> WarmUp:
        """A warm-up of one batch of replicates; number 0 is there for the starts of number 1."""
        while len(self._runs) <= number:
            number_now = len(self._runs)
            run = self.nuts.run(self._keys(number_now), self._start_of(number_now))
            if not all(np.all(np.isfinite(array)) for array in run):
                raise BackendFaultError(
                    "NumPyro's warm-up left values that are not finite: its chains ran off. Is "
                    "the posterior proper?"
                )
            self._runs.append(run)
        return self._runs[number]

    def _start_of(self, number: int) -> np.ndarray:
        if number > 0:
            return self._run(number - 1).position
        own = self.own
        normal = np.random.default_rng(self.settings.seed).normal(size=(BATCH, own.dimension))
        return own.position + normal @ np.linalg.cholesky(own.inverse_fisher).T

    def _keys(self, number: int) -> jax.Array:
        return jax.random.split(
            jax.random.fold_in(jax.random.key(self.settings.seed), number), BATCH
        )

    def tuned(self, count: int) -> np.ndarray:
        """M⁻¹ of the first `count` replicates that are judged, shape (count, d, d)."""
        runs = [self._run(1 + number) for number in range(-(-count // BATCH))]
        return np.concatenate([run.matrices[:, -1] for run in runs])[:count]

    def _whitened(self, count: int, regularised: bool) -> np.ndarray:
        """`L⁻¹ M⁻¹ L⁻ᵀ`, L the Cholesky factor of the reference, shape (count, d, d)."""
        if (count, regularised) not in self._ratios:
            reference = self.reference
            if regularised:
                reference = WELFORD_DENSE.regularised(reference, self.nuts.last_window)
            self._ratios[count, regularised] = _whiten(self.tuned(count), reference)
        return self._ratios[count, regularised]

    def _condition(self, matrices: np.ndarray) -> np.ndarray:
        """κ of matrices (…, d, d) whitened by what adaptation converges to, shape (…)."""
        draws = self.nuts.last_window
        mean = self.tuned(BATCH * (len(self._runs) - 1)).mean(axis=0)
        floor = 1e-3 * 5 / (draws + 5) * np.eye(self.own.dimension)
        values = np.linalg.eigvalsh(_whiten(matrices, (mean - floor) * (draws + 5) / draws))
        return values[..., -1] / values[..., 0]


_FINDINGS = {
    Status.PASS: Finding.MATCHES,
    Status.FAIL: Finding.DIFFERS,
    Status.INCONCLUSIVE: Finding.UNDECIDED,
}


def _whiten(matrices: np.ndarray, reference: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(np.linalg.cholesky(reference))
    return inverse @ matrices @ inverse.T


def _seconds(call: Callable[[], object]) -> float:
    """Median seconds of a call that is compiled already."""
    times: list[float] = []
    while len(times) < ROUNDS and sum(times) < ENOUGH:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))
