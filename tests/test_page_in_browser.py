"""The page in a real browser: it opens from the disk alone, is filtered, tells of each verdict."""

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from invmass.claims.converges_to_its_target import ConvergesToItsTarget
from invmass.claims.inverse_fisher import InverseFisher
from invmass.model.catalogue import all_cases
from invmass.reports import tables
from invmass.reports.page import html, write_report
from invmass.results import wording
from invmass.results.rows import RowWriter, load_rows
from invmass.runs.cell import Cell
from invmass.runs.experiment import Settings
from invmass.studies.exploration import explore
from invmass.studies.sweep import Combination, SeedBatch, judge_seeds
from invmass.whitening import whiten

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), "")
SWITCHES = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
FAULT = "correlations-flipped"
MANY = 10_000  # rows

pytestmark = pytest.mark.skipif(not CHROMIUM, reason=f"none of {', '.join(NAMES)} is installed")

Row = dict[str, Any]


@pytest.fixture(scope="module")
def judged() -> list[Row]:
    """All claims about a right sampler, one about a wrong one, and a map of settings."""
    fault = Cell("notebook-normal", "faults.reported:CorrelationsFlipped", FAULT, "dense")
    combinations = (
        Combination(Cell("notebook-uniform", "hmc", "hmc", "dense"), Settings()),
        Combination(Cell("notebook-uniform", "hmc", "hmc", "diagonal"), Settings()),
        Combination(fault, Settings(), (InverseFisher.name,)),
    )
    explored = explore(all_cases()["notebook-uniform"], Settings(), (0.4, 1.6), (4, 16))
    judged = [row for each in combinations for row in judge_seeds(SeedBatch(each, (0,)))]
    return [*judged, *explored]


