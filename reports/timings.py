"""Tables of timings: what each phase takes, what a known metric saves, how cost grows.

All rounds of the newest run of a timing count together, whatever turns they were made in.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from invmass.results import wording

from . import rounds, tables

CONFIDENCE = 0.95  # of the interval of a median
KEYS = (*tables.COMBINATION, "replicates")
SETTING = ("machine", "devices", "num_warmup", "seed", "case_version")  # never mixed in one line
PHASES = {"warm-up": "warmup", "sampling": "sampling"}
WORTH = (
    "gradients_per_second", "min_bulk_ess", "min_square_ess", "max_rhat", "ess_per_second",
    "square_ess_per_second", "ess_per_gradient", "square_ess_per_gradient",
    "acceptance", "divergences", "e_bfmi",
)  # fmt: skip
BEGINS = {
    "usable metric from the identity": "identity",
    "usable metric from the inverse Fisher": "fisher",
    "the inverse Fisher kept": "kept",
}
GROWTH = ("dimension", "replicates", "condition")  # along which curves are drawn
CURVE = ("backend", "metric", "phase", "device", "dtype", *SETTING[:-1])  # what stays along one
FEWEST = 3  # points of a curve that is fitted


def timings(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each combination and number of chains that was timed.

    For warm-up and sampling: seconds to compile, the median of the rounds with its interval, the
    ratio of two turns ("noise"), peak memory; then what the draws are worth. Of several settings
    (machine, seed, …) it is that of the newest row.
    """
    pooled = _pooled(rows, PHASES)
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in pooled:
        line = _line_of(row, lines)
        for column in ("compile_seconds", "seconds", "low", "high", "noise", "peak_bytes"):
            line[f"{PHASES[row['phase']]}_{column}"] = row[column]
        preferred = row["phase"] == "sampling"
        line |= {
            c: row[c]
            for c in (*WORTH, "message")
            if wording.known(row[c]) and (preferred or c not in line)
        }
    measures = [
        f"{phase}_{c}"
        for phase in PHASES.values()
        for c in ("compile_seconds", "seconds", "low", "high", "noise", "peak_bytes")
    ]
    table = _newest_setting(lines, [*measures, *WORTH, "message"])
    numbers = [*measures, *WORTH]
    table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce")
    return table


