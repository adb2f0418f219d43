"""What a notebook is answered: verdicts, a table and a picture, by a package light to import."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest

import invmass
from invmass.claims.converges_to_its_target import ConvergesToItsTarget
from invmass.claims.inverse_fisher import InverseFisher
from invmass.claims.inverse_fisher_of_x import InverseFisherOfX
from invmass.errors import UsageError
from invmass.model.catalogue import all_cases
from invmass.notebook import COLUMNS
from invmass.results.rows import RowWriter
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend

CLAIMS = (InverseFisher.name, ConvergesToItsTarget.name)


def heights(prior_scale: float = 1000.0) -> None:
    """Two parameters about which thirty observations say nearly everything."""
    mean = numpyro.sample("mean", dist.Normal(0.0, prior_scale))
    tilt = numpyro.sample("tilt", dist.Normal(0.0, prior_scale))
    x = np.linspace(-1.0, 2.0, 30)
    numpyro.sample("y", dist.Normal(mean + tilt * x, 0.5), obs=170.0 + 3.0 * x)


@pytest.fixture(scope="module")
def checked() -> invmass.Answer:
    return invmass.check("notebook-uniform", "hmc", claims=CLAIMS)


@pytest.fixture(scope="module")
def own() -> invmass.Answer:
    return invmass.check(heights, metric="dense", seed=3)


def test_case_is_judged_as_by_the_command(checked: invmass.Answer) -> None:
    assert checked.passed
    assert checked.status == "pass"
    frame = checked.to_frame()
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["metric"]) == ["diagonal", "diagonal", "dense", "dense"]
    assert list(frame["claim"]) == [InverseFisher.name, ConvergesToItsTarget.name] * 2
    assert set(frame["status"]) == {"pass"}
    assert str(checked).startswith("notebook-uniform by hmc: pass\n")


def test_fault_is_no_pass() -> None:
    answer = invmass.check(
        "fine_mean", "faults.reported:MassNotInverse", claims=[ConvergesToItsTarget.name]
    )
    assert not answer.passed
    assert answer.status == "fail"


@pytest.mark.parametrize(
    ("statuses", "worst", "passed"),
    [
        (["pass", "inconclusive", "pass"], "inconclusive", False),
        (["pass", "fail", "inconclusive"], "fail", False),
        (["fail", "error", "pass"], "fail", False),
        (["matches", "differs as documented"], "differs as documented", False),
        (["undecided", "differs as documented", "matches"], "undecided", False),
        (["wrong", "undecided", "matches"], "wrong", False),
        (["matches", "matches"], "matches", True),
        ([], "error", False),
    ],
)
def test_status_is_the_worst_of_all(statuses: list[str], worst: str, passed: bool) -> None:
    answer = invmass.Answer("", [{"status": status} for status in statuses], [])
    assert answer.status == worst
    assert answer.passed is passed


def test_backend_that_breaks_down_is_an_error() -> None:
    answer = invmass.check(
        "gaussian_mean", "faults.breaking:Raises", claims=ConvergesToItsTarget.name
    )
    assert answer.status == "error"
    for shown in (answer.to_frame()["message"][0], str(answer), answer._repr_html_()):
        assert "the library gave up" in shown
    assert "nan" not in str(answer).lower()
    assert not answer.passed
    with pytest.raises(UsageError, match="no verdict on the inverse Fisher to show"):
        answer.plot()


def test_answer_shows_a_table_and_ellipses(checked: invmass.Answer) -> None:
    shown = checked._repr_html_()
    page = ElementTree.fromstring(shown)
    lines = page.findall("./table/tbody/tr")
    assert [cell.text for cell in lines[0]][:3] == ["diagonal", InverseFisher.name, "pass"]
    assert len(lines) == 4
    (picture,) = page.iter("{http://www.w3.org/2000/svg}svg")
    assert picture.attrib["aria-label"].startswith("Tuned inverse mass matrices")
    figure = checked.plot()
    assert [axes.get_title() for axes in figure.axes] == ["hmc, diagonal", "hmc, dense"]
    matrices = 32
    assert len(figure.axes[1].patches) == matrices + 1  # and the inverse Fisher


def test_more_than_two_coordinates_are_shown_entry_by_entry() -> None:
    answer = invmass.check("quadratic_fit", "hmc", "dense", claims=CLAIMS)
    (axes,) = answer.plot().axes
    entries = [label.get_text() for label in axes.get_yticklabels()]
    assert entries == ["S[0,0]", "S[1,0]", "S[1,1]", "S[2,0]", "S[2,1]", "S[2,2]"]
    worst = answer.to_frame().iloc[0]
    found = np.asarray(axes.lines[-1].get_xdata())[entries.index(worst["entry"])]
    off = worst["found"] / worst["expected"] - 1 if worst["scale"] == "log" else worst["found"]
    assert found == pytest.approx(100 * off)
    assert "Entries of tuned" in answer._repr_html_()


def test_model_of_ones_own_is_answered_entry_by_entry(own: invmass.Answer) -> None:
    frame = own.to_frame()
    assert list(frame["entry"]) == ["mean", "tilt, mean", "tilt"]
    assert own.passed
    assert own.status == "matches"
    assert len(own.plot().axes[0].patches) == 32 + 1
    assert "the inverse Fisher (κ = " in str(own)
    assert ElementTree.fromstring(own._repr_html_()).find("./p/b").text == "matches"  # type: ignore[union-attr]


def test_model_that_differs_is_told_so() -> None:
    """At this point the curvature is not that of the posterior, whose scale is skewed."""

    def alone() -> None:
        numpyro.sample("scale", dist.HalfNormal(1.0))

    answer = invmass.check(alone, metric="diagonal")
    assert answer.status == "differs as documented"
    assert not answer.passed


def test_file_is_judged_in_a_notebook_too(tmp_path: Path) -> None:
    case = all_cases()["notebook-uniform"]
    tuned = Experiment(case, load_backend("hmc"), "dense", Settings()).tuned(64)
    tuned.save(tmp_path / "tuned.npz", case.posterior.coordinates)
    answer = invmass.judge(tmp_path / "tuned.npz", case, "welford_dense")
    assert answer.passed
    assert InverseFisherOfX.name in set(answer.to_frame()["claim"])
    assert len(answer.plot().axes[0].patches) == 32 + 1
    assert answer.title.startswith("notebook-uniform: 64 replicates of welford_dense from")


def test_rows_of_a_folder_are_a_frame(tmp_path: Path, checked: invmass.Answer) -> None:
    writer = RowWriter(tmp_path)
    writer.append(*checked.rows)
    writer.close()
    rows = invmass.load_rows(str(tmp_path))
    assert isinstance(rows, pd.DataFrame)
    pd.testing.assert_frame_equal(
        rows[list(COLUMNS)].reset_index(drop=True), checked.to_frame(), check_dtype=False
    )


@pytest.mark.parametrize(
    ("words", "given", "told"),
    [
        (("nope",), {}, "unknown case 'nope'"),
        (("notebook",), {}, "are several cases: give one of notebook-uniform, notebook-normal"),
        ((3,), {}, "a case, its name or a NumPyro model can be checked, not int"),
        (("fine_mean", "nope"), {}, "unknown backend 'nope'"),
        (("fine_mean", "hmc", "nope"), {}, "unknown metric 'nope'"),
        (("prior-normal", "hmc", "dense"), {}, "tunes no metric 'dense' that suits prior-normal"),
        (("fine_mean", "hmc"), {"claims": ["nope"]}, "unknown claim 'nope'"),
        (("fine_mean", "hmc"), {"draws": 3}, "unknown setting 'draws'; the settings are: seed"),
        (("fine_mean", "hmc"), {"tolerance": 3}, "--tolerance must be between 0 and 1"),
        ((heights, "hmc"), {}, "a NumPyro model is judged with NumPyro alone"),
        ((heights,), {"metric": [("width",)]}, "unknown site 'width'"),
    ],
)
def test_bad_input_is_told(
    words: tuple[object, ...], given: Mapping[str, object], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        invmass.check(*words, **given)  # type: ignore[arg-type]


def test_model_with_arguments_is_a_numpyro_model() -> None:
    own = invmass.NumPyroModel(heights, {"mean": 170.0, "tilt": 3.0}, 1000.0)
    answer = invmass.check(own, metric=[("mean", "tilt")])
    assert set(answer.to_frame()["metric"]) == {"mean,tilt"}
    assert answer.passed


def test_package_imports_nothing_until_a_name_is_asked_for() -> None:
    code = (
        "import sys, invmass\n"
        "assert not {'jax', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules), 'not light'\n"
        "assert {'check', 'judge', 'load_rows'} <= set(dir(invmass))\n"
        "invmass.check\n"
        "import jax\n"
        "assert not jax.config.jax_enable_x64\n"
        "assert not {'numpyro', 'blackjax', 'matplotlib'} & set(sys.modules), 'a library'\n"
        "try:\n    invmass.nope\nexcept AttributeError as error:\n    assert 'nope' in str(error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
