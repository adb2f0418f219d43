"""M⁻¹ against the inverse Fisher itself: what is read, and what the regularisation floor hides."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import invmass
from invmass.adaptation.estimators import ESTIMATORS
from invmass.claims.converges_to_its_target import ConvergesToItsTarget
from invmass.claims.explain import explain
from invmass.claims.intervals import Interval
from invmass.claims.inverse_fisher import InverseFisher, readings
from invmass.claims.reading import (
    BELOW_FLOOR,
    EntryReading,
    Reading,
    overall,
    read,
    read_entry,
    worst_first,
)
from invmass.claims.regularisation_floor import why_open
from invmass.claims.sequential import Verdict
from invmass.cli.main import cli
from invmass.errors import InvmassError, UsageError
from invmass.model.case import Case
from invmass.model.catalogue import all_cases
from invmass.model.distributions import MultivariateNormal, Normal
from invmass.model.posterior import Observation, Site
from invmass.model.precision import relative_rounding
from invmass.recorded.recorded import Recorded
from invmass.results.status import Status
from invmass.runs.experiment import Experiment
from invmass.studies.recorded_matrices import recorded_answers, recorded_experiment, recorded_record

WINDOW, EFFECTIVE = 500, 225
FLOOR = 1e-3 * 5 / (WINDOW + 5)


def gaussian(covariance: np.ndarray) -> Case:
    """A posterior whose inverse Fisher and covariance are both this one, but for a wide prior."""
    d = len(covariance)
    return Case(
        "gaussian",
        "a test",
        sites={"x": Site(Normal(0.0, 1e3), (d,))},
        observations={
            "y": Observation(
                lambda x, covariance: MultivariateNormal(x["x"], covariance),
                data=np.linspace(1.0, 2.0, d),
                constants=(covariance,),
            )
        },
        truth={"x": np.linspace(1.0, 2.0, d)},
        gaussian=("x",),
    )


def tuned(
    covariance: np.ndarray, replicates: int = 128, dense: bool = True, floor: float = FLOOR
) -> np.ndarray:
    """What Stan's rule makes of draws with that covariance: (R, d, d), or (R, d)."""
    generator = np.random.default_rng(0)
    factor = np.linalg.cholesky(covariance)
    draws = generator.normal(size=(replicates, EFFECTIVE, len(covariance))) @ factor.T
    found = np.einsum("rni,rnj->rij", draws, draws) / EFFECTIVE
    found = WINDOW / (WINDOW + 5) * found + floor * np.eye(len(covariance))
    return found if dense else np.diagonal(found, axis1=1, axis2=2)


def experiment(case: Case, matrices: np.ndarray) -> Experiment:
    estimator = "welford_dense" if matrices.ndim == 3 else "welford_diagonal"
    recorded = Recorded(matrices.astype(np.float64), "a test")
    return recorded_experiment(recorded, case, estimator, WINDOW, "stan")


def judged(case: Case, matrices: np.ndarray) -> tuple[Verdict, Reading]:
    run = experiment(case, matrices)
    verdict = InverseFisher().judge(run)
    return verdict, overall(readings(run, verdict))


# -- the words


def ratio(low: float, high: float, expected: float, scale: str = "log") -> Interval:
    middle = np.sqrt(low * high) if scale == "log" else (low + high) / 2
    return Interval("x", middle, low, high, expected, 0.1, scale)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "reading"),
    [
        (ratio(0.97, 1.05, 1.0), Reading.MATCHES),
        (ratio(1.05, 1.08, 1.12), Reading.MATCHES),  # the ratio itself is within the margin
        (ratio(1.50, 1.60, 1.55), Reading.DIFFERS),
        (ratio(1.08, 1.14, 1.12), Reading.DIFFERS),  # the prediction is beyond the margin
        (ratio(1.11, 1.13, 1.09), Reading.DIFFERS),  # the found ratio is
        (ratio(1.07, 1.13, 1.09), Reading.UNDECIDED),
        (ratio(1.30, 1.40, 1.0), Reading.WRONG),
        (ratio(0.97, 1.05, 1.55), Reading.WRONG),  # it should not be the inverse Fisher here
        (ratio(0.80, 1.20, 1.0), Reading.UNDECIDED),
        (ratio(-0.05, 0.04, 0.0, "linear"), Reading.MATCHES),
        (ratio(0.25, 0.35, 0.3, "linear"), Reading.DIFFERS),
        (ratio(0.25, 0.35, 0.0, "linear"), Reading.WRONG),
    ],
)
def test_reading_of_an_interval(found: Interval, reading: Reading) -> None:
    assert read(found, 0.1) is reading


