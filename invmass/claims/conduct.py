"""Claims about a sampler's conduct: what it does with a metric, and what it says of itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import scipy.linalg
import scipy.stats

from invmass.adaptation.estimators import Rule
from invmass.claims.equivalence import Statistic, Verdict, all_exact, sequential
from invmass.model.affine import AffineMap
from invmass.results.status import Status
from invmass.runs.experiment import NUM_SAMPLES, Experiment, joined
from invmass.sampling.backend import Draws, Tuned
from invmass.whitening import whiten

SPREAD = "spread is honest"
SUPPLIED = "supplied metric is used"
EQUIVARIANT = "equivariant"
EQUIVARIANT_AT_LENGTHS = "equivariant at several lengths"
STATISTICS = "statistics are honest"
OVERFLOW = "overflow is rejected"
CONTRACT = "contract of a tuned matrix"
RESUMES = "resumes from a file"

FIT = "quadratic_fit"  # a Gaussian of three correlated coordinates: laws of Gaussians hold there
RESUMED = ("gaussian_mean", "mixed_sites")  # one site with d = 1, and many
SUPPLIED_ON = (FIT, "gaussian_mean")

LARGEST_KURTOSIS = 4.0  # beyond, a few draws decide on a variance, and delta methods fail
FACTOR_TWO, FACTOR_THREE_HALVES = 1.0, 0.5  # margins, relative
STEP_SIZE_LAW = 0.25
LENGTHS = {200: 0.15, 500: 0.05, 2000: 0.05}  # short warm-up remembers that it began at identity
HALVED_GRADIENTS = 0.5  # the law holds for short steps; tuned ones are near the longest stable
NEAR_TARGET, COUNTED = 0.05, 0.02  # margins of acceptance, absolute
TOLD_APART = 0.5  # in logarithms of variances; readings that are nearer to each other are one
GROUPS = 8  # of replicates: a few that are stuck spoil a few of them
EQUAL = 1e-5  # chance that two variances which scatter by 3% are the same to six digits
ROUNDING = 64  # in units of the last place: sums of 500 products came out up to 7 apart
SHORT_WARMUP = 200  # enough to tune a step size alone

TOGETHER = AffineMap("moved", shift=1000.0, scale=30.0, turn=1)
APART = (
    AffineMap("shifted", shift=1000.0),
    AffineMap("rescaled", scale=30.0),
    AffineMap("permuted", turn=1),
)

T = TypeVar("T", Tuned, Draws)


def why_no_spread(experiment: Experiment) -> str | None:
    """The reason why the spread of this estimator is not predicted; None if it is."""
    if experiment.why_no_target:
        return experiment.why_no_target
    if experiment.estimator.rule is not Rule.VARIANCE:
        rule = experiment.estimator.rule.value
        return f"the spread is predicted for variances alone, not for {rule}"
    kurtosis = float(np.max(experiment.truth.moments.kurtosis))
    if kurtosis > LARGEST_KURTOSIS:
        return (
            f"the spread is predicted up to a kurtosis of {LARGEST_KURTOSIS:g}, not {kurtosis:.3g}"
        )
    return None


def spread(experiment: Experiment) -> Verdict:
    """Do the replicates scatter as the effective draws of one window do, within a factor of two?

    On the Gaussian, where the law is exact, within one and a half: so that half a window is seen.

    The sample size that they imply, `(κ₄-1)/Var(log Sᵢᵢ)`, against the length of the window times
    the share of effective draws for z², pooled over the coordinates. Both that share and κ₄ are
    those of the draws. The part of Sᵢᵢ that regularisation adds has no spread, and is left out.
    A window that is not reset, is skipped or counted twice shows here, and nowhere in the mean.
    """
    experiment_draws = experiment.draws(experiment.batch)
    expected = experiment.regularised(experiment.target)
    floor = experiment.regularised(np.zeros_like(expected))
    share = 1.0 - _diagonals(whiten(floor[None], expected))[0]
    effective, excess = _worth(experiment, experiment_draws, expected)
    window = experiment.tuned(1).window
    size = window * float(np.mean(effective))

    def implied(count: int) -> list[Statistic]:
        matrices = experiment.tuned(count).inverse_mass_matrix.astype(np.float64)
        logs = np.log(_diagonals(whiten(matrices, expected)))
        honest = share * np.sqrt(excess / (window * effective))  # standard deviation of each column
        values = logs / (honest * np.sqrt(size))
        return [Statistic("implied sample size", values, size, "precision")]

    margin = FACTOR_THREE_HALVES if experiment.case.name == FIT else FACTOR_TWO
    return _sequential(experiment, implied, margin)


def supplied(experiment: Experiment) -> Verdict:
    """Is a metric that is handed over kept bit by bit, and is it the one that is used?

    Two metrics are supplied, the second one stretched and sheared, and the ratio of the step sizes
    tuned under them is that of the law of Gaussians, `ε ∝ (Σ λᵢ⁻⁴)^(-1/4)` with λᵢ² the eigenvalues
    of `M^½ Σ M^½`.
    """
    covariance = experiment.truth.moments.covariance
    # signs that alternate turn correlations round: without them a dense metric is another one
    stretch = 2.0 * (-1.0) ** np.arange(len(covariance)) * np.linspace(1.0, 0.5, len(covariance))
    sheared = covariance * np.outer(stretch, stretch)
    metrics = [
        experiment.estimator.shaped(m).astype(experiment.starts(1).dtype)
        for m in (covariance, sheared)
    ]
    case, name, size = experiment.case, experiment.metric, experiment.batch

    def warm_up(metric: np.ndarray) -> Callable[[int], Tuned]:
        def batch(number: int) -> Tuned:
            starts = experiment.starts((number + 1) * experiment.batch)[-experiment.batch :]
            keys = experiment.keys(number)
            return experiment.checked_tuned(
                lambda: experiment.backend.warm_up(case, name, keys, starts, SHORT_WARMUP, metric)
            )

        return _in_batches(batch, experiment.batch)

    runs = [warm_up(metric) for metric in metrics]
    changed = {
        f"replicates that changed the {which} metric": _differing(
            run(size).inverse_mass_matrix, np.broadcast_to(metric, (size, *metric.shape))
        )
        for which, run, metric in zip(("first", "second"), runs, metrics, strict=True)
    }
    kept = all_exact(changed, 0.5)
    if kept.status is not Status.PASS:
        return kept
    laws = [_stable_step_size(covariance, metric) for metric in metrics]

    def ratio(count: int) -> list[Statistic]:
        first, second = (run(count).step_size.astype(np.float64) for run in runs)
        return [Statistic("ratio of step sizes", first / second, laws[0] / laws[1], "log")]

    return _sequential(experiment, ratio, STEP_SIZE_LAW)


def moved(experiment: Experiment) -> Verdict:
    """Shifted far from zero, rescaled and permuted at once, M⁻¹ is the same but for its units."""
    runs = [("", experiment, TOGETHER)]
    return _equivariant(experiment, runs, {"": experiment.settings.tolerance})


def moved_at_lengths(experiment: Experiment) -> Verdict:
    """The same for each motion alone, after warm-up of several lengths.

    Within 5%, but for 200 steps: there the only window before the last has 25 draws, made under
    the identity, which is the one thing that does not move along. Within 15% then.
    """
    runs, margins = [], {}
    for length, margin in LENGTHS.items():
        settings = replace(experiment.settings, num_warmup=length)
        unmoved = Experiment(experiment.case, experiment.backend, experiment.metric, settings)
        for motion in APART:
            label = f"{length} steps, {motion.name}: "
            runs.append((label, unmoved, motion))
            margins[label] = margin
    return _equivariant(experiment, runs, margins)


def statistics(experiment: Experiment) -> Verdict:
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
    far, near = _draws_at(experiment, 1000.0)(experiment.batch), experiment.draws(experiment.batch)
    fixed = experiment.backend.metropolis and _has_fixed_number_of_steps(far, near)
    beyond = all_exact(
        {
            f"replicates {fault} at the thousandfold step": float(count)
            for fault, count in (
                (
                    "with other than one gradient a draw",
                    0 if fixed else np.sum(far.gradients != NUM_SAMPLES),
                ),
                ("with draws that did not diverge", np.sum(far.divergences != NUM_SAMPLES)),
                ("with acceptance", np.sum(far.acceptance > 0)),
                ("that moved", _moved(experiment, far)),
            )
        },
        0.5,
    )
    if beyond.status is not Status.PASS:
        return beyond
    halved, quartered = _draws_at(experiment, 0.5), _draws_at(experiment, 0.25)
    target = experiment.backend.target_acceptance

    def values(count: int) -> list[Statistic]:
        draws, half, tuned = experiment.draws(count), halved(count), experiment.tuned(count)
        leaps = half.gradients / draws.gradients
        # below two, because HMC rounds up and NUTS doubles
        law = (1.0, EQUAL) if fixed else (2.0, HALVED_GRADIENTS)
        found = [Statistic("gradients at half the step", leaps, law[0], "log", law[1])]
        if not fixed:
            shortfall = (1 - half.acceptance) / (1 - draws.acceptance)
            again = (1 - quartered(count).acceptance) / (1 - half.acceptance)
            found += [
                Statistic(
                    "lack of acceptance at half the step", shortfall, 0.25, "log", FACTOR_TWO
                ),
                Statistic("lack of acceptance at a quarter of it", again, 0.25, "log", FACTOR_TWO),
            ]
        if target is not None:
            low, high = target - NEAR_TARGET, 1 - (1 - target) / 10
            found += [
                Statistic(
                    "acceptance during warm-up", tuned.acceptance, target, "linear", NEAR_TARGET
                ),
                Statistic(
                    "acceptance after warm-up",
                    draws.acceptance,
                    (low + high) / 2,
                    "linear",
                    (high - low) / 2,
                ),
            ]
        if experiment.backend.metropolis:
            moves = np.any(np.diff(draws.position, axis=1) != 0, axis=2).mean(axis=1)
            found.append(
                Statistic(
                    "acceptance counted less reported",
                    moves - draws.acceptance,
                    0.0,
                    "linear",
                    COUNTED,
                )
            )
        return found

    return _sequential(experiment, values, NEAR_TARGET)


def overflow(experiment: Experiment) -> Verdict:
    """Does a chain stay where it is if the energy overflows, whatever the sign of what comes out?

    At a step so long that `½ pᵀ M⁻¹ p` leaves the finite numbers, terms of either sign may do so,
    and their sum may be minus infinity: no energy to accept, but for who takes it for the lowest of
    all. The search for a step size tries such steps after every window.
    """
    largest = float(np.finfo(experiment.tuned(experiment.batch).step_size.dtype).max)
    far = _draws_at(experiment, largest**0.25)(experiment.batch)
    moved = _moved(experiment, far)
    return all_exact({"replicates that moved where the energy overflows": moved}, 0.5)


def contract(experiment: Experiment) -> Verdict:
    """Is each replicate's matrix M⁻¹, of variances, in declared order, its own, and a metric?

    Where another reading of the matrices is told from the right one by their size, the mean of
    their diagonals must be less than half as far from the target as from that reading, in
    logarithms, if there is a target. Symmetry and positive definiteness are judged in the
    precision that they came in.
    """
    count = experiment.batch
    matrices = experiment.tuned(count).inverse_mass_matrix
    transposed = np.swapaxes(matrices, 1, 2) if matrices.ndim == 3 else matrices
    distinct = len(np.unique(matrices.reshape(count, -1), axis=0))
    size = np.max(np.abs(matrices).reshape(count, -1), axis=1)
    asymmetry = np.max(np.abs(matrices - transposed).reshape(count, -1), axis=1) / size
    rounding = ROUNDING * np.finfo(matrices.dtype).eps
    deviations = {
        "replicates that are not symmetric": float(np.sum(asymmetry > rounding)),
        "replicates that are not positive definite": float(
            np.sum(~np.vectorize(_has_factor, signature="(d,d)->()")(_square(matrices)))
        ),
    }
    if experiment.estimator.rule is Rule.VARIANCE:  # others may find a Gaussian without an error
        shared = count - distinct - _coincidences(count, experiment.case.dimension)
        deviations["replicates with the matrix of another"] = float(max(0, shared))
    if experiment.why_no_target:
        return all_exact(deviations, 0.5)
    found = np.log(np.mean(_diagonals(matrices.astype(np.float64)), axis=0))
    right = np.log(_diagonals(experiment.regularised(experiment.target)[None])[0])
    for name, reading in _misreadings(experiment, right).items():
        if np.linalg.norm(reading - right) > TOLD_APART:
            nearness = np.linalg.norm(found - right) / np.linalg.norm(found - reading)
            deviations[f"nearness to {name}"] = float(nearness)
    return all_exact(deviations, 0.5)


def resumes(experiment: Experiment) -> Verdict:
    """Are tuned replicates, saved to a file and loaded, the same, and are the draws from them?"""
    tuned = experiment.tuned(experiment.batch)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tuned.npz"
        tuned.save(path)
        loaded = Tuned.load(path)
    changed = {
        f"replicates with another {entry.name}": float(
            np.any(getattr(loaded, entry.name) != getattr(tuned, entry.name))
            if entry.name == "window"
            else _differing(getattr(loaded, entry.name), getattr(tuned, entry.name))
        )
        for entry in fields(Tuned)
    }
    again = experiment.checked_draws(experiment.resample_call(0, loaded))
    draws = _differing(again.position, experiment.draws(experiment.batch).position)
    return all_exact(changed | {"replicates with other draws": float(draws)}, 0.5)


def _equivariant(
    experiment: Experiment,
    runs: Sequence[tuple[str, Experiment, AffineMap]],
    margins: Mapping[str, float],
) -> Verdict:
    """M⁻¹ of moved cases, moved back, against that of the case itself, replicate by replicate.

    Both whitened by the target, and without what regularisation adds: that is in units of z, and
    should not scale. Keys and starts are the same, which cuts the variance where they lead to the
    same path.
    """
    covariance = experiment.truth.moments.covariance
    pairs = [(label, run, _moved_warm_up(run, motion, covariance)) for label, run, motion in runs]

    def differences(count: int) -> list[Statistic]:
        found: list[Statistic] = []
        for (label, run, after), (_, _, motion) in zip(pairs, runs, strict=True):
            expected = run.regularised(run.target)
            floor = run.regularised(np.zeros_like(expected))
            here = run.tuned(count).inverse_mass_matrix.astype(np.float64) - floor
            there = after(count).inverse_mass_matrix.astype(np.float64) - floor
            here, there = (whiten(m, expected) for m in (here, motion.metrics_back(there)))
            logs = np.log(_diagonals(there)) - np.log(_diagonals(here))
            found += [
                Statistic(f"{label}log ratio of S[{i},{i}]", values, 0.0, "linear", margins[label])
                for i, values in enumerate(logs.T)
            ]
            if here.ndim == 3:
                found += [
                    Statistic(
                        f"{label}S[{i},{j}]", (there - here)[:, i, j], 0.0, "linear", margins[label]
                    )
                    for i, j in zip(*np.tril_indices(here.shape[1], -1), strict=True)
                ]
        return found

    return _sequential(experiment, differences, max(margins.values()))


def _moved_warm_up(
    experiment: Experiment, motion: AffineMap, covariance: np.ndarray
) -> Callable[[int], Tuned]:
    """Warm-up of the moved case, from the same starts moved along."""
    case = motion.case(experiment.case, covariance)

    def batch(number: int) -> Tuned:
        starts = experiment.starts((number + 1) * experiment.batch)[-experiment.batch :]
        moved_starts = motion.points(starts.astype(np.float64), covariance).astype(starts.dtype)
        keys, steps = experiment.keys(number), experiment.settings.num_warmup
        return experiment.checked_tuned(
            lambda: experiment.backend.warm_up(case, experiment.metric, keys, moved_starts, steps)
        )

    return _in_batches(batch, experiment.batch)


def _draws_at(experiment: Experiment, factor: float) -> Callable[[int], Draws]:
    """Draws of tuned replicates, but with a multiple of the step size that was tuned."""

    def batch(number: int) -> Draws:
        tuned = experiment.tuned((number + 1) * experiment.batch)
        arrays = {
            entry.name: getattr(tuned, entry.name)[-experiment.batch :]
            for entry in fields(Tuned)
            if entry.name != "window"
        }
        arrays["step_size"] = arrays["step_size"] * arrays["step_size"].dtype.type(factor)
        return experiment.checked_draws(experiment.resample_call(number, replace(tuned, **arrays)))

    return _in_batches(batch, experiment.batch)


def _worth(
    experiment: Experiment, draws: Draws, expected: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of effective draws for squares, and κ₄-1, of each whitened coordinate; both (d,).

    The share is the median of those of groups of replicates. One whose tuned step is long may be
    stuck in a bend or a tail for all its draws; in warm-up, where the step still shortens, it would
    not be.
    """
    from arviz_stats.base import array_stats  # slow to import

    points = draws.position.astype(np.float64) - experiment.truth.moments.mean
    if expected.ndim == 2:
        points = points @ np.linalg.inv(np.linalg.cholesky(expected)).T
    squares = np.moveaxis(points**2, 2, 0)
    shares = [
        [array_stats.ess(s, chain_axis=0, draw_axis=1, method="mean") / s.size for s in group]
        for group in np.array_split(squares, min(GROUPS, squares.shape[1]), axis=1)
    ]
    excess = np.var(squares, axis=(1, 2)) / np.mean(squares, axis=(1, 2)) ** 2
    return np.median(shares, axis=0), excess


