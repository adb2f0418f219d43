"""Claims about a tuned metric, the density and the draws: what is expected, and the verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from invmass.claims.equivalence import Statistic, Verdict, exact, sequential
from invmass.claims.reading import BELOW_FLOOR, EntryReading, read_entry
from invmass.model.precision import float64, relative_rounding
from invmass.results.status import Status
from invmass.runs.experiment import Experiment
from invmass.whitening import whiten

FISHER = "inverse Fisher"
CONVERGES = "converges to its target"
REJECTS_CONSTRAINED = "inverse Fisher of x is rejected"
REJECTS_MISPLACED = "inverse Fisher of z at x is rejected"
DENSITY = "density agrees"
DRAWS = "draws are right"

ONE_DIRECTION = 1.0  # margin of a single one of many coordinates: a factor of two
HALF = 0.5  # of an entry is left to the data, or what they contribute is judged by itself
UNITS = 4  # in the last place: roundings of a library that shrinks an estimate


@dataclass(frozen=True)
class Part:
    """An entry's ratio to the inverse Fisher as a product of named parts."""

    entry: str
    geometry: float
    regularisation: float
    remainder: float


def inverse_fisher(experiment: Experiment) -> Verdict:
    """Is M⁻¹ the inverse Fisher information, or what its documented rule makes of this posterior?

    It passes where the ratio to the inverse Fisher itself is the one that geometry (what the
    estimator converges to) and the documented regularisation predict; `readings` says whether it is
    one. What the data contribute to an entry that the regularisation floor hides is judged too.
    """
    margin = experiment.settings.tolerance

    def settled(verdict: Verdict) -> bool:
        return all(entry.reason != "at the margin" for entry in readings(experiment, verdict))

    def statistics(count: int) -> list[Statistic]:
        found = _ratio_statistics(experiment, count)
        if experiment.large:
            expected = experiment.regularised(experiment.target)
            found += _pooled(whiten(_matrices(experiment, count), expected), "ratios", margin)
        return found + data_statistics(experiment, count)

    return _sequential(experiment, statistics, settled=settled)


def readings(experiment: Experiment, verdict: Verdict) -> tuple[EntryReading, ...]:
    """What a verdict on the inverse Fisher says of each entry; of many coordinates, of all of them.

    Those that are wrong or differ have a reason with them.
    """
    geometry, _ = _predictions(experiment)
    margin = experiment.settings.tolerance
    if experiment.large:
        margins = margin, ONE_DIRECTION, ONE_DIRECTION
        entries, rest = verdict.intervals[: len(margins)], verdict.intervals[len(margins) :]
        sizes = _summary(geometry)
        return tuple(map(read_entry, entries, margins, sizes, (rest, (), ())))
    hidden = _hidden(experiment)
    places = _places(experiment)
    data = iter(verdict.intervals[len(places) :])
    told = []
    for (i, j), found in zip(places, verdict.intervals, strict=False):
        parts = (next(data),) if hidden[i] or hidden[j] else ()
        size = geometry[i] if geometry.ndim == 1 else geometry[i, j]
        told.append(read_entry(found, margin, float(size), parts))
    return tuple(told)


def target(experiment: Experiment) -> Verdict:
    """Does M⁻¹ converge to what its estimator estimates, at the window actually used?"""
    return _sequential(
        experiment,
        lambda count: target_statistics(experiment, count) + data_statistics(experiment, count),
    )


def constrained_is_rejected(experiment: Experiment) -> Verdict:
    """The inverse Fisher of x must be told from that of z."""
    return _rejection(experiment, experiment.truth.constrained_inverse_fisher)


def misplaced_is_rejected(experiment: Experiment) -> Verdict:
    """The inverse Fisher of z, evaluated at x, must be told from the right one."""
    return _rejection(experiment, experiment.truth.misplaced_inverse_fisher)


