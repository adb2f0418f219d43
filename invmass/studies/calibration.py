"""How often a verdict errs, and what it costs: whole verdicts, many times, the truth being known.

On real samplers: one long run of warm-ups, cut into as many verdicts as it decides. And on the
same matrices resampled: there the expectation is that of the recorded ones, exactly, so that it
can be put at the margin, where wrong answers are most frequent, or anywhere else.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from invmass.claims.intervals import Statistic, interval, log_normal_divergence
from invmass.claims.metric_statistics import target_statistics
from invmass.claims.record import combination_record, error_record
from invmass.claims.sequential import sequential
from invmass.errors import UsageError
from invmass.results.status import Status
from invmass.runs.experiment import Experiment
from invmass.studies.sweep import Combination, Row

CAP = 2048  # replicates of a resampled verdict, by when 13/14 of α is spent
RATES = (1e-2, 1e-3, 1e-4)  # α that can be measured
EFFECTS = (0.0, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0)  # in margins, for the power
FEW = (8, 16, 32, 64, 128)  # replicates of one interval


class Trial(NamedTuple):
    """A combination at one seed.

    Attributes:
        combination: what is run.
        seed: of the sampler, and of the resampling.
        replicates: warm-ups of the real sampler.
        verdicts: resampled verdicts for each rate, and a tenth of it for each effect.
    """

    combination: Combination
    seed: int
    replicates: int
    verdicts: int

    @property
    def row_key(self) -> str:
        """As that of a sweep's rows, and different from it."""
        return f"{self.combination.row_key(self.seed)} {self.replicates} {self.verdicts}"


