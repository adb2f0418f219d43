"""Exported programs have the density of their case, wherever it is evaluated, and run anywhere."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from stan_interpreter import evaluated, log_density

import invmass
from invmass.cli.export import export_
from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.model.distributions import ConditionalPrior, Normal, Poisson, TruncatedNormal
from invmass.model.posterior import Observation, Site
from invmass.model.precision import float64
from invmass.model.stan.expressions import Expression, Known, Tracer
from invmass.model.stan.names import stan_name
from invmass.model.stan.program import stan_program

NOTEBOOK = """\
// notebook-uniform: y ~ N(x, [[1, 0.09], [0.09, 0.01]]), y = (2, 1); x ~ Uniform(-10, 10)
data {
  vector[2] y;
  matrix[2, 2] covariance;
}
parameters {
  vector<lower=-10.0, upper=10.0>[2] x;
}
model {
  x ~ uniform(-10.0, 10.0);
  y ~ multi_normal(x, covariance);
}
"""


def by_stan_name(sites: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {stan_name(name): np.asarray(value) for name, value in sites.items()}


def a_case(**changes: Any) -> Case:
    """Two sites and an observation, or what else is given."""
    given: dict[str, Any] = {
        "name": "mine",
        "summary": "",
        "sites": {"a": Site(Normal(1.0, 2.0)), "b": Site(Normal(0.0, 1.0), (3,))},
        "observations": {},
        "truth": {"a": 1.0, "b": np.zeros(3)},
    }
    return Case(**given | changes)


@pytest.mark.parametrize("case", all_cases().values(), ids=all_cases())
def test_program_has_the_density_of_its_case(case: Case) -> None:
    program = stan_program(case)
    assert json.loads(json.dumps(program.data)) == program.data
    posterior, random = case.posterior, np.random.default_rng(0)
    differences, sizes = [], []
    with float64():
        star = case.truth_in_own_space.position
        for _ in range(4):
            z = star + 0.3 * random.normal(size=star.shape)
            x = posterior.to_constrained(posterior.unflatten(jnp.asarray(z)))
            ours = float(posterior.log_likelihood(x) + posterior.log_prior(x))
            differences.append(log_density(program.text, program.data, by_stan_name(x)) - ours)
            sizes.append(abs(ours))
    assert np.ptp(differences) <= 1e-11 * max(1.0, *sizes)


def test_program_of_the_notebook_reads_as_its_author_would_write_it() -> None:
    assert stan_program(all_cases()["notebook-uniform"]).text == NOTEBOOK


X = Expression("x", (3,), False)
S = Expression("s", (), True)
A = Known(np.arange(9.0).reshape(3, 3) + 1.0, "A")
VALUES = {"x": np.array([0.3, 0.5, 0.9]), "s": 1.7}
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "arithmetic": lambda x, s, a: (2.0 - s) * x / (x + s) - x / s + s / x,
    "differences": lambda x, s, a: s - (x - (s - 1.0)) + (-x) - (-s),
    "powers": lambda x, s, a: x**3 + x**2 + s**x + x**s + s**-2 + x**0.5 + s**1.5,
    "negative numbers": lambda x, s, a: x * -2.0 + -3.0 - (x + -1.0) / -4.0,
    "functions": lambda x, s, a: jnp.exp(-x) + jnp.log1p(x) + jnp.tanh(s) + jax.nn.sigmoid(x),
    "products": lambda x, s, a: a @ x + x @ a + a.T @ x + x @ a.T,
    "products of products": lambda x, s, a: a @ (a @ x * x) * (x @ x),
    "numbers as vectors": lambda x, s, a: a @ jnp.full(3, s) + jnp.full(3, s) @ a,
    "sums": lambda x, s, a: jnp.sum(x**2) + jnp.sum(jnp.full(3, s)) + x * 0.0,
    "parts": lambda x, s, a: jnp.concatenate([x[1:], x[:1] * s, jnp.full(2, 0.5)]),
    "one of them": lambda x, s, a: x[1] * x + x[0:1] + a[0, 1],
    "constants": lambda x, s, a: x * jnp.linalg.inv(a + jnp.eye(3))[0] + jnp.where(a[0] > 1, 2, 3),
    "the same again": lambda x, s, a: (y := jnp.exp(x) * s) * y + jnp.sum(y) + y[0],
    "a function of a function": lambda x, s, a: jax.jit(lambda y: jnp.square(y) - s)(x + 1.0),
    "matrices": lambda x, s, a: (s * jnp.exp(a / s) + s**2 * jnp.eye(3)) @ x,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_expression_is_worth_what_the_function_is(function: Callable[..., Any]) -> None:
    kept: dict[str, np.ndarray] = {}

    def keep(known: Known) -> str:
        kept[f"data_{len(kept)}"] = known.value
        return f"data_{len(kept) - 1}"

    names = iter(f"local_{i}" for i in range(99))
    with float64():
        tracer = Tracer(keep, lambda _: next(names))
        (value,) = tracer.outputs(
            lambda sites, a: (function(sites["x"], sites["s"], a),), [{"x": X, "s": S}, A]
        )
        text = tracer.written(value).text
        expected = np.asarray(function(jnp.asarray(VALUES["x"]), VALUES["s"], A.value))
    known: dict[str, Any] = VALUES | kept
    for local in tracer.locals:
        (_, name), text_of = local.split(" = ")[0].rsplit(" ", 1), local.split(" = ")[1]
        known[name] = evaluated(text_of.removesuffix(";"), known).value
    np.testing.assert_allclose(evaluated(text, known).value, expected, rtol=1e-13)


def test_what_is_needed_twice_is_written_once() -> None:
    text = stan_program(all_cases()["scaling-10-1e2"]).text
    assert text.count("append_row(second, first)") == 1
    assert "vector[10] term = append_row(second, first) ./ scale;" in text


def test_summary_of_several_lines_is_one_comment() -> None:
    text = stan_program(a_case(summary="a ~ N(0, 1),\nb ~ N(0, 1)")).text
    assert text.splitlines()[:2] == ["// mine: a ~ N(0, 1), b ~ N(0, 1)", "data {"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {
                "observations": {
                    "y": Observation(lambda x: Normal(jnp.sort(x["b"]), 1.0), np.ones(3))
                }
            },
            "there is no translation of JAX's 'sort' into Stan; write the function with arithmetic",
        ),
        (
            {
                "observations": {
                    "y": Observation(lambda x: Normal(1.0 * x["a"].astype(int), 1.0), np.ones(3))
                }
            },
            "there is no translation of JAX's 'convert_element_type'",
        ),
        (
            {"observations": {"y": Observation(lambda x: Normal(x["a"], 1.0), np.ones((2, 2)))}},
            "y: Stan has no distribution of a matrix",
        ),
        (
            {"observations": {"n": Observation(lambda x: Poisson(x["a"]), np.array([1.5]))}},
            "n: Stan counts in whole numbers",
        ),
        ({"sites": {"a": Site(Normal(0.0, 1.0), (2, 2))}}, "site 'a': of 2 axes"),
        ({"sites": {"μ": Site(Normal(0.0, 1.0))}}, "site 'μ': Stan has no variable of that name"),
        (
            {
                "sites": {
                    "a": Site(Normal(0.0, 1.0)),
                    "b": Site(ConditionalPrior(lambda x: TruncatedNormal(x["a"], 1.0, 0.0, 1.0))),
                }
            },
            "b: there is no TruncatedNormal in Stan to be written",
        ),
    ],
)
def test_what_cannot_be_said_in_stan_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        stan_program(a_case(**changes))


def test_loops_are_not_taken_for_their_bodies() -> None:
    def counted(x: Mapping[str, Any]) -> Normal:
        return Normal(jax.lax.scan(lambda c, b: (c + b, c), x["a"], x["b"])[1], 1.0)

    with pytest.raises(UsageError, match="no translation of JAX's 'scan'"):
        stan_program(a_case(observations={"y": Observation(counted, np.ones(3))}))


def test_names_are_those_that_stan_allows_and_no_two_are_the_same() -> None:
    case = a_case(
        sites={"mean": Site(Normal(0.0, 1.0)), "y": Site(Normal(0.0, 1.0))},
        observations={
            "y": Observation(
                lambda x, design: Normal(x["mean"] * design + x["y"], 1.0),
                np.array([1.0, 2.0]),
                (np.array([3.0, 4.0]),),
            )
        },
        truth={"mean": 0.0, "y": 0.0},
    )
    program = stan_program(case)
    assert "real mean_;\n  real y;" in program.text
    assert program.data == {"design": [3.0, 4.0], "y_2": [1.0, 2.0]}
    assert "y_2 ~ normal(mean_ * design + y, 1.0);" in program.text


def test_files_hold_program_data_and_exact_starts(tmp_path: Path) -> None:
    paths = invmass.export("mixed_sites", tmp_path, starts=3, seed=5)
    assert [path.name for path in paths] == [
        "mixed_sites.stan",
        "mixed_sites.data.json",
        "mixed_sites.starts.json",
    ]
    case = all_cases()["mixed_sites"]
    program, data, starts = (path.read_text(encoding="utf-8") for path in paths)
    assert program == stan_program(case).text
    assert json.loads(data) == stan_program(case).data
    found = json.loads(starts)
    assert len(found) == 3
    assert [sum(start["shares"]) for start in found] == pytest.approx([1.0] * 3, abs=1e-12)
    free = [[s["level"], *s["shares"][:2], s["bend"], s["gain"]] for s in found]
    np.testing.assert_array_equal(free, case.starts(5, 3))
    values = {name: np.array(value) for name, value in found[0].items()}
    assert np.isfinite(log_density(program, json.loads(data), values))


def test_command_writes_every_case_of_a_pattern_and_says_what(tmp_path: Path) -> None:
    words = ["notebook", "--out", str(tmp_path / "new"), "--starts", "2", "--json"]
    answer = CliRunner().invoke(export_, words)
    assert answer.exit_code == 0, answer.output
    written = [Path(path) for path in json.loads(answer.output)]
    assert all(path.parent == tmp_path / "new" and path.exists() for path in written)
    assert len(written) == 6
    with pytest.raises(UsageError, match=r"cannot write to .*; choose another place with --out"):
        invmass.export("notebook-normal", written[0], starts=1)
    with pytest.raises(UsageError, match="there must be one start or more"):
        invmass.export("notebook-normal", tmp_path, starts=0)


def test_exact_draws_unconstrained_as_the_program_says_are_judged_right(tmp_path: Path) -> None:
    """There and back: what a chain at its exact draws would have tuned, by the exported names."""
    case = all_cases()["notebook-uniform"]
    invmass.export(case, tmp_path, starts=64 * 500)
    starts = json.loads((tmp_path / "notebook-uniform.starts.json").read_text())
    x = np.array([start["x"] for start in starts])
    z = np.log((x + 10.0) / (10.0 - x)).reshape(64, 500, 2)
    covariances = np.array([np.cov(chain, rowvar=False) for chain in z])
    shrunk = 500 / 505 * covariances + 1e-3 * 5 / 505 * np.eye(2)
    np.savez(tmp_path / "t.npz", inverse_mass_matrix=shrunk, names=["x.1", "x.2"], window=500)
    assert invmass.judge(tmp_path / "t.npz", case, "welford_dense").passed
