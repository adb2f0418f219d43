"""The verdict on each entry of a metric that NumPyro tuned on a user's model.

Each entry is compared with the reference itself, and where it differs, with what the curvature of
the prior, the documented regularisation and, if these do not explain the difference, the
posterior's covariance predict. Each comparison is a sequential equivalence test.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from invmass.claims.intervals import Scale, Statistic, interval
from invmass.claims.reading import Reading, deviation_parts, read
from invmass.claims.regularisation_floor import HALF
from invmass.claims.sequential import SETTLING, Verdict, sequential
from invmass.results.status import Status
from invmass.runs.experiment import BATCH
from invmass.user_model.reference import SMALL, Reference
from invmass.user_model.warm_up_runs import WarmUpRuns
from invmass.whitening import whiten

SCALES: tuple[Scale, Scale] = ("linear", "log")  # beside the diagonal, and on it
RATIO = "the ratio"
WHITENED = "M⁻¹ in units of the prediction"
DATA = "what the data contribute"


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
    """One entry of M⁻¹ whitened by the reference.

    Attributes:
        name: of its coordinate, or of two.
        finding: whether it matches, differs as documented, or is wrong.
        found: the ratio to the reference itself, or beside the diagonal, the correlation left.
        low: lower end of its confidence interval.
        high: upper end.
        predicted: the expected value of `found`.
        scale: "log" of a ratio, "linear" beside the diagonal.
        reason: why it differs, or why it is undecided.
        others: the same over the other references that there are, by their names.
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


