"""A verdict as the flat row that is kept of it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from invmass.verdicts import judge
from invmass.verdicts.equivalence import Verdict
from invmass.verdicts.experiment import Experiment
from invmass.verdicts.explain import command
from invmass.verdicts.runtime import provenance

Settle = Callable[[str, Verdict], None]  # records a verdict on a claim, and fails unless it passes

SHOWN_REPLICATES, SHOWN_DIMENSION = 32, 12  # tuned matrices kept for pictures
SHOWN_INTERVALS = 200  # the furthest; more than all entries of 12 coordinates


def verdict_record(experiment: Experiment, claim: str, verdict: Verdict) -> dict[str, Any]:
    """All that a row says of a verdict; arrays as lists."""
    settings = experiment.settings
    record = {
        "kind": "verdict",
        "claim": claim,
        "status": str(verdict.status),
        **asdict(verdict.worst),
        "intervals": [asdict(interval) for interval in verdict.furthest(SHOWN_INTERVALS)],
        "alpha": verdict.alpha,
        "replicates": verdict.replicates,
        "looks": verdict.looks,
        "cap": settings.replicates,
        "tolerance": settings.tolerance,
        **combination_record(experiment),
    }
    if claim in (judge.MATCHES, judge.DISAGREES):
        record |= _picture(experiment, verdict)
    return record


def _picture(experiment: Experiment, verdict: Verdict) -> dict[str, Any]:
    """What a picture of tuned matrices over the inverse Fisher needs."""
    tuned = experiment.tuned(verdict.replicates)
    matrices = {
        "inverse_fisher": experiment.truth.inverse_fisher.tolist(),
        "target": experiment.regularised(experiment.target).tolist(),
        "tuned": tuned.inverse_mass_matrix[:SHOWN_REPLICATES].tolist(),
    }
    return {
        **(matrices if experiment.case.dimension <= SHOWN_DIMENSION else {}),
        "parts": [asdict(part) for part in judge.split(experiment, verdict)],
        "coordinates": list(experiment.case.posterior.coordinates),
        "position": experiment.truth.position.tolist(),
        "window": tuned.window,
        "step_size": float(np.mean(tuned.step_size)),
        "gradients": float(np.mean(tuned.gradients)),
        "acceptance": float(np.mean(tuned.acceptance)),
        "divergences": float(np.mean(tuned.divergences)),
    }


def timing_record(experiment: Experiment, phase: str, timing: dict[str, Any]) -> dict[str, Any]:
    """All that a row says of a timing."""
    return {
        "kind": "timing",
        "phase": phase,
        "gradients_per_second": timing["gradients"] / timing["seconds"],
        **timing,
        **combination_record(experiment),
    }


def combination_record(experiment: Experiment) -> dict[str, Any]:
    """What was run, on what, and how to run it again."""
    return {
        "case": experiment.case.name,
        "case_version": experiment.case.version,
        "backend": experiment.backend.name,
        "metric": experiment.metric,
        "seed": experiment.settings.seed,
        "num_warmup": experiment.settings.num_warmup,
        "command": command(experiment),
        **provenance(experiment.backend),
    }
