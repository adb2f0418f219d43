"""The files that a report consists of."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from click.testing import CliRunner
from report_rows import SVG, TIMINGS, VERDICTS, verdict, written

from invmass.cli.main import cli
from invmass.errors import RowsError
from invmass.reports.page import with_json_cells, write_report
from invmass.results.rows import load_rows

LINKED = {"summary.md", "rows.csv", "rows.parquet"}
ARTEFACTS = LINKED | {"index.html", "badge.json"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_rows(written(tmp_path_factory.mktemp("results"), *VERDICTS, *TIMINGS))


def test_csv_and_parquet_hold_every_row(rows: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    paths = write_report(rows, folder)
    assert {path.name for path in paths if path.parent == folder} == ARTEFACTS
    assert {path.name for path in folder.iterdir()} == ARTEFACTS | {"figures"}
    for frame in (pd.read_csv(folder / "rows.csv"), pd.read_parquet(folder / "rows.parquet")):
        assert len(frame) == len(rows)
        assert list(frame["row_id"]) == list(rows["row_id"])
        tuned = json.loads(frame["tuned"].iloc[0])
        assert tuned == VERDICTS[0]["tuned"]


def test_report_of_a_history_takes_its_rows_and_those_of_results_if_they_are_named(
    tmp_path: Path,
) -> None:
    for number, machine in enumerate(("one", "two")):
        written(tmp_path / machine, VERDICTS[number])
    history = ["report", "--history", str(tmp_path / "one"), "--output", str(tmp_path / "page")]
    counts = []
    for named in ([], ["--results", str(tmp_path / "two")]):
        answer = CliRunner().invoke(cli, [*history, *named])
        assert answer.exit_code == 0, answer.output
        counts.append(len(pd.read_parquet(tmp_path / "page" / "rows.parquet")))
    assert counts == [1, 2]


def test_nested_cells_become_proper_json(tmp_path: Path) -> None:
    broken = verdict("a", "hmc", "dense", tuned=[[float("nan"), 1.0]], extra="text")
    frame = load_rows(written(tmp_path, broken, verdict("b", "hmc", "dense", extra=7)))
    flat = with_json_cells(frame)
    assert flat["tuned"].iloc[0] == "[[null, 1.0]]"
    flat.to_parquet(tmp_path / "rows.parquet")  # mixed columns would be refused


def test_a_report_that_cannot_be_written_is_a_rows_error(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RowsError, match="choose a folder"):
        write_report(rows, tmp_path / "file" / "report")


def test_each_figure_of_the_page_is_a_file_too(rows: pd.DataFrame, tmp_path: Path) -> None:
    paths = [path for path in write_report(rows, tmp_path) if path.parent.name == "figures"]
    page = (tmp_path / "index.html").read_text()
    assert len(paths) == page.count("<svg ") > 3
    assert "ellipses-notebook-uniform" in {path.stem for path in paths}
    for path in paths:
        assert ElementTree.parse(path).getroot().tag == f"{{{SVG}}}svg"
        assert path.read_text() in page


@pytest.mark.parametrize("kept", ["verdict", "timing"])
def test_verdicts_or_timings_alone_make_a_report(
    rows: pd.DataFrame, tmp_path: Path, kept: str
) -> None:
    chosen = rows[rows["kind"] == kept]
    write_report(chosen, tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert ("There are no timings." in page) == (kept == "verdict")
    assert ("Nothing was checked." in page) == (kept == "timing")


def test_rows_with_hardly_any_field_make_a_report(tmp_path: Path) -> None:
    bare = [{"kind": "verdict", "case": "bare"}, {"kind": "timing", "case": "bare"}]
    write_report(load_rows(written(tmp_path / "results", *bare)), tmp_path / "report")
    assert "bare" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
