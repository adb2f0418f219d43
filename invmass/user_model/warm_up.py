"""NumPyro's NUTS on a user's model, one step of warm-up after the other.

The kernel is run here (`init` and `sample`, the interface of `numpyro.infer.mcmc.MCMCKernel`),
because `MCMC` either drops the metrics that earlier windows ended with, or keeps one for each step.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invmass.model.distributions import Array
from invmass.model.precision import float64
from invmass.user_model.metric_structure import MetricStructure
from invmass.user_model.numpyro_density import NumPyroDensity


class WarmUps(NamedTuple):
    """What R warm-ups of W slow windows ended with. A window that was not reached holds zeros.

    Attributes:
        matrices: M⁻¹ at the end of each slow window, shape (R, W, d, d), coordinates in the order
            of the model, zero outside the structure.
        gradients: evaluations of the gradient up to the end of each slow window, shape (R, W).
        all_gradients: evaluations over all steps that were run, shape (R,).
        step_size: shape (R,).
        position: unconstrained position after the last step, shape (R, d).
        divergences: divergent transitions, shape (R,).
    """

    matrices: np.ndarray
    gradients: np.ndarray
    all_gradients: np.ndarray
    step_size: np.ndarray
    position: np.ndarray
    divergences: np.ndarray


@dataclass(frozen=True, eq=False)
class NumPyroWarmUp:
    """Warm-up of NumPyro's NUTS on a model; compiled once.

    Args:
        density: the model.
        metric: the entries that are tuned.
        num_warmup: steps of a whole warm-up.
        regularise: whether NumPyro shrinks what it estimates; `regularize_mass_matrix`.
    """

    density: NumPyroDensity
    metric: MetricStructure
    num_warmup: int
    regularise: bool = True

    @cached_property
    def _schedule(self) -> list[Any]:
        from numpyro.infer.hmc_util import build_adaptation_schedule

        return build_adaptation_schedule(self.num_warmup)

    @property
    def first_interval(self) -> int:
        """Steps before the first slow window, in which only the step size is adapted."""
        return int(self._schedule[0].end + 1)

    @property
    def window_ends(self) -> np.ndarray:
        """Steps after which each slow window has ended, shape (W,)."""
        return np.array([window.end + 1 for window in self._schedule[1:-1]])

    @property
    def last_window(self) -> int:
        """Draws in the window from which the final metric comes; 0 if there is none."""
        slow = self._schedule[1:-1]
        return int(slow[-1].end - slow[-1].start + 1) if slow else 0

    def run(
        self,
        keys: jax.Array,
        starts: np.ndarray,
        steps: int | None = None,
        supplied: np.ndarray | None = None,
    ) -> WarmUps:
        """Warm R replicates up, each alone.

        Args:
            keys: JAX random keys, shape (R,).
            starts: unconstrained positions, shape (R, d).
            steps: stop after so many steps of the warm-up; all if None.
            supplied: a metric to start from instead of the identity, shape (d, d).

        Returns:
            What they ended with, as arrays of NumPy in float64.
        """
        steps = self.num_warmup if steps is None else steps
        with float64():
            first = np.eye(self.density.dimension) if supplied is None else supplied
            given = self.metric.dictionary(first)
            found = self._program(keys, jnp.asarray(starts), given, jnp.asarray(steps))
            found = jax.tree.map(np.asarray, found)
        return found._replace(
            matrices=self.metric.matrix(found.matrices)[:, :-1], gradients=found.gradients[:, :-1]
        )

    @cached_property
    def _program(self) -> Any:
        return jax.jit(jax.vmap(self._warm_up, in_axes=(0, 0, None, None)))

    def _warm_up(self, key: Array, start: Array, metric: dict[Any, Array], steps: Array) -> WarmUps:
        """One replicate; the slot of a window holds what stood when the window ended."""
        from numpyro.infer import NUTS

        density, (args, kwargs) = self.density, self.density.inputs
        kernel = NUTS(
            density.function,
            dense_mass=self.metric.dense_mass,
            inverse_mass_matrix=dict(metric),
            regularize_mass_matrix=self.regularise,
            forward_mode_differentiation=density.forward_mode,
        )
        state = kernel.init(key, self.num_warmup, density.layout.unflatten(start), args, kwargs)
        slots = jnp.searchsorted(
            jnp.asarray(self.window_ends), jnp.arange(self.num_warmup), side="right"
        )
        count = len(self.window_ends) + 1  # one more for the steps after the last window

        def step(t: Array, carry: Any) -> Any:
            state, matrices, gradients, total, divergences = carry
            state = kernel.sample(state, args, kwargs)
            total = total + state.num_steps
            matrices = jax.tree.map(
                lambda stored, new: stored.at[slots[t]].set(new),
                matrices,
                state.adapt_state.inverse_mass_matrix,
            )
            gradients = gradients.at[slots[t]].set(total)
            return state, matrices, gradients, total, divergences + state.diverging

        matrices = jax.tree.map(lambda matrix: jnp.zeros((count, *matrix.shape)), metric)
        zero = jnp.zeros((), dtype=int)
        carry = (state, matrices, jnp.zeros(count, dtype=int), zero, zero)
        state, matrices, gradients, total, divergences = jax.lax.fori_loop(0, steps, step, carry)
        return WarmUps(
            matrices,
            gradients,
            total,
            state.adapt_state.step_size,
            density.layout.flatten(state.z),
            divergences,
        )
