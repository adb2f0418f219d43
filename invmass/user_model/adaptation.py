"""A user's own model: does adaptation find its inverse Fisher, and what does starting there save?

The posterior of a user's model is no Gaussian, so that M⁻¹ differs from the inverse Fisher is no
fault of the model or of the sampler: it is what is to be known. Each entry is compared with the
inverse Fisher itself, and where it differs, with what the curvature of the prior, the documented
regularisation and, if these do not say it, the posterior's covariance predict; each comparison is a
sequential equivalence test, α for all entries of a structure together. There are no exact draws to
start from, and `STARTS` says what takes their place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import jax
import numpy as np

from invmass.adaptation.estimators import RUNNING_COVARIANCE, WELFORD_DENSE, Estimator
from invmass.claims.intervals import Interval, Scale, Statistic, interval
from invmass.claims.reading import Reading, read
from invmass.claims.regularisation_floor import HALF
from invmass.claims.sequential import SETTLING, Verdict, sequential
from invmass.errors import BackendFaultError, InvmassError, UsageError
from invmass.results.status import Status
from invmass.runs.experiment import BATCH, Settings
from invmass.user_model.forecast import Floor, floor_of
from invmass.user_model.model import OwnModel, Structure
from invmass.user_model.numpyro_nuts import OwnModelNUTS, WarmUp
from invmass.user_model.posterior_covariance import (
    PosteriorMoments,
    posterior_moments,
    unknown_moments,
)
from invmass.whitening import gap, whiten

STARTS = (
    "where an earlier warm-up of the same length ended, the first of which began at draws of the "
    "Laplace approximation, or where there is none, where NumPyro starts chains"
)
APART = 5.0  # standard deviations between a point and where chains are: its curvature is not theirs
SCALES: tuple[Scale, Scale] = ("linear", "log")  # beside the diagonal, and on it
OBSERVATIONS, WITH_PRIOR = "inverse Fisher", "inverse Fisher with the prior"
COVARIANCE = "posterior covariance"
RATIO = "the ratio"
WHITENED = "M⁻¹ in units of the prediction"
DATA = "what the data contribute"
SMALL = 0.02  # relative: of what differs by less nothing is said


@dataclass(frozen=True)
class Other:
    """The same entry over another reference than the one that it is judged against.

    Attributes:
        ratio: found; beside the diagonal, the correlation left.
        low: lower end of its confidence interval.
        high: upper end.
        finding: "matches", "differs" or "undecided".
    """

    ratio: float
    low: float
    high: float
    finding: str


@dataclass(frozen=True)
class Entry:
    """One entry of M⁻¹ whitened by the reference: a ratio, or beside the diagonal what is left.

    Attributes:
        name: of its coordinate, or of two.
        finding: whether it matches, differs as documented, or is wrong.
        found: the ratio to the reference itself, or beside the diagonal, the correlation left.
        low: lower end of its confidence interval.
        high: upper end.
        predicted: what is predicted of it.
        scale: "log" of a ratio, "linear" beside the diagonal.
        reason: why it differs, or why it is undecided.
        others: what it is over the other references that there are, by their names.
        margin: of the equivalence test, relative; absolute beside the diagonal.
        replicates: from how many warm-ups it was decided.
    """

    name: str
    finding: Reading
    found: float
    low: float
    high: float
    predicted: float
    scale: Scale
    reason: str
    others: dict[str, Other]
    margin: float
    replicates: int

    def __str__(self) -> str:
        measure = f"{self.found:.3g} [{self.low:.3g}, {self.high:.3g}]"
        within = f" within {100 * self.margin:.3g}%" if self.finding is Reading.MATCHES else ""
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.finding}{within}{reason}: {measure}, predicted {self.predicted:.3g}"


@dataclass(eq=False)
class Adaptation:
    """Warm-ups of a model under one structure of the metric, as they are needed.

    Args:
        own: the model.
        structure: "diagonal", "dense" or blocks of sites.
        settings: `replicates` is the cap.
        regularise: whether NumPyro shrinks what it estimates; `regularize_mass_matrix`.

    Raises:
        UsageError: the warm-up is too short for a metric of that structure.
    """

    own: OwnModel
    structure: Structure
    settings: Settings
    regularise: bool = True
    _runs: list[WarmUp] = field(default_factory=list)  # the first is not judged

    def __post_init__(self) -> None:
        windows = np.diff([self.nuts.first_interval, *self.nuts.window_ends])
        enough = len(windows) and self.largest_block < windows[-1]
        if enough and not self.regularise and self.largest_block >= windows.min():
            raise UsageError(
                f"without regularisation the {windows.min()} draws of the shortest window leave a "
                f"block of {self.largest_block} coordinates singular: give a metric of smaller "
                "blocks, or rescale the parameters"
            )
        if not enough:
            raise UsageError(
                f"{self.settings.num_warmup} warm-up steps are too few for a block of "
                f"{self.largest_block} coordinates: give more, or a metric of smaller blocks"
            )

    @cached_property
    def nuts(self) -> OwnModelNUTS:
        """The sampler that adapts from the identity."""
        return OwnModelNUTS(self.own, self.structure, self.settings.num_warmup, self.regularise)

    @property
    def estimator(self) -> Estimator:
        """The rule that tunes the metric."""
        return WELFORD_DENSE if self.regularise else RUNNING_COVARIANCE

    # -- what M⁻¹ is compared with

    @cached_property
    def why_no_fisher(self) -> str | None:
        """Why no Fisher information serves as reference; None if one does."""
        return self.own.why_no_fisher or self._why_elsewhere

    @cached_property
    def reference_name(self) -> str:
        """What M⁻¹ is compared with."""
        if self.why_no_fisher:
            return COVARIANCE
        return WITH_PRIOR if self.own.with_prior else OBSERVATIONS

    @cached_property
    def reference(self) -> np.ndarray:
        """That, within the structure, shape (d, d), zero outside.

        Raises:
            UsageError: there is none, and the posterior's covariance is not known.
        """
        if not self.why_no_fisher:
            return self._masked(self.own.inverse_fisher)
        if self.posterior.trouble:
            raise UsageError(
                f"no Fisher information serves as reference: {self.why_no_fisher}. And the "
                f"posterior's covariance is not known: {self.posterior.trouble}. State the model "
                "otherwise, or give it a prior that is proper."
            )
        return self._masked(self.posterior.covariance)

    @cached_property
    def others(self) -> dict[str, np.ndarray]:
        """The other references that there are, by their names, likewise (d, d).

        With the prior's curvature or without it; none if that makes no difference.
        """
        if self.why_no_fisher:
            return {}
        prior = not self.own.with_prior
        try:
            other = self._masked(self.own.inverse_information(prior))
        except InvmassError:
            return {}
        if gap(other, self.reference) < SMALL:
            return {}
        return {WITH_PRIOR if prior else OBSERVATIONS: other}

    @cached_property
    def posterior(self) -> PosteriorMoments:
        """The posterior's moments by long runs, as far as they can be known."""
        settings = self.settings
        try:
            ends = self.run(1).position
        except BackendFaultError as error:
            return unknown_moments(self.own.dimension, str(error))
        return posterior_moments(
            self.own, ends, settings.seed, settings.tolerance, settings.false_alarm
        )

    @cached_property
    def floor(self) -> Floor | None:
        """What regularisation will do to small scales, told before anything is sampled."""
        if not self.regularise or self.own.why_no_fisher:
            return None
        window, seed = self.nuts.last_window, self.settings.seed
        return floor_of(self.own, self.structure, self.mask, window, seed)

    def regularised(self, metric: np.ndarray) -> np.ndarray:
        """The expectation of the tuned metric, (d, d), were `metric` its target."""
        return self._masked(self.estimator.regularised(metric, self.nuts.last_window))

    # -- the entries

    def entries(self) -> Iterator[Entry]:
        """Each entry of the structure, as it is decided.

        Raises:
            BackendFaultError: warm-up left something that is not finite.
            UsageError: there is nothing to compare it with.
        """
        places = zip(*np.nonzero(np.tril(self.mask)), strict=True)
        yield from (self._entry(int(i), int(j)) for i, j in list(places))

    def _entry(self, i: int, j: int) -> Entry:
        """Compared with the reference itself, with curvature, at last with the covariance."""
        laplace = self.others.get(WITH_PRIOR, self.reference)
        same = self._compared(i, j, self.reference, exact=True)
        if same.status is Status.PASS:
            return self._told(i, j, same.intervals, Reading.MATCHES, laplace, "", same.replicates)
        found = self._compared(i, j, laplace)
        predicted, reason = laplace, self._parts(i, j, laplace, "prior")
        if found.status is not Status.PASS and not self.why_no_fisher:
            if self.posterior.trouble:
                reason = f"more than curvature and regularisation; {self.posterior.trouble}"
                return self._told(
                    i, j, same.intervals, Reading.UNDECIDED, laplace, reason, same.replicates
                )
            predicted = self._masked(self.posterior.covariance)
            found = self._compared(i, j, predicted, error=self.posterior.largest_error)
            reason = self._parts(i, j, predicted, "geometry")
        reading = {
            Status.PASS: self._read(found.intervals[0]),
            Status.FAIL: Reading.WRONG,
            Status.INCONCLUSIVE: Reading.UNDECIDED,
        }[found.status]
        off = [e for e in found.intervals[1:] if e.outside and not found.intervals[0].outside]
        if reading is Reading.WRONG and off:
            reason = f"{off[0].entry} is {off[0].found:.3g}, expected {off[0].expected:.3g}"
        elif reading is Reading.WRONG:
            reason = f"not what is predicted by {reason}" if reason else "not what long runs find"
        elif reading is Reading.UNDECIDED:
            certain = same.status is Status.FAIL
            reason = (
                f"differs; whether by {reason} is open" if certain and reason else "at the margin"
            )
        return self._told(i, j, found.intervals, reading, predicted, reason, found.replicates)

    def _compared(
        self, i: int, j: int, target: np.ndarray, exact: bool = False, error: float | None = None
    ) -> Verdict:
        """The verdict on M⁻¹ over the reference, if `target` is what the rule estimates.

        Args:
            i: row.
            j: column.
            target: (d, d).
            exact: expect no regularisation either.
            error: of the target, which is then the last that there is: on to the cap.
        """
        settings, estimator, window = self.settings, self.estimator, self.nuts.last_window
        expected = target if exact else self.regularised(target)
        centre = whiten(expected[None], self.reference)[0]
        tolerance = settings.tolerance + (self._error if error is None else error)
        margin = tolerance
        if i != j:
            margin *= float(np.sqrt(centre[i, i] * centre[j, j]))
        left = estimator.weight(window) / np.diag(whiten(self.regularised(target)[None], target)[0])
        hidden = min(left[i], left[j]) < HALF

        def statistics(count: int) -> list[Statistic]:
            tuned, scale = self.tuned(count), SCALES[i == j]
            values = whiten(tuned, self.reference)[:, i, j]
            found = [Statistic(RATIO, values, float(centre[i, j]), scale, margin)]
            if not exact:  # in units of the prediction no direction hides behind another
                whole = whiten(tuned, expected)[:, i, j]
                found.append(Statistic(WHITENED, whole, float(i == j), scale, tolerance))
            if hidden:
                parts = whiten(estimator.data_part(tuned, window), target)[:, i, j]
                found.append(Statistic(DATA, parts, float(i == j), "linear"))
            return found

        cap = settings.replicates
        return sequential(
            statistics,
            margin=tolerance,
            alpha=settings.false_alarm / (3 * np.count_nonzero(np.tril(self.mask))),
            first=BATCH,
            cap=min(cap, SETTLING * BATCH) if error is None and not self.why_no_fisher else cap,
        )

    def _read(self, ratio: Interval) -> Reading:
        return read(ratio, self.settings.tolerance + self._error)

    @property
    def _error(self) -> float:
        """What the reference itself is not known to, relative."""
        return self.posterior.largest_error if self.why_no_fisher else 0.0

    def _told(
        self,
        i: int,
        j: int,
        intervals: tuple[Interval, ...],
        reading: Reading,
        target: np.ndarray,
        reason: str,
        replicates: int,
    ) -> Entry:
        names, tuned = self.own.coordinates, self.tuned(replicates)
        ratio = intervals[0]
        return Entry(
            name=names[i] if i == j else f"{names[i]}, {names[j]}",
            finding=reading,
            found=ratio.found,
            low=ratio.low,
            high=ratio.high,
            predicted=float(whiten(self.regularised(target)[None], self.reference)[0, i, j]),
            scale=SCALES[i == j],
            reason=reason,
            others={name: self._other(i, j, tuned, other) for name, other in self.others.items()},
            margin=self.settings.tolerance + self._error,
            replicates=replicates,
        )

    def _other(self, i: int, j: int, tuned: np.ndarray, reference: np.ndarray) -> Other:
        entries = np.count_nonzero(np.tril(self.mask))
        margin, alpha = self.settings.tolerance, self.settings.false_alarm / entries
        values, perfect = whiten(tuned, reference)[:, i, j], float(i == j)
        found = interval(Statistic("", values, perfect, SCALES[i == j]), margin, alpha)
        word = "matches" if found.inside else "differs" if found.outside else "undecided"
        return Other(found.found, found.low, found.high, word)

    def _parts(self, i: int, j: int, target: np.ndarray, name: str) -> str:
        """What makes the prediction differ from the reference, with the size of each part."""
        plain, whole = whiten(np.stack([target, self.regularised(target)]), self.reference)[:, i, j]
        if i == j:
            parts = {name: plain, "regularisation": whole / plain}
            weights = {part: abs(np.log(size)) for part, size in parts.items()}
        else:
            parts = {name: plain, "regularisation": whole - plain}
            weights = {part: abs(size) for part, size in parts.items()}
        least = max(max(weights.values()) / 4, SMALL)
        sign = "" if i == j else "+"
        told = [
            f"{part} {size:{sign}.3g}" for part, size in parts.items() if weights[part] >= least
        ]
        return ", ".join(told)

    # -- the warm-ups

    @property
    def divergences(self) -> float:
        """Fraction of divergent transitions in the warm-ups that were judged so far."""
        counts = [run.divergences.mean() for run in self._runs[1:]]
        return float(np.mean(counts)) / self.settings.num_warmup if counts else 0.0

    @property
    def judged(self) -> int:
        """Replicates that were run so far and are judged."""
        return BATCH * (len(self._runs) - 1)

    @cached_property
    def mask(self) -> np.ndarray:
        """The entries of the structure, (d, d)."""
        mask = np.eye(self.own.dimension, dtype=bool)
        for names, dense in self.own.blocks(self.structure):
            if dense:
                indices = self.own.indices(names)
                mask[np.ix_(indices, indices)] = True
        return mask

    def _masked(self, matrix: np.ndarray) -> np.ndarray:
        return np.where(self.mask, matrix, 0.0)

    @cached_property
    def largest_block(self) -> int:
        """Coordinates of the largest block."""
        return int(self.mask.sum(axis=1).max())

    def run(self, number: int) -> WarmUp:
        """A warm-up of one batch of replicates; number 0 is there for the starts of number 1."""
        while len(self._runs) <= number:
            number_now = len(self._runs)
            run = self.nuts.run(self.keys(number_now), self.starts(number_now))
            if not all(np.all(np.isfinite(array)) for array in run):
                raise BackendFaultError(
                    "NumPyro's warm-up left values that are not finite: its chains ran off. Is "
                    "the posterior proper?"
                )
            last = np.diagonal(run.matrices[:, -1], axis1=1, axis2=2)
            if number_now > 0 and np.any(last <= 0):
                raise BackendFaultError(
                    "NumPyro's warm-up left variances of zero: its chains did not move"
                )
            self._runs.append(run)
        return self._runs[number]

    def starts(self, number: int) -> np.ndarray:
        """Where the replicates of a batch start, shape (BATCH, d)."""
        own = self.own
        if number == 0:
            generator = np.random.default_rng(self.settings.seed)
            if own.why_no_fisher:
                return own.default_starts(generator, BATCH)
            # half of them where NumPyro would start: they show whether chains go to this point
            normal = generator.normal(size=(BATCH // 2, own.dimension))
            near = own.position + normal @ np.linalg.cholesky(own.inverse_fisher).T
            return np.concatenate([near, own.default_starts(generator, BATCH // 2)])
        ends = self.run(number - 1).position
        if number > 1 or own.why_no_fisher:
            return ends
        half = ends[BATCH // 2 :] if self._why_elsewhere else ends[: BATCH // 2]
        return np.concatenate([half, half])

    @cached_property
    def _why_elsewhere(self) -> str | None:
        """Whether chains from NumPyro's own starts go elsewhere than to the point of the Fisher."""
        ends = self.run(0).position[BATCH // 2 :]
        centre = np.median(ends, axis=0)
        scale = 1.4826 * np.median(np.abs(ends - centre), axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.nan_to_num(np.abs(self.own.position - centre) / scale)
        furthest = int(np.argmax(distance))
        if distance[furthest] <= APART:
            return None
        point = "the mode" if isinstance(self.own.truth_or_map, str) else "the given point"
        return (
            f"{point} and the middle of the chains that start where NumPyro starts them are "
            f"{distance[furthest]:.3g} standard deviations apart in "
            f"{self.own.coordinates[furthest]}"
        )

    def keys(self, number: int) -> jax.Array:
        """Random keys of a batch of replicates."""
        return jax.random.split(
            jax.random.fold_in(jax.random.key(self.settings.seed), number), BATCH
        )

    def tuned(self, count: int) -> np.ndarray:
        """M⁻¹ of the first `count` replicates that are judged, shape (count, d, d)."""
        runs = [self.run(1 + number) for number in range(-(-count // BATCH))]
        return np.concatenate([run.matrices[:, -1] for run in runs])[:count]