@pytest.mark.parametrize(
    ("found", "geometry", "reason"),
    [
        (ratio(1.5, 1.6, 1.55), 1.0, "regularisation 1.55"),
        (ratio(1.5, 1.6, 1.55), 1.56, "geometry 1.56"),
        (ratio(1.5, 1.6, 1.54), 1.1, "geometry 1.1, regularisation 1.4"),
        (ratio(0.25, 0.35, 0.3, "linear"), 0.0, "regularisation +0.3"),
    ],
)
def test_reason_names_what_it_differs_by_with_its_size(
    found: Interval, geometry: float, reason: str
) -> None:
    assert read_entry(found, 0.1, geometry).reason == reason


# -- rounding


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1 / 3, 0.2]), np.finfo(np.float64).eps),
        (np.array([1 / 3, 0.1], dtype=np.float32), np.finfo(np.float32).eps),
        (np.array([1 / 3, 0.1], dtype=np.float32).astype(np.float64), np.finfo(np.float32).eps),
        (np.array([0.333333, 9.90099e-06, 12.3]), 5e-6),
        (np.array([0.33, 0.0, -1.2]), 0.05),
    ],
)
def test_rounding_is_read_off_the_numbers(values: np.ndarray, expected: float) -> None:
    assert relative_rounding(values) == pytest.approx(expected)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_data_part_undoes_regularisation(name: str) -> None:
    estimator = ESTIMATORS[name].for_layout({"a": slice(0, 2), "b": slice(2, 3)})
    covariance = np.array([[1e-7, 5e-6, 0.0], [5e-6, 1e-3, 0.01], [0.0, 0.01, 2.0]])
    target = estimator.restrict(covariance)
    if name == "pooled_dense":
        pytest.skip("it shrinks correlations, and no variance")
    found = estimator.data_part(estimator.regularised(target, 300), 300)
    np.testing.assert_allclose(found, target, rtol=1e-9, atol=1e-20)


# -- what the floor hides: none of these is green, each with the right matrices beside it

NARROW = np.array([[1e-6]])
PAIR = np.array([[1.0, 0.9e-4], [0.9e-4, 1e-8]])  # the second is below the floor, and correlates
MANY = np.diag(np.geomspace(1e-8, 1.0, 50))


def flipped(covariance: np.ndarray) -> np.ndarray:
    signs = np.where(np.arange(len(covariance)) == 0, -1.0, 1.0)
    return covariance * np.outer(signs, signs)


BLIND = {
    "variance ten times too large": (NARROW, 10 * NARROW),
    "nothing learned": (NARROW, 0 * NARROW + 1e-30),
    "half the variance": (NARROW, NARROW / 2),
    "thousand times below the floor, a fifth too large": (NARROW / 100, 1.2 * NARROW / 100),
    "second of two, ten times too large": (PAIR, PAIR * np.outer([1, 10], [1, 10])),
    "sign of a correlation below the floor": (PAIR, flipped(PAIR)),
    "one of fifty, ten times too large": (
        MANY, MANY * np.diag(np.where(np.arange(50) == 3, 10.0, 1.0)),
    ),
    "nothing learned of what is below the floor, of fifty": (
        MANY, np.where(MANY > FLOOR, MANY, np.eye(50) * 1e-30),
    ),
}  # fmt: skip


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("fault", BLIND)
def test_what_is_wrong_below_the_floor_is_red(fault: str, dense: bool) -> None:
    covariance, wrong = BLIND[fault]
    if fault.startswith("sign") and not dense:
        pytest.skip("a diagonal metric has no correlations")
    case = gaussian(covariance)
    right, reading = judged(case, tuned(covariance, dense=dense))
    assert right.status is Status.PASS, "\n".join(map(str, right.intervals))
    assert reading is Reading.DIFFERS
    found, reading = judged(case, tuned(wrong, dense=dense))
    assert found.status is Status.FAIL, "\n".join(map(str, found.intervals))
    assert reading is Reading.WRONG
    run = experiment(case, tuned(wrong, dense=dense))
    assert ConvergesToItsTarget().judge(run).status is Status.FAIL


def test_matrices_without_any_scatter_are_no_match() -> None:
    """As of a sampler that never moved: the floor alone, the same in every replicate."""
    verdict, reading = judged(gaussian(NARROW), np.full((64, 1, 1), np.float32(FLOOR)))
    assert verdict.status is Status.FAIL
    assert reading is Reading.WRONG


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_below_the_resolution_of_the_floor_there_is_no_pass(dtype: type) -> None:
    """1e-12 added to 1e-5 is a unit in the last place of float32, and nine digits in float64."""
    covariance = np.array([[1e-12]])
    run = experiment(gaussian(covariance), tuned(covariance).astype(dtype))
    verdict = InverseFisher().judge(run)
    if dtype is np.float64:
        assert verdict.status is Status.PASS
        return
    assert verdict.status is Status.INCONCLUSIVE
    (entry,) = readings(run, verdict)
    assert entry.reading is Reading.UNDECIDED
    assert entry.reason == BELOW_FLOOR
    assert BELOW_FLOOR in why_open(run, verdict)
    record = recorded_record(run, InverseFisher.name, verdict)
    assert record["reading"] == "undecided"
    assert record["message"].startswith(BELOW_FLOOR)


