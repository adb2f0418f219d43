"""Our own HMC with a part of the sampler replaced, or under another schedule."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np

from faults.wrapped import SMALL, Wrapped, at_strengths
from invmass.adaptation.windows import Schedule, last_window, stan_schedule
from invmass.backends import hmc_static
from invmass.backends.hmc import leapfrog, metric, sampler
from invmass.model.bijectors import Exp, LibraryTransform
from invmass.model.distributions import Positive
from invmass.model.posterior import Posterior
from invmass.sampling.backend import Draws, Tuned, WarmUpRequest

# as they are, before they are replaced
sampler_energy_error, sampler_scan_with_noise = sampler.energy_error, sampler.scan_with_noise


LONGEST = 64  # steps of a path: what is broken takes ever shorter ones, and would go on for hours


class Replaced(Wrapped):
    """Traced with `parts` in place of what `backends/hmc/sampler.py` has under these names."""

    parts: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        names = ("_warm_up_program", "_sample_program")
        # programs of its own, for those of the right sampler are traced once and kept
        self.programs = {name: cache(getattr(hmc_static, name).__wrapped__) for name in names}

    def replacements(self) -> Mapping[str, Any]:
        """What takes the place of what, by the names of `backends/hmc/sampler.py`."""
        return self.parts

    @contextmanager
    def in_place(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, part in {"MAX_STEPS": LONGEST, **self.replacements()}.items():
                stack.enter_context(patch.object(sampler, name, part))
            for name, program in self.programs.items():
                stack.enter_context(patch.object(hmc_static, name, program))
            yield

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        with self.in_place():
            return super().warm_up(request)

    def sample(self, case, tuned, keys, num_samples) -> Draws:
        with self.in_place():
            return super().sample(case, tuned, keys, num_samples)


class KineticEnergyWithoutHalf(Replaced):
    """The kinetic energy lacks its ½."""

    name = "kinetic-energy-without-half"
    parts: ClassVar = {"kinetic_change": lambda *given: 2 * metric.kinetic_change(*given)}


class MomentaOfTheInverse(Replaced):
    """Momenta are drawn from N(0, M⁻¹)."""

    name = "momenta-of-the-inverse"

    @staticmethod
    def of_the_inverse(noise, m):
        inverse = m.inverse_mass_matrix
        factor = jnp.sqrt(inverse) if inverse.ndim == 1 else jnp.linalg.cholesky(inverse)
        return metric.momentum_from(noise, m._replace(momentum_factor=factor))

    parts: ClassVar = {"momentum_from": of_the_inverse}


class OneMomentumForAll(Replaced):
    """Each trajectory begins with the same momentum: its random key is used again."""

    name = "one-momentum"

    @staticmethod
    def scan(step, carry, key, inputs, like):
        white = jax.random.normal(jax.random.key(0), like.shape)

        def again(carry, part):
            inputs, noise, path = part
            return step(carry, (inputs, noise._replace(white=white), path))

        return sampler_scan_with_noise(again, carry, key, inputs, like)

    parts: ClassVar = {"scan_with_noise": scan}


class AcceptsAnOverflow(Replaced):
    """An energy of minus infinity, which is an overflow, is taken for the lowest of all."""

    name = "accepts-an-overflow"

    @staticmethod
    def error(m, start, end):
        kinetic = metric.kinetic_change(m, start.momentum, end.momentum)
        error = kinetic - (end.log_density - start.log_density)
        return jnp.where(jnp.isnan(error), jnp.inf, error)

    parts: ClassVar = {"energy_error": error}


class AlwaysAccepts(Replaced):
    """Every proposal is accepted."""

    name = "always-accepts"

    parts: ClassVar = {"metropolis": lambda uniform, state, proposal, acceptance: proposal}


class AcceptsTheWorse(Replaced):
    """The sign of the energy error is flipped."""

    name = "accepts-the-worse"
    parts: ClassVar = {"energy_error": lambda *given: -sampler_energy_error(*given)}


class HalfStepBackwards(Replaced):
    """The first half of the momentum's step has the wrong sign."""

    name = "half-step-backwards"

    @staticmethod
    def integrate(value_and_gradient, m, step_size, phase, steps):
        def step(_, p):
            turned = p._replace(momentum=p.momentum - step_size * p.gradient)
            return leapfrog.leapfrog(value_and_gradient, m, step_size, turned)

        return jax.lax.fori_loop(0, steps, step, phase)

    parts: ClassVar = {"integrate": integrate}


