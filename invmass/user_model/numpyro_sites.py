"""The sites of a NumPyro model, and what makes a model one that NUTS cannot move."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invmass.errors import InvmassError, UsageError
from invmass.model.posterior import Sites

Trace = Mapping[str, dict[str, Any]]


def model_name(model: Callable[..., Any]) -> str:
    """What a model is called: the name of the function, or of the class of a callable object."""
    return getattr(model, "__name__", type(model).__name__)


def seeded(model: Callable[..., Any]) -> Callable[..., Any]:
    """The model with a random key, for its statements that ask for one."""
    from numpyro.handlers import seed

    return seed(model, jax.random.key(0))


def traced(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], x: Sites
) -> Trace:
    """Every site of a model at constrained values.

    Args:
        model: a function of NumPyro primitives.
        args: its positional arguments.
        kwargs: its keyword arguments.
        x: constrained values of latent sites; the other sites get random ones.

    Returns:
        NumPyro's trace: by name, each site with its distribution (`fn`) and value.
    """
    from numpyro.handlers import substitute, trace

    def value_of(site: dict[str, Any]) -> Any:
        return x[site["name"]] if site["name"] in x else _start(site)

    return trace(substitute(seeded(model), substitute_fn=value_of)).get_trace(*args, **kwargs)


def latent_sites(trace: Trace) -> dict[str, Any]:
    """The sites that NUTS moves, checked.

    Raises:
        UsageError: there is none, or it cannot be moved.
    """
    for name, site in trace.items():
        if site["type"] == "plate" and site["args"][1] not in (None, site["args"][0]):
            raise UsageError(
                f"plate {name!r} takes a random subsample: the posterior is another at each step. "
                "Give the model all data, without subsample_size."
            )
    latent = {
        name: site
        for name, site in trace.items()
        if site["type"] == "sample" and not site["is_observed"]
    }
    for name, site in latent.items():
        if site["fn"].support.is_discrete:
            raise UsageError(
                f"site {name!r} is discrete, and NUTS has no gradient for it: sum it out of the "
                "likelihood (numpyro.distributions.MixtureSameFamily does so for mixtures), or "
                "observe it"
            )
    if not latent:
        raise UsageError("the model has no latent site: all its sample statements are observed")
    return latent


def observed_sites(trace: Trace) -> dict[str, Any]:
    """The sites with data, factors among them."""
    return {
        name: site
        for name, site in trace.items()
        if site["type"] == "sample" and site["is_observed"]
    }


def check_values(latent: Trace, x: Sites) -> None:
    """Check that constrained values fit the latent sites of a model.

    Args:
        latent: the latent sites, as `latent_sites` gives them.
        x: the values.

    Raises:
        UsageError: a site is missing or unknown, or its value has another shape or lies outside
            its support.
    """
    missing, unknown = sorted(set(latent) - set(x)), sorted(set(x) - set(latent))
    if missing or unknown:
        raise UsageError(
            f"the values do not match the model's latent sites ({', '.join(sorted(latent))}): "
            f"missing {missing}, unknown {unknown}"
        )
    for name, site in latent.items():
        value, repeated = np.asarray(x[name]), site["kwargs"].get("sample_shape", ())
        shape = (*repeated, *site["fn"].shape())
        if value.shape != shape:
            raise UsageError(f"site {name!r} has shape {shape}, its value {value.shape}")
        if not np.all(site["fn"].support(jnp.asarray(value))):
            raise UsageError(
                f"the value of site {name!r}, {value}, is outside its support, {site['fn'].support}"
            )


@contextmanager
def model_errors_as_usage_errors(model: Callable[..., Any]) -> Iterator[None]:
    """A context in which what a user's model raises becomes `UsageError`, with its cause.

    Errors of this package pass as they are.

    Args:
        model: whose name the message holds.

    Raises:
        UsageError: the model cannot be run.
    """
    try:
        yield
    except InvmassError:
        raise
    except Exception as error:
        name = model_name(model)
        if isinstance(error, ModuleNotFoundError) and error.name == "numpyro":
            raise UsageError(NO_NUMPYRO) from error
        if any(symptom in str(error) for symptom in _TWO_PRECISIONS):
            raise UsageError(
                f"the model {name!r} closes over a NumPy array that JAX has seen in float32 "
                "already, and JAX keeps that (docs/findings.md): pass arrays as arguments of the "
                "model, or call jax.clear_caches() first"
            ) from error
        raise UsageError(
            f"the model {name!r} cannot be run: {type(error).__name__}: {error}"
        ) from error


NO_NUMPYRO = "numpyro is not installed: python -m pip install 'invmass[numpyro]'"
_TWO_PRECISIONS = ("verifier errors", "incompatible size")


def _start(site: dict[str, Any]) -> Any:
    """A random value inside the support of a latent site; None for all else.

    Raises:
        UsageError: the support has no bijection with the unconstrained space.
    """
    from numpyro.infer import init_to_uniform

    if site["type"] != "sample" or site["is_observed"]:
        return None
    try:
        return init_to_uniform(site)
    except (NotImplementedError, ValueError) as error:
        raise UsageError(
            f"site {site['name']!r}: NumPyro has no bijection from the real numbers to its "
            f"support, {site['fn'].support}; state the site on another one "
            f"(handlers.reparam helps). {error}"
        ) from error
