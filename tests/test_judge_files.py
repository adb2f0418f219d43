"""Matrices from files are judged as those of a backend are, and faults in them are seen."""

import csv
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from invmass.adaptation.estimators import ESTIMATORS
from invmass.cases.univariate import normal_scores
from invmass.claims.converges_to_its_target import ConvergesToItsTarget
from invmass.claims.intervals import Interval, Statistic
from invmass.claims.inverse_fisher import InverseFisher
from invmass.claims.sequential import Verdict, look, replicates_wanted
from invmass.claims.tuned_matrix_contract import TunedMatrixContract
from invmass.cli.judge import judge
from invmass.cli.repeat import repeat
from invmass.errors import BackendFaultError, UsageError
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.model.distributions import LKJ, Normal
from invmass.model.posterior import Site
from invmass.recorded.cmdstan import read_cmdstan
from invmass.recorded.reading import read
from invmass.recorded.recorded import Recorded, transforms_of
from invmass.reports.page import html
from invmass.reports.tables import inverse_fisher_verdicts
from invmass.results.rows import load_rows
from invmass.results.status import Status
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.backend import Tuned
from invmass.sampling.registry import load_backend
from invmass.studies.recorded_matrices import recorded_answers, recorded_experiment

CASE = all_cases()["mixed_sites"]  # a simplex, an interval, and an order that is not the sorted one
NAMES = CASE.posterior.coordinates  # level, shares[0], shares[1], bend, gain
REPLICATES = 128
DOTTED = ("level", "shares.1", "shares.2", "bend", "gain")
HEADER = "level,shares.1,shares.2,shares.3,bend,gain,mu.1,mu.2"  # mu is computed from them
ROUTES = ("npz", "csv", "cmdstan", "netcdf", "zarr")


@pytest.fixture(scope="module")
def tuned() -> Mapping[str, Tuned]:
    """What our own sampler tunes, whose z is Stan's up to 2.36."""
    return {
        metric: Experiment(CASE, load_backend("hmc"), metric, Settings()).tuned(REPLICATES)
        for metric in ("diagonal", "dense")
    }


def write_npz(folder: Path, matrices: np.ndarray, names: tuple[str, ...] = NAMES) -> list[Path]:
    np.savez(folder / "t.npz", inverse_mass_matrix=matrices, names=np.array(names), window=500)
    return [folder / "t.npz"]


def write_csv(folder: Path, matrices: np.ndarray, names: tuple[str, ...] = NAMES) -> list[Path]:
    entries = [(i, i) for i in range(len(names))]
    if matrices.ndim == 3:
        entries += [(j, i) for i in range(len(names)) for j in range(i)]
    else:
        matrices = matrices[:, :, None] * np.eye(len(names))
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([names[i] if i == j else f"{names[i]}|{names[j]}" for i, j in entries])
        writer.writerows([[repr(float(m[i, j])) for i, j in entries] for m in matrices])
    return [folder / "t.csv"]


def cmdstan_text(
    metric: np.ndarray, header: str = HEADER, version: str = "2.36", warmup: int = 1000
) -> str:
    """As the guide shows a file of method=sample: settings, header, block, draws, seconds."""
    major, minor = version.split(".")
    dense = metric.ndim == 2
    settings = [
        f"stan_version_major = {major}", f"stan_version_minor = {minor}",
        "stan_version_patch = 0", "model = mixed_sites_model", "method = sample (Default)",
        "  sample", "    num_samples = 2", f"    num_warmup = {warmup}", "    thin = 1 (Default)",
        "    adapt", "      engaged = true (Default)", "      delta = 0.8 (Default)",
        "      init_buffer = 75 (Default)", "      term_buffer = 50 (Default)",
        "      window = 25 (Default)", "    algorithm = hmc (Default)", "      hmc",
        "        engine = nuts (Default)", "          nuts", "            max_depth = 10 (Default)",
        f"        metric = {'dense_e' if dense else 'diag_e (Default)'}", "id = 1 (Default)",
    ]  # fmt: skip
    kind = "Elements" if dense else "Diagonal elements"
    block = ["Adaptation terminated", "Step size = 0.9", f"{kind} of inverse mass matrix:"]
    block += [", ".join(f"{value:.6g}" for value in row) for row in np.atleast_2d(metric)]
    draw = ",".join(["-7.1,0.9,0.9,2,3,0,8.2", *["0.5"] * len(header.split(","))])
    columns = (
        "lp__,accept_stat__,stepsize__,treedepth__,n_leapfrog__,divergent__,energy__," + header
    )
    seconds = [" ", " Elapsed Time: 0.005 seconds (Warm-up)", "               0.01 seconds (Total)"]
    lines = [*(f"# {line}" for line in settings), columns, *(f"# {line}" for line in block)]
    return "\n".join([*lines, draw, draw, *(f"# {line}" for line in seconds), ""])


