"""Rows are kept whole, and the report says what they say."""

import io
import json
import re
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from invmass.claims.record import _mapped
from invmass.cli.main import cli
from invmass.errors import RowsError
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.model.distributions import HalfNormal
from invmass.model.posterior import Site
from invmass.reports import calibration, evidence, summary, tables, timings
from invmass.reports.badge import badge_json
from invmass.reports.details import details
from invmass.reports.figures import drawing, matrices, speed
from invmass.reports.page import flattened, html, write_report
from invmass.results import wording
from invmass.results.rows import RowWriter, as_table, load_rows, read_rows
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend

FISHER = tables.HEADLINE
REJECTS = "inverse Fisher of x is rejected"
LINKED = {"summary.md", "rows.csv", "rows.parquet"}
ARTEFACTS = LINKED | {"index.html", "badge.json"}
SVG = "http://www.w3.org/2000/svg"
COVARIANCE = np.array([[0.0434, 0.0038], [0.0038, 0.00041]])

Row = dict[str, Any]


def verdict(case: str, backend: str, metric: str | None, **fields: Any) -> Row:
    """A row of the headline claim as a test would write it."""
    ratio = {"found": 0.98, "low": 0.95, "high": 1.01, "expected": 1.0, "margin": 0.1}
    entry = {"entry": "x[0]", **ratio, "scale": "log"}
    return {
        "kind": "verdict", "case": case, "backend": backend, "metric": metric, "claim": FISHER,
        "status": "pass", **entry, "intervals": [entry], "alpha": 1e-6, "replicates": 64,
        "seconds": 1.5, "seed": 0, "device": "cpu", "dtype": "float32", "python": "3.11.9",
        "machine": "x86_64", "cores": 2, "versions": {"jax": "0.10.1", backend: "1.2.3"},
        "command": f"invmass check {case} --backend {backend} --metric {metric}",
    } | fields  # fmt: skip


def pictured(case: str, backend: str, metric: str, **fields: Any) -> Row:
    """A headline row with the matrices and parts that the figures need."""
    rng = np.random.default_rng(len(backend))
    scale = rng.lognormal(sigma=0.1, size=(32, 1, 1))
    tuned = scale * (COVARIANCE if metric == "dense" else np.diag(COVARIANCE)[None])
    parts = [
        {"entry": name, "geometry": 1.027, "regularisation": 1.11, "remainder": 0.98}
        for name in ("x[0]", "x[1]")
    ]
    return verdict(case, backend, metric) | {
        "tuned": (tuned if metric == "dense" else tuned[:, 0]).tolist(),
        "inverse_fisher": COVARIANCE.tolist(), "position": [0.405, 0.2],
        "coordinates": ["x[0]", "x[1]"], "parts": parts,
    } | fields  # fmt: skip


def timing(case: str, backend: str, metric: str, phase: str, **fields: Any) -> Row:
    numbers = {"compile_seconds": 4.2, "seconds": 0.9, "replicates": 64}
    sampled = {
        "min_bulk_ess": 1800.0, "ess_per_second": 2000.0, "ess_per_gradient": 0.12,
        "acceptance": 0.87, "divergences": 3, "e_bfmi": 0.91,
    }  # fmt: skip
    return {
        "kind": "timing", "case": case, "backend": backend, "metric": metric, "phase": phase,
        "device": "cpu", "dtype": "float32", "gradients_per_second": 21000.0,
        **numbers, **(sampled if phase == "sampling" else {}),
    } | fields  # fmt: skip


