"""The HTML page."""

import re
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from report_rows import SVG, TIMINGS, VERDICTS, pictured, written

from invmass.reports import calibration, evidence, tables
from invmass.reports.page import html
from invmass.results import wording
from invmass.results.rows import as_table, load_rows
from invmass.results.status import Status

LINKED = {"summary.md", "rows.csv", "rows.parquet"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_rows(written(tmp_path_factory.mktemp("results"), *VERDICTS, *TIMINGS))


@pytest.fixture(scope="module")
def page(rows: pd.DataFrame) -> str:
    return html(rows)


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


def test_acceptance_and_energy_of_what_was_timed_are_on_the_page(rows: pd.DataFrame) -> None:
    page = html(rows)
    (line,) = re.findall(r'<table class="diagnostics".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", line)
    assert line.count("<tr>") == 1  # of what was sampled
    assert cells == ["numpyro", "dense", "64", "0.870", "3", "0.910"]


def test_page_is_self_contained(page: str) -> None:
    links = Links(page)
    outside = {target for target in links.targets if not target.startswith("#")}
    assert outside == LINKED
    assert not re.findall(r"https?://|//\w+\.", page.replace(SVG, ""))
    assert not re.findall(r"@import|url\((?!#)", page)
    assert links.tags["script"] == 2  # data, and what draws it


def test_page_shows_error_rates(page: str) -> None:
    rates = calibration.error_rates(pd.read_parquet(evidence.CALIBRATION))
    assert len(rates) > 0
    for line in rates.to_dict("records"):
        cells = (
            line["answer"],
            wording.error_rate(line["promised"]),
            line["verdicts"],
            line["wrong"],
        )
        assert '<th scope="row">{}</th><td>{}</td><td>{}</td><td>{}</td>'.format(*cells) in page


def test_rows_of_a_calibration_count_before_those_that_come_with_us() -> None:
    shipped = pd.read_parquet(evidence.CALIBRATION)
    own = as_table(shipped.assign(verdicts=7 * shipped["verdicts"]).to_dict("records"))
    count = calibration.error_rates(shipped)["verdicts"].iloc[0]
    assert f"<td>{count}</td>" in html(as_table(shipped.to_dict("records")), {})
    assert f"<td>{7 * count}</td>" in html(own, {})


def test_page_shows_which_planted_faults_are_found(page: str) -> None:
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
    assert "regularisation, not the posterior, determines an entry" in text
    assert "+3\u202f700.0%" in text
    assert "<h2>coarse</h2>" not in text


def test_page_links_lead_somewhere_and_ids_are_unique(rows: pd.DataFrame, page: str) -> None:
    links = Links(page)
    assert len(links.ids) == len(set(links.ids))
    anchors = {target[1:] for target in links.targets if target.startswith("#")}
    assert anchors <= set(links.ids)
    linked = {anchor[2:] for anchor in anchors}
    assert set(tables.inverse_fisher_verdicts(rows)["row_id"]) <= linked


def test_page_shows_each_case_and_status_in_words(page: str) -> None:
    for row in VERDICTS:
        assert f'<th scope="row">{row["case"]}</th>' in page
        symbol = Status(row["status"]).symbol
        assert f'<b aria-hidden="true">{symbol}</b> {row["status"]}</span>' in page


def test_page_opens_every_failure_with_its_message(page: str) -> None:
    failures = re.findall(r'<details open class="failure.*?</summary>.*?</pre>', page, re.S)
    assert len(failures) == 4
    assert "x[0]: found 1.28 &lt;lies&gt; above | the margin" in failures[0]
    assert "BackendFaultError: not finite" in "".join(failures)  # without its colour


def test_page_shows_another_failed_claim_in_a_cell_that_passes(page: str) -> None:
    line = re.search(r'<th scope="row">quadratic_fit</th>.*?</tr>', page, re.S)
    assert line is not None
    assert "✗ draws are right: fail" in line[0]


def test_page_names_the_commands_for_what_was_not_measured(rows: pd.DataFrame) -> None:
    missing = (
        html(rows)
        .partition("Not measured yet (in parentheses, the command that measures it): ")[2]
        .partition("</p>")[0]
    )
    assert "savings by the inverse Fisher (<code>invmass benchmark --tier full" in missing
    assert "trajectories (<code>invmass explore" in missing


def test_page_has_the_colour_of_each_status(page: str) -> None:
    for status in Status:
        assert f".{status.replace(' ', '-')} {{ --status: {status.colour};" in page