def _coincidences(count: int, dimension: int) -> int:
    """Replicates that may have the matrix of another by chance, but for once in a million."""
    pairs = 0.5 * count**2
    return int(scipy.stats.poisson.isf(1e-6, pairs * EQUAL**dimension))


def _misreadings(experiment: Experiment, right: np.ndarray) -> dict[str, np.ndarray]:
    """Logarithms of the diagonal, were something else than M⁻¹ in declared order reported."""
    slices = experiment.case.posterior.slices
    by_name = np.concatenate([np.r_[slices[name]] for name in sorted(slices)])
    return {
        "M": -right,
        "standard deviations": right / 2,
        "the order by name": right[by_name],
        "the reverse order": right[::-1],
    }


def _stable_step_size(covariance: np.ndarray, metric: np.ndarray) -> float:
    """`(Σ λᵢ⁻⁴)^(-1/4)`, λᵢ² the eigenvalues of `M^½ Σ M^½`: the step size on a Gaussian, up to
    a factor that depends on the acceptance alone."""
    squares = scipy.linalg.eigh(covariance, _square(metric[None])[0], eigvals_only=True)
    return float(np.sum(squares**-2.0) ** -0.25)


def _sequential(
    experiment: Experiment, statistics: Callable[[int], Sequence[Statistic]], margin: float
) -> Verdict:
    return sequential(
        statistics, margin, experiment.settings.false_alarm, experiment.batch, experiment.cap
    )


