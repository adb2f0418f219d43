"""The generated page of the cases is that of the catalogue."""

from pathlib import Path

import pytest

from invmass.cases.case import Case
from invmass.cases.catalogue import all_cases

DOCS = Path(__file__).parents[1] / "docs"
REMEDY = "run python docs/cases.py"


@pytest.mark.parametrize("case", all_cases().values(), ids=all_cases())
def test_page_says_what_the_case_says(case: Case) -> None:
    page = (DOCS / "cases.md").read_text(encoding="utf-8")
    row = f"| [{case.name}](#{case.name}) | {case.dimension} | {case.tier} |"
    for text in (row, f"## {case.name}\n", f"`{case.summary}`", case.source):
        assert text in page, REMEDY
    assert (DOCS / "cases" / f"{case.name}.png").stat().st_size > 1000, REMEDY


def test_no_picture_is_left_over() -> None:
    assert {path.stem for path in (DOCS / "cases").glob("*.png")} == set(all_cases()), REMEDY