def test_six_digits_of_a_file_are_counted() -> None:
    covariance = np.array([[1e-10]])
    matrices = tuned(covariance)
    written = np.vectorize(lambda value: float(f"{value:.5e}"))(matrices)
    assert judged(gaussian(covariance), matrices)[0].status is Status.PASS
    assert judged(gaussian(covariance), written)[0].status is Status.INCONCLUSIVE


def test_gross_faults_are_seen_where_no_pass_is_possible() -> None:
    covariance = np.array([[1e-12]])
    verdict, reading = judged(gaussian(covariance), tuned(1e3 * covariance).astype(np.float32))
    assert verdict.status is Status.FAIL
    assert reading is Reading.WRONG


def statuses(answers: Iterable[tuple[str, Verdict | InvmassError]]) -> dict[str, Status]:
    """Of answers that are all verdicts."""
    found = {}
    for name, answer in answers:
        assert isinstance(answer, Verdict), answer
        found[name] = answer.status
    return found


def test_recorded_matrices_of_the_narrow_case_are_told_apart() -> None:
    """Those of the issue: of a variance ten times too large every claim passed."""
    case = all_cases()["narrow_mean"]
    right, wrong = (
        statuses(recorded_answers(experiment(case, tuned(np.array([[scale * 0.007**2 / 50]])))))
        for scale in (1.0, 10.0)
    )
    assert set(right.values()) == {Status.PASS}
    assert wrong[InverseFisher.name] is wrong[ConvergesToItsTarget.name] is Status.FAIL


# -- real samplers


@pytest.mark.parametrize("backend", ["numpyro", "blackjax", "tfp", "hmc"])
def test_what_regularisation_makes_of_fine_scales_is_no_match(backend: str) -> None:
    pytest.importorskip({"tfp": "tensorflow_probability", "hmc": "jax"}.get(backend, backend))
    answer = invmass.check(
        "fine_mean", backend=backend, metric="diagonal", claims=[InverseFisher.name]
    )
    (line,) = answer.lines
    assert line["status"] == "pass"
    shrinks = backend != "tfp"
    assert line["reading"] == ("differs as documented" if shrinks else "matches")
    (entry,) = line["readings"]
    assert entry["ratio"] == pytest.approx(1.55 if shrinks else 1.0, rel=0.06)
    assert entry["reason"] == ("regularisation 1.54" if shrinks else "")


def test_numpyro_matches_where_it_is_told_not_to_regularise() -> None:
    pytest.importorskip("numpyro")
    answer = invmass.check(
        "narrow_mean", metric="dense", claims=[InverseFisher.name], regularise=False
    )
    (line,) = answer.lines
    assert line["metric"] == "dense_unregularised"
    assert line["reading"] == "matches"


def test_regularisation_is_left_out_only_where_the_library_can() -> None:
    with pytest.raises(UsageError, match="hmc tunes no metric at all without regularisation"):
        invmass.check("fine_mean", backend="hmc", regularise=False)


def test_terminal_tells_the_three_readings(tmp_path: Path) -> None:
    words = [
        "check",
        "fine_mean",
        "--backend",
        "hmc",
        "--metric",
        "dense",
        "--claim",
        InverseFisher.name,
    ]
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 0, shown.output
    assert "M⁻¹ over the inverse Fisher itself: differs as documented" in shown.output
    assert "regularisation 1.54" in shown.output
    # under the name that it had
    words[-1] = "matches the inverse Fisher"
    assert CliRunner().invoke(cli, words).exit_code == 0


def test_message_says_what_the_numbers_are_and_how_they_are_read() -> None:
    run = experiment(gaussian(NARROW), tuned(10 * NARROW))
    told = explain(run, InverseFisher.name, InverseFisher().judge(run))
    assert "FAILS for case gaussian" in told
    assert "data in S[0,0]: found" in told
    assert "entries: wrong in 1" in told
    covariance = np.array([[1e-12]])
    run = experiment(gaussian(covariance), tuned(covariance).astype(np.float32))
    told = explain(run, InverseFisher.name, InverseFisher().judge(run))
    assert "is INCONCLUSIVE after 128 replicates" in told
    assert BELOW_FLOOR in told
    assert "tune without regularisation" in told


def test_worst_readings_come_first() -> None:
    words = (Reading.MATCHES, Reading.DIFFERS, Reading.WRONG, Reading.UNDECIDED)
    entries = tuple(EntryReading(w, 1.0, 1.0, 1.0, 1.0, "log", w) for w in words)
    found = [entry.reading for entry in worst_first(entries)]
    assert found == [Reading.WRONG, Reading.UNDECIDED, Reading.DIFFERS, Reading.MATCHES]