VERDICTS = [
    pictured("notebook-uniform", "numpyro", "dense"),
    pictured("notebook-uniform", "numpyro", "diagonal"),
    pictured("notebook-uniform", "tfp", "dense", status="fail", found=1.28, low=1.24, high=1.32,
             message="x[0]: found 1.28 <lies> above | the margin\nsecond line"),
    pictured("notebook-normal", "blackjax", "fisher_diag"),
    verdict("gaussian_scale", "numpyro", "dense", expected=1.64, found=1.66,
            low=1.6, high=1.7, intervals=None),
    verdict("gaussian_mean", "hmc", "dense", status="inconclusive", message="at the cap"),
    verdict("gaussian_mean", "hmc", "dense", claim=REJECTS, found=0.045, low=0.04, high=0.05),
    verdict("quadratic_fit", "hmc", "dense", status="expected failure", message="known: #12"),
    verdict("quadratic_fit", "hmc", "diagonal", claim="draws are right", status="fail",
            message="variance is off"),
    verdict("quadratic_fit", "hmc", "diagonal"),
    # What breaks down or is skipped knows neither device nor effect.
    {"kind": "verdict", "case": "mixed_sites", "backend": "tfp", "metric": "dense",
     "claim": "inverse Fisher", "status": "error", "seconds": 0.1,
     "message": "def warm_up():\n>   raise\nE   BackendFaultError: \x1b[31mnot finite\x1b[0m"},
    {"kind": "verdict", "case": "lecture", "backend": "", "metric": "", "claim": FISHER,
     "status": "skipped", "message": "numpyro is not installed"},
]  # fmt: skip
TIMINGS = [
    timing("notebook-uniform", "numpyro", "dense", "warm-up"),
    timing("notebook-uniform", "numpyro", "dense", "sampling", compile_seconds=2.0),
    timing("notebook-uniform", "tfp", "dense", "warm-up", compile_seconds=None),
]


def written(folder: Path, *rows: Row) -> Path:
    """A results folder that holds these rows."""
    writer = RowWriter(folder)
    for row in rows:
        writer.append(row)
    writer.close()
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_rows(written(tmp_path_factory.mktemp("results"), *VERDICTS, *TIMINGS))


@pytest.fixture(scope="module")
def page(rows: pd.DataFrame) -> str:
    return html(rows)


# Rows


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    frame = load_rows(written(tmp_path / "results", *VERDICTS))
    assert len(frame) == len(VERDICTS)
    assert frame["row_id"].is_unique
    for row, original in zip(frame.to_dict("records"), VERDICTS, strict=True):
        assert {name: row[name] for name in original if original[name] is not None} == {
            name: value for name, value in original.items() if value is not None
        }


def test_a_truncated_last_line_is_passed_over_with_one_warning(tmp_path: Path) -> None:
    folder = written(tmp_path, *VERDICTS[:3])
    (path,) = folder.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-40])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = load_rows(folder)
    assert len(caught) == 1
    assert f"{path.name}:3" in str(caught[0].message)
    assert list(frame["metric"]) == ["dense", "diagonal"]


def test_two_writers_in_one_folder_lose_nothing(tmp_path: Path) -> None:
    def write(name: str) -> None:
        written(tmp_path, *(verdict(name, "hmc", "dense", seed=seed) for seed in range(50)))

    writers = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    frame = load_rows(tmp_path)
    assert frame["run_id"].nunique() == 2
    for name in ("one", "two"):
        assert list(frame.loc[frame["case"] == name, "seed"]) == list(range(50))


def test_a_writer_that_wrote_nothing_leaves_no_file(tmp_path: Path) -> None:
    RowWriter(tmp_path).close()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_rows_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RowsError, match="--results"):
        RowWriter(tmp_path / "file" / "results")


@pytest.mark.parametrize("content", [None, "", "not json\n", "[1, 2]\n", '{"case": "no kind"}\n'])
@pytest.mark.filterwarnings("ignore:.*unreadable")
def test_a_folder_without_rows_is_a_rows_error_with_its_remedy(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "broken.jsonl").write_text(content)
    with pytest.raises(RowsError, match=r"invmass validate --results"):
        load_rows(tmp_path)


# Tables


