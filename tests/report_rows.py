"""Rows as a run writes them, for the tests of reports."""

from pathlib import Path
from typing import Any

import numpy as np

from invmass.results.rows import RowWriter
from invmass.results.schema import INVERSE_FISHER

REJECTS = "inverse Fisher of x is rejected"
SVG = "http://www.w3.org/2000/svg"
COVARIANCE = np.array([[0.0434, 0.0038], [0.0038, 0.00041]])

Row = dict[str, Any]


def verdict(case: str, backend: str, metric: str | None, **fields: Any) -> Row:
    """A row of the headline claim as a test would write it."""
    ratio = {"found": 0.98, "low": 0.95, "high": 1.01, "expected": 1.0, "margin": 0.1}
    entry = {"entry": "x[0]", **ratio, "scale": "log"}
    return {
        "kind": "verdict", "case": case, "backend": backend, "metric": metric,
        "claim": INVERSE_FISHER, "status": "pass", **entry, "intervals": [entry], "alpha": 1e-6,
        "replicates": 64, "seconds": 1.5, "seed": 0, "device": "cpu", "dtype": "float32",
        "python": "3.11.9", "machine": "x86_64", "cores": 2,
        "versions": {"jax": "0.10.1", backend: "1.2.3"},
        "command": f"invmass check {case} --backend {backend} --metric {metric}",
    } | fields  # fmt: skip


def pictured(case: str, backend: str, metric: str, **fields: Any) -> Row:
    """A headline row with the matrices and parts that the figures need."""
    rng = np.random.default_rng(len(backend))
    scale = rng.lognormal(sigma=0.1, size=(32, 1, 1))
    tuned = scale * (COVARIANCE if metric == "dense" else np.diag(COVARIANCE)[None])
    parts = [
        {"entry": name, "geometry": 1.027, "regularisation": 1.11, "remainder": 0.98}
        for name in ("x[0]", "x[1]")
    ]
    return verdict(case, backend, metric) | {
        "tuned": (tuned if metric == "dense" else tuned[:, 0]).tolist(),
        "inverse_fisher": COVARIANCE.tolist(), "position": [0.405, 0.2],
        "coordinates": ["x[0]", "x[1]"], "parts": parts,
    } | fields  # fmt: skip


def timing(case: str, backend: str, metric: str, phase: str, **fields: Any) -> Row:
    numbers = {"compile_seconds": 4.2, "seconds": 0.9, "replicates": 64}
    sampled = {
        "min_bulk_ess": 1800.0, "ess_per_second": 2000.0, "ess_per_gradient": 0.12,
        "acceptance": 0.87, "divergences": 3, "e_bfmi": 0.91,
    }  # fmt: skip
    return {
        "kind": "timing", "case": case, "backend": backend, "metric": metric, "phase": phase,
        "device": "cpu", "dtype": "float32", "gradients_per_second": 21000.0,
        **numbers, **(sampled if phase == "sampling" else {}),
    } | fields  # fmt: skip


VERDICTS = [
    pictured("notebook-uniform", "numpyro", "dense"),
    pictured("notebook-uniform", "numpyro", "diagonal"),
    pictured("notebook-uniform", "tfp", "dense", status="fail", found=1.28, low=1.24, high=1.32,
             message="x[0]: found 1.28 <lies> above | the margin\nsecond line"),
    pictured("notebook-normal", "blackjax", "fisher_diag"),
    verdict("gaussian_scale", "numpyro", "dense", expected=1.64, found=1.66,
            low=1.6, high=1.7, intervals=None),
    verdict("gaussian_mean", "hmc", "dense", status="inconclusive", message="at the cap"),
    verdict("gaussian_mean", "hmc", "dense", claim=REJECTS, found=0.045, low=0.04, high=0.05),
    verdict("quadratic_fit", "hmc", "dense", status="expected failure", message="known: #12"),
    verdict("quadratic_fit", "hmc", "diagonal", claim="draws are right", status="fail",
            message="variance is off"),
    verdict("quadratic_fit", "hmc", "diagonal"),
    # What breaks down or is skipped knows neither device nor effect.
    {"kind": "verdict", "case": "mixed_sites", "backend": "tfp", "metric": "dense",
     "claim": "inverse Fisher", "status": "error", "seconds": 0.1,
     "message": "def warm_up():\n>   raise\nE   BackendFaultError: \x1b[31mnot finite\x1b[0m"},
    {"kind": "verdict", "case": "lecture", "backend": "", "metric": "", "claim": INVERSE_FISHER,
     "status": "skipped", "message": "numpyro is not installed"},
]  # fmt: skip
TIMINGS = [
    timing("notebook-uniform", "numpyro", "dense", "warm-up"),
    timing("notebook-uniform", "numpyro", "dense", "sampling", compile_seconds=2.0),
    timing("notebook-uniform", "tfp", "dense", "warm-up", compile_seconds=None),
]


def written(folder: Path, *rows: Row) -> Path:
    """A results folder that holds these rows."""
    writer = RowWriter(folder)
    for row in rows:
        writer.append(row)
    writer.close()
    return folder
