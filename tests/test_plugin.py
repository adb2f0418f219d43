"""The suite as others run it: the command and the plugin in a process of their own."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from invmass.claims.base import GAUSSIAN_FIT
from invmass.pytest_plugin.known_failures import current_id
from invmass.results.rows import load_rows

HERE = Path(__file__).parent
BACKENDS = ["hmc", "hmc-pooled", "numpyro", "blackjax", "tfp", "nutpie", "pymc"]
ON_ONE = ("--case", "gaussian_mean", "--metric", "diagonal")


def run(folder: Path, *words: str, script: bool = False) -> subprocess.CompletedProcess[str]:
    """A module's command, or a script of the environment, in `folder`."""
    scripts = Path(sysconfig.get_path("scripts"))
    return subprocess.run(
        [scripts / words[0], *words[1:]] if script else [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def validate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "invmass", "validate", *ON_ONE, *words)


def statuses(folder: Path, backend: str) -> set[str]:
    rows = load_rows(folder / "invmass-results")
    return set(rows[rows["backend"] == backend]["status"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--backend", "nope"), "unknown backend 'nope'; the backends are: hmc"),
        (("--case", "nope"), "unknown case 'nope'; the cases are: notebook"),
        (("--backend", "hmc", "--metric", "nope"), "unknown metric 'nope'"),
        (("--backend", "faults.breaking:Nope"), "cannot be loaded"),
        (("--backend", "hmc", "--tolerance", "2"), "--tolerance must be between 0 and 1, not 2.0"),
        (("--backend", "hmc", "--replicates", "1"), "--replicates must be at least 8"),
        (("--backend", "hmc", "--results", "/dev/null/x"), "cannot write results"),
        (("--xfails-file", "nope.txt", "--backend", "hmc"), "nope.txt: No such file"),
    ],
)
def test_bad_input_is_one_message_and_status_2(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    answer = run(tmp_path, "invmass", "validate", *words)
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert told in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr


def test_broken_backends_cost_their_own_checks_only(tmp_path: Path) -> None:
    told = {
        "raises": ("Raises", "the backend raised RuntimeError: the library gave up"),
        "exits": ("Exits", "the backend raised SystemExit: 0"),
        "not-finite": ("NotFinite", "inverse_mass_matrix is not finite in 1 of 64 replicates"),
        "wrong-shape": ("WrongShape", "inverse_mass_matrix has shape (64, 0), expected (64, 1)"),
        "not-positive": ("NotPositive", "inverse_mass_matrix is not positive definite in 64 of"),
    }
    broken = [f"--backend=faults.breaking:{kind}" for kind, _ in told.values()]
    answer = validate(tmp_path, *broken, "--backend", "hmc")
    assert answer.returncode == 1
    assert statuses(tmp_path, "hmc") == {"pass"}
    rows = load_rows(tmp_path / "invmass-results")
    for name, (kind, reason) in told.items():
        errors = rows[(rows["backend"] == name) & (rows["status"] == "error")]
        assert errors["message"].str.contains(reason, regex=False).any(), name
        repeat = f"invmass check gaussian_mean --backend faults.breaking:{kind}"
        assert f"repeat: {repeat}" in answer.stdout


def test_lost_process_costs_its_own_combination_only(tmp_path: Path) -> None:
    """Hung, crashed, killed or out of memory: an error with its reason, and all else runs."""
    told = {
        "hangs": "no answer within 20 s (--time-limit)\n  File ",
        "hangs-in-the-library": "no answer within 20 s (--time-limit)",
        "crashes": "its process crashed: Segmentation fault\n  File ",
        "killed": "its process was killed; the system does so when memory runs out",
        "out-of-memory": "the backend raised MemoryError",
    }
    classes = ("Hangs", "HangsInTheLibrary", "Crashes", "Killed", "OutOfMemory")
    backends = [f"--backend=faults.breaking:{name}" for name in classes]
    chosen = "target or contract or draws or resumes"
    words = ("--jobs", "2", "--time-limit", "20", "--", "-k", chosen)
    answer = validate(tmp_path, *backends, "--backend", "hmc", *words)
    assert answer.returncode == 1
    rows = load_rows(tmp_path / "invmass-results")
    assert set(rows[rows["backend"] == "hmc"]["status"]) == {"pass"}
    assert len(rows) == 4 * 6
    assert len(rows.drop_duplicates(["backend", "claim"])) == 4 * 6
    for backend, reason in told.items():
        lost = rows[rows["backend"] == backend]
        assert set(lost["status"]) == {"error"}
        assert all(reason.split("\n")[0] in message for message in lost["message"])
        assert any(reason in message for message in lost["message"])
        assert re.search(rf"^{backend} +4 +0 +4 +0 +0 +0 +0$", answer.stdout, re.MULTILINE)
    assert "repeat: invmass check gaussian_mean --backend faults.breaking:Killed" in answer.stdout


def test_planted_faults_fail_and_the_message_says_how_to_repeat_it(tmp_path: Path) -> None:
    claims = {
        "MassNotInverse": "inverse Fisher",
        "Identity": "converges to its target",
    }
    specs = {f"faults.reported:{name}": claim for name, claim in claims.items()}
    backends = [f"--backend={spec}" for spec in specs]
    answer = validate(tmp_path, *backends, "--seed", "3", "--", "-k", "inverse_fisher or target")
    assert answer.returncode == 1
    for spec, claim in specs.items():
        assert f"{claim}: FAILS for case gaussian_mean" in answer.stdout
        repeat = f"invmass check gaussian_mean --backend {spec} --metric diagonal --seed 3"
        assert f"repeat: {repeat}" in answer.stdout


def test_forgotten_jacobian_is_seen_in_the_density(tmp_path: Path) -> None:
    spec = "faults.reported:ForgetsTheJacobian"
    answer = run(
        tmp_path, "invmass", "validate", "--case", "gaussian_scale", "--backend", spec,
        "--", "-k", "density",
    )  # fmt: skip
    assert answer.returncode == 1
    assert "density agrees: FAILS" in answer.stdout


def test_backend_of_which_nothing_runs_is_a_failure(tmp_path: Path) -> None:
    spec = "faults.breaking:NotInstalled"
    answer = validate(tmp_path, "--backend", spec, "--backend", "hmc")
    assert answer.returncode == 1
    assert "a-library-that-is-not-there is not installed: python -m pip install" in answer.stdout
    assert "FAILED: nothing was executed for backend" in answer.stdout


def test_backend_that_was_asked_for_and_has_no_check_is_a_failure(tmp_path: Path) -> None:
    backends = ("--backend", "hmc", "--backend", "faults.reported:Identity")
    answer = validate(tmp_path, *backends, "--", "-k", "hmc and density")
    assert answer.returncode == 1
    assert "FAILED: nothing was executed for backend identity" in answer.stdout


def test_known_failure_that_broke_down_says_how(tmp_path: Path) -> None:
    known = tmp_path / "known.txt"
    known.write_text(
        "test_claims::test_converges_to_its_target[gaussian_mean-raises-diagonal]  # known\n"
    )
    words = ("--xfails-file", str(known), "--", "-k", "target")
    answer = validate(tmp_path, "--backend", "faults.breaking:Raises", *words)
    assert answer.returncode == 0, answer.stdout
    (row,) = load_rows(tmp_path / "invmass-results").to_dict("records")
    assert row["status"] == "expected failure"
    assert re.match(r"known: .*RuntimeError: the library gave up", row["message"])


def test_undecided_verdict_is_status_3(tmp_path: Path) -> None:
    answer = validate(tmp_path, "--backend", "hmc", "--replicates", "16", "--", "-k", "target")
    assert answer.returncode == 3, answer.stdout
    assert "INCONCLUSIVE" in answer.stdout


def test_known_failure_must_fail_and_must_exist(tmp_path: Path) -> None:
    known = tmp_path / "known.txt"
    cell = "gaussian_mean-mass-diagonal"
    known.write_text(
        f"test_claims::test_inverse_fisher[{cell}]  # M in place of its inverse\n"
        f"test_claims::test_converges_to_its_target[{cell}]  # the same\n"
    )
    spec = "faults.reported:MassNotInverse"
    words = ("--xfails-file", str(known), "--", "-k", "inverse_fisher or target")
    answer = validate(tmp_path, "--backend", spec, *words)
    assert answer.returncode == 0, answer.stdout
    assert statuses(tmp_path, "mass") == {"expected failure"}
    known.write_text("test_claims::test_inverse_fisher[gaussian_mean-hmc-diagonal]  # no\n")
    answer = validate(tmp_path, "--backend", "hmc", *words)
    assert answer.returncode == 1
    assert "passes, but is listed as known to fail: take its line out (no)" in answer.stdout
    known.write_text("test_claims::test_inverse_fisher[gaussian_mean-hmc-dens]  # a slip\n")
    answer = validate(tmp_path, "--backend", "hmc", *words)  # of one case, backend and metric
    assert answer.returncode == 1
    assert "inverse_fisher[gaussian_mean-hmc-dens]" in answer.stdout
    known.write_text("test_claims::test_that_is_not_there  # no\n")
    only = ("--", "-k", "test_inverse_fisher and gaussian_mean-hmc-diagonal")
    answer = run(tmp_path, "invmass", "validate", *words[:2], *only)
    assert answer.returncode == 1
    assert "entries that match no test\n" in answer.stdout
    assert f"{known}: test_claims::test_that_is_not_there" in answer.stdout
    known.write_text("test_mass::test_inverse_fisher[gaussian_mean-hmc-dense]  # no such file\n")
    answer = run(tmp_path, "invmass", "validate", *words[:2], *only)
    assert answer.returncode == 1
    assert f"{known}: test_mass::test_inverse_fisher[gaussian_mean-hmc-dense]" in answer.stdout


def test_metric_that_a_backend_lacks_is_skipped_with_its_reason(tmp_path: Path) -> None:
    pytest.importorskip("blackjax")
    words = ("--backend", "hmc", "--metric", "fisher_diag")
    alone = validate(tmp_path, *words)
    assert alone.returncode == 2
    assert "hmc: fisher_diag: not implemented: our sampler" in alone.stderr
    answer = validate(tmp_path, *words, "--backend", "blackjax")
    assert answer.returncode == 0, answer.stdout
    assert statuses(tmp_path, "hmc") == {"pass", "skipped"}
    assert "hmc: 3 × fisher_diag: not implemented: our sampler" in answer.stdout


def collected(folder: Path, *words: str) -> list[str]:
    """Ids of the checks that a session would run."""
    answer = run(folder, "pytest", "--pyargs", "invmass.cases", "--collect-only", "-q", *words)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return [line.rpartition("/")[2] for line in answer.stdout.splitlines() if "::" in line]


NOT_STARTED = """
import jax

def pytest_collection_finish():
    jax.config.update("jax_num_cpu_devices", 2)  # raises if JAX has started
"""


def test_jax_is_not_started_before_processes_have_their_share_of_the_machine(
    tmp_path: Path,
) -> None:
    (tmp_path / "not_started.py").write_text(NOT_STARTED)
    assert collected(tmp_path, "-p", "not_started")


FULL_CASE = """
from dataclasses import replace
from invmass.model import catalogue

known = catalogue.all_cases()
long = dict(known) | {"gaussian_mean": replace(known["gaussian_mean"], tier="full")}
catalogue.all_cases = lambda: long
"""


def test_full_tier_adds_checks_and_cases_and_a_named_case_is_of_any_tier(tmp_path: Path) -> None:
    (tmp_path / "full_case.py").write_text(FULL_CASE)
    words = ("-p", "full_case", "--invmass-backend=hmc", "--invmass-metric=dense")
    full_check = "test_equivariant_at_several_lengths"
    quick = collected(tmp_path, *words)
    assert not any("gaussian_mean" in test or full_check in test for test in quick)
    full = collected(tmp_path, *words, "--invmass-tier=full")
    assert set(quick) < set(full)
    assert f"test_claims.py::{full_check}[{GAUSSIAN_FIT}-hmc-dense]" in full
    assert "test_claims.py::test_supplied_metric[gaussian_mean-hmc-dense]" in full
    named = collected(tmp_path, *words, "--invmass-case=gaussian_mean")
    assert "test_claims.py::test_density_agrees[gaussian_mean-hmc-dense]" in named
    assert not any(full_check in test or "supplied" in test for test in named)


def test_known_failure_of_the_full_tier_is_not_stale_in_the_quick_one(tmp_path: Path) -> None:
    known = tmp_path / "known.txt"
    known.write_text(
        "test_claims::test_equivariant_at_several_lengths[quadratic_fit-hmc-dense]  # some day\n"
    )
    assert collected(tmp_path, f"--invmass-xfails-file={known}")


@pytest.mark.parametrize(
    ("former", "current"),
    [
        ("test_mass_matrix::test_inverse_fisher[a-b-c]", "test_claims::test_inverse_fisher[a-b-c]"),
        (
            "test_conduct::test_statistics_are_honest[a-my-b-c]",
            "test_claims::test_reported_statistics[a-my-b-c]",
        ),
        ("test_mine::test_contract[a]", "test_mine::test_contract[a]"),
    ],
)
def test_known_failures_of_earlier_releases_are_understood(former: str, current: str) -> None:
    assert current_id(former) == current


def test_example_backend_of_the_readme_is_judged(tmp_path: Path) -> None:
    pytest.importorskip("blackjax")
    example = HERE.parent / "docs" / "example_backend.py"
    source = example.read_text()
    assert source in (HERE.parent / "README.md").read_text()
    assert len([line for line in source.splitlines() if line.strip()]) < 40
    words = ("check", "gaussian_mean", "--backend", "example_backend:WindowedNUTS", "--json")
    shutil.copy(example, tmp_path)
    answer = run(tmp_path, "invmass", *words, script=True)
    found = {row["claim"]: row["status"] for row in json.loads(answer.stdout)}
    assert found.pop("density agrees") == "pass"
    assert set(found.values()) == {"pass"}, answer.stdout
    assert answer.returncode == 0


def test_rows_are_complete_and_the_report_is_written(tmp_path: Path) -> None:
    assert validate(tmp_path, "--backend", "hmc").returncode == 0
    rows = load_rows(tmp_path / "invmass-results")
    assert set(rows["claim"]) >= {"inverse Fisher", "density agrees"}
    for column in ("seed", "dtype", "device", "versions", "machine", "command", "alpha"):
        assert rows[column].notna().all(), column
    answer = run(tmp_path, "invmass", "report")
    assert answer.returncode == 0
    assert (tmp_path / "invmass-report" / "index.html").stat().st_size > 10_000


def test_report_without_results_says_how_to_make_them(tmp_path: Path) -> None:
    answer = run(tmp_path, "invmass", "report")
    assert answer.returncode == 2
    assert "invmass validate" in answer.stderr


def test_the_plugin_imports_no_jax_into_other_sessions(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\ndef test_other():\n    assert 'jax' not in sys.modules\n"
    )
    answer = run(tmp_path, "pytest", "-q", "test_other.py")
    assert answer.returncode == 0, answer.stdout
    assert "invmass" not in answer.stdout


def test_checkout_without_its_libraries_says_what_to_install(tmp_path: Path) -> None:
    for name in ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        file = Path(spec.origin)
        file = file.parent if file.stem == "__init__" else file
        (tmp_path / file.name).symlink_to(file)
    answer = subprocess.run(
        [sys.executable, "-S", "-m", "pytest", "-p", "no:cacheprovider", "cases"],
        cwd=HERE.parent,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == pytest.ExitCode.USAGE_ERROR, answer.stdout + answer.stderr
    assert answer.stderr.startswith("ERROR: this checkout is not installed, it needs ")
    assert "python -m pip install -e '.[all]'" in answer.stderr
    assert len((answer.stdout + answer.stderr).strip().splitlines()) == 1


def test_no_sampler_library_is_imported_before_its_backend_is_used(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import invmass.cli.main\n"
        "assert 'jax' not in sys.modules\n"
        "import invmass.cli.check\n"
        "from invmass.sampling.registry import select_backends\n"
        f"assert [b.name for b in select_backends([])] == {BACKENDS}\n"
        "libraries = {'numpyro', 'blackjax', 'tensorflow_probability', 'nutpie', 'pymc'}\n"
        "loaded = libraries & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_check_leaves_out_what_a_claim_does_not_judge_and_says_so(tmp_path: Path) -> None:
    claim = "inverse Fisher of x is rejected"
    words = ("--backend", "hmc", "--metric", "diagonal", "--claim", claim, "--json")
    answer = run(tmp_path, "invmass", "check", "notebook", *words)
    assert answer.returncode == 0
    assert [record["case"] for record in json.loads(answer.stdout)] == ["notebook-uniform"]
    assert f"notebook-normal-hmc-diagonal is not judged by {claim!r}" in answer.stderr
    answer = run(tmp_path, "invmass", "check", "notebook-normal", *words)
    assert answer.returncode == 2
    assert answer.stderr.startswith("invmass: notebook-normal-hmc-diagonal is not judged by")


def test_list_and_fisher_speak_json(tmp_path: Path) -> None:
    listed = json.loads(run(tmp_path, "invmass", "list", "--case", "notebook", "--json").stdout)
    bounded, normal = listed["cases"]
    assert (bounded["case"], normal["case"]) == ("notebook-uniform", "notebook-normal")
    assert bounded["reference"] == "quadrature over 2 dimensions"
    assert bounded["gap"] == pytest.approx(0.026, abs=0.005)  # most of it is the published 2.67%
    assert normal["gap"] < 0.02
    # of N(2, 1) under N(0, 10) and N(1, 0.1)
    assert normal["variance_z"] == pytest.approx([0.99, 0.01], rel=0.01)
    assert normal["mean_z"] == pytest.approx([1.98, 0.998], rel=0.01)
    assert [b["backend"] for b in listed["backends"]] == BACKENDS
    answer = run(tmp_path, "invmass", "fisher", "notebook-uniform", "--backend", "hmc", "--json")
    (found,) = json.loads(answer.stdout)
    assert found["inverse_fisher_z"][0][0] == pytest.approx(0.0434028, rel=1e-5)
    answer = run(tmp_path, "invmass", "fisher", "infinite_variance", "--backend", "hmc", "--json")
    (found,) = json.loads(answer.stdout, parse_constant=pytest.fail)  # JSON has no Infinity
    assert found["covariance_z"] == [[None]]


HYPHENS = """
from pathlib import Path

import pytest
from faults.reported import Identity, MassNotInverse


class First(Identity):
    name = "my-own-sampler"


class Second(MassNotInverse):
    name = "my-own-sampler-two"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    worker = item.config.workerinput["workerid"]
    cell = item.callspec.params["experiment"]
    with open(Path(item.config.rootpath) / "ran.txt", "a") as file:
        print(worker, cell.backend, cell.case, sep="\\t", file=file)
    return (yield)
"""


def test_backend_whose_name_has_hyphens_keeps_to_one_process_on_cases_alike(
    tmp_path: Path,
) -> None:
    """Two cases share its compiled programs; a backend with a longer name has another process."""
    (tmp_path / "hyphens.py").write_text(HYPHENS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    words = ["--case=gaussian_mean", "--case=fine_mean", "--metric=diagonal", "--jobs=2"]
    words += ["--backend=hyphens:First", "--backend=hyphens:Second", "--replicates=64"]
    run(tmp_path, "invmass", "validate", *words, "--", "-p", "hyphens", "-k", "contract_of")
    ran = [line.split("\t") for line in (tmp_path / "ran.txt").read_text().splitlines()]
    assert len(ran) == 4
    workers = {backend: worker for worker, backend, _ in ran}
    assert set(workers) == {"my-own-sampler", "my-own-sampler-two"}
    assert len(set(workers.values())) == 2
    assert all(worker == workers[backend] for worker, backend, _ in ran)