def write_cmdstan(folder: Path, matrices: np.ndarray) -> list[Path]:
    paths = [folder / f"output_{i}.csv" for i in range(len(matrices))]
    for path, metric in zip(paths, matrices, strict=True):
        path.write_text(cmdstan_text(metric))
    return paths


def tree(matrices: np.ndarray, names: tuple[str, ...] = DOTTED):  # type: ignore[no-untyped-def]
    """As nutpie stores them: after each draw the matrix that was used, or nothing if unchanged."""
    xarray = pytest.importorskip("xarray")
    values = np.full((len(matrices), 3, *matrices.shape[1:]), np.nan)
    values[:, 0], values[:, 1] = 7.0, matrices
    dims = ["chain", "draw", "unconstrained_parameter", "unconstrained_parameter2"]
    coords = {name: list(names) for name in dims[2 : matrices.ndim + 1]}
    stats = xarray.Dataset({"mass_matrix_inv": (dims[: values.ndim], values)}, coords=coords)
    warmup = xarray.full_like(stats, 3.0)
    return xarray.DataTree.from_dict({"/sample_stats": stats, "/warmup_sample_stats": warmup})


def write_netcdf(folder: Path, matrices: np.ndarray) -> list[Path]:
    tree(matrices).to_netcdf(folder / "t.nc", engine="h5netcdf")
    return [folder / "t.nc"]


def write_zarr(folder: Path, matrices: np.ndarray) -> list[Path]:
    pytest.importorskip("zarr")
    tree(matrices).to_zarr(folder / "t.zarr", consolidated=False)
    return [folder / "t.zarr"]


def write(route: str, folder: Path, matrices: np.ndarray) -> list[Path]:
    writers = {
        "npz": write_npz, "csv": write_csv, "cmdstan": write_cmdstan, "netcdf": write_netcdf,
        "zarr": write_zarr,
    }  # fmt: skip
    return writers[route](folder, matrices)


def statuses(recorded: Recorded, metric: str, case: Case = CASE, **given: object) -> dict[str, str]:
    estimator = f"welford_{metric}"
    settings = {"window": 500, "space": "stan-2.36"} | given
    experiment = recorded_experiment(recorded, case, estimator, **settings)  # type: ignore[arg-type]
    found = {}
    for claim, answer in recorded_answers(experiment):
        assert not isinstance(answer, Exception), answer
        found[claim] = str(answer.status)
    return found


@pytest.mark.filterwarnings("ignore:.*Zarr ")
@pytest.mark.parametrize("metric", ["diagonal", "dense"])
@pytest.mark.parametrize("route", ROUTES)
def test_right_matrices_pass_by_every_route(
    tmp_path: Path, tuned: Mapping[str, Tuned], route: str, metric: str
) -> None:
    matrices = tuned[metric].inverse_mass_matrix
    recorded = read(write(route, tmp_path, matrices), CASE)
    scale = (
        np.sqrt(np.einsum("rii,rjj->rij", matrices, matrices)) if metric == "dense" else matrices
    )
    np.testing.assert_allclose(recorded.inverse_mass_matrix / scale, matrices / scale, atol=2e-5)
    assert statuses(recorded, metric) == {
        InverseFisher.name: "pass",
        ConvergesToItsTarget.name: "pass",
        TunedMatrixContract.name: "pass",
    }


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("fault", ["M", "standard deviations", "two coordinates swapped"])
def test_fault_is_seen_by_every_route(
    tmp_path: Path, tuned: Mapping[str, Tuned], route: str, metric: str, fault: str
) -> None:
    right: np.ndarray = tuned[metric].inverse_mass_matrix.astype(np.float64)
    wrong: np.ndarray
    if fault == "two coordinates swapped":
        order = [0, 1, 2, 4, 3]
        wrong = right[:, order] if metric == "diagonal" else right[:, order][:, :, order]
    elif metric == "diagonal":
        wrong = 1.0 / right if fault == "M" else np.sqrt(right)
    elif fault == "M":
        wrong = np.linalg.inv(right)
    else:
        values, vectors = np.linalg.eigh(right)
        wrong = (vectors * np.sqrt(values)[:, None]) @ np.swapaxes(vectors, 1, 2)
    found = statuses(read(write(route, tmp_path, wrong), CASE), metric)
    assert found[ConvergesToItsTarget.name] == found[InverseFisher.name] == "fail"
    if fault != "two coordinates swapped":
        assert found[TunedMatrixContract.name] == "fail"


