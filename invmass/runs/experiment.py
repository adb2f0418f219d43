"""One combination of case, backend and metric: exact answers, warm-ups and draws."""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import TypeVar

import jax
import numpy as np

from invmass.adaptation.estimators import Estimator
from invmass.errors import BackendFaultError, InvmassError, NoTargetError, UsageError
from invmass.model.case import Case, Truth
from invmass.model.precision import float64
from invmass.options import REPLICATES, default
from invmass.sampling.backend import Backend, Draws, Tuned, WarmUpRequest

BATCH = 64  # replicates in one call; a fixed number, so that the program is compiled once
# Above LARGE dimensions replicates are costly: batches are smaller, and entries are tested in
# aggregate.
LARGE, BATCH_OF_LARGE = 40, 8
NUM_SAMPLES = 500  # draws of each replicate after warm-up

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """Settings of the verdicts.

    Attributes:
        seed: seed of all random numbers.
        tolerance: relative margin of the statistical claims, between 0 and 1.
        false_alarm: α, the bound on the probability of a wrong verdict.
        replicates: the largest number of replicates; a verdict undecided then is inconclusive.
        num_warmup: number of warm-up steps of each replicate.

    Raises:
        UsageError: a value is out of its range.
    """

    seed: int = default("seed")
    tolerance: float = default("tolerance")
    false_alarm: float = default("false-alarm")
    replicates: int = REPLICATES["quick"]
    num_warmup: int = default("num-warmup")

    def __post_init__(self) -> None:
        checks = {
            "seed": self.seed >= 0,
            "tolerance": 0 < self.tolerance < 1,
            "false_alarm": 0 < self.false_alarm < 1,
            "replicates": self.replicates >= 8,
            "num_warmup": self.num_warmup >= 20,
        }
        rules = {
            "seed": "at least 0",
            "tolerance": "between 0 and 1",
            "false_alarm": "between 0 and 1",
            "replicates": "at least 8",
            "num_warmup": "at least 20",
        }
        for name, valid in checks.items():
            if not valid:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} must be {rules[name]}, not {getattr(self, name)}")


