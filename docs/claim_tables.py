"""Writes the tables of claims into the pages, from the registry: python docs/claim_tables.py."""

from collections.abc import Callable, Mapping
from pathlib import Path

from invmass.claims.base import Claim
from invmass.claims.registry import CLAIMS

ROOT = Path(__file__).parents[1]
START, END = "<!-- claims: start -->\n", "<!-- claims: end -->\n"

Columns = Mapping[str, Callable[[Claim], str]]


def _cases(claim: Claim) -> str:
    cases = "all cases" if claim.cases is None else ", ".join(f"`{c}`" for c in claim.cases)
    needs = ["a finite posterior variance"] if claim.needs_target and claim.cases is None else []
    needs += [claim.needs] if claim.needs else []
    return f"{cases} with {' and '.join(needs)}" if needs else cases


def _tier(claim: Claim) -> str:
    each = {"backend": "once for each backend", "metric": "each metric"}
    if claim.tier == "full":
        return f"full tier alone, {each[claim.per]}"
    quick = each[claim.per]
    if claim.quick_cases is not None:
        quick += ", on " + ", ".join(f"`{case}`" for case in claim.quick_cases)
    in_full = each[claim.per_in_full or claim.per]
    return quick if quick == in_full else f"{quick}; in the full tier {in_full}"


TABLES: dict[str, Columns] = {
    "docs/method.md": {
        "claim": lambda claim: claim.name,
        "passes if": lambda claim: claim.summary,
        "what is compared": lambda claim: claim.reference,
        "margin": lambda claim: claim.margin,
    },
    "docs/adding_backends.md": {
        "claim": lambda claim: claim.name,
        "uses of the backend": lambda claim: claim.uses,
        "judged on": _cases,
        "how often": _tier,
    },
}


def table(columns: Columns) -> str:
    """One line for each claim, in Markdown."""
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    lines = (" | ".join(cell(claim) for cell in columns.values()) for claim in CLAIMS.values())
    return head + "".join(f"| {line} |\n" for line in lines)


def filled(page: str) -> str:
    """The text of a page with its table made anew."""
    text = (ROOT / page).read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}{table(TABLES[page])}{END}{after}"


if __name__ == "__main__":
    for page in TABLES:
        (ROOT / page).write_text(filled(page), encoding="utf-8")