@pytest.mark.parametrize(
    "names", [NAMES, DOTTED, ("level", "shares[1]", "shares[2]", "bend", "gain")]
)
def test_order_in_the_file_does_not_matter_and_any_way_of_counting_is_understood(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    matrices = np.random.default_rng(0).uniform(1.0, 2.0, (3, 5, 5))
    matrices += np.swapaxes(matrices, 1, 2)
    order = [3, 2, 0, 4, 1]
    moved = matrices[:, order][:, :, order]
    moved_names = tuple(names[i] for i in order)
    for paths in (
        write_npz(tmp_path, moved, moved_names),
        write_csv(tmp_path, moved, moved_names),
    ):
        np.testing.assert_array_equal(read(paths, CASE).inverse_mass_matrix, matrices)
    found = read(tree(moved, moved_names), CASE)
    np.testing.assert_array_equal(found.inverse_mass_matrix, matrices)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("level", "shares[0]", "shares[1]", "bend", "y"), "missing: gain; not of this case: y"),
        (("level", "shares[1]", "shares[3]", "bend", "gain"), r"missing: shares\[0\]; not .* s.*3"),
        (("level", "shares", "shares[1]", "bend", "gain"), r"missing: shares\[0\]; .*: shares\."),
        (("level", "shares[0]", "shares[1]", "bend", "bend"), "coordinate bend is there twice"),
        (NAMES[:4], r"has shape \(3, 5\); for 4 coordinates"),
    ],
)
def test_names_that_do_not_match_are_listed(
    tmp_path: Path, names: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        read(write_npz(tmp_path, np.ones((3, 5)), names), CASE)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("level,bend,gain,mu", r"missing: shares\. Its"),
        ("level,slope,shares.1,shares.2,shares.3,bend,gain", "not of this case: slope"),
        ("level,shares.1,shares.2,bend,gain", "shares has 2 columns, and in case mixed_sites"),
    ],
)
def test_parameters_of_another_program_are_listed(tmp_path: Path, header: str, told: str) -> None:
    path = tmp_path / "output.csv"
    path.write_text(cmdstan_text(np.ones(5), header))
    with pytest.raises(UsageError, match=told):
        read(path, CASE)


def test_cmdstan_orders_sites_as_declared_in_the_program(tmp_path: Path) -> None:
    """The program may declare them in another order than the case."""
    path = tmp_path / "output.csv"
    header = "gain,shares.1,shares.2,shares.3,level,bend"
    path.write_text(cmdstan_text(np.array([5.0, 2.0, 3.0, 1.0, 4.0]), header))
    np.testing.assert_array_equal(
        read_cmdstan(path, CASE).inverse_mass_matrix, [[1.0, 2.0, 3.0, 4.0, 5.0]]
    )
    path.write_text(cmdstan_text(np.ones(4), header))
    with pytest.raises(UsageError, match=r"metric is of 4 coordinates, .* have 5"):
        read(path, CASE)


def test_stan_goes_through_a_correlation_matrix_by_columns(tmp_path: Path) -> None:
    case = Case(
        "two", "", {"r": Site(LKJ(4, 2.0)), "mean": Site(Normal(0.0, 1.0))}, {},
        {"r": np.eye(4), "mean": 0.0},
    )  # fmt: skip
    header = ",".join(["mean_", *(f"r.{i}.{j}" for j in range(1, 5) for i in range(1, 5))])
    by_columns = [10.0, 20.0, 30.0, 21.0, 31.0, 32.0]  # row and column of each, as digits
    path = tmp_path / "output.csv"
    path.write_text(cmdstan_text(np.array([7.0, *by_columns]), header))
    found = read(path, case).inverse_mass_matrix
    np.testing.assert_array_equal(found, [[10.0, 20.0, 21.0, 30.0, 31.0, 32.0, 7.0]])