def savings(rows: pd.DataFrame) -> pd.DataFrame:
    """What starting from the inverse Fisher saves, a line for each combination.

    For each begin (identity, fisher, kept): steps, gradients and seconds until the metric is
    usable, missing if it never is; its κ; and min ESS per gradient afterwards.
    """
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _pooled(rows, BEGINS):
        line = _line_of(row, lines)
        begin, usable = BEGINS[row["phase"]], row["usable"]
        line["bound"] = row["kappa_bound"]
        line |= {f"{begin}_{c}": row[c] for c in ("kappa", "ess_per_gradient")}
        line |= {
            f"{begin}_{c}": row[c] if usable else np.nan for c in ("steps", "gradients", "seconds")
        }
    measures = [
        f"{begin}_{c}"
        for c in ("steps", "gradients", "seconds", "kappa", "ess_per_gradient")
        for begin in BEGINS.values()
    ]
    return _newest_setting(lines, ["bound", *measures])


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Seconds and gradients of each phase along dimension, chains or condition number.

    One line for each point: what varies ("along", "at") while all else stays; those of one "curve"
    belong together. Only curves of at least three points are kept.
    """
    points = [
        {
            "along": along,
            "curve": _curve(row, along),
            **{c: row[c] for c in CURVE},
            "at": float(row[along]),
            **{c: row[c] for c in ("seconds", "gradients", "gradients_per_second")},
        }
        for row in _pooled(rows, PHASES)
        for along in GROWTH
        if wording.known(row[along])
    ]
    if not points:
        return pd.DataFrame()
    frame = pd.DataFrame(points)
    keys = ["along", "curve", *CURVE]
    distinct = frame.groupby(keys)["at"].transform("nunique")
    return frame[distinct >= FEWEST].sort_values([*keys, "at"]).reset_index(drop=True)


def _curve(row: Mapping[str, Any], along: str) -> str:
    """What stays: the case, or its name without the number that varies; and the chains."""
    chains = f"{row['replicates']:.0f} chains"
    if along == "replicates":
        return str(row["case"])
    dimension = f"{row['dimension']:.0f}"
    kept = [
        part
        for part in str(row["case"]).split("-")
        if not _is_number(part) or (part == dimension) == (along == "condition")
    ]
    return f"{'-'.join(kept)}, {chains}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def exponents(rows: pd.DataFrame) -> pd.DataFrame:
    """For each curve, p of `seconds ∝ xᵖ` and of gradients, by least squares of the logarithms.

    With the standard errors of both.
    """
    points, lines = curves(rows), []
    if points.empty:
        return pd.DataFrame()
    keys = ["along", "curve", *CURVE]
    for key, group in points.groupby(keys, sort=False):
        at = np.log(group["at"].to_numpy(float))
        line = dict(zip(keys, key, strict=True))
        line |= {"from": group["at"].min(), "to": group["at"].max(), "points": len(group)}
        for quantity in ("seconds", "gradients"):
            fit = scipy.stats.linregress(at, np.log(group[quantity].to_numpy(float)))
            line |= {quantity: fit.slope, f"{quantity}_error": fit.stderr}
        lines.append(line)
    return pd.DataFrame(lines)


def median_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Of the median of what the values are drawn from, by order statistics; NaN if too few.

    Source: Thompson, Annals of Mathematical Statistics 7 (1936).
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    # the k-th smallest is above the median with probability P(Bin(n, ½) < k)
    cut = int(scipy.stats.binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5))
    if cut < 1:
        return np.nan, np.nan
    return float(ordered[cut - 1]), float(ordered[-cut])


def _line_of(row: Mapping[str, Any], lines: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """The line of a timing, among those of all phases; made if it is the first."""
    line = lines.setdefault(tuple(row[k] for k in (*KEYS, *SETTING)), {k: row[k] for k in KEYS})
    line["position"] = max(row["position"], line.get("position", 0))
    return line


def _newest_setting(lines: Mapping[Any, dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """One line for each of KEYS, in their order."""
    table = pd.DataFrame(lines.values(), columns=[*KEYS, "position", *columns])
    newest = table.sort_values("position").drop_duplicates(list(KEYS), keep="last")
    return table.loc[sorted(newest.index)].drop(columns="position").reset_index(drop=True)


def _pooled(rows: pd.DataFrame, phases: Iterable[str]) -> list[dict[str, Any]]:
    """The newest run of each timing as one record, in the order of the tables."""
    timed = tables.located(rows[rows["kind"].eq("timing") & rows["phase"].isin(list(phases))])
    timed["position"] = range(len(timed))  # oldest first
    needed = [*WORTH, *GROWTH, *SETTING, "kappa", "kappa_bound", "usable", "steps", "peak_bytes"]
    timed = tables.in_order(timed.reindex(columns=list(dict.fromkeys([*timed.columns, *needed]))))
    keys = [*KEYS, *SETTING, "phase"]
    timed[list(SETTING)] = timed[list(SETTING)].astype(object).fillna("")
    newest = timed.groupby(keys, dropna=False)["run_id"].transform("last")
    return [
        _together(group)
        for _, group in timed[timed["run_id"] == newest].groupby(keys, dropna=False, sort=False)
    ]


def _together(group: pd.DataFrame) -> dict[str, Any]:
    """Rows of one timing in one run; what is not timed is that of the last."""
    parts = [
        np.array(
            row["round_seconds"] if isinstance(row["round_seconds"], list) else [row["seconds"]]
        )
        for row in group.to_dict("records")
    ]
    seconds = np.concatenate(parts).astype(float)
    low, high = median_interval(seconds)
    last = group.iloc[-1].to_dict()
    timed = {
        "seconds": float(np.median(seconds)),
        "low": low,
        "high": high,
        "noise": rounds.noise(parts) if len(parts) > 1 else np.nan,
        "compile_seconds": pd.to_numeric(group["compile_seconds"]).median(),
        "peak_bytes": pd.to_numeric(group["peak_bytes"]).max(),
    }
    scaled = last["seconds"] / timed["seconds"]
    rates = {c: last[c] * scaled for c in WORTH if c.endswith("second") and wording.known(last[c])}
    return last | timed | rates
