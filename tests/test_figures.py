"""Figures, and the curves that the page draws."""

import io
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from report_rows import SVG, TIMINGS, VERDICTS, pictured, written

from invmass.claims.record import _ellipse_in_x
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.model.distributions import HalfNormal
from invmass.model.posterior import Site
from invmass.reports.figures import drawing, matrices, speed
from invmass.results.rows import load_rows
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend

FIGURES: list[Callable[[pd.DataFrame], str]] = [
    lambda rows: matrices.ellipses(rows, "notebook-uniform"),
    lambda rows: matrices.deviation_split(rows, "notebook-uniform"),
    matrices.effects,
    speed.timings,
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_rows(written(tmp_path_factory.mktemp("results"), *VERDICTS, *TIMINGS))


def _texts(svg: str) -> list[str]:
    return [
        "".join(text.itertext()).strip()
        for text in ElementTree.fromstring(svg).iter(f"{{{SVG}}}text")
    ]


@pytest.mark.parametrize("draw", FIGURES)
def test_figures_are_the_same_twice_and_valid_xml(
    rows: pd.DataFrame, draw: Callable[[pd.DataFrame], str]
) -> None:
    text = draw(rows)
    assert text.startswith("<svg ")
    assert ElementTree.parse(io.StringIO(text)).getroot().tag == f"{{{SVG}}}svg"
    assert draw(rows) == text


@pytest.mark.parametrize("draw", FIGURES)
def test_figures_are_empty_where_there_is_nothing_to_show(
    rows: pd.DataFrame, draw: Callable[[pd.DataFrame], str]
) -> None:
    assert draw(rows[rows["case"] == "lecture"]) == ""


def test_ellipses_draw_every_replicate_of_every_combination(rows: pd.DataFrame) -> None:
    svg = matrices.ellipses(rows, "notebook-uniform")
    assert svg.count("opacity: 0.45") == 3 * 32
    assert {"numpyro, dense", "numpyro, diagonal", "tfp, dense", "z: x[0]"} <= set(_texts(svg))


def test_ellipses_count_replicates_that_are_not_positive_definite(tmp_path: Path) -> None:
    row = pictured("notebook-uniform", "hmc", "dense")
    row["tuned"][0] = [[1.0, 2.0], [2.0, 1.0]]
    row["tuned"][1] = [[float("nan"), 0.0], [0.0, 1.0]]
    svg = matrices.ellipses(load_rows(written(tmp_path, row)), "notebook-uniform")
    assert svg.count("opacity: 0.45") == 30
    assert "2 not positive definite" in _texts(svg)


def test_effects_have_a_panel_for_each_case_with_a_ratio(rows: pd.DataFrame) -> None:
    titles = set(_texts(matrices.effects(rows)))
    assert {"notebook-uniform", "notebook-normal", "gaussian_mean", "quadratic_fit"} <= titles
    assert "mixed_sites" not in titles


def test_figure_of_many_panels_says_that_it_leaves_some_out(
    rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(figure: str) -> list[str]:
        return [text for text in _texts(figure) if " panels)" in text]

    assert told(matrices.effects(rows)) == []
    monkeypatch.setattr(drawing, "MAX_PANELS", 2)
    (text,) = told(matrices.effects(rows))
    assert "(2 of " in text


def test_ellipses_are_mapped_to_x() -> None:
    """That of the inverse Fisher runs through z* ± L e, and x is 20 logistic(z) - 10."""
    experiment = Experiment(
        all_cases()["notebook-uniform"], load_backend("hmc"), "dense", Settings()
    )
    curve = np.array(_ellipse_in_x(experiment, experiment.truth.inverse_fisher))
    factor = np.linalg.cholesky(experiment.truth.inverse_fisher)
    for angle, place in ((0.0, 0), (np.pi / 2, 12), (np.pi, 24)):
        z = experiment.truth.position + factor @ [np.cos(angle), np.sin(angle)]
        np.testing.assert_allclose(curve[place], 20 / (1 + np.exp(-z)) - 10, rtol=1e-4)
    assert _ellipse_in_x(experiment, -experiment.truth.inverse_fisher) == []


def test_ellipse_that_overflows_in_x_is_left_out() -> None:
    half = Site(HalfNormal(1.0))
    case = Case("two", "two scales", {"a": half, "b": half}, {}, {"a": 1.0, "b": 1.0})
    experiment = Experiment(case, load_backend("hmc"), "dense", Settings())
    assert _ellipse_in_x(experiment, np.eye(2))
    assert _ellipse_in_x(experiment, 1e8 * np.eye(2)) == []
