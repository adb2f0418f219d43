"""NumPyro's NUTS on a user's own model, one step of warm-up after the other.

It runs the kernel itself (`init` and `sample`, the interface of `numpyro.infer.mcmc.MCMCKernel`),
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
from invmass.user_model.model import OwnModel, Structure


class WarmUp(NamedTuple):
    """What R warm-ups left behind; W slow windows. A window that was not reached holds zeros.

    Attributes:
        matrices: M⁻¹ at the end of each slow window, shape (R, W, d, d), coordinates in the order
            of the model's own, zero outside the structure.
        gradients: evaluations of the gradient up to there, shape (R, W).
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
class OwnModelNUTS:
    """Warm-up of NUTS on a model, for a structure of the metric; compiled once.

    Args:
        own: the model.
        structure: as `OwnModel.blocks` takes it.
        num_warmup: steps of a whole warm-up.
        regularise: whether NumPyro shrinks what it estimates; `regularize_mass_matrix`.
    """

    own: OwnModel
    structure: Structure
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
    ) -> WarmUp:
        """Warm R replicates up, each alone.

        Args:
            keys: JAX random keys, shape (R,).
            starts: unconstrained positions, shape (R, d).
            steps: stop after so many steps of the warm-up; all if None.
            supplied: a metric to start from instead of the identity, shape (d, d).
        """
        steps = self.num_warmup if steps is None else steps
        with float64():
            first = np.eye(self.own.dimension) if supplied is None else supplied
            metric = self.own.inverse_mass_matrix(self.structure, first)
            found = self._program(keys, jnp.asarray(starts), metric, jnp.asarray(steps))
            found = jax.tree.map(np.asarray, found)
        return found._replace(
            matrices=self._assembled(found.matrices)[:, :-1], gradients=found.gradients[:, :-1]
        )

    @cached_property
    def _program(self) -> Any:
        return jax.jit(jax.vmap(self._warm_up, in_axes=(0, 0, None, None)))

    def _warm_up(self, key: Array, start: Array, metric: dict[Any, Array], steps: Array) -> WarmUp:
        """One replicate; the slot of a window holds what stood when the window ended."""
        from numpyro.infer import NUTS

        own, (args, kwargs) = self.own, self.own.inputs
        kernel = NUTS(
            own.model,
            dense_mass=own.dense_mass(self.structure),
            inverse_mass_matrix=dict(metric),
            regularize_mass_matrix=self.regularise,
            forward_mode_differentiation=own.forward_mode,
        )
        state = kernel.init(key, self.num_warmup, own.unflatten(start), args, kwargs)
        slots = jnp.searchsorted(
            jnp.asarray(self.window_ends), jnp.arange(self.num_warmup), side="right"
        )
        count = len(self.window_ends) + 1  # one more for the steps after the last window

        def step(t: Array, carry: Any) -> Any:
            state, matrices, gradients, total, divergences = carry
            state = kernel.sample(state, args, kwargs)
            total = total + state.num_steps
            matrices = jax.tree.map(
                lambda kept, new: kept.at[slots[t]].set(new),
                matrices,
                state.adapt_state.inverse_mass_matrix,
            )
            gradients = gradients.at[slots[t]].set(total)
            return state, matrices, gradients, total, divergences + state.diverging

        matrices = jax.tree.map(lambda matrix: jnp.zeros((count, *matrix.shape)), metric)
        zero = jnp.zeros((), dtype=int)
        carry = (state, matrices, jnp.zeros(count, dtype=int), zero, zero)
        state, matrices, gradients, total, divergences = jax.lax.fori_loop(0, steps, step, carry)
        return WarmUp(
            matrices,
            gradients,
            total,
            state.adapt_state.step_size,
            own.flatten(state.z),
            divergences,
        )

    def _assembled(self, matrices: dict[tuple[str, ...], np.ndarray]) -> np.ndarray:
        """NumPyro's dictionary, blocks of shape (R, W, n) or (R, W, n, n), as (R, W, d, d)."""
        lead = next(iter(matrices.values())).shape[:2]
        whole = np.zeros((*lead, self.own.dimension, self.own.dimension))
        for names, block in matrices.items():
            i = self.own.indices(names)
            if block.ndim == 4:
                whole[..., i[:, None], i] = block
            else:
                whole[..., i, i] = block
        return whole