def _in_batches(batch: Callable[[int], T], size: int) -> Callable[[int], T]:
    """The first `count` replicates of what `batch` makes by its number, each batch made once."""
    batches: list[T] = []

    def first(count: int) -> T:
        while len(batches) * size < count:
            batches.append(batch(len(batches)))
        return joined(batches, count)

    return first


def _moved(experiment: Experiment, draws: Draws) -> float:
    """Number of replicates with draws that are not bit by bit where warm-up ended."""
    ended = experiment.tuned(experiment.batch).position[:, None]
    return _differing(draws.position, np.broadcast_to(ended, draws.position.shape))


def _has_fixed_number_of_steps(far: Draws, near: Draws) -> bool:
    """Whether each draw takes as many gradients at a thousandfold step as at the tuned one.

    More than one: of a sampler that reports one gradient for each draw, whatever it takes, the same
    would be seen.
    """
    return bool(np.all(far.gradients == near.gradients) and np.all(far.gradients > NUM_SAMPLES))


def _differing(found: np.ndarray, expected: np.ndarray) -> float:
    """Number of replicates that are not equal bit by bit."""
    return float(np.sum(np.any((found != expected).reshape(len(found), -1), axis=1)))


def _square(metrics: np.ndarray) -> np.ndarray:
    """Metrics as matrices, (R, d, d)."""
    return metrics if metrics.ndim == 3 else metrics[:, :, None] * np.eye(metrics.shape[1])


def _diagonals(metrics: np.ndarray) -> np.ndarray:
    """Diagonals of metrics, (R, d)."""
    return metrics if metrics.ndim == 2 else np.diagonal(metrics, axis1=1, axis2=2)


def _has_factor(matrix: np.ndarray) -> bool:
    """Whether a matrix has a Cholesky factor, in its own precision."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
