"""A package of a third party, as `new-backend` writes it, with the wheel of `invmass` alone."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = "windowed"
CELL = f"gaussian_mean-{NAME}-diagonal"


def run(folder: Path, *words: str | Path, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def write(folder: Path, name: str = NAME) -> subprocess.CompletedProcess[str]:
    return run(ROOT, sys.executable, "-m", "invmass", "new-backend", name, "--out", folder)


class Repository:
    """The package of a third party and `invmass`, both as wheels, and no checkout."""

    def __init__(self, folder: Path) -> None:
        self.package, installed = folder / "package", folder / "installed"
        answer = write(self.package)
        assert answer.returncode == 0, answer.stderr
        cases = self.package / "cases"
        cases.mkdir()
        (cases / "__init__.py").touch()
        (cases / "test_own.py").write_text("def test_own(own): assert own == 3\n")
        fixture = "import pytest\n\n@pytest.fixture\ndef own(): return 3\n"
        (self.package / "conftest.py").write_text(fixture)
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
        offline = ("--no-build-isolation", "--target", installed)
        answer = run(folder, *pip, *offline, ROOT, self.package)
        assert answer.returncode == 0, answer.stderr
        self.backend = installed / f"invmass_{NAME}" / "backend.py"
        # an environment that knows the libraries, but nothing of how a checkout is made importable
        venv.create(folder / "venv", with_pip=False)
        self.python = folder / "venv" / "bin" / "python"
        self.path = os.pathsep.join([str(installed), sysconfig.get_path("purelib")])

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return run(self.package, self.python, *words, path=self.path)

    def pytest(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = (
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "invmass.pytest_plugin.scheduling",
        )
        options = ("-n", "2", "--invmass-backend", NAME, "--invmass-case", "gaussian_mean")
        return self.run(*command, "--pyargs", *words, *options)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    pytest.importorskip("blackjax")
    pytest.importorskip("hatchling")
    return Repository(tmp_path_factory.mktemp("repository"))


def test_written_package_is_judged_green_beside_cases_of_its_own(repository: Repository) -> None:
    where = repository.run("-c", "import invmass; print(invmass.__path__)")
    assert str(repository.backend.parents[1]) in where.stdout
    assert str(ROOT) not in where.stdout
    known = ("--invmass-xfails-file", "known_failures.txt")
    answer = repository.pytest("tests", "cases", "invmass.cases", "-v", *known)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "PASSED cases/test_own.py::test_own" in answer.stdout
    assert re.search(r"PASSED tests/test_backend.py::test_claim_holds\[.*draws", answer.stdout)
    assert f"test_claims.py::test_inverse_fisher[{CELL}]" in answer.stdout
    assert re.search(rf"^{NAME} +6 +0 +0 +0 +0 +0 +6$", answer.stdout, re.MULTILINE)


def test_fault_is_seen_unless_it_is_known(repository: Repository) -> None:
    source = repository.backend.read_text()
    checks = ("invmass.cases", "-k", "inverse_fisher or target")
    repository.backend.write_text(source.replace("tuned = found[", "tuned = 2 * found["))
    try:
        answer = repository.pytest(*checks)
        assert answer.returncode == 1
        assert f"FAILS for case gaussian_mean, backend {NAME}" in answer.stdout
        known = repository.package / "known.txt"
        tests = ("test_inverse_fisher", "test_converges_to_its_target")
        known.write_text("".join(f"test_claims::{t}[{CELL}]  # twice\n" for t in tests))
        answer = repository.pytest(*checks, "--invmass-xfails-file", known)
        assert answer.returncode == 0, answer.stdout
        assert re.search(rf"^{NAME} +2 +0 +0 +0 +2 +0 +0$", answer.stdout, re.MULTILINE)
    finally:
        repository.backend.write_text(source)


def test_backend_that_an_entry_point_brings_is_listed(repository: Repository) -> None:
    answer = repository.run("-m", "invmass", "list", "--case", "gaussian_mean")
    assert answer.returncode == 0, answer.stderr
    assert NAME in answer.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hmc", "there is a backend 'hmc' already"),
        ("none", "None is a word of Python's own"),
        ("My Sampler", "in lower case, such as my-sampler"),
        ("../escape", "in lower case, such as my-sampler"),
    ],
)
def test_bad_name_is_one_message(tmp_path: Path, name: str, told: str) -> None:
    answer = write(tmp_path / "package", name)
    assert answer.returncode == 2
    assert told in answer.stderr
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    answer = write(tmp_path)
    assert answer.returncode == 2
    assert "is not empty; choose another place with --out" in answer.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
