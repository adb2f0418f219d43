"""Write a case as a Stan program with its data."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from invmass.errors import UsageError
from invmass.model import distributions as families
from invmass.model.case import Case
from invmass.model.distributions import ConditionalPrior, Distribution
from invmass.model.posterior import Site
from invmass.model.precision import float64
from invmass.model.stan.expressions import Expression, Known, Tracer, Value, declared, number
from invmass.model.stan.names import stan_name


@dataclass(frozen=True)
class StanProgram:
    """A Stan program.

    Attributes:
        text: the source code.
        data: the data by name, as numbers and nested lists.
    """

    text: str
    data: Mapping[str, Any]


def stan_program(case: Case) -> StanProgram:
    """Translate a case into Stan.

    The log density of the program equals that of the case up to a constant, in Stan's own
    unconstrained space.

    Args:
        case: the case; its observations may use the operations of `expressions` only.

    Raises:
        UsageError: a distribution, a site or a function cannot be translated.
    """
    with float64():
        return _Writer(case).program()


# Names of distributions in Stan that have the same parameters in the same order.
_NAMES: Mapping[type[Distribution], str] = {
    families.Normal: "normal",
    families.Uniform: "uniform",
    families.Dirichlet: "dirichlet",
    families.Beta: "beta",
    families.Exponential: "exponential",
    families.Gamma: "gamma",
    families.InverseGamma: "inv_gamma",
    families.LogNormal: "lognormal",
    families.StudentT: "student_t",
    families.MultivariateNormal: "multi_normal",
    families.Bernoulli: "bernoulli_logit",
    families.Poisson: "poisson",
}
_COUNTS = (families.Bernoulli, families.Poisson, families.Multinomial)
_VECTORS = (families.Dirichlet, families.MultivariateNormal, families.OrderedNormal)


class _Writer:
    def __init__(self, case: Case) -> None:
        self._case = case
        self._used = {stan_name(name) for name in case.sites}
        self._data: dict[str, Any] = {}
        self._types: list[str] = []
        self._data_names: dict[str, str] = {}  # by the shape and content of the array
        self._model: list[str] = []
        self._sites: dict[str, Expression] = {}

    def program(self) -> StanProgram:
        parameters = []
        for name, site in self._case.sites.items():
            if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or name.endswith("__"):
                raise UsageError(f"site {name!r}: Stan has no variable of that name")
            parameters.append(f"{_declaration(name, site)} {stan_name(name)};")
            self._prior(name, site)
            shape = site.value_shape
            self._sites[name] = Expression(stan_name(name), shape, shape == ())
        for name, observation in self._case.observations.items():
            names = list(inspect.signature(observation.family).parameters)[1:]
            constants = [
                Known(np.asarray(value), label)
                for value, label in zip(observation.constants, names, strict=True)
            ]
            family, values = self._traced(observation.family, constants)
            self._state(family, self._observed(name, observation.data, family), values)
        blocks = {"data": self._types, "parameters": parameters, "model": self._model}
        text = [f"// {self._case.name}: {' '.join(self._case.summary.split())}"]
        for block, lines in blocks.items():
            text += [f"{block} {{", *(f"  {line}" for line in lines), "}"]
        return StanProgram("\n".join(text) + "\n", self._data)

    def _prior(self, name: str, site: Site) -> None:
        if isinstance(site.prior, ConditionalPrior):
            family, values = self._traced(site.prior.family, [])
        else:
            prior = site.prior
            family = prior
            values = [
                Known(np.asarray(getattr(prior, entry.name)), f"{name}_{entry.name}")
                for entry in fields(prior)  # type: ignore[arg-type]
            ]
        self._state(family, stan_name(name), values, site)

    def _traced(
        self, function: Callable[..., Distribution], constants: Sequence[Known]
    ) -> tuple[Distribution, list[Value]]:
        """The distribution that a function of the sites returns, and its translated parameters."""
        returned: list[Distribution] = []

        def parameters(sites: Mapping[str, Any], *given: Any) -> tuple[Any, ...]:
            returned.append(function(sites, *given))
            return returned[-1].parameters

        tracer = Tracer(self._keep, self._free_name)
        values = tracer.outputs(parameters, [dict(self._sites), *constants])
        self._model += tracer.locals
        return returned[-1], values

    def _state(
        self, family: Distribution, target: str, values: Sequence[Value], site: Site | None = None
    ) -> None:
        """Add the statement that a site or an observation has a distribution.

        Raises:
            UsageError: the distribution cannot be translated.
        """
        tracer = Tracer(self._keep, self._free_name)
        kind = type(family)
        written = [tracer.written(value) for value in values]
        texts = [e.array if kind in _VECTORS and e.shape else e.text for e in written]
        constant = all(isinstance(value, Known) for value in values)
        match family:
            case families.HalfNormal():
                self._model.append(f"{target} ~ normal(0.0, {texts[0]});")
            case families.HalfCauchy():
                self._model.append(f"{target} ~ cauchy(0.0, {texts[0]});")
            case families.TruncatedNormal() if constant:  # the normaliser is a constant
                self._model.append(f"{target} ~ normal({texts[0]}, {texts[1]});")
            case families.LKJ():
                self._model.append(f"{target} ~ lkj_corr({texts[-1]});")
            case families.Multinomial():
                self._model.append(f"{target} ~ multinomial({texts[-1]});")
            case families.OrderedNormal():
                assert site is not None
                self._model += self._ordered_normal(target, texts, site.value_shape[0])
            case _ if kind in _NAMES:
                self._model.append(f"{target} ~ {_NAMES[kind]}({', '.join(texts)});")
            case _:
                raise UsageError(f"{target}: there is no {kind.__name__} in Stan to be written")

    def _ordered_normal(self, target: str, texts: Sequence[str], size: int) -> list[str]:
        gaps, (loc, scale) = self._free_name(f"{target.removesuffix('_')}_gaps"), texts
        return [
            f"vector[{size - 1}] {gaps} = {target}[2:{size}] - {target}[1:{size - 1}];",
            f"{target}[1] ~ normal({loc}[1], {scale}[1]);",
            f"target += normal_lpdf(log({gaps}) | {loc}[2:{size}], {scale}[2:{size}])"
            f" - sum(log({gaps}));",
        ]

    def _observed(self, name: str, data: Any, family: Distribution) -> str:
        """Declare the data of an observation, and return their name."""
        array = np.asarray(data)
        if array.ndim > 1:
            raise UsageError(f"{name}: Stan has no distribution of a matrix of single numbers")
        if not isinstance(family, _COUNTS):
            return self._declare(name, np.asarray(array, dtype=np.float64))
        if np.any(array != np.round(array)):
            raise UsageError(f"{name}: Stan counts in whole numbers, and the data are others")
        return self._declare(name, np.round(array).astype(int))

    def _keep(self, constant: Known) -> str:
        """Add an array to the data, unless it is there already, and return its name."""
        array = np.asarray(constant.value, dtype=np.float64)
        key = f"{array.shape} {array.tobytes().hex()}"
        if key not in self._data_names:
            self._data_names[key] = self._declare(constant.name, array)
        return self._data_names[key]

    def _declare(self, wanted: str, array: np.ndarray) -> str:
        """Declare an array in the data block, and return its name."""
        name = self._free_name(wanted)
        sizes = ", ".join(map(str, array.shape))
        if np.issubdtype(array.dtype, np.integer):
            kind = f"array[{sizes}] int" if array.ndim else "int"
        elif array.ndim > 2:
            raise UsageError(f"{wanted}: an array of {array.ndim} axes is no matrix of Stan's")
        else:
            kind = declared(array.shape)
        self._types.append(f"{kind} {name};")
        self._data[name] = array.tolist()
        return name

    def _free_name(self, wanted: str) -> str:
        name, count = stan_name(wanted), 1
        while name in self._used:
            count += 1
            name = f"{wanted}_{count}"
        self._used.add(name)
        return name


def _declaration(name: str, site: Site) -> str:
    """The Stan type of a parameter, with its bounds."""
    shape = site.value_shape
    match site.prior.support:
        case families.Simplex():
            return f"simplex[{shape[0]}]"
        case families.Increasing():
            return f"ordered[{shape[0]}]"
        case families.Correlation():
            return f"corr_matrix[{shape[0]}]"
        case families.Positive():
            bounds = "<lower=0>"
        case families.Interval(low, high):
            bounds = f"<lower={number(low)}, upper={number(high)}>"
        case _:
            bounds = ""
    if len(shape) > 1:
        raise UsageError(f"site {name!r}: of {len(shape)} axes; Stan has several orders for these")
    kind, _, size = declared(shape).partition("[")
    return f"{kind}{bounds}" + (f"[{size}" if size else "")