def test_effects_are_relative_on_the_log_scale_and_absolute_on_the_linear_one(
    tmp_path: Path,
) -> None:
    log = verdict("a", "hmc", "dense", found=1.8, expected=1.6, margin=0.25)
    linear = verdict("b", "hmc", "dense", found=0.3, expected=0.1, margin=0.05, scale="linear")
    table = tables.verdicts(load_rows(written(tmp_path, log, linear)))
    effect = table[["deviation", "band_low", "band_high"]].to_numpy()
    np.testing.assert_allclose(effect, [[0.125, 1.28, 2.0], [0.2, 0.05, 0.15]])


def test_matrix_holds_the_headline_of_each_combination(rows: pd.DataFrame) -> None:
    status = tables.verdict_matrix(rows)
    cpu = status.loc["cpu", "float32"]
    assert cpu.loc["notebook-uniform", ("tfp", "dense")] == "fail"
    assert cpu.loc["gaussian_scale", ("numpyro", "dense")] == "pass"
    assert cpu.loc["mixed_sites", ("tfp", "dense")] == "error"
    assert cpu.loc["quadratic_fit", ("hmc", "diagonal")] == "pass"  # its draws are another claim
    assert pd.isna(cpu.loc["gaussian_mean", ("tfp", "dense")])
    assert set(cpu.index) == {row["case"] for row in VERDICTS}
    deviation = tables.verdict_matrix(rows, "deviation").loc["cpu", "float32"]
    assert deviation.loc["notebook-uniform", ("tfp", "dense")] == pytest.approx(0.28)


def test_devices_are_kept_apart(tmp_path: Path) -> None:
    slow = verdict("a", "hmc", "dense", status="fail")
    frame = load_rows(written(tmp_path, slow, verdict("a", "hmc", "dense", device="gpu")))
    status = tables.verdict_matrix(frame)[("hmc", "dense")]
    assert status.to_dict() == {("cpu", "float32", "a"): "fail", ("gpu", "float32", "a"): "pass"}


def test_a_newer_run_replaces_the_older_verdict_and_says_so(tmp_path: Path) -> None:
    written(tmp_path, verdict("a", "hmc", "dense", status="fail", time="2026-01-01T00:00:00+00:00"))
    written(tmp_path, verdict("a", "hmc", "dense", time="2026-01-02T00:00:00"))
    frame = load_rows(tmp_path)
    assert list(tables.verdicts(frame)["status"]) == ["pass"]
    assert list(tables.superseded(frame)["status"]) == ["fail"]
    assert "replace 1 older: 1 fail" in summary.overview(frame).note


def test_two_checks_of_one_claim_in_a_run_do_not_hide_each_other(tmp_path: Path) -> None:
    wrong = verdict("a", "hmc", "dense", claim=REJECTS)
    frame = load_rows(written(tmp_path, wrong | {"status": "fail"}, wrong))
    assert list(tables.verdicts(frame)["status"]) == ["fail", "pass"]


def test_an_unknown_status_is_an_error(tmp_path: Path) -> None:
    frame = load_rows(written(tmp_path, verdict("a", "hmc", "dense", status="Passed?")))
    assert list(tables.verdicts(frame)["status"]) == ["error"]


def test_counts_add_up_by_backend(rows: pd.DataFrame) -> None:
    counts = tables.status_counts(rows)
    assert counts["total"].sum() == len(VERDICTS)
    assert counts.loc["hmc", ["pass", "fail", "inconclusive", "expected failure"]].to_list() == [
        2, 1, 1, 1,
    ]  # fmt: skip
    assert counts.loc["no backend", "skipped"] == 1


def test_parts_multiply_to_the_ratio(rows: pd.DataFrame) -> None:
    parts = tables.deviation_parts(rows)
    assert len(parts) == 8
    np.testing.assert_allclose(parts["ratio"], 1.027 * 1.11 * 0.98)


