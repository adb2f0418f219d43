"""The map of settings of HMC, and trajectories, where a Gaussian says what they must show."""

import numpy as np
import pandas as pd
import pytest

from invmass.model.catalogue import all_cases
from invmass.reports.figures import explored
from invmass.reports.page import html
from invmass.results.rows import RowWriter, load_rows
from invmass.runs.experiment import Settings
from invmass.studies.exploration import explore

SIZES, STEPS = (0.1, 0.4, 1.2, 1.9, 2.2), (1, 4, 16, 64)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("rows")
    case = all_cases()["lecture_gaussian-normal"]
    writer = RowWriter(folder)
    writer.append(*explore(case, Settings(), SIZES, STEPS))
    writer.close()
    return load_rows(folder)


def at(rows: pd.DataFrame, metric: str, size: float, steps: int) -> pd.Series:
    (index,) = rows.index[
        (rows["metric"] == metric) & (rows["relative_step_size"] == size) & (rows["steps"] == steps)
    ]
    return rows.loc[index]


def test_a_whitened_path_of_a_whole_period_is_worth_nothing(rows: pd.DataFrame) -> None:
    """64 steps of 0.1 are 6.4 units of time, and a period is 2π; a quarter forgets the most."""
    period, quarter = at(rows, "dense", 0.1, 64), at(rows, "dense", 0.1, 16)
    assert period["acceptance"] > 0.99
    assert quarter["ess_per_gradient"] > 50 * period["ess_per_gradient"]


def test_the_whitening_metric_is_worth_most(rows: pd.DataFrame) -> None:
    best = rows.groupby("metric")["ess_per_gradient"].max()
    assert best["dense"] > 1.5 * best["diagonal"]
    assert best["dense"] > 1.5 * best["identity"]


@pytest.mark.parametrize("metric", ["identity", "diagonal", "dense"])
def test_the_limit_of_stability_is_at_two_shortest_scales(rows: pd.DataFrame, metric: str) -> None:
    """With 64 steps the energy error grows without bound at 2.2, and at 1.9 it does not."""
    assert at(rows, metric, 1.9, 64)["acceptance"] > 0.3
    assert at(rows, metric, 2.2, 64)["acceptance"] < 0.01
    assert at(rows, metric, 0.1, 64)["acceptance"] > 0.99


def test_the_map_is_on_the_page(rows: pd.DataFrame) -> None:
    assert "<svg" in explored.settings(rows, "lecture_gaussian-normal")
    assert "Step size, steps and mass matrix" in html(rows)


def paths(rows: pd.DataFrame, metric: str) -> pd.Series:
    chosen = rows[(rows["kind"] == "trajectories") & (rows["metric"] == metric)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_whitened_path_of_half_a_period_leads_to_the_other_side(rows: pd.DataFrame) -> None:
    """Ten steps of 0.3 are 3 units of time: z - mean turns by 3 radians, whatever the momentum."""
    mean = all_cases()["lecture_gaussian-normal"].truth_in_own_space.moments.mean
    ends = {
        metric: np.asarray(paths(rows, metric)["paths"])[:, [0, -1]] - mean
        for metric in ("identity", "dense")
    }
    reflected = {name: np.abs(end[:, 1] + end[:, 0]).mean() for name, end in ends.items()}
    assert reflected["dense"] < 0.5 * reflected["identity"]


@pytest.mark.parametrize("name", ["lecture_gaussian-normal", "scaling-2-1e6"])
def test_the_density_beneath_the_paths_is_that_of_the_case(name: str) -> None:
    """Also where one coordinate is a thousand times as wide as the other."""
    case = all_cases()[name]
    moments = case.truth_in_own_space.moments
    row = next(explore(case, Settings(), SIZES, STEPS))
    assert row["kind"] == "trajectories"
    grid = np.stack(np.meshgrid(*row["axes"], indexing="ij"), axis=-1) - moments.mean
    expected = -0.5 * np.einsum("...i,ij,...j", grid, np.linalg.inv(moments.covariance), grid)
    np.testing.assert_allclose(row["log_density"], expected - expected.max(), rtol=1e-3, atol=1e-3)


def test_trajectories_are_on_the_page(rows: pd.DataFrame) -> None:
    assert "step size: 0.3 ×" in explored.trajectories(rows, "lecture_gaussian-normal")
    assert "trajectories over contours of the density" in html(rows)