@dataclass(frozen=True, eq=False)
class EntryJudge:
    """Judges the entries of the metrics that warm-ups tuned.

    Args:
        runs: the warm-ups.
        reference: what M⁻¹ is compared with.
    """

    runs: WarmUpRuns
    reference: Reference

    def entries(self) -> Iterator[Entry]:
        """Each entry of the lower triangle within the structure, as soon as it is decided.

        Raises:
            BackendFaultError: warm-up left something that is not finite.
            UsageError: there is no reference to compare M⁻¹ with.
        """
        places = list(zip(*np.nonzero(np.tril(self.runs.metric.entries)), strict=True))
        yield from (self._entry(int(i), int(j)) for i, j in places)

    def _entry(self, i: int, j: int) -> Entry:
        """Compares with the reference itself, with the curvature, at last with the covariance."""
        reference, laplace = self.reference, self.reference.laplace
        same = self._compared(i, j, reference.matrix, exact=True)
        if same.status is Status.PASS:
            return self._judged(i, j, same, Reading.MATCHES, laplace, "")
        found = self._compared(i, j, laplace)
        predicted, parts = laplace, self._parts(i, j, laplace, "prior")
        if found.status is not Status.PASS and not reference.why_no_fisher:
            if trouble := reference.posterior.trouble:
                reason = f"more than curvature and regularisation; {trouble}"
                return self._judged(i, j, same, Reading.UNDECIDED, laplace, reason)
            predicted = reference.covariance
            found = self._compared(i, j, predicted, error=reference.posterior.largest_error)
            parts = self._parts(i, j, predicted, "geometry")
        reading = {
            Status.PASS: read(found.estimates[0], self._margin),
            Status.FAIL: Reading.WRONG,
            Status.INCONCLUSIVE: Reading.UNDECIDED,
        }[found.status]
        reason = _reason(reading, found, parts, certain=same.status is Status.FAIL)
        return self._judged(i, j, found, reading, predicted, reason)

    def _compared(
        self, i: int, j: int, target: np.ndarray, exact: bool = False, error: float | None = None
    ) -> Verdict:
        """The verdict on M⁻¹ over the reference, if the rule estimates `target`.

        Args:
            i: row.
            j: column.
            target: (d, d).
            exact: expect no regularisation either.
            error: of the target, which is then the last one to be compared with, so that
                replicates go on to the cap.
        """
        runs, settings = self.runs, self.runs.settings
        expected = target if exact else self._regularised(target)
        centre = whiten(expected[None], self.reference.matrix)[0]
        tolerance = settings.tolerance + (self.reference.error if error is None else error)
        margin = tolerance
        if i != j:
            margin *= float(np.sqrt(centre[i, i] * centre[j, j]))
        shares = runs.estimator.data_share(target, runs.nuts.last_window)
        hidden = min(shares[i], shares[j]) < HALF

        def statistics(count: int) -> list[Statistic]:
            tuned, scale = runs.tuned(count), SCALES[i == j]
            values = whiten(tuned, self.reference.matrix)[:, i, j]
            found = [Statistic(RATIO, values, float(centre[i, j]), scale, margin)]
            if not exact:  # in units of the prediction no direction hides behind another
                whole = whiten(tuned, expected)[:, i, j]
                found.append(Statistic(WHITENED, whole, float(i == j), scale, tolerance))
            if hidden:
                data = runs.estimator.data_part(tuned, runs.nuts.last_window)
                parts = whiten(data, target)[:, i, j]
                found.append(Statistic(DATA, parts, float(i == j), "linear"))
            return found

        to_the_cap = error is not None or self.reference.why_no_fisher
        return sequential(
            statistics,
            margin=tolerance,
            alpha=settings.false_alarm / (3 * self._count),
            first=BATCH,
            cap=settings.replicates if to_the_cap else min(settings.replicates, SETTLING * BATCH),
        )

    def _judged(
        self, i: int, j: int, verdict: Verdict, reading: Reading, target: np.ndarray, reason: str
    ) -> Entry:
        names, tuned = self.runs.model.coordinates, self.runs.tuned(verdict.replicates)
        predicted = whiten(self._regularised(target)[None], self.reference.matrix)[0, i, j]
        ratio, others = verdict.estimates[0], self.reference.others
        return Entry(
            name=names[i] if i == j else f"{names[i]}, {names[j]}",
            finding=reading,
            found=ratio.found,
            low=ratio.low,
            high=ratio.high,
            predicted=float(predicted),
            scale=SCALES[i == j],
            reason=reason,
            others={name: self._other(i, j, tuned, matrix) for name, matrix in others.items()},
            margin=self._margin,
            replicates=verdict.replicates,
        )

    def _other(self, i: int, j: int, tuned: np.ndarray, reference: np.ndarray) -> Other:
        settings = self.runs.settings
        values, perfect = whiten(tuned, reference)[:, i, j], float(i == j)
        statistic = Statistic("", values, perfect, SCALES[i == j])
        found = interval(statistic, settings.tolerance, settings.false_alarm / self._count)
        word = "matches" if found.inside else "differs" if found.outside else "undecided"
        return Other(found.found, found.low, found.high, word)

    def _parts(self, i: int, j: int, target: np.ndarray, name: str) -> str:
        """What makes the prediction differ from the reference, with the size of each part."""
        both = np.stack([target, self._regularised(target)])
        plain, whole = whiten(both, self.reference.matrix)[:, i, j]
        return deviation_parts(SCALES[i == j], plain, whole, name, smallest=SMALL)

    def _regularised(self, target: np.ndarray) -> np.ndarray:
        """The expectation of the tuned metric, (d, d), if the rule estimates `target`, (d, d)."""
        regularised = self.runs.estimator.regularised(target, self.runs.nuts.last_window)
        return self.runs.metric.restrict(regularised)

    @property
    def _count(self) -> int:
        """Number of entries that are judged: α is divided among them."""
        return int(np.count_nonzero(np.tril(self.runs.metric.entries)))

    @property
    def _margin(self) -> float:
        return self.runs.settings.tolerance + self.reference.error


def _reason(reading: Reading, found: Verdict, parts: str, certain: bool) -> str:
    """Why an entry reads as it does.

    Args:
        reading: of the entry.
        found: the last verdict, whose first interval is that of the ratio.
        parts: what the prediction consists of.
        certain: whether the entry is known to differ from the reference itself.
    """
    if reading is Reading.WRONG:
        off = [e for e in found.estimates[1:] if e.outside and not found.estimates[0].outside]
        if off:
            return f"{off[0].entry} is {off[0].found:.3g}, expected {off[0].expected:.3g}"
        return f"not what is predicted by {parts}" if parts else "not what long runs find"
    if reading is Reading.UNDECIDED:
        return f"differs; whether by {parts} is open" if certain and parts else "at the margin"
    return parts