@pytest.mark.parametrize(
    ("warmup", "window"),
    [(1000, 500), (2000, 1100), (200, 50), (199, 49), (175, 25), (151, 1), (150, 25), (149, None)],
)
def test_window_is_that_of_stan_after_such_a_warm_up(
    tmp_path: Path, warmup: int, window: int | None
) -> None:
    path = tmp_path / "output.csv"
    path.write_text(cmdstan_text(np.ones(5), warmup=warmup))
    assert read(path, CASE).window == window


def test_window_without_a_draw_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "output.csv"
    path.write_text(cmdstan_text(np.ones(5)).replace("window = 25 (Default)", "window = 0"))
    assert read(path, CASE).window is None


@pytest.mark.parametrize(
    ("version", "space"), [("2.36", "stan-2.36"), ("2.37", "stan"), ("3.0", "stan")]
)
def test_simplex_is_that_of_the_release_that_wrote_the_file(
    tmp_path: Path, version: str, space: str
) -> None:
    path = tmp_path / "output.csv"
    path.write_text(cmdstan_text(np.ones(5), version=version))
    assert read(path, CASE).space == space


def test_simplex_of_one_release_is_told_from_that_of_another() -> None:
    """Covariances of exact draws, shrunk as Stan does: of 500 at a time, in the z of Stan 2.37."""
    case = all_cases()["prior-dirichlet"]
    truth = case.truth_in(transforms_of("stan", case))
    draws = truth.starts(0, 500 * REPLICATES).reshape(REPLICATES, 500, case.dimension)
    estimates = [np.cov(z, rowvar=False) for z in draws]
    rule = ESTIMATORS["welford_dense"]
    matrices = np.array([rule.regularised(estimate, 500) for estimate in estimates])
    recorded = Recorded(matrices, "exact draws")
    assert statuses(recorded, "dense", case, space="stan")[ConvergesToItsTarget.name] == "pass"
    assert statuses(recorded, "dense", case, space="stan-2.36")[ConvergesToItsTarget.name] == "fail"


def test_four_chains_are_inconclusive_and_told_how_many_would_do(
    tmp_path: Path, tuned: Mapping[str, Tuned]
) -> None:
    paths = write_cmdstan(tmp_path, tuned["diagonal"].inverse_mass_matrix[:4])
    answer = CliRunner().invoke(judge, [*map(str, paths), "--case", CASE.name])
    assert answer.exit_code == 3, answer.output
    assert (
        "4 replicates of welford_diagonal, window 500, in the space of stan-2.36" in answer.output
    )
    told = (
        r"converges to its target: (about \d+|no number of) replicates (within reach )?like these"
    )
    assert re.search(f"{told} would decide at α = 1e-06", answer.output)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", "x[0]\n1".encode("utf-16"), "is not text in UTF-8"),
        ("t.csv", b"x[0];x[1]\n1;2", "by commas, not by semicolons"),
    ],
)
def test_file_of_another_kind_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=told):
        read(tmp_path / name, CASE)


def test_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(UsageError, match="is no file"):
        read(tmp_path / "t.csv", CASE)


def test_table_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (path,) = write_csv(tmp_path, np.ones((2, 5)))
    before = read(path, CASE).inverse_mass_matrix
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    np.testing.assert_array_equal(read(path, CASE).inverse_mass_matrix, before)


def test_names_may_be_bytes_and_the_window_one_for_each_replicate(tmp_path: Path) -> None:
    path, names = tmp_path / "t.npz", np.array([name.encode() for name in NAMES])
    arrays: dict[str, Any] = {"inverse_mass_matrix": np.ones((2, 5)), "names": names}
    np.savez(path, **arrays, window=[500, 500])
    assert read(path, CASE).window == 500
    for window in ([500, 400], "long"):
        np.savez(path, **arrays, window=window)
        with pytest.raises(UsageError, match="window must be one number of draws"):
            read(path, CASE)


def test_number_that_is_said_to_decide_decides() -> None:
    def at(count: int, mean: float) -> Verdict:
        values = mean * np.exp(0.1 * normal_scores(count) - 0.005)
        return look([Statistic("", values, 1.0, "log")], 0.1, 1e-6, 1)

    for mean, decided in ((1.0, Status.PASS), (1.2, Status.FAIL)):
        assert at(12, mean).status is Status.INCONCLUSIVE
        wanted = replicates_wanted(at(12, mean))
        assert wanted is not None
        assert at(int(1.3 * wanted), mean).status is decided
        assert at(int(0.7 * wanted), mean).status is Status.INCONCLUSIVE
    assert replicates_wanted(at(12, 1.1)) is None