def _rejection(experiment: Experiment, reference: np.ndarray) -> Verdict:
    """A wrong reference, (d, d), must be told from the tuned M⁻¹: passes where the match fails."""
    expected = experiment.regularised(experiment.estimator.restrict(reference))
    verdict = _judge_metric(experiment, expected)
    opposite = {Status.PASS: Status.FAIL, Status.FAIL: Status.PASS}
    return replace(verdict, status=opposite.get(verdict.status, verdict.status))


def density(experiment: Experiment) -> Verdict:
    """The backend's unconstrained log density and the case's differ by one constant.

    The deviation is the spread of the difference over exact draws, relative to the largest
    magnitude among the densities. Both are evaluated in float64, where nothing but a wrong
    formula makes a difference.
    """
    case, truth = experiment.case, experiment.truth
    points = truth.starts(experiment.settings.seed, 64)

    def theirs() -> np.ndarray:
        return np.asarray(jax.jit(jax.vmap(experiment.backend.log_density(case)))(points))

    with float64():
        found, expected = experiment.timed(theirs), np.asarray(truth.log_densities(points))
    spread = float(np.ptp(found - expected)) / max(1.0, float(np.max(np.abs(expected))))
    return exact("spread of the difference", spread, 1e-10)


def draws(experiment: Experiment) -> Verdict:
    """Mean and covariance of the draws are the posterior's, in z and, where they are finite, in x.

    Of many coordinates means and variances alone, whitened and pooled.
    """
    case, truth = experiment.case, experiment.truth
    spaces = {
        "z": (truth.moments, lambda points: points),
        "x": (case.constrained_moments, truth.unconstrained_to_free),
    }
    spaces = {
        name: (moments, convert)
        for name, (moments, convert) in spaces.items()
        if np.all(np.isfinite(moments.covariance))
    }
    squares = "rni,rni->ri" if experiment.large else "rni,rnj->rij"
    averages: dict[str, tuple[list[np.ndarray], list[np.ndarray]]]
    averages = {name: ([], []) for name in spaces}  # of whitened draws and of their squares

    def averaged(space: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        """What one look has averaged, the next one need not."""
        means, products = averages[space]
        position = experiment.draws(count).position[sum(map(len, means)) :].astype(np.float64)
        if len(position):
            moments, convert = spaces[space]
            points = convert(position.reshape(-1, case.dimension)).reshape(position.shape)
            inverse = np.linalg.inv(np.linalg.cholesky(moments.covariance))
            points = (points - moments.mean) @ inverse.T
            means.append(points.mean(axis=1))
            products.append(np.einsum(squares, points, points) / points.shape[1])
        return np.concatenate(means), np.concatenate(products)

    def statistics(count: int) -> list[Statistic]:
        found: list[Statistic] = []
        for space in spaces:
            means, products = averaged(space, count)
            if experiment.large:
                found.append(
                    Statistic(f"squares of the means {space}", _squares(means), 0.0, "linear")
                )
                found += _pooled(products, f"variances {space}", experiment.settings.tolerance)
                continue
            found += [
                Statistic(f"mean {space}[{i}]", values, 0.0, "linear")
                for i, values in enumerate(means.T)
            ]
            found += _matrix_statistics(products, np.eye(case.dimension), f"cov {space}")
        return found

    return _sequential(experiment, statistics)


def split(experiment: Experiment, verdict: Verdict) -> list[Part]:
    """The deviation from the inverse Fisher as geometry × regularisation × remainder.

    All on the diagonal of the whitened matrix (or the ratios of a diagonal metric); what remains
    is adaptivity and Monte Carlo error.
    """

    def diagonal(metric: np.ndarray) -> np.ndarray:
        return metric if metric.ndim == 1 else np.diag(metric)

    geometry, regularised = map(diagonal, _predictions(experiment))
    mean = _matrices(experiment, verdict.replicates).mean(axis=0)
    measured = diagonal(whiten(mean[None], _reference(experiment))[0])
    return [
        Part(entry, float(a), float(b / a), float(c / b))
        for entry, a, b, c in zip(
            _diagonal_names(experiment), geometry, regularised, measured, strict=True
        )
    ]


def target_statistics(experiment: Experiment, count: int) -> list[Statistic]:
    """What decides whether M⁻¹ converges to its target, of the first `count` replicates."""
    expected = experiment.regularised(experiment.target)
    return _metric_statistics(experiment, count, expected)


def data_statistics(experiment: Experiment, count: int) -> list[Statistic]:
    """What the data contribute to entries of which the floor leaves them less than half.

    `((n+5)/n) (M⁻¹ - floor)` by Stan's rule, whitened by the target, should be the identity. The
    subtraction loses digits: by what a few units in the last place of M⁻¹ may amount to, intervals
    are wider.
    """
    hidden, estimator = _hidden(experiment), experiment.estimator
    if not np.any(hidden):
        return []
    window, target = experiment.tuned(1).window, experiment.target
    tuned = experiment.tuned(count).inverse_mass_matrix
    parts = whiten(estimator.data_part(tuned.astype(np.float64), window), target)
    unit = UNITS * relative_rounding(tuned) / estimator.weight(window)
    lost = unit * _amplified(np.abs(tuned.astype(np.float64)).max(axis=0), target)
    if experiment.large:
        rounding = float(np.max(lost if lost.ndim == 1 else np.diag(lost)[hidden]))
        chosen = parts[:, hidden] if parts.ndim == 2 else parts[:, hidden][:, :, hidden]
        tolerance = experiment.settings.tolerance
        return [
            replace(
                statistic,
                scale="linear",
                margin=HALF if statistic.margin == ONE_DIRECTION else statistic.margin,
                rounding=(
                    2 * tolerance * rounding + rounding**2  # of a square, about the margin
                    if statistic.margin == tolerance**2
                    else rounding
                ),
            )
            for statistic in _pooled(chosen, "data in hidden entries", tolerance)
        ]
    names, found = _diagonal_names(experiment), []
    for i, j in _places(experiment):
        if not (hidden[i] or hidden[j]):
            continue
        place = (i,) if parts.ndim == 2 else (i, j)
        name = names[i] if i == j else f"S[{i},{j}]"
        values, rounding = parts[:, *place], float(lost[place])
        found.append(
            Statistic(f"data in {name}", values, float(i == j), "linear", rounding=rounding)
        )
    return found


def why_open(experiment: Experiment, verdict: Verdict) -> str:
    """Why no number of replicates decides; empty if one might."""
    blind = [entry for entry in verdict.intervals if entry.blind]
    if verdict.status is not Status.INCONCLUSIVE or not blind:
        return ""
    worst = max(blind, key=lambda entry: entry.rounding)
    floor = experiment.estimator.floor(experiment.tuned(1).window)
    return (
        f"{BELOW_FLOOR}: the rule adds {floor:.3g} to each variance, and rounding of the sum alone "
        f"may move {worst.entry} by {worst.rounding:.2g}, more than the margin of "
        f"{worst.margin:.2g}; rescale the parameters, run in float64, or tune without "
        "regularisation"
    )


def _amplified(sizes: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How large the errors of a whitened metric can be, if those of its entries are `sizes`."""
    if reference.ndim == 1:
        return sizes / reference
    inverse = np.abs(np.linalg.inv(np.linalg.cholesky(reference)))
    return inverse @ sizes @ inverse.T


def _hidden(experiment: Experiment) -> np.ndarray:
    """Coordinates, or directions, of which the floor leaves less than half to the data; (d,)."""
    target, window = experiment.target, experiment.tuned(1).window
    ratios = whiten(experiment.regularised(target)[None], target)[0]
    ratios = ratios if ratios.ndim == 1 else np.diag(ratios)
    if experiment.estimator.floor(window) == 0:
        return np.zeros(len(ratios), dtype=bool)
    return experiment.estimator.weight(window) / ratios < HALF


def _reference(experiment: Experiment) -> np.ndarray:
    """The inverse Fisher as the metric holds it."""
    return experiment.estimator.restrict(experiment.truth.inverse_fisher)


def _predictions(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """The target whitened by the inverse Fisher, and the same regularised."""
    target = experiment.target
    geometry, predicted = whiten(
        np.stack([target, experiment.regularised(target)]), _reference(experiment)
    )
    return geometry, predicted


def _places(experiment: Experiment) -> list[tuple[int, int]]:
    """Entries that are judged one by one: the diagonal, and of a dense metric those below it."""
    indices = range(experiment.case.dimension)
    dense = experiment.estimator.dense
    return [(i, j) for i in indices for j in (range(i + 1) if dense else (i,))]


def _matrices(experiment: Experiment, count: int) -> np.ndarray:
    """Tuned M⁻¹ of the first replicates in float64."""
    return experiment.tuned(count).inverse_mass_matrix.astype(np.float64)


def _ratio_statistics(experiment: Experiment, count: int) -> list[Statistic]:
    """M⁻¹ over the inverse Fisher itself, against what is predicted of it.

    Beside the diagonal the margin is in units of the predicted scales. Of many coordinates the mean
    ratio, and those of the directions where it is smallest and largest.
    """
    ratios = whiten(_matrices(experiment, count), _reference(experiment))
    _, predicted = _predictions(experiment)
    if experiment.large:
        diagonals = ratios if ratios.ndim == 2 else np.diagonal(ratios, axis1=1, axis2=2)
        values = (diagonals.mean(axis=1), *_furthest(ratios))
        names, margins = ("mean", "smallest", "largest"), (None, ONE_DIRECTION, ONE_DIRECTION)
        return [
            Statistic(f"{name} of the ratios to the inverse Fisher", value, expected, "log", margin)
            for name, value, expected, margin in zip(
                names, values, _summary(predicted), margins, strict=True
            )
        ]
    if ratios.ndim == 2:
        return [
            Statistic(entry, ratios[:, i], float(predicted[i]), "log")
            for i, entry in enumerate(_diagonal_names(experiment))
        ]
    scales, margin = np.sqrt(np.diag(predicted)), experiment.settings.tolerance
    return [
        statistic if i == j else replace(statistic, margin=float(margin * scales[i] * scales[j]))
        for (i, j), statistic in zip(
            _places(experiment), _matrix_statistics(ratios, predicted, "S"), strict=True
        )
    ]


def _summary(ratios: np.ndarray) -> tuple[float, float, float]:
    """Mean, smallest and largest of ratios, (d,), or of a matrix of them, (d, d)."""
    values = ratios if ratios.ndim == 1 else np.linalg.eigvalsh(ratios)
    return float(np.mean(values)), float(np.min(values)), float(np.max(values))


def _judge_metric(experiment: Experiment, expected: np.ndarray) -> Verdict:
    """M⁻¹ against what is expected of it, both whitened by that."""
    return _sequential(experiment, lambda count: _metric_statistics(experiment, count, expected))


def _metric_statistics(experiment: Experiment, count: int, expected: np.ndarray) -> list[Statistic]:
    tuned = _matrices(experiment, count)
    if experiment.large:
        return _pooled(whiten(tuned, expected), "ratios", experiment.settings.tolerance)
    ratios = whiten(tuned, expected)
    if ratios.ndim == 2:
        return [
            Statistic(entry, ratios[:, i], 1.0, "log")
            for i, entry in enumerate(_diagonal_names(experiment))
        ]
    return _matrix_statistics(ratios, np.eye(len(expected)), "S")


def _sequential(
    experiment: Experiment,
    statistics: Callable[[int], Sequence[Statistic]],
    settled: Callable[[Verdict], bool] = lambda _: True,
) -> Verdict:
    settings = experiment.settings
    return sequential(
        statistics,
        margin=settings.tolerance,
        alpha=settings.false_alarm,
        first=experiment.batch,
        cap=experiment.cap,
        settled=settled,
    )


def _pooled(ratios: np.ndarray, name: str, tolerance: float) -> list[Statistic]:
    """Ratios, (R, d), that should all be one, or matrices, (R, d, d), that should be the identity.

    The mean of the ratios (or diagonals) should be one, and their mean square deviation from it,
    `Σ (E[Sᵢᵢ] - 1)² / d`, within the square of the tolerance. Of what is off the diagonal,
    `Σ E[Sᵢⱼ]² / d` should be zero. What is wrong in a single direction hardly shows in these; it
    does in the direction that is furthest off, which is judged by a margin of its own.
    """
    dense = ratios.ndim == 3
    diagonals = np.diagonal(ratios, axis1=1, axis2=2) if dense else ratios
    found = [
        Statistic(f"mean of the {name}", diagonals.mean(axis=1), 1.0, "log"),
        Statistic(
            f"mean square deviation of the {name}",
            _squares(diagonals - 1) / diagonals.shape[1],
            0.0,
            "linear",
            tolerance**2,
        ),
    ]
    if dense:
        off_diagonal = ratios * (1 - np.eye(ratios.shape[1]))
        squares = _squares(off_diagonal.reshape(len(ratios), -1)) / ratios.shape[1]
        found.append(Statistic("squares off the diagonal", squares, 0.0, "linear"))
    smallest, largest = _furthest(ratios)
    found += [
        Statistic(f"smallest of the {name}", smallest, 1.0, "log", ONE_DIRECTION),
        Statistic(f"largest of the {name}", largest, 1.0, "log", ONE_DIRECTION),
    ]
    return found


def _furthest(ratios: np.ndarray) -> np.ndarray:
    """Smallest and largest ratio of any coordinate, or direction; shape (2, R).

    Of ratios, (R, d), or matrices, (R, d, d). Each replicate is asked where the mean of the others
    is smallest and largest, so that noise which makes it so there is not in what is found here.
    Near the margin all ask for the same direction, and their answers are independent. Where noise
    alone decides which one that is, they are not, but there they are far from the margin.
    """
    means = (ratios.sum(axis=0) - ratios) / (len(ratios) - 1)
    if ratios.ndim == 2:
        where = np.stack([means.argmin(axis=1), means.argmax(axis=1)])
        return ratios[np.arange(len(ratios)), where]
    found = []
    for own, others in zip(ratios, means, strict=True):
        directions = np.linalg.eigh(others)[1][:, [0, -1]]
        found.append(np.einsum("ik,ij,jk->k", directions, own, directions))
    return np.stack(found, axis=1)


def _squares(values: np.ndarray) -> np.ndarray:
    """Of values (R, k) those whose mean estimates `Σ E[vᵢ]²`, and whose scatter its error; (R,).

    Each replicate times the mean of the others: what is noise in one is not in the others, and
    adds nothing on average. As every replicate stands in all the products, their mean scatters
    twice as far as theirs would tell, and they are spread as much. Source: Hoeffding, Annals of
    Mathematical Statistics 19 (1948), theorem 7.1, for products of two.
    """
    others = (values.sum(axis=0) - values) / (len(values) - 1)
    found = np.einsum("rk,rk->r", values, others)
    return 2 * found - found.mean()


def _matrix_statistics(matrices: np.ndarray, centre: np.ndarray, name: str) -> list[Statistic]:
    """Diagonal entries on the log scale, those below it on the linear one."""
    return [
        Statistic(
            f"{name}[{i},{j}]",
            matrices[:, i, j],
            float(centre[i, j]),
            "log" if i == j else "linear",
        )
        for i in range(len(centre))
        for j in range(i + 1)
    ]


def _diagonal_names(experiment: Experiment) -> list[str]:
    if experiment.estimator.dense:
        return [f"S[{i},{i}]" for i in range(experiment.case.dimension)]
    return list(experiment.case.posterior.coordinates)
