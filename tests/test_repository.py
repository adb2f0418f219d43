"""The layout of the repository: definitions can be followed, and files and functions are short."""

import ast
from pathlib import Path

import jedi
import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ("invmass", "cases", "backends", "reports", "benchmarks")
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60  # lines

PROBES = [
    ("invmass/claims/inverse_fisher.py", "whiten", "invmass.whitening"),
    ("invmass/claims/registry.py", "InverseFisher", "invmass.claims.inverse_fisher"),
    ("invmass/claims/base.py", "sequential", "invmass.claims.sequential"),
    ("cases/gaussian.py", "Case", "invmass.model.case"),
    ("cases/test_claims.py", "CLAIMS", "invmass.claims.registry"),
    ("backends/numpyro_nuts.py", "Backend", "invmass.sampling.backend"),
    ("backends/hmc_static.py", "make_metric", "backends.hmc.metric"),
    ("reports/page.py", "tables", "reports.tables"),
    ("reports/page.py", "RowsError", "invmass.errors"),
    ("tests/test_estimators.py", "UsageError", "invmass.errors"),
    ("tests/test_fisher.py", "all_cases", "invmass.model.catalogue"),
]


@pytest.mark.parametrize(("path", "name", "module"), PROBES, ids=str)
def test_definition_can_be_followed_in_an_editor(path: str, name: str, module: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    found = [
        (node.lineno, line.index(name, node.col_offset if number == node.lineno else 0), number)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names)
        for number, line in enumerate(source.splitlines(), 1)
        if node.lineno <= number <= (node.end_lineno or 0) and name in line.split("import")[-1]
    ]
    assert found, f"{path} does not import {name}"
    _, column, line = found[0]
    script = jedi.Script(path=ROOT / path, project=jedi.Project(ROOT, added_sys_path=[str(ROOT)]))
    (definition, *_) = script.goto(line, column, follow_imports=True)
    assert (definition.full_name or "").startswith(module)


def modules() -> list[Path]:
    return [path for folder in SOURCE for path in sorted((ROOT / folder).rglob("*.py"))]


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    long = {str(path): count for path, count in lengths.items() if count > LONGEST_MODULE}
    assert not long


def test_functions_fit_on_a_screen() -> None:
    long = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                count = node.end_lineno - node.lineno + 1
                if count > LONGEST_FUNCTION:
                    long[f"{path}:{node.lineno} {node.name}"] = count
    assert not long
