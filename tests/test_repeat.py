"""A row says how its verdict is repeated: by its fields, and in words for people."""

from typing import Any

import pytest

from invmass.claims.record import error_record
from invmass.cli.repeat import recipe_of
from invmass.errors import UsageError
from invmass.model.catalogue import all_cases
from invmass.runs.cell import Cell
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend

SETTINGS = Settings(seed=3, tolerance=0.2, false_alarm=1e-4, replicates=512, num_warmup=300)
CLAIM = "converges to its target"


@pytest.fixture
def row() -> dict[str, Any]:
    spec = "faults.reported:MassNotInverse"
    experiment = Experiment(all_cases()["gaussian_mean"], load_backend(spec), "diagonal", SETTINGS)
    return {"row_id": "abc"} | error_record(experiment, CLAIM, "broke down")


def test_row_is_repeated_from_its_fields_whatever_its_command_says(row: dict[str, Any]) -> None:
    row["command"] = "invmass check nothing --seed 7"
    recipe = recipe_of(row)
    assert recipe.settings == SETTINGS
    assert recipe.cell == Cell("gaussian_mean", row["spec"], "mass", "diagonal")
    assert (recipe.claim, recipe.device, recipe.x64) == (CLAIM, "cpu", False)


def test_row_without_what_loads_its_backend_is_repeated_from_its_command(
    row: dict[str, Any],
) -> None:
    new = recipe_of(row)
    old = {name: row[name] for name in row if name not in ("spec", "false_alarm", "platform")}
    assert recipe_of(old) == new._replace(device=None)


def test_old_row_whose_command_names_no_backend_takes_the_one_of_that_name() -> None:
    old = {
        "row_id": "abc", "kind": "verdict", "case": "gaussian_mean", "backend": "hmc",
        "metric": "dense", "claim": CLAIM, "command": "invmass check gaussian_mean --x64",
    }  # fmt: skip
    assert recipe_of(old).cell == Cell("gaussian_mean", "hmc", "hmc", "dense")
    assert recipe_of(old).x64


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "timing"}, "is no verdict, but of kind 'timing'"),
        ({"spec": None, "command": "invmass judge x.npz"}, "is of matrices in files, judged by"),
        ({"cap": ..., "command": None}, "has no command from which it could be repeated"),
    ],
)
def test_row_that_cannot_be_repeated_says_why(
    row: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    row |= changes
    row = {name: value for name, value in row.items() if value is not ...}
    with pytest.raises(UsageError, match=reason):
        recipe_of(row)
