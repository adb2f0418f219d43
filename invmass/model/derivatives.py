"""First and second derivatives of a function of one vector, in a mode that the function supports.

JAX cannot differentiate `jax.custom_vjp` or a callback in forward mode, nor `jax.lax.while_loop` in
reverse mode. If no combination of modes gives the second derivative, the gradient is differentiated
by central differences.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from invmass.errors import UsageError
from invmass.model.distributions import Array

_STEP = 6e-6  # ε^⅓ of float64 balances truncation and rounding errors of a central difference

Function = Callable[[Array], Any]


def gradient(function: Function) -> Function:
    """Gradient, shape (d,), of a scalar function: in reverse mode, else in forward mode."""
    return _first_of({"reverse mode": jax.grad, "forward mode": jax.jacfwd}, function)


def jacobian(function: Function) -> Function:
    """Jacobian of a function with any outputs; d is the last axis of each derivative."""
    modes = {"forward mode": jax.jacfwd, "reverse mode": jax.jacrev, "differences": _differences}
    return _first_of(modes, function)


def hessian(function: Function) -> Function:
    """Hessian, shape (d, d), of a scalar function."""
    return _first_of(_SECOND, function)


def needs_forward_mode(function: Function, at: Array) -> bool:
    """Whether the gradient of a scalar function at a point exists in forward mode only."""
    return bool(_fails(jax.grad(function), at)) and not _fails(jax.jacfwd(function), at)


def how_twice(function: Function, at: Array) -> str:
    """The mode in which `hessian` differentiates a function, or "none"."""
    return next((name for name, d in _SECOND.items() if not _fails(d(function), at)), "none")


def _first_of(modes: dict[str, Callable[[Function], Function]], function: Function) -> Function:
    """The derivative in the first mode that can be traced.

    Raises:
        UsageError: by the derivative, if there is no such mode.
    """

    def derivative(z: Array) -> Any:
        jax.eval_shape(function, z)  # raise the errors of the function itself
        reasons = {}
        for name, differentiate in modes.items():
            if reason := _fails(differentiate(function), z):
                reasons[name] = reason
                continue
            return differentiate(function)(z)
        every = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise UsageError(
            f"the log density is evaluated, but JAX cannot differentiate it, which NUTS needs too. "
            f"Give what has no derivative one by jax.custom_vjp, or bound its loops. {every}"
        )

    return derivative


def _fails(function: Function, z: Array) -> str:
    """The first line of the error if a function cannot be traced; empty if it can."""
    try:
        jax.eval_shape(function, z)
    except (TypeError, ValueError, NotImplementedError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
    return ""


def _differences(function: Function) -> Function:
    """The Jacobian by central differences: two evaluations for each coordinate."""

    def derivative(z: Array) -> Any:
        steps = _STEP * jnp.maximum(1.0, jnp.abs(z))

        def along(i: Array) -> Any:
            step = jnp.zeros_like(z).at[i].set(steps[i])
            ahead, behind = function(z + step), function(z - step)
            return jax.tree.map(lambda a, b: (a - b) / (2 * steps[i]), ahead, behind)

        columns = jax.lax.map(along, jnp.arange(z.size))
        return jax.tree.map(lambda column: jnp.moveaxis(column, 0, -1), columns)

    return derivative


def _differences_of_gradient(function: Function) -> Function:
    """The Hessian by central differences of the gradient, made symmetric."""

    def derivative(z: Array) -> Array:
        matrix = _differences(jax.grad(function))(z)
        return (matrix + matrix.T) / 2

    return derivative


USUAL = "forward over reverse mode"
_SECOND: dict[str, Callable[[Function], Function]] = {
    USUAL: jax.hessian,
    "reverse over reverse mode": lambda function: jax.jacrev(jax.grad(function)),
    "forward over forward mode": lambda function: jax.jacfwd(jax.jacfwd(function)),
    "central differences of the gradient": _differences_of_gradient,
}