@dataclass(eq=False)
class Experiment:
    """Runs a backend's warm-up and sampling in batches of replicates, each from an exact start.

    Args:
        case: the posterior.
        backend: the sampler.
        metric: a metric that the backend tunes.
        settings: of the verdicts.
        chains: number of replicates in one call; by default 64, or 8 above 40 dimensions.
        recorded: matrices that were tuned outside this suite; no further replicates are run.
        library_seconds: time spent in calls to the sampler library so far.
    """

    case: Case
    backend: Backend
    metric: str
    settings: Settings
    chains: int | None = None
    recorded: Tuned | None = None
    library_seconds: float = 0.0
    _tuned: list[Tuned] = field(default_factory=list)
    _draws: list[Draws] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.metric not in self.backend.estimators:
            raise UsageError(
                f"backend {self.backend.name!r} has no metric {self.metric!r}; "
                f"it tunes: {', '.join(self.backend.estimators)}"
            )
        if self.recorded is not None:
            self._tuned.append(self.recorded)

    @property
    def name(self) -> str:
        """Case, backend and metric, as in test ids."""
        return f"{self.case.name}-{self.backend.name}-{self.metric}"

    @property
    def large(self) -> bool:
        """Whether the dimension is so large that entries of M⁻¹ are tested in aggregate."""
        return self.case.dimension > LARGE

    @property
    def batch(self) -> int:
        """Number of replicates in one call, which is also that at the first look."""
        if self.recorded is not None:
            return self.recorded.replicates
        return self.chains or (BATCH_OF_LARGE if self.large else BATCH)

    @property
    def cap(self) -> int:
        """Number of replicates at the last look."""
        return self.settings.replicates if self.recorded is None else self.recorded.replicates

    @property
    def estimator(self) -> Estimator:
        """The estimator that tunes this metric, with the block structure of the case's sites."""
        return self.backend.estimators[self.metric].for_layout(self.case.posterior.slices)

    @property
    def truth(self) -> Truth:
        """The exact answers in the unconstrained space of the backend."""
        return self.timed(lambda: _truth(self.case, self.backend))

    @cached_property
    def target(self) -> np.ndarray:
        """The limit of the estimator for infinitely many draws, shape (d,) or (d, d).

        Raises:
            NoTargetError: a posterior variance is infinite, so that there is no limit.
        """
        truth = self.truth
        infinite = ~np.isfinite(np.diag(truth.moments.covariance))
        if np.any(infinite):
            names = ", ".join(np.asarray(self.case.posterior.coordinates)[infinite])
            raise NoTargetError(f"nothing to converge to: the variance of {names} is infinite")
        scores = truth.score_covariance if self.estimator.needs_scores else None
        return self.estimator.target(truth.moments.covariance, scores)

    @property
    def why_no_target(self) -> str | None:
        """The reason why the estimator has no target; None if it has one."""
        try:
            _ = self.target
        except NoTargetError as error:
            return str(error)
        return None

    def regularised(self, metric: np.ndarray) -> np.ndarray:
        """Expected value of the tuned metric for this window, if `metric` were the target."""
        return self.estimator.regularised(metric, self.tuned(1).window)

    def starts(self, count: int) -> np.ndarray:
        """Exact draws in the backend's unconstrained space, (count, d), in JAX's precision."""
        starts = self.truth.starts(self.settings.seed, count)
        return starts.astype(jax.dtypes.canonicalize_dtype(float))

    def tuned(self, count: int) -> Tuned:
        """Results of the warm-up of the first `count` replicates; missing ones are run."""
        while len(self._tuned) * self.batch < count:
            self._tuned.append(self.checked_tuned(self.warm_up_call(len(self._tuned))))
        return joined(self._tuned, count)

    def draws(self, count: int) -> Draws:
        """Draws of the first `count` replicates, each with its own tuned metric and step size."""
        while len(self._draws) * self.batch < count:
            self._draws.append(self.checked_draws(self.sample_call(len(self._draws))))
        return joined(self._draws, count)

    def checked_tuned(self, call: Callable[[], Tuned]) -> Tuned:
        """Run the warm-up of one batch, and check the result against the contract.

        Raises:
            BackendFaultError: the backend raised, or broke the contract.
        """
        tuned = self._of(Tuned, self.timed(call))
        tuned.check(self.case.dimension, self.batch, self.estimator.dense, self.name)
        return tuned

    def checked_draws(self, call: Callable[[], Draws]) -> Draws:
        """Draw samples for one batch, and check them against the contract.

        Raises:
            BackendFaultError: the backend raised, or broke the contract.
        """
        draws = self._of(Draws, self.timed(call))
        draws.check(self.case.dimension, self.batch, NUM_SAMPLES, self.name)
        return draws

    def _of(self, kind: type[T], answer: T) -> T:
        """The answer of a backend, if it is an instance of the class that the contract demands."""
        if not isinstance(answer, kind):
            problem = f"returned {type(answer).__name__}, not {kind.__name__}"
            raise BackendFaultError(f"{self.name}: the backend {problem}")
        return answer

    def warm_up_call(self, batch: int) -> Callable[[], Tuned]:
        """The call that runs the warm-up of one batch; its arguments are computed beforehand."""
        starts, keys = self.starts((batch + 1) * self.batch)[-self.batch :], self.keys(batch)
        request = WarmUpRequest(self.case, self.metric, keys, starts, self.settings.num_warmup)
        return lambda: self.backend.warm_up(request)

    def sample_call(self, batch: int) -> Callable[[], Draws]:
        """The call that draws samples for one batch of tuned replicates."""
        self.tuned((batch + 1) * self.batch)
        return self.resample_call(batch, self._tuned[batch])

    def resample_call(self, batch: int, tuned: Tuned) -> Callable[[], Draws]:
        """As `sample_call`, with the same random keys, but with the given result of a warm-up."""
        keys = self.keys(batch, purpose=1)
        return lambda: self.backend.sample(self.case, tuned, keys, NUM_SAMPLES)

    def keys(self, batch: int, purpose: int = 0) -> jax.Array:
        """Random keys of one batch, shape (batch,); `purpose` is 0 for warm-up and 1 for draws."""
        key = jax.random.key(self.settings.seed)
        for number in (zlib.crc32(self.name.encode()), purpose, batch):
            key = jax.random.fold_in(key, number)
        return jax.random.split(key, self.batch)

    def timed(self, call: Callable[[], T]) -> T:
        """Call the sampler library, and add the time of the call to `library_seconds`.

        Raises:
            BackendFaultError: the backend raised.
        """
        start = time.perf_counter()
        try:
            return call()
        except InvmassError:
            raise
        except (Exception, SystemExit) as error:  # SystemExit must end this check only
            raise BackendFaultError(
                f"{self.name}: the backend raised {type(error).__name__}: {error}"
            ) from error
        finally:
            self.library_seconds += time.perf_counter() - start


@cache
def _truth(case: Case, backend: Backend) -> Truth:
    """The exact answers, computed once for all metrics of a backend."""
    with float64():
        return case.truth_in(backend.transforms(case))


def joined(batches: list[T], count: int) -> T:
    """Batches joined along the replicates and cut to `count`.

    Values that are not arrays are taken from the first batch.
    """
    joined = {}
    for entry in fields(batches[0]):  # type: ignore[arg-type]
        values = [getattr(batch, entry.name) for batch in batches]
        is_array = isinstance(values[0], np.ndarray)
        joined[entry.name] = np.concatenate(values)[:count] if is_array else values[0]
    return type(batches[0])(**joined)