class MovesOnAnother(Replaced):
    """What the sampler takes for log density and gradient is not what it declares."""

    def density(self, found: leapfrog.ValueAndGradient) -> leapfrog.ValueAndGradient:
        raise NotImplementedError

    def replacements(self) -> Mapping[str, Any]:
        return {
            name: self.on_another(part)
            for name, part in {"init": sampler.init, "integrate": leapfrog.integrate}.items()
        }

    def on_another(self, part: Callable[..., Any]) -> Callable[..., Any]:
        return lambda found, *rest: part(self.density(found), *rest)


@at_strengths(*SMALL)
class Tempered(MovesOnAnother):
    """The log density is divided, so that variances are larger by the strength."""

    name = "tempered"

    def density(self, found):
        def tempered(z):
            return jax.tree.map(lambda value: value / (1 + self.strength), found(z))

        return tempered


@at_strengths(*SMALL)
class GradientTooLong(MovesOnAnother):
    """The gradient is longer by the strength; the log density is right."""

    name = "gradient-too-long"

    def density(self, found):
        def with_another_gradient(z):
            value, gradient = found(z)
            return value, (1 + self.strength) * gradient

        return with_another_gradient


class MovesWithoutTheJacobian(MovesOnAnother):
    """The sampler leaves out log|dx/dz| = z of the first coordinate, x = exp(z)."""

    name = "moves-without-jacobian"

    def density(self, found):
        def without(z):
            value, gradient = found(z)
            return value - z[0], gradient.at[0].add(-1.0)

        return without


class ForgetsTheLogDeterminant(MovesOnAnother):
    """A metric that depends on the position, and an energy without ½ log det of it."""

    name = "no-log-determinant"

    def density(self, found):
        def log_determinant(z):
            return 0.5 * jnp.sum(jnp.log1p(z**2))  # of M(z) = 1 + z²

        def without(z):
            added = jax.value_and_grad(log_determinant)(z)
            return jax.tree.map(jnp.add, found(z), added)

        return without


class AnotherBijector(Replaced):
    """Softplus, where exp is declared for what is positive."""

    name = "another-bijector"

    @contextmanager
    def in_place(self) -> Iterator[None]:
        right = vars(Posterior)["default_transforms"].func

        def with_softplus(posterior):
            return {
                name: SOFTPLUS if isinstance(transform, Exp) else transform
                for name, transform in right(posterior).items()
            }

        with (
            super().in_place(),
            patch.object(Posterior, "default_transforms", property(with_softplus)),
        ):
            yield

    def log_density(self, case):
        def log_density(z):
            with self.in_place():
                return case.posterior.log_density(z)

        return log_density


SOFTPLUS = LibraryTransform(jax.nn.softplus, lambda x: jnp.log(jnp.expm1(x)), Positive())


class Rescheduled(Wrapped):
    """Under another schedule than that which is declared."""

    def schedule(self, num_warmup: int) -> Schedule:
        raise NotImplementedError

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        declared = last_window(stan_schedule(request.num_warmup))
        with patch.object(hmc_static, "stan_schedule", self.schedule):
            tuned = super().warm_up(request)
        return replace(tuned, window=declared if request.adapt_metric else 0)


class SkipsTheLastWindow(Rescheduled):
    """The metric of the last window is never taken over."""

    name = "skips-the-last-window"

    def schedule(self, num_warmup: int) -> Schedule:
        right = stan_schedule(num_warmup)
        ends = right.ends_window.copy()
        ends[np.flatnonzero(ends)[-1]] = False
        return Schedule(right.collects, ends)


class HalvesTheLastWindow(Rescheduled):
    """The last window is cut in two."""

    name = "halves-the-last-window"

    def schedule(self, num_warmup: int) -> Schedule:
        right = stan_schedule(num_warmup)
        ends = right.ends_window.copy()
        begin, end = np.flatnonzero(ends)[-2:]
        ends[(begin + end) // 2] = True
        return Schedule(right.collects, ends)


class NeverResets(Rescheduled):
    """One window from the first step to the last; the metric is that of all draws."""

    name = "never-resets"

    def schedule(self, num_warmup: int) -> Schedule:
        ends = np.zeros(num_warmup, dtype=bool)
        ends[-1] = True
        return Schedule(np.ones(num_warmup, dtype=bool), ends)


class TransientLeftIn(NeverResets):
    """One window for all draws, from a start 30 standard deviations away."""

    name = "transient-left-in"

    def warm_up(self, request: WarmUpRequest) -> Tuned:
        far = request.starts + np.float32(30) * np.std(request.starts, axis=0)
        return super().warm_up(replace(request, starts=far))