@pytest.fixture(scope="module")
def rows(judged: list[Row], tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return loaded(judged, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def index(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(rows, tmp_path_factory.mktemp("report"))[0]


def loaded(rows: list[Row], folder: Path) -> pd.DataFrame:
    writer = RowWriter(folder)
    writer.append(*rows)
    writer.close()
    return load_rows(folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """Opens a page; at the end, nothing was said on its console and nothing asked of a network."""
    contexts, said, asked = [], [], []

    def opened(index: Path, place: str = "", **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(index.as_uri() + place)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "blob"}
    assert sum(url.startswith("file:") for url in asked) == len(contexts)


def shown(page: Any) -> list[str]:
    """Verdicts of the matrix that are to be seen."""
    return page.locator(".matrix td > a:first-child:visible .status").all_inner_texts()


def test_front_says_which_metric_is_off_by_how_much_and_which_way(visit: Any, index: Path) -> None:
    (line,) = visit(index).locator(".largest li").all_inner_texts()
    assert line.startswith(f"✗ fail {FAULT}, dense on notebook-normal: S[1,0] is ")
    assert "below its expected value (interval −" in line


def test_filter_keeps_what_is_named_and_ticked(visit: Any, index: Path) -> None:
    page = visit(index)
    words = page.get_by_label("Case, backend or metric")
    assert len(shown(page)) == 3
    words.fill("uniform HMC")
    assert shown(page) == ["✓ pass"] * 2
    assert not page.get_by_role("columnheader", name=FAULT).is_visible()
    assert not page.get_by_role("rowheader", name="notebook-normal").first.is_visible()
    words.fill("hmc diag")
    assert page.locator("#shown").inner_text() == "1 of 3 shown"
    words.fill("")
    page.get_by_role("checkbox", name="pass").uncheck()
    assert shown(page) == ["✗ fail"]
    page.get_by_role("button", name="Show all").click()
    api.expect(page.locator(".matrix .out")).to_have_count(0)
    assert len(shown(page)) == 3


def test_cell_opens_with_the_keyboard_and_closes_again(visit: Any, index: Path) -> None:
    page = visit(index)
    page.locator(".matrix a", has_text="pass").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    title = page.get_by_role("dialog").get_by_role("heading").first
    assert title.inner_text() == "✓ pass notebook-uniform, hmc, dense"
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    assert page.evaluate("document.activeElement.closest('td').cellIndex") == 3


def test_detail_has_an_address(visit: Any, index: Path) -> None:
    def title(page: Any) -> str:
        return page.get_by_role("dialog").get_by_role("heading").first.inner_text()

    page = visit(index)
    page.locator(".matrix td.fail a").first.click()
    told, address = title(page), page.url
    page.keyboard.press("Escape")
    api.expect(page).to_have_url(index.as_uri())
    page.goto(address)
    assert title(page) == title(visit(index, address.removeprefix(index.as_uri()))) == told
    assert not visit(index, "#r-nothing").get_by_role("dialog").is_visible()


def test_detail_says_what_the_row_says(visit: Any, index: Path, rows: pd.DataFrame) -> None:
    page = visit(index)
    page.locator(".matrix td.fail a").first.click()
    dialog = page.get_by_role("dialog")
    told = dialog.inner_text()
    row = rows[rows["status"] == "fail"].iloc[0]
    assert row["command"] in told
    assert f"{row['replicates']:.0f} of at most {row['cap']:.0f}" in told
    verdict = tables.inverse_fisher_verdicts(rows).set_index("status").loc["fail"].to_dict()
    assert f"{InverseFisher.name}: {wording.deviation_sentence(verdict)}." in told
    entries = dialog.locator("table").first.locator("tbody tr")
    assert entries.count() == len(row["intervals"])
    assert dialog.locator("svg.ellipses circle").count() == len(row["tuned"]) + 3
    assert dialog.locator("svg.ellipses path").count() == 3  # in x
    expected = whiten(np.mean(row["tuned"], axis=0), np.array(row["inverse_fisher"])).ravel()
    heat = dialog.locator(".heat").first.locator("td").all_inner_texts()
    found = [float(text.replace("−", "-")) for text in heat]
    np.testing.assert_allclose(found, expected, atol=0.006)


def test_bars_lie_where_the_interval_is_in_margins(visit: Any, index: Path) -> None:
    page = visit(index)
    page.locator(".matrix td.fail a").first.click()
    line = page.locator("dialog tr", has_text="S[1,0]").first
    margin, found, interval = (line.locator(part) for part in (".margin", ".found", ".interval"))
    assert margin.get_attribute("x") == "-20"
    assert float(found.get_attribute("cx")) == -60  # far below, so at the edge
    assert interval.get_attribute("d") == "M-60 0H-60"


def test_detail_leads_to_the_other_claims(visit: Any, index: Path, rows: pd.DataFrame) -> None:
    page = visit(index)
    page.locator(".matrix td.pass a").first.click()
    claims = page.locator(".claims li")
    diagonal = tables.verdicts(rows).query("metric == 'diagonal'")
    assert claims.count() == len(diagonal)
    page.locator(".claims a", has_text=ConvergesToItsTarget.name).click()
    assert ConvergesToItsTarget.name in page.locator("dialog .lead").inner_text()


def save(page: Any, button: Any) -> tuple[str, list[list[str]]]:
    """The name and the lines of the file that a button gives."""
    with page.expect_download() as download:
        button.click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    return download.value.suggested_filename, list(csv.reader(text.splitlines()))


def test_tables_of_a_detail_are_saved(visit: Any, index: Path, rows: pd.DataFrame) -> None:
    page = visit(index)
    page.locator(".matrix td.fail a").first.click()
    name, (heads, *lines) = save(page, page.locator("dialog .csv").first)
    assert (name, heads[:3]) == ("entries.csv", ["entry", "in margins", "found"])
    row = rows[rows["status"] == "fail"].iloc[0]
    assert [line[0] for line in lines] == [entry["entry"] for entry in row["intervals"]]


def test_filtered_matrix_is_saved_as_it_is_filtered(visit: Any, index: Path) -> None:
    page = visit(index)
    page.get_by_label("Case, backend or metric").fill("hmc diag")
    _, (heads, *lines) = save(page, page.locator("table.matrix .csv").first)
    assert heads == ["case", "hmc diagonal"]
    assert [line[0] for line in lines] == ["notebook-uniform"]


def test_every_table_is_saved_as_it_is_shown(visit: Any, index: Path, rows: pd.DataFrame) -> None:
    page = visit(index)
    page.evaluate("for (const closed of document.querySelectorAll('details')) closed.open = true")
    saved = dict(save(page, button) for button in page.locator("main table .csv").all())
    assert page.locator("main table").count() == page.locator("main table .csv").count()
    assert {"matrix.csv", "counts.csv", "all.csv", "provenance.csv"} <= set(saved)
    for lines in saved.values():
        assert {len(line) for line in lines} == {len(lines[0])}
        assert len(lines) > 1
    assert saved["matrix.csv"][0] == ["case", f"{FAULT} dense", "hmc diagonal", "hmc dense"]
    everything = pd.DataFrame(saved["all.csv"][1:], columns=saved["all.csv"][0])
    assert sorted(everything["repeat with"]) == sorted(rows["command"].dropna())
    verdict = tables.inverse_fisher_verdicts(rows).set_index("status").loc["fail"]
    (deviation,) = everything.loc[everything["status"] == "fail", "deviation"]
    assert float(deviation) == pytest.approx(verdict["deviation"], rel=0.01)


def test_page_without_scripts_shows_everything(visit: Any, index: Path) -> None:
    page = visit(index, java_script_enabled=False)
    assert len(shown(page)) == 3
    assert not page.locator("#filter").is_visible()
    assert page.locator(".failure").is_visible()
    page.locator(".matrix td.pass a").first.click()
    assert page.locator("tr:target").is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_no_wider_than_its_screen(visit: Any, index: Path, width: int) -> None:
    page = visit(index, viewport={"width": width, "height": 800})
    page.locator(".matrix td.fail a").first.click()
    for element in ("document.documentElement", "document.querySelector('dialog')"):
        assert page.evaluate(f"{element}.scrollWidth <= {element}.clientWidth"), element


OUT_OF_REACH = """() => [...document.querySelectorAll("*")].filter(e =>
    e.scrollWidth > e.clientWidth && ["auto", "scroll"].includes(getComputedStyle(e).overflowX)
    && e.tabIndex < 0 && !e.querySelector("a[href], button, input, [tabindex='0']")
).map(e => e.outerHTML.slice(0, 80))"""


def test_whatever_scrolls_sideways_takes_the_keyboard(visit: Any, index: Path) -> None:
    page = visit(index, viewport={"width": 390, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate(OUT_OF_REACH) == []


def test_many_rows_are_filtered_and_opened(visit: Any, judged: list[Row], tmp_path: Path) -> None:
    times = range(-(-MANY // len(judged)))
    copies = [row | {"case": f"{row['case']}-{i}"} for i in times for row in judged]
    index = tmp_path / "index.html"
    index.write_text(html(loaded(copies, tmp_path / "results"), {}), encoding="utf-8")
    page = visit(index)
    page.get_by_label("Case, backend or metric").fill("normal-77 ")
    api.expect(page.locator("#shown")).to_have_text(re.compile("^1"))
    page.locator(".matrix td.fail:visible a").first.click()
    assert page.get_by_role("dialog").is_visible()
