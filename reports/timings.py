"""Tables of timings: seconds of each phase, savings by a supplied metric, growth with size.

All rounds of the newest run of a timing are pooled, whatever the turns in which they were run.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from invmass.results import wording
from invmass.results.schema import Phase

from . import rounds, tables

CONFIDENCE = 0.95  # of the interval of a median
KEYS = (*tables.COMBINATION, "replicates")
SETTING = ("machine", "devices", "num_warmup", "seed", "case_version")  # never mixed in one line
MEASURES = ("compile_seconds", "seconds", "low", "high", "noise", "peak_bytes")
DIAGNOSTICS = (
    "gradients_per_second", "min_bulk_ess", "min_square_ess", "max_rhat", "ess_per_second",
    "square_ess_per_second", "ess_per_gradient", "square_ess_per_gradient",
    "acceptance", "divergences", "e_bfmi",
)  # fmt: skip
PHASES = (Phase.WARM_UP, Phase.SAMPLING)
STARTS = (Phase.FROM_IDENTITY, Phase.FROM_FISHER, Phase.FISHER_FIXED)
GROWTH = ("dimension", "replicates", "condition")  # along which curves are drawn
CURVE = ("backend", "metric", "phase", "device", "dtype", *SETTING[:-1])  # fixed along a curve
MIN_POINTS = 3  # of a curve that is fitted


def timings(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each combination and number of chains that was timed.

    If there are several settings (machine, seed, …), the setting of the newest row counts.

    Returns:
        Columns of KEYS; those of MEASURES for each phase, such as `warmup_seconds`: seconds to
        compile, the median of the rounds with its confidence interval, the ratio of the medians of
        two turns ("noise"), and peak memory in bytes; then those of DIAGNOSTICS, and message.
    """
    pooled = _pooled(rows, PHASES)
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in pooled:
        line = _line_of(row, lines)
        for column in MEASURES:
            line[f"{Phase(row['phase']).prefix}_{column}"] = row[column]
        preferred = row["phase"] == Phase.SAMPLING
        line |= {
            c: row[c]
            for c in (*DIAGNOSTICS, "message")
            if wording.has_value(row[c]) and (preferred or c not in line)
        }
    measures = [f"{phase.prefix}_{column}" for phase in PHASES for column in MEASURES]
    table = _newest_setting(lines, [*measures, *DIAGNOSTICS, "message"])
    numbers = [*measures, *DIAGNOSTICS]
    table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce")
    return table


def savings(rows: pd.DataFrame) -> pd.DataFrame:
    """Cost until the metric is usable, by the metric that warm-up starts from.

    Returns:
        One line for each combination: columns of KEYS, "bound" (κ of a usable metric is smaller),
        and for each of STARTS, such as `identity_steps`: steps, gradients and seconds until the
        metric is usable (missing if it never is), its condition number kappa, and min ESS per
        gradient afterwards.
    """
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _pooled(rows, STARTS):
        line = _line_of(row, lines)
        start, usable = Phase(row["phase"]).prefix, row["usable"]
        line["bound"] = row["kappa_bound"]
        line |= {f"{start}_{c}": row[c] for c in ("kappa", "ess_per_gradient")}
        line |= {
            f"{start}_{c}": row[c] if usable else np.nan for c in ("steps", "gradients", "seconds")
        }
    measures = [
        f"{start}_{c}"
        for c in ("steps", "gradients", "seconds", "kappa", "ess_per_gradient")
        for start in (phase.prefix for phase in STARTS)
    ]
    return _newest_setting(lines, ["bound", *measures])


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Seconds and gradients of each phase along dimension, chains or condition number.

    Returns:
        One line for each point: the quantity that varies ("along"), its value ("at"), the name of
        the "curve" to which the point belongs, the columns of CURVE, and seconds, gradients and
        gradients_per_second. Only curves of at least MIN_POINTS points.
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
        if wording.has_value(row[along])
    ]
    if not points:
        return pd.DataFrame()
    frame = pd.DataFrame(points)
    keys = ["along", "curve", *CURVE]
    distinct = frame.groupby(keys)["at"].transform("nunique")
    return frame[distinct >= MIN_POINTS].sort_values([*keys, "at"]).reset_index(drop=True)


def _curve(row: Mapping[str, Any], along: str) -> str:
    """The name of a curve: the case without the number that varies, and the number of chains."""
    chains = f"{row['replicates']:.0f} chains"
    if along == "replicates":
        return str(row["case"])
    dimension = f"{row['dimension']:.0f}"
    parts = [
        part
        for part in str(row["case"]).split("-")
        if not _is_number(part) or (part == dimension) == (along == "condition")
    ]
    return f"{'-'.join(parts)}, {chains}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def exponents(rows: pd.DataFrame) -> pd.DataFrame:
    """The exponent p of `seconds ∝ xᵖ` for each curve, and likewise of gradients.

    Fitted by least squares of the logarithms.

    Returns:
        Columns along, curve, those of CURVE, from, to, points, and the exponents `seconds` and
        `gradients` with their standard errors `seconds_error` and `gradients_error`.
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
    """Confidence interval of the median of a distribution, from order statistics of a sample.

    Source: Thompson, Annals of Mathematical Statistics 7 (1936).

    Args:
        values: the sample.

    Returns:
        Lower and upper end at the level CONFIDENCE; NaN if the sample is too small.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    # the k-th smallest is above the median with probability P(Bin(n, ½) < k)
    cut = int(scipy.stats.binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5))
    if cut < 1:
        return np.nan, np.nan
    return float(ordered[cut - 1]), float(ordered[-cut])


def _line_of(row: Mapping[str, Any], lines: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """The line to which a timing belongs, with those of other phases; made if there is none yet."""
    line = lines.setdefault(tuple(row[k] for k in (*KEYS, *SETTING)), {k: row[k] for k in KEYS})
    line["position"] = max(row["position"], line.get("position", 0))
    return line


def _newest_setting(lines: Mapping[Any, dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The line of the newest setting for each value of KEYS, in table order."""
    table = pd.DataFrame(lines.values(), columns=[*KEYS, "position", *columns])
    newest = table.sort_values("position").drop_duplicates(list(KEYS), keep="last")
    return table.loc[sorted(newest.index)].drop(columns="position").reset_index(drop=True)


def _pooled(rows: pd.DataFrame, phases: Iterable[Phase]) -> list[dict[str, Any]]:
    """The newest run of each timing as one record, in table order."""
    timed = tables.with_device(
        rows[rows["kind"].eq("timing") & rows["phase"].isin([str(phase) for phase in phases])]
    )
    timed["position"] = range(len(timed))  # oldest first
    needed = [
        *DIAGNOSTICS,
        *GROWTH,
        *SETTING,
        "kappa",
        "kappa_bound",
        "usable",
        "steps",
        "peak_bytes",
    ]
    timed = tables.in_table_order(
        timed.reindex(columns=list(dict.fromkeys([*timed.columns, *needed])))
    )
    keys = [*KEYS, *SETTING, "phase"]
    timed[list(SETTING)] = timed[list(SETTING)].astype(object).fillna("")
    newest = timed.groupby(keys, dropna=False)["run_id"].transform("last")
    return [
        _pool_rounds(group)
        for _, group in timed[timed["run_id"] == newest].groupby(keys, dropna=False, sort=False)
    ]


def _pool_rounds(group: pd.DataFrame) -> dict[str, Any]:
    """One record for the rows of one timing in one run; other fields are the last row's."""
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
    rates = {
        c: last[c] * scaled
        for c in DIAGNOSTICS
        if c.endswith("second") and wording.has_value(last[c])
    }
    return last | timed | rates
