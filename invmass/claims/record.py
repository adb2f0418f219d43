"""A verdict as the flat row that is kept of it."""

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
from invmass.runs.cell import Cell
from invmass.runs.environment import provenance, threads
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import load_backend, spec_of

Settle = Callable[[str], None]  # judges a claim by its name, records, and fails unless it passes

SHOWN_REPLICATES, SHOWN_DIMENSION = 32, 12  # tuned matrices kept for pictures
CURVE = 48  # points of an ellipse that is mapped
SHOWN_INTERVALS = 200  # the furthest; more than all entries of 12 coordinates


def answer_record(
    experiment: Experiment, claim: str, answer: Verdict | InvmassError
) -> dict[str, Any]:
    """All that a row says of what came of a claim, a verdict or an error."""
    if isinstance(answer, InvmassError):
        return error_record(experiment, claim, str(answer))
    return verdict_record(experiment, claim, answer)


def verdict_record(experiment: Experiment, claim: str, verdict: Verdict) -> dict[str, Any]:
    """All that a row says of a verdict; arrays as lists."""
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
        record |= _picture(experiment, verdict)
    return record


def error_record(experiment: Experiment, claim: str | None, message: str) -> dict[str, Any]:
    """All that a row says of a claim that came to no verdict."""
    return {
        "kind": "verdict",
        "claim": claim,
        "status": "error",
        "message": message,
        **_settings_record(experiment),
        **combination_record(experiment),
        "command": command(experiment, claim),
    }


def lost_record(cell: Cell, settings: Settings, claim: str, message: str) -> dict[str, Any]:
    """The same, from where the experiment itself is not at hand."""
    case, backend = all_cases()[cell.case], load_backend(cell.spec)
    return error_record(Experiment(case, backend, cell.metric, settings), claim, message)


def _picture(experiment: Experiment, verdict: Verdict) -> dict[str, Any]:
    """What a picture of tuned matrices over the inverse Fisher needs."""
    tuned = experiment.tuned(verdict.replicates)
    fisher, target = experiment.truth.inverse_fisher, experiment.regularised(experiment.target)
    shown = tuned.inverse_mass_matrix[:SHOWN_REPLICATES]
    matrices = {
        "inverse_fisher": fisher.tolist(),
        "target": target.tolist(),
        "tuned": shown.tolist(),
    }
    if experiment.case.dimension == 2:
        of = {"fisher": fisher, "target": target, "mean": shown.mean(axis=0)}
        matrices["mapped"] = {
            name: curve for name, m in of.items() if (curve := _mapped(experiment, m))
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


def _mapped(experiment: Experiment, metric: np.ndarray) -> list[list[float]]:
    """A metric's 1-sigma ellipse about the truth as a closed curve in x, by free coordinates.

    Empty if it is none, or leaves what can be told in float64.
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
    """All that a row says of a timing."""
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
    """The settings of a verdict, from which it can be repeated; seed and warm-up stand apart."""
    return {
        "cap": experiment.cap,
        "tolerance": experiment.settings.tolerance,
        "false_alarm": experiment.settings.false_alarm,
    }


def combination_record(experiment: Experiment) -> dict[str, Any]:
    """What was run, and on what."""
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
