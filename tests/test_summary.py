"""The summary of a run, its Markdown and its badge."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_rows import TIMINGS, VERDICTS, Row, verdict, written

from invmass.reports import summary, tables
from invmass.reports.badge import badge_json
from invmass.reports.details import details
from invmass.reports.page import html
from invmass.results.rows import as_table, load_rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_rows(written(tmp_path_factory.mktemp("results"), *VERDICTS, *TIMINGS))


def read_as(word: str, ratio: float, predicted: float, reason: str) -> dict[str, Any]:
    """The fields of a row whose only entry is read so."""
    entry = {
        "entry": "x[0]", "ratio": ratio, "low": 0.97 * ratio, "high": 1.03 * ratio,
        "predicted": predicted, "scale": "log", "reading": word, "reason": reason,
    }  # fmt: skip
    return {"reading": word, "readings": [entry], "found": ratio, "expected": predicted}


DIFFERS = read_as("differs as documented", 1.55, 1.54, "regularisation 1.54")


def test_sentence_bounds_the_error_rate_of_the_whole_run(rows: pd.DataFrame) -> None:
    text = summary.overview(rows)
    assert text.sentence.startswith("10 checks on 5 cases")
    assert "α = 1e-6" in text.sentence
    assert "any of them is wrong is at most 1e-5" in text.sentence


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["pass"], "pass"),
        (["pass", "skipped", "expected failure"], "pass"),
        (["pass", "inconclusive"], "inconclusive"),
        (["pass", "error", "inconclusive"], "error"),
        (["pass", "error", "fail"], "fail"),
        (["skipped", "skipped"], "inconclusive"),
    ],
)
def test_a_run_is_green_only_if_something_passed_and_nothing_is_open(
    tmp_path: Path, statuses: list[str], expected: str
) -> None:
    checks = [verdict(f"case {i}", "hmc", "dense", status=s) for i, s in enumerate(statuses)]
    assert summary.overview(load_rows(written(tmp_path, *checks))).status == expected


def test_expected_failures_are_listed_with_their_reasons(
    tmp_path: Path, rows: pd.DataFrame
) -> None:
    reason = "quadratic_fit, inverse Fisher: known: #12"
    assert f"- hmc, dense on {reason}" in summary.markdown(rows)
    assert "hmc, dense on quadratic_fit</a>, inverse Fisher: known: #12" in html(rows)
    rest = load_rows(written(tmp_path, VERDICTS[0], VERDICTS[7]))
    result = summary.overview(rest).result
    assert result == "All checks pass, except for expected failures: 1 expected failure, 1 pass."


def test_markdown_has_a_row_for_each_case(rows: pd.DataFrame) -> None:
    text = summary.markdown(rows)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    for case in {row["case"] for row in VERDICTS}:
        assert sum(line.startswith(f"| {case} |") for line in lines) == 1
    (line,) = (line for line in lines if line.startswith("| notebook-uniform |"))
    assert "✗ fail +28.0%" in line
    assert "✓ pass −2.0%" in line


def test_markdown_shows_failures_with_message_and_command(rows: pd.DataFrame) -> None:
    text = summary.markdown(rows)
    _, _, failures = text.partition("## Failures")
    assert failures.count("\n### ") == 4
    assert "```text\nx[0]: found 1.28 <lies> above | the margin\nsecond line\n```" in failures
    assert "```sh\ninvmass check notebook-uniform --backend tfp --metric dense\n```" in failures
    assert "notebook-normal" not in failures


@pytest.mark.parametrize(
    ("chosen", "text", "colour"),
    [
        (VERDICTS[:2], "2 pass of 2", "00694d"),
        (VERDICTS[1:2], "1 pass of 1", "00694d"),
        ([VERDICTS[0], VERDICTS[7]], "1 pass, 1 expected failure of 2", "00694d"),
        (VERDICTS[:3], "1 fail of 3", "a83f00"),
        ([VERDICTS[0], VERDICTS[5]], "1 inconclusive of 2", "7a5200"),
        ([VERDICTS[0], VERDICTS[10]], "1 error of 2", "97386c"),
        (VERDICTS[11:], "nothing checked", "555555"),
        (TIMINGS, "nothing checked", "555555"),
    ],
)
def test_badge_shows_the_worst_status(
    tmp_path: Path, chosen: list[Row], text: str, colour: str
) -> None:
    rows = load_rows(written(tmp_path, *chosen))
    badge = json.loads(badge_json(rows))
    assert badge == {
        "schemaVersion": 1, "label": "inverse mass matrix", "message": text, "color": colour
    }  # fmt: skip


def test_page_and_summary_show_the_ratio_to_the_inverse_fisher_itself() -> None:
    """And not how far it is from what was predicted, which is less than one per cent here."""
    rows = as_table([verdict("fine_mean", "numpyro", "dense", row_id="r", **DIFFERS)])
    text = "1.55×, differs as documented: regularisation 1.54"
    assert tables.inverse_fisher_verdicts(rows)["summary"].tolist() == [text]
    assert f"| fine_mean | ✓ pass {text} |" in summary.markdown(rows)
    page = html(rows)
    assert '<span class="effect">1.55×</span>' in page
    assert "differs as documented: regularisation 1.54</span>" in page
    assert "in 1 combination of case, backend and metric: differs as documented (1)" in page
    (line,) = details(rows)["r"]["readings"]
    assert line == [
        "x[0]", "1.55×", "1.50 to 1.60", "1.54×", "differs as documented", "regularisation 1.54",
    ]  # fmt: skip


def test_rows_without_a_reading_show_their_deviation() -> None:
    rows = as_table([verdict("fine_mean", "numpyro", "dense")])
    assert tables.inverse_fisher_verdicts(rows)["summary"].tolist() == ["−2.0%"]
    assert "differs" not in summary.markdown(rows)
