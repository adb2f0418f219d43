"""Rows of two runs, for the tests of `invmass compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from invmass.reports import comparison
from invmass.results.rows import RowWriter, load_rows
from invmass.results.schema import CONVERGES

Row = dict[str, Any]
COMBINATION = {
    "case": "notebook-uniform", "case_version": 1, "backend": "hmc", "metric": "dense", "seed": 0,
    "device": "cpu: cpu", "dtype": "float32", "machine": "Linux x86_64, one", "cores": 2,
    "num_warmup": 1000, "replicates": 64,
}  # fmt: skip
ENTRY: Row = {
    "entry": "x[0]",
    "found": 1.0,
    "low": 0.97,
    "high": 1.03,
    "expected": 1.0,
    "margin": 0.1,
}
ONCE, TWICE = 5, 10  # rounds of as many runs


def timing(seconds: Sequence[float] | np.ndarray, phase: str = "warm-up", **fields: Any) -> Row:
    draws = 500 if phase == "sampling" else 0
    return COMBINATION | {
        "kind": "timing", "phase": phase, "num_samples": draws,
        "round_seconds": [float(s) for s in seconds], "seconds": float(np.median(seconds)),
    } | fields  # fmt: skip


def verdict(status: str = "pass", claim: str | None = CONVERGES, **fields: Any) -> Row:
    return COMBINATION | ENTRY | {
        "kind": "verdict", "claim": claim, "status": status, "scale": "log", "tolerance": 0.1,
        "alpha": 1e-6, "intervals": [ENTRY], "command": "invmass check notebook-uniform",
    } | fields  # fmt: skip


def error(claim: str | None = CONVERGES) -> Row:
    """As the suite writes it: it says nothing of tolerance and α."""
    row = verdict("error", claim, message="the backend raised ValueError")
    return {k: v for k, v in row.items() if k not in {*ENTRY, "tolerance", "alpha", "intervals"}}


def written(folder: Path, *rows: Row) -> Path:
    writer = RowWriter(folder)
    writer.append(*rows)
    writer.close()
    return folder


def noisy(seed: int, size: int, noise: float = 0.05, outliers: float = 0.1) -> np.ndarray:
    """Seconds around one; some rounds are held up, as on a shared machine."""
    rng = np.random.default_rng(seed)
    held_up = 1 + rng.exponential(0.5, size) * (rng.random(size) < outliers)
    return np.exp(noise * rng.normal(size=size)) * held_up


def compared(folder: Path, base: list[Row], new: list[Row], **options: Any) -> Any:
    """Rows written to two folders, read back and compared."""
    sides = [written(folder / name, *rows) for name, rows in (("base", base), ("new", new))]
    return comparison.compare(*map(load_rows, sides), **options)


def statuses(lines: list[Row]) -> list[str]:
    return [line["status"] for line in lines]


def in_memory(*rows: Row) -> pd.DataFrame:
    """Rows without a file, for many tries."""
    frame = pd.DataFrame(rows)
    every = [*frame.columns, "row_id", "run_id", "ess_per_gradient", "claim"]
    return frame.reindex(columns=list(dict.fromkeys(every)))
