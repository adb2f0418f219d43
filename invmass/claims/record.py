"""Verdicts, errors and timings as flat rows of the results folder."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from invmass.claims.explain import benchmark_command, command
from invmass.claims.inverse_fisher import InverseFisher, split
from invmass.claims.inverse_fisher import readings as readings_of
from invmass.claims.reading import overall, worst_first
from invmass.claims.regularisation_floor import why_open
from invmass.claims.sequential import Verdict
from invmass.errors import InvmassError
from invmass.model.catalogue import all_cases
from invmass.results.status import Status
from invmass.runs.cell import Cell
from invmass.runs.environment import provenance, threads
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend, spec_of

# Judges the claim of a given name, records the verdict, and fails the test unless it is a pass.
Settle = Callable[[str], None]

SHOWN_REPLICATES, SHOWN_DIMENSION = 32, 12  # limits on the matrices stored for pictures
CURVE = 48  # points on an ellipse that is mapped from z to x
SHOWN_INTERVALS = 200  # more than a dense metric of 12 coordinates has entries


def answer_record(
    experiment: Experiment, claim: str, answer: Verdict | InvmassError
) -> dict[str, Any]:
    """The row of a claim that was judged: of its verdict, or of the error that prevented one."""
    if isinstance(answer, InvmassError):
        return error_record(experiment, claim, str(answer))
    return verdict_record(experiment, claim, answer)


def verdict_record(experiment: Experiment, claim: str, verdict: Verdict) -> dict[str, Any]:
    """The row of a verdict; arrays are converted to lists."""
    record = {
        "kind": "verdict",
        "claim": claim,
        "status": str(verdict.status),
        **verdict.worst.row(),
        "intervals": [entry.row() for entry in verdict.furthest(SHOWN_INTERVALS)],
        "alpha": verdict.alpha,
        "replicates": verdict.replicates,
        "looks": verdict.looks,
        **_settings_record(experiment),
        **combination_record(experiment),
        "command": command(experiment, claim),
    }
    if reason := why_open(experiment, verdict):
        record["message"] = reason
    if claim == InverseFisher.name:
        readings = readings_of(experiment, verdict)
        record["reading"] = str(overall(readings))
        record["readings"] = [asdict(entry) for entry in worst_first(readings)[:SHOWN_INTERVALS]]
        record |= _picture_fields(experiment, verdict)
    return record


def error_record(experiment: Experiment, claim: str | None, message: str) -> dict[str, Any]:
    """The row of a claim for which an error prevented a verdict."""
    return {
        "kind": "verdict",
        "claim": claim,
        "status": str(Status.ERROR),
        "message": message,
        **_settings_record(experiment),
        **combination_record(experiment),
        "command": command(experiment, claim),
    }


def lost_record(cell: Cell, settings: Settings, claim: str, message: str) -> dict[str, Any]:
    """The row of a cell whose worker process was lost, so that its experiment is not available."""
    case, backend = all_cases()[cell.case], load_backend(cell.spec)
    return error_record(Experiment(case, backend, cell.metric, settings), claim, message)


def _picture_fields(experiment: Experiment, verdict: Verdict) -> dict[str, Any]:
    """Fields from which a report draws the tuned matrices over the inverse Fisher."""
    tuned = experiment.tuned(verdict.replicates)
    fisher, target = experiment.truth.inverse_fisher, experiment.regularised(experiment.target)
    shown = tuned.inverse_mass_matrix[:SHOWN_REPLICATES]
    matrices = {
        "inverse_fisher": fisher.tolist(),
        "target": target.tolist(),
        "tuned": shown.tolist(),
    }
    if experiment.case.dimension == 2:
        metrics = {"fisher": fisher, "target": target, "mean": shown.mean(axis=0)}
        matrices["mapped"] = {
            name: curve for name, m in metrics.items() if (curve := _ellipse_in_x(experiment, m))
        }
    return {
        **(matrices if experiment.case.dimension <= SHOWN_DIMENSION else {}),
        "parts": [asdict(part) for part in split(experiment, verdict)],
        "coordinates": list(experiment.case.posterior.coordinates),
        "position": experiment.truth.position.tolist(),
        "window": tuned.window,
        "step_size": float(np.mean(tuned.step_size)),
        "gradients": float(np.mean(tuned.gradients)),
        "acceptance": float(np.mean(tuned.acceptance)),
        "divergences": float(np.mean(tuned.divergences)),
    }


def _ellipse_in_x(experiment: Experiment, metric: np.ndarray) -> list[list[float]]:
    """The 1-sigma ellipse of a metric about the truth, mapped to x.

    The ellipse is a closed curve of `CURVE` points.

    Returns:
        Points in the free coordinates of x; empty if the metric is not finite and positive
        definite, or if a mapped point is not finite in float64.
    """
    full = np.diag(metric) if metric.ndim == 1 else metric
    if not (np.isfinite(full).all() and (np.linalg.eigvalsh(full) > 0).all()):
        return []
    angle = np.linspace(0.0, 2 * np.pi, CURVE, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    z = experiment.truth.position + circle @ np.linalg.cholesky(full).T
    x = np.asarray(experiment.truth.unconstrained_to_free(z))
    return [[float(f"{value:.5g}") for value in point] for point in x] * bool(np.isfinite(x).all())


def timing_record(experiment: Experiment, phase: str, timing: dict[str, Any]) -> dict[str, Any]:
    """The row of a timing.

    Args:
        experiment: the cell.
        phase: the timed phase, such as "warm-up".
        timing: the measured fields, among them `seconds` and `gradients`.
    """
    covariance = experiment.truth.moments.covariance
    finite = bool(np.all(np.isfinite(covariance)))
    return {
        **combination_record(experiment),
        "kind": "timing",
        "phase": phase,
        "gradients_per_second": timing["gradients"] / timing["seconds"],
        "dimension": experiment.case.dimension,
        "condition": float(np.linalg.cond(covariance)) if finite else None,
        "threads": threads(),
        **timing,
        "command": benchmark_command(experiment, full="steps" in timing),
    }


def _settings_record(experiment: Experiment) -> dict[str, Any]:
    """Settings that are needed to repeat a verdict; `combination_record` has seed and warm-up."""
    return {
        "cap": experiment.cap,
        "tolerance": experiment.settings.tolerance,
        "false_alarm": experiment.settings.false_alarm,
    }


def combination_record(experiment: Experiment) -> dict[str, Any]:
    """The cell, its seed and warm-up length, and the versions and machine that it ran on."""
    return {
        "case": experiment.case.name,
        "case_version": experiment.case.version,
        "backend": experiment.backend.name,
        "spec": spec_of(experiment.backend),
        "metric": experiment.metric,
        "seed": experiment.settings.seed,
        "num_warmup": experiment.settings.num_warmup,
        **provenance(experiment.backend),
    }
