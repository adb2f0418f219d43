"""Translate functions of sites from JAX into Stan expressions.

A function is traced once by JAX. Values that do not depend on the sites are computed here, and
become numbers in the program or arrays in its data. Each operation on the sites is translated into
a Stan expression.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from invmass.errors import UsageError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Known:
    """An array that does not depend on the sites, and a suggested name for it in the data."""

    value: np.ndarray
    name: str = "constant"


@dataclass(frozen=True)
class Expression:
    """A Stan expression that depends on the sites.

    Attributes:
        text: the expression in Stan.
        shape: shape of the corresponding JAX array.
        uniform: whether the expression is a scalar that stands for all entries of that shape.
        atom: whether the expression never needs parentheses.
    """

    text: str
    shape: Shape
    uniform: bool
    atom: bool = True

    @property
    def enclosed(self) -> str:
        """The expression in parentheses, unless it needs none."""
        return self.text if self.atom else f"({self.text})"

    @property
    def array(self) -> str:
        """The expression as a vector or matrix, also if it is a scalar."""
        if not self.uniform:
            return self.text
        kind = {1: "rep_vector", 2: "rep_matrix"}[len(self.shape)]
        return f"{kind}({self.text}, {', '.join(map(str, self.shape))})"


Value = Known | Expression


def number(value: float) -> str:
    """A real number in Stan: `2.0` and never `2`, because Stan divides integers by rounding."""
    return repr(float(value))


def declared(shape: Shape) -> str:
    """The Stan type of a real variable of a shape: real, vector or matrix."""
    sizes = ", ".join(map(str, shape))
    return {0: "real", 1: f"vector[{sizes}]", 2: f"matrix[{sizes}]"}[len(shape)]


class Tracer:
    """Translates functions of sites into Stan expressions and local variables.

    Args:
        keep: adds an array to the data, and returns its name in the program.
        name: returns an unused name that is similar to the given one.

    Attributes:
        locals: declarations of the local variables that the expressions use.
    """

    def __init__(self, keep: Callable[[Known], str], name: Callable[[str], str]) -> None:
        self._keep, self._name = keep, name
        self.locals: list[str] = []

    def outputs(
        self, function: Callable[..., Sequence[Any]], inputs: Sequence[Mapping[str, Value] | Value]
    ) -> list[Value]:
        """Translate the results of a function.

        Args:
            function: a function that JAX can trace.
            inputs: its arguments: a dictionary of sites, and constants.

        Raises:
            UsageError: the function uses an operation that cannot be translated.
        """
        values, tree = jax.tree.flatten(inputs, is_leaf=lambda leaf: isinstance(leaf, Value))
        shapes = [
            jax.ShapeDtypeStruct(np.shape(v.value) if isinstance(v, Known) else v.shape, float)
            for v in values
        ]
        closed = jax.make_jaxpr(function)(*jax.tree.unflatten(tree, shapes))
        return self._run(closed.jaxpr, [Known(np.asarray(c)) for c in closed.consts], values)

    def written(self, value: Value) -> Expression:
        """A value as an expression; an array that is no simple constant is added to the data."""
        if isinstance(value, Expression):
            return value
        array = np.asarray(value.value, dtype=np.float64)
        first = array.flat[0] if array.size else 0.0
        if array.ndim == 0 or (array.size and np.all(array == first)):
            return Expression(number(first), array.shape, True, bool(first >= 0))
        if array.ndim == 2 and np.array_equal(array, np.eye(len(array))):
            return Expression(f"identity_matrix({len(array)})", array.shape, False)
        return Expression(self._keep(value), array.shape, False)

    def _run(self, jaxpr: Any, consts: Sequence[Value], inputs: Sequence[Value]) -> list[Value]:
        """Translate the equations of a jaxpr in turn, and return its outputs."""
        values: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
        values |= dict(zip(jaxpr.invars, inputs, strict=True))
        uses: dict[Any, int] = {}
        for atom in [a for eqn in jaxpr.eqns for a in eqn.invars] + list(jaxpr.outvars):
            if not isinstance(atom, Literal):
                uses[atom] = uses.get(atom, 0) + 1

        def read(atom: Any) -> Value:
            return Known(np.asarray(atom.val)) if isinstance(atom, Literal) else values[atom]

        for eqn in jaxpr.eqns:
            results = self._equation(eqn, [read(atom) for atom in eqn.invars])
            for variable, result in zip(eqn.outvars, results, strict=True):
                values[variable] = self._shared(result) if uses.get(variable, 0) > 1 else result
        return [read(atom) for atom in jaxpr.outvars]

    def _shared(self, value: Value) -> Value:
        """A value that is used several times, as a local variable."""
        if isinstance(value, Known) or value.text.isidentifier():
            return value
        name = self._name("term")
        kind = declared(() if value.uniform else value.shape)
        self.locals.append(f"{kind} {name} = {value.text};")
        return replace(value, text=name, atom=True)

    def _equation(self, eqn: Any, operands: list[Value]) -> list[Value]:
        """Translate one equation of a jaxpr, or compute it if its operands are constants."""
        name, parameters = eqn.primitive.name, eqn.params
        if name in _CALLS:
            inner = parameters.get("jaxpr", parameters.get("call_jaxpr"))
            jaxpr, consts = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
            return self._run(jaxpr, [Known(np.asarray(c)) for c in consts], operands)
        if all(isinstance(operand, Known) for operand in operands):
            arrays = [jax.numpy.asarray(operand.value) for operand in operands]  # type: ignore[union-attr]
            results = eqn.primitive.bind(*arrays, **parameters)
            results = results if eqn.primitive.multiple_results else [results]
            names = [operand.name for operand in operands]  # type: ignore[union-attr]
            new_name = names[0] if name in _SAME or name in _RESHAPED else "constant"
            return [Known(np.asarray(value), new_name) for value in results]
        shape = tuple(eqn.outvars[0].aval.shape)
        if name in _SAME and np.issubdtype(eqn.outvars[0].aval.dtype, np.floating):
            return [operands[0]]
        written = [self.written(operand) for operand in operands]
        if name in _RULES:
            return [_RULES[name](written, shape, parameters)]
        raise UsageError(
            f"there is no translation of JAX's {name!r} into Stan; write the function with "
            f"arithmetic, {', '.join(sorted(_FUNCTIONS))}, slices and products of matrices"
        )


Rule = Callable[[list[Expression], Shape, Mapping[str, Any]], Expression]

_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
_SAME = ("convert_element_type", "copy", "copy_p", "stop_gradient")
_RESHAPED = ("broadcast_in_dim", "reshape", "squeeze", "expand_dims")
_FUNCTIONS = {
    "abs": "abs", "cos": "cos", "erf": "erf", "exp": "exp", "expm1": "expm1", "lgamma": "lgamma",
    "log": "log", "log1p": "log1p", "logistic": "inv_logit", "rsqrt": "inv_sqrt", "sin": "sin",
    "sqrt": "sqrt", "square": "square", "tan": "tan", "tanh": "tanh",
}  # fmt: skip


def _broadcast(x: Expression, shape: Shape) -> Expression:
    """An operand that is a scalar or has the shape of the result."""
    if x.uniform or x.shape == shape:
        return x
    if set(x.shape) == {1}:
        return _only_entry(x, shape)
    raise UsageError(f"there is no translation of arithmetic with shapes {x.shape} and {shape}")


def _only_entry(x: Expression, shape: Shape) -> Expression:
    """The entry of a vector or matrix with one entry, as a scalar for all entries of a shape."""
    return Expression(f"{x.enclosed}[{', '.join('1' * len(x.shape))}]", shape, True)


def _function(stan: str) -> Rule:
    def rule(given: list[Expression], shape: Shape, _: Mapping[str, Any]) -> Expression:
        (x,) = given
        return Expression(f"{stan}({x.text})", shape, x.uniform)

    return rule


def _sum(sign: str) -> Rule:
    def rule(given: list[Expression], shape: Shape, _: Mapping[str, Any]) -> Expression:
        a, b = (_broadcast(x, shape) for x in given)
        right = b.text if sign == "+" and not b.text.startswith("-") else b.enclosed
        return Expression(f"{a.text} {sign} {right}", shape, a.uniform and b.uniform, False)

    return rule


def _binary(sign: str, plain: Callable[[Expression, Expression], bool]) -> Rule:
    """An elementwise operator, which Stan writes with a dot unless `plain` is true."""

    def rule(given: list[Expression], shape: Shape, _: Mapping[str, Any]) -> Expression:
        a, b = (_broadcast(x, shape) for x in given)
        written = sign if plain(a, b) else f".{sign}"
        text = f"{a.enclosed} {written} {b.enclosed}"
        return Expression(text, shape, a.uniform and b.uniform, False)

    return rule


def _negative(given: list[Expression], shape: Shape, _: Mapping[str, Any]) -> Expression:
    return Expression(f"-{given[0].enclosed}", shape, given[0].uniform, False)


def _integer_power(
    given: list[Expression], shape: Shape, given_with: Mapping[str, Any]
) -> Expression:
    (x,), exponent = given, given_with["y"]
    if exponent == 2:
        return Expression(f"square({x.text})", shape, x.uniform)
    sign = "^" if x.uniform else ".^"
    return Expression(f"{x.enclosed} {sign} {number(exponent)}", shape, x.uniform, False)


def _reshape(given: list[Expression], shape: Shape, _: Mapping[str, Any]) -> Expression:
    (x,) = given
    if x.uniform or x.shape == shape:
        return replace(x, shape=shape)
    if set(x.shape) == {1}:
        return _only_entry(x, shape)
    raise UsageError(f"there is no translation of a change of shape from {x.shape} to {shape}")


def _slice(given: list[Expression], shape: Shape, given_with: Mapping[str, Any]) -> Expression:
    (x,) = given
    if x.uniform:
        return replace(x, shape=shape)
    if len(x.shape) > 1 or set(given_with["strides"] or (1,)) != {1}:
        raise UsageError("there is no translation of slices of matrices, or of those with a stride")
    (start,), (end,) = given_with["start_indices"], given_with["limit_indices"]
    return Expression(f"{x.enclosed}[{start + 1}:{end}]", shape, False)


def _concatenate(given: list[Expression], shape: Shape, _: Mapping[str, Any]) -> Expression:
    if len(shape) > 1:
        raise UsageError("there is no translation of joined matrices")
    *rest, text = [x.array for x in given]
    for part in reversed(rest):
        text = f"append_row({part}, {text})"
    return Expression(text, shape, False)


def _product(given: list[Expression], shape: Shape, given_with: Mapping[str, Any]) -> Expression:
    (left, right), (batch_left, _) = given_with["dimension_numbers"]
    a, b = given
    if batch_left or len(left) != 1 or max(len(a.shape), len(b.shape)) > 2:
        raise UsageError("there is no translation of products of more than two matrices at once")
    first, second = (replace(x, text=x.array, atom=x.atom or x.uniform).enclosed for x in (a, b))
    if len(a.shape) == len(b.shape) == 1:
        return Expression(f"dot_product({first}, {second})", shape, True)
    if len(a.shape) == 1:  # v A is A' v
        first, second, left, right = second, first, right, left
        a, b = b, a
    first += "'" if left[0] == 0 else ""
    second += "'" if len(b.shape) == 2 and right[0] == 1 else ""
    return Expression(f"{first} * {second}", shape, False, False)


def _total(given: list[Expression], shape: Shape, _: Mapping[str, Any]) -> Expression:
    if shape:
        raise UsageError("there is no translation of sums over some axes alone")
    return Expression(f"sum({given[0].array})", shape, True)


_RULES: Mapping[str, Rule] = {
    **{name: _function(stan) for name, stan in _FUNCTIONS.items()},
    **dict.fromkeys(_RESHAPED, _reshape),
    "add": _sum("+"),
    "add_any": _sum("+"),
    "sub": _sum("-"),
    "mul": _binary("*", lambda a, b: a.uniform or b.uniform),
    "div": _binary("/", lambda a, b: b.uniform),
    "pow": _binary("^", lambda a, b: a.uniform and b.uniform),
    "neg": _negative,
    "integer_pow": _integer_power,
    "slice": _slice,
    "concatenate": _concatenate,
    "dot_general": _product,
    "reduce_sum": _total,
}