def test_timings_keep_compilation_warm_up_and_sampling_apart(rows: pd.DataFrame) -> None:
    table = timings.timings(rows).set_index("backend")
    assert table.loc["numpyro", "warmup_compile_seconds"] == 4.2
    assert table.loc["numpyro", "sampling_compile_seconds"] == 2.0
    assert table.loc["numpyro", "ess_per_second"] == 2000.0
    assert np.isnan(
        table.loc["tfp", ["warmup_compile_seconds", "ess_per_second"]].astype(float)
    ).all()


def test_acceptance_and_energy_of_what_was_timed_are_on_the_page(rows: pd.DataFrame) -> None:
    page = html(rows)
    (line,) = re.findall(r'<table class="diagnostics".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", line)
    assert line.count("<tr>") == 1  # of what was sampled
    assert cells == ["numpyro", "dense", "64", "0.870", "3", "0.910"]


def test_provenance_names_every_library(rows: pd.DataFrame) -> None:
    items = tables.provenance(rows).set_index("item")["value"]
    named = ["jax", "numpyro", "tfp", "cores of a process"]
    assert items[named].to_list() == ["0.10.1", "1.2.3", "1.2.3", "2"]


# The sentence and the result


def test_sentence_bounds_the_error_rate_of_the_whole_run(rows: pd.DataFrame) -> None:
    told = summary.overview(rows)
    assert told.sentence.startswith("10 verdicts on 5 cases")
    assert "α = 1e-6" in told.sentence
    assert "at most 1e-5" in told.sentence


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


def test_what_is_known_to_fail_is_told_with_its_reason(tmp_path: Path, rows: pd.DataFrame) -> None:
    reason = "quadratic_fit, inverse Fisher: known: #12"
    assert f"- hmc, dense on {reason}" in summary.markdown(rows)
    assert "hmc, dense on quadratic_fit</a>, inverse Fisher: known: #12" in html(rows)
    rest = load_rows(written(tmp_path, VERDICTS[0], VERDICTS[7]))
    result = summary.overview(rest).result
    assert result.endswith("holds, but for those known to fail: 1 expected failure, 1 pass.")


# The files


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
    flat = flattened(frame)
    assert flat["tuned"].iloc[0] == "[[null, 1.0]]"
    flat.to_parquet(tmp_path / "rows.parquet")  # mixed columns would be refused


def test_markdown_has_a_row_for_each_case(rows: pd.DataFrame) -> None:
    text = summary.markdown(rows)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    for case in {row["case"] for row in VERDICTS}:
        assert sum(line.startswith(f"| {case} |") for line in lines) == 1
    (line,) = (line for line in lines if line.startswith("| notebook-uniform |"))
    assert "✗ fail +28.0%" in line
    assert "✓ pass −2.0%" in line


def test_markdown_tells_failures_with_message_and_command(rows: pd.DataFrame) -> None:
    text = summary.markdown(rows)
    _, _, failures = text.partition("## Failures")
    assert failures.count("\n### ") == 4
    assert "```text\nx[0]: found 1.28 <lies> above | the margin\nsecond line\n```" in failures
    assert "```sh\ninvmass check notebook-uniform --backend tfp --metric dense\n```" in failures
    assert "notebook-normal" not in failures


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


@pytest.mark.parametrize(
    ("chosen", "told", "colour"),
    [
        (VERDICTS[:2], "2 claims hold", "00694d"),
        (VERDICTS[1:2], "1 claim holds", "00694d"),
        ([VERDICTS[0], VERDICTS[7]], "1 claim holds, 1 known to fail", "00694d"),
        (VERDICTS[:3], "1 of 3 fail", "a83f00"),
        ([VERDICTS[0], VERDICTS[5]], "1 of 2 open", "7a5200"),
        ([VERDICTS[0], VERDICTS[10]], "1 of 2 broke down", "97386c"),
        (VERDICTS[11:], "nothing checked", "555555"),
        (TIMINGS, "nothing checked", "555555"),
    ],
)
def test_badge_says_the_worst(tmp_path: Path, chosen: list[Row], told: str, colour: str) -> None:
    rows = load_rows(written(tmp_path, *chosen))
    badge = json.loads(badge_json(rows))
    assert badge == {
        "schemaVersion": 1, "label": "inverse mass matrix", "message": told, "color": colour
    }  # fmt: skip


# The page


class Links(HTMLParser):
    """What a page refers to, which ids it has, how often it uses each element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action", "poster") and value:
                self.targets.append(value)
            if name == "id" and value:
                self.ids.append(value)


def test_page_is_self_contained(page: str) -> None:
    links = Links(page)
    outside = {target for target in links.targets if not target.startswith("#")}
    assert outside == LINKED
    assert not re.findall(r"https?://|//\w+\.", page.replace(SVG, ""))
    assert not re.findall(r"@import|url\((?!#)", page)
    assert links.tags["script"] == 2  # data, and what draws it


def test_page_tells_how_often_verdicts_err(page: str) -> None:
    rates = calibration.error_rates(pd.read_parquet(evidence.CALIBRATION))
    assert len(rates) > 0
    for line in rates.to_dict("records"):
        told = (line["answer"], wording.rate(line["promised"]), line["verdicts"], line["wrong"])
        assert '<th scope="row">{}</th><td>{}</td><td>{}</td><td>{}</td>'.format(*told) in page


def test_rows_of_a_calibration_count_before_those_that_come_with_us() -> None:
    shipped = pd.read_parquet(evidence.CALIBRATION)
    own = as_table(shipped.assign(verdicts=7 * shipped["verdicts"]).to_dict("records"))
    count = calibration.error_rates(shipped)["verdicts"].iloc[0]
    assert f"<td>{count}</td>" in html(as_table(shipped.to_dict("records")), {})
    assert f"<td>{7 * count}</td>" in html(own, {})


def test_faults_are_told_by_claim_and_by_how_many_seeds_agree() -> None:
    seen = [("fail", 64.0), ("fail", 128.0), ("fail", 192.0), ("pass", 64.0)]
    what = {"kind": "fault", "planted": "wide", "case": "line", "metric": "dense"}
    rows = pd.DataFrame(
        [
            what
            | {"strength": 0.1, "planted_for": "first", "claim": "first", "seed": seed}
            | {"status": status, "replicates": replicates}
            for seed, (status, replicates) in enumerate(seen)
        ]
        + [
            what
            | {"strength": 0.1, "planted_for": "first", "claim": "second", "seed": seed}
            | {"status": "error"}
            for seed in range(4)
        ]
        + [{"kind": "fault", "planted": "a constant", "message": "no sampler depends on it"}]
    )
    (line,) = evidence.fault_table(rows).to_dict("records")
    assert line["planted"] == "wide"
    assert line["first"] == "✗ 3/4, ✓ 1/4, 128"
    assert line["second"] == "!"
    assert evidence.unseen(rows) == {"a constant": "no sampler depends on it"}


def test_page_tells_which_planted_faults_are_seen(page: str) -> None:
    faults = evidence.fault_table(pd.read_parquet(evidence.FAULTS))
    assert len(faults) > 60
    for fault in faults.to_dict("records"):
        assert f'<th scope="row">{fault["planted"]}</th>' in unescape(page)
        if fault["strength"] >= 0.2 and fault["planted_for"]:
            assert fault[fault["planted_for"]][0] in "✗!"


def test_page_shows_where_regularisation_dominates(tmp_path: Path) -> None:
    parts = [
        {"entry": "S[0,0]", "geometry": 1.1, "regularisation": size, "remainder": 1.0}
        for size in (1.02, 38.0)
    ]
    fine = pictured("fine", "numpyro", "dense", parts=parts)
    coarse = pictured("coarse", "numpyro", "dense")
    text = html(load_rows(written(tmp_path, fine, coarse)))
    assert "<h2>fine</h2>" in text
    assert "regularisation, and not the posterior, decides on an entry" in text
    assert "+3\u202f700.0%" in text
    assert "<h2>coarse</h2>" not in text


def test_page_links_lead_somewhere_and_ids_are_unique(rows: pd.DataFrame, page: str) -> None:
    links = Links(page)
    assert len(links.ids) == len(set(links.ids))
    anchors = {target[1:] for target in links.targets if target.startswith("#")}
    assert anchors <= set(links.ids)
    linked = {anchor[2:] for anchor in anchors}
    assert set(tables.headline(rows)["row_id"]) <= linked


def test_page_tells_each_case_and_status_in_words(page: str) -> None:
    for row in VERDICTS:
        assert f'<th scope="row">{row["case"]}</th>' in page
        symbol = wording.SYMBOLS[row["status"]]
        assert f'<b aria-hidden="true">{symbol}</b> {row["status"]}</span>' in page


def test_page_opens_every_failure_with_its_message(page: str) -> None:
    failures = re.findall(r'<details open class="failure.*?</summary>.*?</pre>', page, re.S)
    assert len(failures) == 4
    assert "x[0]: found 1.28 &lt;lies&gt; above | the margin" in failures[0]
    assert "not finite" in "".join(failures)


def test_page_shows_another_failed_claim_beside_a_green_headline(page: str) -> None:
    line = re.search(r'<th scope="row">quadratic_fit</th>.*?</tr>', page, re.S)
    assert line is not None
    assert "✗ draws are right: fail" in line[0]


@pytest.mark.parametrize("kept", ["verdict", "timing"])
def test_verdicts_or_timings_alone_make_a_report(
    rows: pd.DataFrame, tmp_path: Path, kept: str
) -> None:
    chosen = rows[rows["kind"] == kept]
    write_report(chosen, tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert ("The rows hold no timings." in page) == (kept == "verdict")
    assert ("Nothing was checked." in page) == (kept == "timing")


def test_page_says_which_command_tells_more(rows: pd.DataFrame) -> None:
    lacking = html(rows).partition("Of this the rows say nothing yet: ")[2].partition("</p>")[0]
    assert "what the inverse Fisher saves (<code>invmass benchmark --tier full" in lacking
    assert "trajectories (<code>invmass explore" in lacking


def test_rows_with_hardly_any_field_make_a_report(tmp_path: Path) -> None:
    bare = [{"kind": "verdict", "case": "bare"}, {"kind": "timing", "case": "bare"}]
    write_report(load_rows(written(tmp_path / "results", *bare)), tmp_path / "report")
    assert "bare" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


# Figures


FIGURES: list[Callable[[pd.DataFrame], str]] = [
    lambda rows: matrices.ellipses(rows, "notebook-uniform"),
    lambda rows: matrices.deviation_split(rows, "notebook-uniform"),
    matrices.effects,
    speed.timings,
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


def _texts(svg: str) -> list[str]:
    return [
        "".join(text.itertext()).strip()
        for text in ElementTree.fromstring(svg).iter(f"{{{SVG}}}text")
    ]


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
    assert "2 degenerate" in _texts(svg)


def test_effects_have_a_panel_for_each_case_with_a_ratio(rows: pd.DataFrame) -> None:
    titles = set(_texts(matrices.effects(rows)))
    assert {"notebook-uniform", "notebook-normal", "gaussian_mean", "quadratic_fit"} <= titles
    assert "mixed_sites" not in titles


def test_figure_of_many_panels_says_that_it_leaves_some_out(
    rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(figure: str) -> list[str]:
        return [text for text in _texts(figure) if " panels of " in text]

    assert told(matrices.effects(rows)) == []
    monkeypatch.setattr(drawing, "MOST_PANELS", 2)
    (text,) = told(matrices.effects(rows))
    assert "(2 panels of " in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02, "+2.0%"),
        (-0.955, "−95.5%"),
        (None, "–"),
        (float("nan"), "–"),
        (63.0, "+6\u202f300.0%"),
    ],
)
def test_deviations_are_told_in_signed_percent(value: float | None, text: str) -> None:
    assert wording.deviation(value, "log") == text


def test_ellipses_are_mapped_to_x() -> None:
    """That of the inverse Fisher runs through z* ± L e, and x is 20 logistic(z) - 10."""
    experiment = Experiment(
        all_cases()["notebook-uniform"], load_backend("hmc"), "dense", Settings()
    )
    curve = np.array(_mapped(experiment, experiment.truth.inverse_fisher))
    factor = np.linalg.cholesky(experiment.truth.inverse_fisher)
    for angle, place in ((0.0, 0), (np.pi / 2, 12), (np.pi, 24)):
        z = experiment.truth.position + factor @ [np.cos(angle), np.sin(angle)]
        np.testing.assert_allclose(curve[place], 20 / (1 + np.exp(-z)) - 10, rtol=1e-4)
    assert _mapped(experiment, -experiment.truth.inverse_fisher) == []


def test_ellipse_that_overflows_in_x_is_left_out() -> None:
    half = Site(HalfNormal(1.0))
    case = Case("two", "two scales", {"a": half, "b": half}, {}, {"a": 1.0, "b": 1.0})
    experiment = Experiment(case, load_backend("hmc"), "dense", Settings())
    assert _mapped(experiment, np.eye(2))
    assert _mapped(experiment, 1e8 * np.eye(2)) == []


def test_bar_in_a_cell_is_no_border_of_it() -> None:
    assert wording.markdown(["log|dx/dz|"], [["a"]]).splitlines()[0] == r"| log\|dx/dz\| |"


# -- readings


def read_as(word: str, ratio: float, predicted: float, reason: str) -> dict[str, Any]:
    """The fields of a row whose only entry is read so."""
    entry = {
        "entry": "x[0]", "ratio": ratio, "low": 0.97 * ratio, "high": 1.03 * ratio,
        "predicted": predicted, "scale": "log", "reading": word, "reason": reason,
    }  # fmt: skip
    return {"reading": word, "readings": [entry], "found": ratio, "expected": predicted}


DIFFERS = read_as("differs as documented", 1.55, 1.54, "regularisation 1.54")


def test_page_and_summary_tell_the_ratio_to_the_inverse_fisher_itself() -> None:
    """And not how far it is from what was predicted, which is less than one per cent here."""
    rows = as_table([verdict("fine_mean", "numpyro", "dense", row_id="r", **DIFFERS)])
    told = "1.55×, differs as documented: regularisation 1.54"
    assert tables.headline(rows)["told"].tolist() == [told]
    assert f"| fine_mean | ✓ pass {told} |" in summary.markdown(rows)
    page = html(rows)
    assert '<span class="effect">1.55×</span>' in page
    assert "differs as documented: regularisation 1.54</span>" in page
    assert "of 1 combinations: differs as documented in 1" in page
    (line,) = details(rows)["r"]["readings"]
    assert line == [
        "x[0]", "1.55×", "1.50 to 1.60", "1.54×", "differs as documented", "regularisation 1.54",
    ]  # fmt: skip


def test_rows_without_a_reading_tell_their_deviation() -> None:
    rows = as_table([verdict("fine_mean", "numpyro", "dense")])
    assert tables.headline(rows)["told"].tolist() == ["−2.0%"]
    assert "differs" not in summary.markdown(rows)


def test_claims_of_older_rows_have_the_names_of_today(tmp_path: Path) -> None:
    old = ("matches the inverse Fisher", "disagrees as predicted", "density agrees")
    writer = RowWriter(tmp_path)
    writer.append(*({"kind": "verdict", "claim": claim} for claim in old))
    writer.close()
    assert [row["claim"] for row in read_rows(tmp_path)] == [FISHER, FISHER, "density agrees"]
