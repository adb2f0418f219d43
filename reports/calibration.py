"""Tables of a calibration: measured error rates beside the promised α, power, and replicates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.stats

CONFIDENCE = 0.99  # of the upper bound on a measured rate


def error_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """How often verdicts are wrong when entries lie exactly at the margin, for each α.

    Returns:
        Columns answer, promised (α), verdicts, wrong (counts), rate, and "at most", the upper
        confidence bound of the rate.
    """
    edge = rows[(rows["source"] == "resampled") & (rows["effect"].abs() == 1)]
    wrong = {
        "wrong pass, one entry at its margin": ("passed", edge["shifted"] == "one entry"),
        "wrong fail, one entry at its margin": ("failed", edge["shifted"] == "one entry"),
        "wrong fail, all entries at their margins": ("failed", edge["shifted"] == "all entries"),
    }
    lines = []
    for name, (answer, chosen) in wrong.items():
        for alpha, group in edge[chosen].groupby("alpha"):
            count, verdicts = int(group[answer].sum()), int(group["verdicts"].sum())
            lines.append(
                {
                    "answer": name,
                    "promised": alpha,
                    "verdicts": verdicts,
                    "wrong": count,
                    "rate": count / verdicts,
                    "at most": upper(count, verdicts),
                }
            )
    return pd.DataFrame(lines)


def on_samplers(rows: pd.DataFrame) -> pd.DataFrame:
    """Counts of the answers on the real samplers, which are correct, and their mean replicates."""
    chosen = rows[rows["source"] == "sampler"].copy()
    chosen["used"] = chosen["replicates"].astype(float) * chosen["verdicts"]
    counts = ["verdicts", "passed", "failed", "undecided", "used"]
    sums = chosen.groupby(["backend", "metric", "case"])[counts].sum()
    sums["mean replicates"] = sums.pop("used") / sums["verdicts"]
    return sums.reset_index()


_BOUNDS = {"wald": "over Wald's bound", "wald_known": "over Wald's bound, variance known"}
COMBINATION = ("case", "backend", "metric")


def power(rows: pd.DataFrame, by: Sequence[str] = COMBINATION) -> pd.DataFrame:
    """Share of each answer, and the mean number of replicates over Wald's bound, by effect.

    Args:
        rows: of kind "calibration".
        by: columns for each value of which the table is made; none for all together.

    Returns:
        Columns of `by`, effect (in margins), passed, failed and undecided (shares), verdicts, mean
        replicates, and the ratios to Wald's bound, which are NaN where no verdict was correct.
    """
    chosen = rows[(rows["source"] == "resampled") & rows["wald"].notna()].copy()
    chosen["used"] = chosen["replicates"].astype(float) * chosen["verdicts"]
    for bound in _BOUNDS:
        chosen[bound] = chosen[bound].astype(float) * chosen["verdicts"]
    keys = [*by, "effect"]
    counts = ["verdicts", "passed", "failed", "undecided", "used", *_BOUNDS]
    sums = chosen.groupby(keys)[counts].sum()
    for answer in ("passed", "failed", "undecided"):
        sums[answer] /= sums["verdicts"]
    sums["mean replicates"] = sums["used"] / sums["verdicts"]
    used = sums.pop("used")
    for bound, name in _BOUNDS.items():
        sums[name] = used / sums.pop(bound).replace(0.0, np.nan)
    return sums.reset_index()


def coverage(rows: pd.DataFrame, by: Sequence[str] = COMBINATION) -> pd.DataFrame:
    """One-sided miss rate of a single interval over the promised α/2, by number of replicates.

    Args:
        rows: of kind "calibration".
        by: as in `power`.

    Returns:
        Columns of `by`, replicates, alpha, the counts, and "over promised", of the worse side.
    """
    chosen = rows[rows["source"] == "interval"]
    keys = [*by, "replicates", "alpha"]
    sums = chosen.groupby(keys)[["verdicts", "missed_above", "missed_below"]].sum().reset_index()
    missed = sums[["missed_above", "missed_below"]].max(axis=1)
    sums["over promised"] = missed / sums["verdicts"] / (sums["alpha"] / 2)
    return sums


def upper(count: int, of: int) -> float:
    """Upper confidence bound on a rate (Clopper and Pearson, Biometrika 26, 1934)."""
    test = scipy.stats.binomtest(count, of, alternative="less")
    return float(test.proportion_ci(CONFIDENCE, method="exact").high)


def lower(count: int, of: int) -> float:
    """Lower confidence bound on a rate."""
    test = scipy.stats.binomtest(count, of, alternative="greater")
    return float(test.proportion_ci(CONFIDENCE, method="exact").low)