def test_four_chains_do_not_ask_for_thousands() -> None:
    """Some seventy decide; how wide the interval of four is on the log scale is not the measure."""
    generator, asked = np.random.default_rng(0), []
    for _ in range(40):
        values = generator.chisquare(225, 4) / 225
        verdict = look([Statistic("", values, 1.0, "log")], 0.1, 1e-6, 1)
        asked.append(replicates_wanted(verdict) or np.inf)
    assert 20 < np.median(asked) < 300


def test_longer_side_of_an_interval_decides_how_many_more_are_wanted() -> None:
    def wanted(low: float, high: float) -> int | None:
        undecided = Interval("", 0.0, low, high, 0.0, 1.0, "linear")
        return replicates_wanted(Verdict(Status.INCONCLUSIVE, (undecided,), 12, 1, 1e-6, 1.0))

    assert wanted(-0.2, 2.0) == wanted(-2.0, 0.2) == wanted(-2.0, 2.0)


def test_command_judges_a_file_of_ours_and_says_how_to_repeat_it(
    tmp_path: Path, tuned: Mapping[str, Tuned]
) -> None:
    path = tmp_path / "tuned.npz"
    tuned["dense"].save(path, NAMES)
    words = [str(path), "--case", CASE.name, "--estimator", "welford_dense", "--space", "hmc"]
    answer = CliRunner().invoke(judge, [*words, "--json"])
    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.output)
    assert {row["claim"]: row["status"] for row in rows}[ConvergesToItsTarget.name] == "pass"
    again = CliRunner().invoke(judge, [*rows[0]["command"].split()[2:], "--json"])
    assert json.loads(again.output)[0]["intervals"] == rows[0]["intervals"]


def test_what_was_judged_from_a_file_stands_in_the_report_beside_all_else(
    tmp_path: Path, tuned: Mapping[str, Tuned]
) -> None:
    tuned["dense"].save(tmp_path / "tuned.npz", NAMES)
    words = [str(tmp_path / "tuned.npz"), "--case", CASE.name, "--estimator", "welford_dense"]
    words += ["--space", "hmc", "--sampler", "elsewhere", "--results", str(tmp_path / "rows")]
    assert CliRunner().invoke(judge, words).exit_code == 0
    rows = load_rows(tmp_path / "rows")
    assert "--sampler elsewhere" in rows["command"].iloc[0]
    found = inverse_fisher_verdicts(rows)[["case", "backend", "metric", "status"]]
    assert found.to_numpy().tolist() == [[CASE.name, "elsewhere", "welford_dense", "pass"]]
    assert "elsewhere tuned the inverse mass matrix" in html(rows)
    again = CliRunner().invoke(repeat, [rows["row_id"][0], "--results", str(tmp_path / "rows")])
    assert f"of matrices in files, judged by: {rows['command'][0]}" in str(again.exception)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"estimator": None}, "it is not known by which rule; --estimator takes one of: welford"),
        ({"estimator": "stan"}, "unknown estimator 'stan'"),
        (
            {"estimator": "welford_dense"},
            r"diagonal, of shape \(R, d\), and those of welford_dense",
        ),
        ({"window": 0}, "cannot be 0: give --window"),
        ({"window": None}, "which is not known: give --window"),
        ({"space": "nope"}, "unknown space: stan, stan-2.36, or a backend's"),
    ],
)
def test_what_is_not_known_is_asked_for(changes: dict[str, object], told: str) -> None:
    given = {"estimator": "welford_diagonal", "window": 500, "space": "stan"} | changes
    with pytest.raises(UsageError, match=told):
        _ = recorded_experiment(Recorded(np.ones((4, 5)), "here"), CASE, **given).truth  # type: ignore[arg-type]


def test_rule_without_regularisation_needs_no_window() -> None:
    experiment = recorded_experiment(Recorded(np.ones((4, 5)), "here"), CASE, "fisher_diagonal")
    np.testing.assert_array_equal(experiment.regularised(experiment.target), experiment.target)


