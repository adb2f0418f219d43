"""`invmass export`: a case for other languages: a Stan program, its data and exact starts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import jax.numpy as jnp
import numpy as np

from invmass.cli.options import options
from invmass.errors import UsageError
from invmass.model.case import Case
from invmass.model.catalogue import one_case, select_cases
from invmass.model.precision import float64
from invmass.model.stan.names import stan_name
from invmass.model.stan.program import stan_program


def export(
    case: str | Case, folder: str | Path = ".", *, starts: int = 64, seed: int = 0
) -> list[Path]:
    """Write a case as CASE.stan, CASE.data.json and CASE.starts.json, and return their paths.

    The starts are exact, independent draws of the posterior, a list of dictionaries by parameter:
    one replicate is to begin at each. The first of them do not depend on their number.

    Raises:
        UsageError: the case cannot be said in Stan, or the folder cannot be written.
    """
    problem = one_case(case) if isinstance(case, str) else case
    if starts < 1 or seed < 0:
        raise UsageError("there must be one start or more, and the seed cannot be negative")
    program = stan_program(problem)
    texts = {
        "stan": program.text,
        "data.json": _json(program.data),
        "starts.json": json.dumps(_starts(problem, seed, starts), indent=1) + "\n",
    }
    paths = [Path(folder) / f"{problem.name}.{kind}" for kind in texts]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}; choose another place with --out"
        ) from error
    return paths


@click.command("export")
@click.argument("case")
@options("starts", "seed", "json", out=Path())
def export_(case: str, out: Path, starts: int, seed: int, as_json: bool) -> None:
    """Write CASE for other languages: a Stan program, its data and exact starting points.

    CASE may be a pattern. Start one chain from each starting point, and judge the matrices that
    they tune with `invmass judge`.
    """
    paths: list[Path] = []
    for problem in select_cases([case]):
        paths += export(problem, out, starts=starts, seed=seed)
    if as_json:
        click.echo(json.dumps([str(path) for path in paths], indent=2))
    else:
        for path in paths:
            click.echo(f"wrote {path}")


def _starts(case: Case, seed: int, count: int) -> Sequence[dict[str, Any]]:
    """Constrained values of each start, by the names of the program."""
    with float64():
        return [
            {
                stan_name(name): np.asarray(value, dtype=np.float64).tolist()
                for name, value in case.posterior.from_free(jnp.asarray(free)).items()
            }
            for free in case.starts(seed, count)
        ]


def _json(data: Any) -> str:
    """One line for each array."""
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in data.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"
