"""What the documentation shows is what there is: cases, examples, claims, the CI job."""

import json
import re
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import invmass
from invmass.claims.registry import CLAIMS
from invmass.cli.listing import case_line
from invmass.cli.new_backend import render
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.reports import evidence
from invmass.results.rows import as_table

DOCS = Path(__file__).parents[1] / "docs"
TABLES = runpy.run_path(str(DOCS / "claim_tables.py"))
PAGES = [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
REMEDY = "run python benchmarks/cases.py"


@pytest.mark.parametrize("case", all_cases().values(), ids=all_cases())
def test_page_says_what_the_case_says(case: Case) -> None:
    page = (DOCS / "cases.md").read_text(encoding="utf-8")
    row = f"| [{case.name}](#{case.name}) | {case.dimension} | {case.tier} |"
    for text in (row, f"## {case.name}\n", f"`{case.summary}`", case.source):
        assert text in page, REMEDY
    assert (DOCS / "cases" / f"{case.name}.png").stat().st_size > 1000, REMEDY


@cache
def stored() -> dict[str, dict[str, Any]]:
    written = json.loads((DOCS / "cases.json").read_text(encoding="utf-8"))
    return {reference["case"]: reference for reference in written}


@pytest.mark.parametrize("case", all_cases().values(), ids=all_cases())
def test_stored_reference_is_the_one_that_is_made(case: Case) -> None:
    kept, moments = stored()[case.name], case.truth_in_own_space.moments
    assert case_line(case).items() <= kept.items(), REMEDY
    assert kept["reference"] == case.reference.how, REMEDY
    variances = np.array([np.inf if v is None else v for v in kept["variance_z"]])
    off = (moments.mean - kept["mean_z"]) / np.sqrt(variances)
    np.testing.assert_allclose(off, 0.0, atol=1e-3, err_msg=REMEDY)
    np.testing.assert_allclose(np.diag(moments.covariance), variances, rtol=1e-3, err_msg=REMEDY)


def test_example_case_of_the_guide_is_complete() -> None:
    path = DOCS / "example_case.py"
    assert path.name in (DOCS / "adding_cases.md").read_text(encoding="utf-8")
    (case,) = runpy.run_path(str(path))["means"]()
    truth = case.truth_in_own_space
    np.testing.assert_allclose(truth.inverse_fisher, 9 / 50, rtol=1e-9)
    np.testing.assert_allclose(truth.moments.covariance, 1 / (50 / 9 + 1e-4), rtol=1e-6)


def test_no_case_is_left_over() -> None:
    assert {path.stem for path in (DOCS / "cases").glob("*.png")} == set(all_cases()), REMEDY
    assert set(stored()) == set(all_cases()), REMEDY


def test_backend_of_the_readme_is_the_one_that_new_backend_writes() -> None:
    written = render("backend.py.j2", "windowed-nuts", "", "WindowedNUTS")
    assert written == (DOCS / "example_backend.py").read_text(encoding="utf-8")


def test_page_on_backends_has_every_claim_and_the_job_that_new_backend_writes() -> None:
    page = (DOCS / "adding_backends.md").read_text(encoding="utf-8")
    table = page.partition("## What each claim needs")[2].partition("##")[0]
    cells = {name for line in table.splitlines() for name in line.split("|")[1:2]}
    claims = {claim for cell in cells for claim in cell.strip().split(", ")}
    assert set(CLAIMS) <= claims
    assert render("invmass.yml.j2", "my-sampler", "", "") in page


def test_page_on_the_method_has_every_claim() -> None:
    page = (DOCS / "method.md").read_text(encoding="utf-8")
    table = page.partition("<!-- claims: start -->")[2].partition("<!-- claims: end -->")[0]
    assert set(CLAIMS) <= {line.split("|")[1].strip() for line in table.splitlines() if line}


def test_readme_is_short() -> None:
    assert len((DOCS.parent / "README.md").read_text(encoding="utf-8").split()) <= 1000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if not target.startswith(("https://", "http://")):
            name, _, anchor = target.partition("#")
            found = (page.parent / name).resolve() if name else page
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), target


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, by the rule of GitHub and of MyST."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_public_name_can_be_imported() -> None:
    for name in invmass.__all__:
        assert getattr(invmass, name) is not None
    assert {*invmass._PUBLIC, "__version__", "fisher"} == set(invmass.__all__)


@pytest.mark.parametrize("page", TABLES["TABLES"])
def test_tables_of_claims_are_those_of_the_registry(page: str) -> None:
    text = (DOCS.parent / page).read_text(encoding="utf-8")
    assert text == TABLES["filled"](page), "run python docs/claim_tables.py"


def test_planted_faults_are_shown_under_the_names_of_the_claims() -> None:
    """In the measurements that every report shows, and on the page."""
    measured = evidence.faults(as_table([]))
    claims = set(measured["claim"].dropna())
    assert claims <= set(CLAIMS)
    page = (DOCS / "faults.md").read_text(encoding="utf-8")
    header = next(line for line in page.splitlines() if line.startswith("| fault |"))
    assert set(header.strip("| ").split(" | ")[4:]) == claims
