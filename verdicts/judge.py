"""Claims about a tuned metric, the density and the draws: what is expected, and the verdict."""

from dataclasses import dataclass, replace

import jax
import numpy as np

from invmass.geometry.precision import float64
from invmass.geometry.whitening import gap, whiten
from invmass.verdicts.equivalence import Statistic, Status, Verdict, exact, sequential
from invmass.verdicts.experiment import Experiment

MATCHES = "matches the inverse Fisher"
DISAGREES = "disagrees as predicted"
CONVERGES = "converges to its target"
REJECTS_CONSTRAINED = "inverse Fisher of x is rejected"
REJECTS_MISPLACED = "inverse Fisher of z at x is rejected"
DENSITY = "density agrees"
DRAWS = "draws are right"

LARGEST_GAP = 0.05  # beyond it, M⁻¹ is not expected to match the inverse Fisher
ONE_DIRECTION = 1.0  # margin of a single one of many coordinates: a factor of two


@dataclass(frozen=True)
class Part:
    """An entry's ratio to the inverse Fisher as a product of named parts."""

    entry: str
    geometry: float
    regularisation: float
    remainder: float


def fisher_claim(experiment: Experiment) -> str:
    """Which of the two claims on the inverse Fisher is made: the geometry gap decides."""
    if not experiment.why_no_target and geometry_gap(experiment) > LARGEST_GAP:
        return DISAGREES
    return MATCHES


def inverse_fisher(experiment: Experiment) -> Verdict:
    """Is the tuned M⁻¹ the inverse Fisher information at the truth?

    Where the geometry gap is small the claim is that it matches, under the estimator's documented
    regularisation and with the gap added to the margin; elsewhere, that the ratio to the inverse
    Fisher is the predicted one.
    """
    reference = experiment.estimator.shaped(experiment.truth.inverse_fisher)
    if fisher_claim(experiment) == MATCHES:
        expected = experiment.regularised(reference)
        return _judge_metric(experiment, expected, expected, geometry_gap(experiment))
    expected = experiment.regularised(experiment.target)
    return _judge_metric(experiment, reference, expected)


def target(experiment: Experiment) -> Verdict:
    """Does M⁻¹ converge to what its estimator estimates, at the window actually used?"""
    return _sequential(experiment, lambda count: target_statistics(experiment, count))


def constrained_is_rejected(experiment: Experiment) -> Verdict:
    """The inverse Fisher of x must be told from that of z."""
    return _rejection(experiment, experiment.truth.constrained_inverse_fisher)


def misplaced_is_rejected(experiment: Experiment) -> Verdict:
    """The inverse Fisher of z, evaluated at x, must be told from the right one."""
    return _rejection(experiment, experiment.truth.misplaced_inverse_fisher)


def _rejection(experiment: Experiment, reference: np.ndarray) -> Verdict:
    """A wrong reference, (d, d), must be told from the tuned M⁻¹: passes where the match fails."""
    expected = experiment.regularised(experiment.estimator.shaped(reference))
    verdict = _judge_metric(experiment, expected, expected)
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


def geometry_gap(experiment: Experiment) -> float:
    """Largest deviation of the target from the inverse Fisher, in whitened entries."""
    return gap(experiment.target, experiment.estimator.shaped(experiment.truth.inverse_fisher))


def split(experiment: Experiment, verdict: Verdict) -> list[Part]:
    """The deviation from the inverse Fisher as geometry × regularisation × remainder.

    All on the diagonal of the whitened matrix (or the ratios of a diagonal metric); what remains
    is adaptivity and Monte Carlo error.
    """
    reference = experiment.estimator.shaped(experiment.truth.inverse_fisher)

    def diagonal(metric: np.ndarray) -> np.ndarray:
        ratio = whiten(metric[None], reference)[0]
        return ratio if ratio.ndim == 1 else np.diag(ratio)

    geometry = diagonal(experiment.target)
    regularised = diagonal(experiment.regularised(experiment.target))
    tuned = experiment.tuned(verdict.replicates).inverse_mass_matrix.astype(np.float64)
    measured = diagonal(tuned.mean(axis=0))
    return [
        Part(entry, float(a), float(b / a), float(c / b))
        for entry, a, b, c in zip(
            _diagonal_names(experiment), geometry, regularised, measured, strict=True
        )
    ]


def target_statistics(experiment: Experiment, count: int) -> list[Statistic]:
    """What decides whether M⁻¹ converges to its target, of the first `count` replicates."""
    expected = experiment.regularised(experiment.target)
    return _metric_statistics(experiment, count, expected, expected)


def _judge_metric(
    experiment: Experiment, reference: np.ndarray, expected: np.ndarray, further: float = 0.0
) -> Verdict:
    """M⁻¹ whitened by `reference` against `expected` whitened likewise."""

    def statistics(count: int) -> list[Statistic]:
        return _metric_statistics(experiment, count, reference, expected)

    return _sequential(experiment, statistics, further)


def _metric_statistics(
    experiment: Experiment, count: int, reference: np.ndarray, expected: np.ndarray
) -> list[Statistic]:
    tuned = experiment.tuned(count).inverse_mass_matrix.astype(np.float64)
    if experiment.large:
        return _pooled(whiten(tuned, expected), "ratios", experiment.settings.tolerance)
    ratios, centre = whiten(tuned, reference), whiten(expected[None], reference)[0]
    if ratios.ndim == 2:
        return [
            Statistic(entry, ratios[:, i], float(centre[i]), "log")
            for i, entry in enumerate(_diagonal_names(experiment))
        ]
    return _matrix_statistics(ratios, centre, "S")


def _sequential(experiment: Experiment, statistics, further: float = 0.0) -> Verdict:  # type: ignore[no-untyped-def]
    settings = experiment.settings
    return sequential(
        statistics,
        margin=settings.tolerance + further,
        alpha=settings.false_alarm,
        first=experiment.batch,
        cap=experiment.cap,
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