def test_one_replicate_and_one_that_is_no_metric_are_refused() -> None:
    with pytest.raises(UsageError, match="holds one replicate, which says nothing of the error"):
        recorded_experiment(Recorded(np.ones((1, 5)), "here"), CASE, "fisher_diagonal")
    with pytest.raises(UsageError, match="holds no replicate"):
        recorded_experiment(Recorded(np.ones((0, 5)), "here"), CASE, "fisher_diagonal")
    wrong = np.ones((4, 5))
    wrong[2, 3] = -1.0
    with pytest.raises(BackendFaultError, match="not positive definite in 1 of 4"):
        recorded_experiment(Recorded(wrong, "here"), CASE, "fisher_diagonal")


@pytest.mark.parametrize(
    ("rows", "copies"), [([0] * 4, 3), ([0, 0, 1, 1, 2, 2], 3), ([*range(64)] * 2, 64)]
)
def test_chains_that_are_copies_are_no_replicates(
    tuned: Mapping[str, Tuned], rows: list[int], copies: int
) -> None:
    matrices = tuned["diagonal"].inverse_mass_matrix

    def contract(rows: list[int]) -> Verdict:
        recorded = Recorded(matrices[rows], "here", 500, "welford_diagonal", "hmc")
        verdict = dict(recorded_answers(recorded_experiment(recorded, CASE)))[
            TunedMatrixContract.name
        ]
        assert isinstance(verdict, Verdict)
        return verdict

    assert contract([*range(len(rows))]).status is Status.PASS
    worst = contract(rows).worst
    assert (worst.entry, worst.found) == ("replicates with the matrix of another", copies)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.csv", "level,bend\n", "needs a line of names, and one line for each replicate"),
        ("t.csv", "level,level\n1,2\n", "the column level is there twice"),
        ("t.csv", "level,bend\n1\n", "replicate 1 has 1 values for 2 columns"),
        ("t.csv", "level,bend\n1,x\n", "replicate 1: could not convert string to float: 'x'"),
        ("t.csv", "level,bend,gain,level|bend\n1,1,1,0\n", r"missing: .*(level\|gain|bend\|gain)"),
        ("t.csv", "level,bend,level|y\n1,1,0\n", r"column level\|y is no pair of two"),
        ("t.csv", "# model = m\nlp__,level\n1,2\n", "no whole block 'Diagonal elements of"),
        ("t.csv", "# model = m\n", "has no header with the names of parameters"),
        ("t.npz", "not a zip", "is no .npz file: numpy.savez writes one"),
        ("t.txt", "", "is of no kind that is known: .npz, .csv"),
        ("t.nc", "not HDF5", "cannot be read by xarray"),
    ],
)
def test_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, told: str) -> None:
    if name.endswith(".nc"):
        pytest.importorskip("xarray")
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=told):
        read(tmp_path / name, CASE)


def test_files_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    short, long = tmp_path / "short.csv", tmp_path / "long.csv"
    short.write_text(cmdstan_text(np.ones(5), warmup=500))
    long.write_text(cmdstan_text(np.ones(5)))
    with pytest.raises(UsageError, match="were not tuned alike: window is"):
        read([short, long], CASE)
    with pytest.raises(UsageError, match="a file is given twice"):
        read([short, short], CASE)
    with pytest.raises(UsageError, match="there is no file"):
        read(tmp_path / "nowhere.npz", CASE)
    np.savez(tmp_path / "bare.npz", inverse_mass_matrix=np.ones((3, 5)))
    with pytest.raises(UsageError, match="lacks names: it needs"):
        read(tmp_path / "bare.npz", CASE)


def test_inference_data_without_matrices_or_without_xarray_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xarray = pytest.importorskip("xarray")
    empty = xarray.DataTree.from_dict({"/sample_stats": xarray.Dataset()})
    with pytest.raises(UsageError, match=r"nutpie.sample\(…, store_mass_matrix=True\)"):
        read(empty, CASE)
    nameless = tree(np.ones((2, 5))).copy()
    nameless["sample_stats"] = (
        nameless["sample_stats"].to_dataset().drop_vars("unconstrained_parameter")
    )
    with pytest.raises(UsageError, match="whose coordinate holds the names"):
        read(nameless, CASE)
    path = write_netcdf(tmp_path, np.ones((2, 5)))
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UsageError, match=r"python -m pip install 'invmass\[arviz\]'"):
        read(path, CASE)
