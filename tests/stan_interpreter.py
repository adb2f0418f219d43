"""The log density of an exported Stan program, by an interpreter independent of its writer.

It knows the statements and types that such programs use, and is as strict as Stan: a product of
two vectors, a sum of different lengths or an operator with a dot between numbers is an error.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special
import scipy.stats

_OPERATORS = {".^": "**", "^": "**", ".*": "@", "./": "//", "'": ".T", " | ": ", "}


class Stan:
    """A real number, a vector or a matrix."""

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value, dtype=np.float64)

    @property
    def T(self) -> "Stan":
        assert self.value.ndim == 2
        return Stan(self.value.T)

    def __getitem__(self, index: Any) -> "Stan":
        assert self.value.ndim == 1
        if isinstance(index, slice):
            assert 1 <= index.start <= index.stop <= len(self.value)
            return Stan(self.value[index.start - 1 : index.stop])
        assert 1 <= index <= len(self.value)
        return Stan(self.value[index - 1])

    def __neg__(self) -> "Stan":
        return Stan(-self.value)

    def __add__(self, other: Any) -> "Stan":
        a, b = _alike(self, other)
        return Stan(a + b)

    def __radd__(self, other: float) -> "Stan":
        return Stan(other) + self

    def __sub__(self, other: Any) -> "Stan":
        a, b = _alike(self, other)
        return Stan(a - b)

    def __rsub__(self, other: float) -> "Stan":
        return Stan(other) - self

    def __mul__(self, other: Any) -> "Stan":
        a, b = self.value, _array(other)
        if a.ndim == 0 or b.ndim == 0:
            return Stan(a * b)
        assert a.ndim == 2, "a product of two columns"
        return Stan(a @ b)

    def __rmul__(self, other: float) -> "Stan":
        return Stan(other) * self

    def __truediv__(self, other: Any) -> "Stan":
        assert _array(other).ndim == 0, "division by a vector"
        return Stan(self.value / _array(other))

    def __rtruediv__(self, other: float) -> "Stan":
        return Stan(other) / self

    def __matmul__(self, other: Any) -> "Stan":  # .*
        a, b = _alike(self, other)
        assert a.ndim == b.ndim > 0, "numbers have no .*"
        return Stan(a * b)

    def __floordiv__(self, other: Any) -> "Stan":  # ./
        a, b = _alike(self, other)
        assert a.ndim + b.ndim > 0, "numbers have no ./"
        return Stan(a / b)

    def __rfloordiv__(self, other: float) -> "Stan":
        return Stan(other) // self

    def __pow__(self, other: Any) -> "Stan":
        a, b = _alike(self, other)
        return Stan(a**b)

    def __rpow__(self, other: float) -> "Stan":
        return Stan(other) ** self


def _array(value: Any) -> np.ndarray:
    return value.value if isinstance(value, Stan) else np.asarray(value, dtype=np.float64)


def _alike(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = _array(a), _array(b)
    assert a.ndim == 0 or b.ndim == 0 or a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    return a, b


def _vectorised(function: Callable[..., Any]) -> Callable[..., Stan]:
    return lambda *given: Stan(function(*map(_array, given)))


def _log_density(function: Callable[..., Any]) -> Callable[..., float]:
    return lambda *given: float(np.sum(function(*map(_array, given))))


_FUNCTIONS = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "square": np.square, "tanh": np.tanh,
    "abs": np.abs, "log1p": np.log1p, "expm1": np.expm1, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "erf": scipy.special.erf, "lgamma": scipy.special.gammaln,
    "inv_logit": scipy.special.expit, "inv_sqrt": lambda x: x**-0.5, "sum": np.sum,
    "append_row": lambda a, b: np.concatenate([a, b]), "dot_product": np.dot,
    "rep_vector": lambda x, n: np.full(int(n), x), "identity_matrix": lambda n: np.eye(int(n)),
    "rep_matrix": lambda x, n, m: np.full((int(n), int(m)), x),
}  # fmt: skip
_S = scipy.stats
_DISTRIBUTIONS = {
    "normal": _S.norm.logpdf,
    "cauchy": _S.cauchy.logpdf,
    "uniform": lambda x, a, b: _S.uniform.logpdf(x, a, b - a),
    "beta": _S.beta.logpdf,
    "exponential": lambda x, rate: _S.expon.logpdf(x, scale=1 / rate),
    "gamma": lambda x, a, rate: _S.gamma.logpdf(x, a, scale=1 / rate),
    "inv_gamma": lambda x, a, scale: _S.invgamma.logpdf(x, a, scale=scale),
    "lognormal": lambda x, loc, scale: _S.lognorm.logpdf(x, scale, scale=np.exp(loc)),
    "student_t": _S.t.logpdf,
    "dirichlet": _S.dirichlet.logpdf,
    "lkj_corr": lambda r, eta: (eta - 1) * np.linalg.slogdet(r)[1],
    "multi_normal": _S.multivariate_normal.logpdf,
    "multinomial": lambda n, p: _S.multinomial.logpmf(n, int(np.sum(n)), p),
    "poisson": _S.poisson.logpmf,
    "bernoulli_logit": lambda y, x: y * x - np.logaddexp(0, x),
}


def evaluated(text: str, names: Mapping[str, Any]) -> Stan:
    """The value of an expression, given what its names mean."""
    for stan, python in _OPERATORS.items():
        text = text.replace(stan, python)
    known: dict[str, Any] = {name: _vectorised(f) for name, f in _FUNCTIONS.items()}
    known |= {f"{name}_lpdf": _log_density(f) for name, f in _DISTRIBUTIONS.items()}
    known |= {name: Stan(value) for name, value in names.items()}
    found = eval(text, {"__builtins__": {}}, known)
    return found if isinstance(found, Stan) else Stan(found)


def log_density(program: str, data: Mapping[str, Any], values: Mapping[str, Any]) -> float:
    """The log density of constrained values, constants included.

    Raises:
        AssertionError: a declared size is not that of its value, or a statement is not Stan.
    """
    blocks = dict(re.findall(r"^(\w+) \{\n(.*?)^\}", program, re.MULTILINE | re.DOTALL))
    names: dict[str, Any] = {}
    for block, given in (("data", data), ("parameters", values)):
        for line in blocks[block].splitlines():
            kind, name = re.fullmatch(r"  (.*) (\w+);", line).groups()  # type: ignore[union-attr]
            assert np.shape(given[name]) == _shape(kind), line
            names[name] = given[name]
        assert set(given) <= set(names)
    total = 0.0
    for line in blocks["model"].splitlines():
        statement = line.strip().removesuffix(";")
        if drawn := re.fullmatch(r"(\S+) ~ (\w+)\((.*)\)", statement):
            target, family, parameters = drawn.groups()
            total += float(evaluated(f"{family}_lpdf({target} | {parameters})", names).value)
        elif added := re.fullmatch(r"target \+= (.*)", statement):
            total += float(evaluated(added[1], names).value)
        else:
            kind, name, text = re.fullmatch(r"(\S+(?: \S+\])?) (\w+) = (.*)", statement).groups()  # type: ignore[union-attr]
            names[name] = evaluated(text, names).value
            assert np.shape(names[name]) == _shape(kind), line
    return total


def _shape(kind: str) -> tuple[int, ...]:
    """Of a declared type, bounds and all."""
    sizes = re.search(r"\[([\d, ]+)\]", kind)
    shape = tuple(map(int, sizes[1].split(","))) if sizes else ()
    return shape * 2 if kind.startswith("corr_matrix") else shape
