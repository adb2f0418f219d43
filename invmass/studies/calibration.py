"""Error rates, power and sample sizes of the sequential test, by repeating verdicts many times.

The verdicts are of two kinds:

- On a real sampler: one long run of warm-ups is cut into consecutive verdicts.
- On replicates resampled from that run with replacement: their expectation is the mean of the run,
  exactly, so that the true effect can be set to any size. Wrong answers are most frequent if the
  effect equals the margin.
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

CAP = 2048  # most replicates of a resampled verdict; 13/14 of α is spent by then
RATES = (1e-2, 1e-3, 1e-4)  # values of α large enough to be measured
EFFECTS = (0.0, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0)  # in units of the margin, for the power
FEW = (8, 16, 32, 64, 128)  # numbers of replicates at which coverage is measured


class Trial(NamedTuple):
    """A combination at one seed.

    Attributes:
        combination: the cell and its settings.
        seed: of the sampler and of the resampling.
        replicates: number of warm-ups of the real sampler.
        verdicts: number of resampled verdicts for each α; a tenth as many for each effect.
    """

    combination: Combination
    seed: int
    replicates: int
    verdicts: int

    @property
    def row_key(self) -> str:
        """Everything that the rows depend on; see `Combination.row_key`."""
        return f"{self.combination.row_key(self.seed)} {self.replicates} {self.verdicts}"


def calibrate(trial: Trial) -> list[Row]:
    """Rows of kind "calibration": counts of verdicts for each true effect and each α.

    Args:
        trial: the combination, its seed and the numbers of replicates and verdicts.

    Raises:
        UsageError: the case has so many coordinates that entries are tested in aggregate.
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
    """The row with the reason why a trial has no other rows."""
    experiment = trial.combination.experiment(trial.seed)
    return [error_record(experiment, None, reason) | {"cell": trial.row_key, "cell_rows": 1}]


def _on_the_sampler(experiment: Experiment, recorded: Sequence[Statistic]) -> Iterator[Row]:
    """Counts of consecutive verdicts, each on replicates that no earlier verdict used."""
    settings, count = experiment.settings, len(recorded[0].values)
    answers, start, used = Counter[Status](), 0, 0
    while start < count:
        cap = min(settings.replicates, count - start)
        verdict = sequential(
            lambda n, start=start: _chosen(recorded, np.arange(start, start + n)),  # type: ignore[misc]
            settings.tolerance,
            settings.false_alarm,
            experiment.batch,
            cap,
        )
        start += verdict.replicates
        if verdict.status is Status.INCONCLUSIVE and cap < settings.replicates:
            break  # the run of warm-ups is too short for another verdict
        answers[verdict.status] += 1
        used += verdict.replicates
    yield _counted("sampler", settings.false_alarm, answers, used)


def _at_the_margin(
    experiment: Experiment,
    recorded: Sequence[Statistic],
    generator: np.random.Generator,
    verdicts: int,
) -> Iterator[Row]:
    """Counts with an effect of one margin: in one entry (wrong passes) or in all (wrong fails)."""
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
    """Counts for several effects in the noisiest entry, at the α of the settings."""
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
    """How often an interval from few replicates misses the true mean, on either side."""
    noisiest = recorded[_noisiest(recorded)]
    truth = float(np.mean(noisiest.values))
    for count in FEW:
        draws = noisiest.values[generator.integers(len(noisiest.values), size=(intervals, count))]
        for alpha in RATES:
            intervals_at_alpha = [interval(replace(noisiest, values=d), 0.1, alpha) for d in draws]
            yield {
                "source": "interval",
                "alpha": alpha,
                "replicates": count,
                "verdicts": intervals,
                "missed_above": sum(i.low > truth for i in intervals_at_alpha),
                "missed_below": sum(i.high < truth for i in intervals_at_alpha),
            }


def wald_bound(right: float, alpha: float, divergence: float) -> float:
    """Lower bound on the expected number of replicates of any sequential test.

    Source: Wald, Annals of Mathematical Statistics 16 (1945), section 4.

    Args:
        right: probability of the right answer under the true distribution.
        alpha: largest probability of the same answer under a distribution at the margin.
        divergence: Kullback-Leibler divergence, for one replicate, of the true distribution from
            the one at the margin.
    """
    if right <= alpha:
        return 0.0
    needed = right * np.log(right / alpha)
    if right < 1:
        needed += (1 - right) * np.log((1 - right) / (1 - alpha))
    return float(needed / divergence)


def divergences(statistic: Statistic, margin: float, distance: float) -> dict[str, float]:
    """Kullback-Leibler divergences, for one replicate, that Wald's bound needs.

    The divergence is from the true distribution, normal or log-normal with the mean and variance
    of the values, to a distribution of the same family whose mean is shifted.

    Args:
        statistic: its values are the replicates.
        margin: the margin of the test.
        distance: shift of the mean, in margins.

    Returns:
        "wald": to the nearest distribution with the shifted mean and any variance, for a test
        that must estimate the variance. "wald_known": to the one with the same variance.
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
    """Counts of verdicts on resampled replicates, with a given effect in each entry."""
    margin = experiment.settings.tolerance
    shifted = [
        replace(s, expected=_expected(s, effect, margin))
        for s, effect in zip(recorded, effects, strict=True)
    ]
    answers, used = Counter[Status](), 0
    for _ in range(verdicts):
        order = generator.integers(len(recorded[0].values), size=CAP)
        verdict = sequential(
            lambda n, order=order: _chosen(shifted, order[:n]),  # type: ignore[misc]
            margin,
            alpha,
            experiment.batch,
            CAP,
        )
        answers[verdict.status] += 1
        used += verdict.replicates
    return _counted("resampled", alpha, answers, used) | {"cap": CAP}


def _expected(statistic: Statistic, effect: float, margin: float) -> float:
    """The expected value for which the mean of the values is `effect` margins too large."""
    truth = float(np.mean(statistic.values))
    if statistic.scale == "log":
        return truth / (1 + margin) ** effect
    return truth - effect * margin


def _deviations(recorded: Sequence[Statistic], margin: float) -> list[float]:
    """Standard deviation of one replicate for each entry, in margins."""
    return [
        float(
            np.std(np.log(s.values)) / np.log1p(margin)
            if s.scale == "log"
            else np.std(s.values) / margin
        )
        for s in recorded
    ]


def _noisiest(recorded: Sequence[Statistic]) -> int:
    """Index of the entry whose replicates vary most."""
    return int(np.argmax(_deviations(recorded, 0.1)))


def _chosen(statistics: Sequence[Statistic], rows: np.ndarray) -> list[Statistic]:
    """The statistics of the replicates with these indices only."""
    return [replace(s, values=s.values[rows]) for s in statistics]


def _counted(source: str, alpha: float, answers: Counter[Status], used: int) -> dict[str, Any]:
    """Columns with the counts of verdicts and the mean number of replicates of a verdict."""
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