def calibrate(trial: Trial) -> list[Row]:
    """Rows of kind "calibration": counts of answers, by what was true and what was promised.

    Raises:
        UsageError: many coordinates, which are judged together, cannot be resampled.
    """
    experiment = trial.combination.experiment(trial.seed)
    if experiment.large:
        raise UsageError(f"{experiment.name} has more coordinates than are judged one by one")
    recorded = target_statistics(experiment, trial.replicates)
    generator = np.random.default_rng(trial.seed)
    identity = combination_record(experiment) | {"kind": "calibration", "cell": trial.row_key}
    rows = [
        *_on_the_sampler(experiment, recorded),
        *_at_the_margin(experiment, recorded, generator, trial.verdicts),
        *_power(experiment, recorded, generator, trial.verdicts // 10),
        *_coverage(recorded, generator, trial.verdicts),
    ]
    return [identity | row | {"cell_rows": len(rows)} for row in rows]


def lost_trial(trial: Trial, reason: str) -> list[Row]:
    """The row that says why there is none."""
    experiment = trial.combination.experiment(trial.seed)
    return [error_record(experiment, None, reason) | {"cell": trial.row_key, "cell_rows": 1}]


def _on_the_sampler(experiment: Experiment, recorded: Sequence[Statistic]) -> Iterator[Row]:
    """Verdicts one after the other, each on replicates that none before has seen."""
    settings, count = experiment.settings, len(recorded[0].values)
    answers, begin, used = Counter[Status](), 0, 0
    while begin < count:
        cap = min(settings.replicates, count - begin)
        verdict = sequential(
            lambda n, begin=begin: _chosen(recorded, np.arange(begin, begin + n)),  # type: ignore[misc]
            settings.tolerance,
            settings.false_alarm,
            experiment.batch,
            cap,
        )
        begin += verdict.replicates
        if verdict.status is Status.INCONCLUSIVE and cap < settings.replicates:
            break  # the recording ended before the verdict
        answers[verdict.status] += 1
        used += verdict.replicates
    yield _counted("sampler", settings.false_alarm, answers, used)


def _at_the_margin(
    experiment: Experiment,
    recorded: Sequence[Statistic],
    generator: np.random.Generator,
    verdicts: int,
) -> Iterator[Row]:
    """One entry at its margin, where a pass is wrong; and all of them, where a fail is."""
    for alpha in RATES:
        for name, shifted in (("one entry", _noisiest(recorded)), ("all entries", ...)):
            for effect in (-1.0, 1.0):
                at = [effect if shifted in (..., i) else 0.0 for i in range(len(recorded))]
                yield _resampled(experiment, recorded, generator, verdicts, alpha, at) | {
                    "effect": effect,
                    "shifted": name,
                }


def _power(
    experiment: Experiment,
    recorded: Sequence[Statistic],
    generator: np.random.Generator,
    verdicts: int,
) -> Iterator[Row]:
    """One entry at several effects, at the rate that is promised by default."""
    noisiest, alpha = _noisiest(recorded), experiment.settings.false_alarm
    for effect in EFFECTS:
        at = [effect if i == noisiest else 0.0 for i in range(len(recorded))]
        row = _resampled(experiment, recorded, generator, verdicts, alpha, at)
        right = row["passed"] if effect < 1 else row["failed"]
        bounds = {
            name: wald_bound(right / row["verdicts"], alpha, divergence)
            for name, divergence in divergences(
                recorded[noisiest], experiment.settings.tolerance, 1.0 - effect
            ).items()
        }
        yield row | bounds | {"effect": effect, "shifted": "one entry"}


def _coverage(
    recorded: Sequence[Statistic], generator: np.random.Generator, intervals: int
) -> Iterator[Row]:
    """How often one interval of few replicates misses on either side."""
    noisiest = recorded[_noisiest(recorded)]
    truth = float(np.mean(noisiest.values))
    for count in FEW:
        draws = noisiest.values[generator.integers(len(noisiest.values), size=(intervals, count))]
        for alpha in RATES:
            found = [interval(replace(noisiest, values=d), 0.1, alpha) for d in draws]
            yield {
                "source": "interval",
                "alpha": alpha,
                "replicates": count,
                "verdicts": intervals,
                "missed_above": sum(i.low > truth for i in found),
                "missed_below": sum(i.high < truth for i in found),
            }


def wald_bound(right: float, alpha: float, divergence: float) -> float:
    """Mean number of replicates that any sequential test needs at least.

    It must give the right answer with probability `right` where it is, and the same answer with
    probability α at most at the margin, from which one value has the given Kullback-Leibler
    divergence. Source: Wald, Annals of Mathematical Statistics 16 (1945), section 4.
    """
    if right <= alpha:
        return 0.0
    needed = right * np.log(right / alpha)
    if right < 1:
        needed += (1 - right) * np.log((1 - right) / (1 - alpha))
    return float(needed / divergence)


def divergences(statistic: Statistic, margin: float, distance: float) -> dict[str, float]:
    """Divergence of one value from what it would be `distance` margins above, for Wald's bound.

    "wald" is from the nearest distribution with that mean, whatever its variance, for a test that
    is not told the variance; "wald_known" from the one with the same variance.
    """
    if statistic.scale == "log":
        logs = np.log(statistic.values)
        variance, away = float(np.var(logs)), distance * float(np.log1p(margin))
        unknown = log_normal_divergence(variance, -variance / 2 - away)
    else:
        variance, away = float(np.var(statistic.values)), distance * margin
        unknown = 0.5 * float(np.log1p(away**2 / variance))
    return {"wald": unknown, "wald_known": away**2 / (2 * variance)}


def _resampled(
    experiment: Experiment,
    recorded: Sequence[Statistic],
    generator: np.random.Generator,
    verdicts: int,
    alpha: float,
    effects: Sequence[float],
) -> Row:
    """Verdicts on replicates drawn from the recorded ones, moved to have the given effects."""
    margin = experiment.settings.tolerance
    moved = [
        replace(s, expected=_expected(s, effect, margin))
        for s, effect in zip(recorded, effects, strict=True)
    ]
    answers, used = Counter[Status](), 0
    for _ in range(verdicts):
        order = generator.integers(len(recorded[0].values), size=CAP)
        verdict = sequential(
            lambda n, order=order: _chosen(moved, order[:n]),  # type: ignore[misc]
            margin,
            alpha,
            experiment.batch,
            CAP,
        )
        answers[verdict.status] += 1
        used += verdict.replicates
    return _counted("resampled", alpha, answers, used) | {"cap": CAP}


def _expected(statistic: Statistic, effect: float, margin: float) -> float:
    """What is expected, so that the mean of the values is `effect` margins above it."""
    truth = float(np.mean(statistic.values))
    if statistic.scale == "log":
        return truth / (1 + margin) ** effect
    return truth - effect * margin


def _deviations(recorded: Sequence[Statistic], margin: float) -> list[float]:
    """Standard deviation of one replicate, in margins."""
    return [
        float(
            np.std(np.log(s.values)) / np.log1p(margin)
            if s.scale == "log"
            else np.std(s.values) / margin
        )
        for s in recorded
    ]


def _noisiest(recorded: Sequence[Statistic]) -> int:
    return int(np.argmax(_deviations(recorded, 0.1)))


def _chosen(statistics: Sequence[Statistic], rows: np.ndarray) -> list[Statistic]:
    return [replace(s, values=s.values[rows]) for s in statistics]


def _counted(source: str, alpha: float, answers: Counter[Status], used: int) -> dict[str, Any]:
    verdicts = answers.total()
    return {
        "source": source,
        "alpha": alpha,
        "verdicts": verdicts,
        "passed": answers[Status.PASS],
        "failed": answers[Status.FAIL],
        "undecided": answers[Status.INCONCLUSIVE],
        "replicates": used / verdicts if verdicts else None,
    }
