"""Tables derived from rows: what the pages show, and nothing that the rows do not say.

Every function takes the rows of `load_rows` and returns a new frame. Where a check was made more
than once, its newest row counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from invmass.results import wording

HEADLINE = "inverse Fisher"
NOTEBOOK = "notebook-"  # the cases that come first, and in pictures
STATUSES = ("fail", "error", "inconclusive", "expected failure", "skipped", "pass")
UNDECIDED = ("error", "skipped")
COMBINATION = ("case", "backend", "metric", "device", "dtype")
PLACE = ("machine", "device", "dtype")  # never mixed in one line of a history
EFFECT = ("deviation", "deviation_low", "deviation_high", "band_low", "band_high")
INTERVAL = ("entry", "found", "low", "high", "expected", "margin", "scale")
PARTS = ("geometry", "regularisation", "remainder")


def verdicts(rows: pd.DataFrame, within: Sequence[str] = ()) -> pd.DataFrame:
    """The newest verdict of each check, worst status first, with the columns of EFFECT.

    On the log scale a deviation is `found / expected - 1`, on the linear one `found - expected`.
    Rows that differ in one of the columns `within` replace none of each other.
    """
    newest = _judged(rows, newest=True, within=within)
    # A status that nobody defined must not pass for a green one.
    newest["status"] = newest["status"].where(newest["status"].isin(STATUSES), "error")
    newest["rank"] = newest["status"].map(STATUSES.index)
    newest = in_order(newest).sort_values("rank", kind="stable").drop(columns="rank")
    return _with_effect(newest.reset_index(drop=True))


def superseded(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts that a newer run of the same check has replaced."""
    return _judged(rows, newest=False).reset_index(drop=True)


def headline(rows: pd.DataFrame, within: Sequence[str] = ()) -> pd.DataFrame:
    """The verdict of each combination on the inverse Fisher, by case, backend and metric.

    The column "told" puts it into words: the ratio to the inverse Fisher itself and its reading, or
    of rows that have none how far it is from what was expected.
    """
    newest = verdicts(rows, within)
    chosen = newest[newest["claim"] == HEADLINE].drop_duplicates([*COMBINATION, *within])
    chosen = in_order(chosen).reset_index(drop=True)
    told = [
        wording.reading(row)
        or (
            wording.deviation(row["deviation"], row["scale"])
            if wording.known(row["deviation"])
            else ""
        )
        for row in chosen.to_dict("records")
    ]
    return chosen.assign(told=told)


def verdict_matrix(rows: pd.DataFrame, value: str = "status") -> pd.DataFrame:
    """One column of the headline verdicts as a matrix.

    Args:
        rows: as loaded.
        value: a column of `headline`; "status" and "told" are the usual ones.

    Returns:
        Index (device, dtype, case), one row for each case of the rows, whether judged or not;
        columns (backend, metric); what was not judged is missing.
    """
    chosen, newest = headline(rows), in_order(verdicts(rows))
    settings = (chosen if len(chosen) else newest)[["device", "dtype"]].drop_duplicates()
    cases = newest[["device", "case"]].drop_duplicates()
    index = settings.merge(cases, on="device", sort=False)
    # All cases in one order of columns.
    columns = in_order(chosen.assign(case=""))[["backend", "metric"]].drop_duplicates()
    matrix = pd.DataFrame(
        index=pd.MultiIndex.from_frame(index),
        columns=pd.MultiIndex.from_frame(columns),
        dtype=object,
    )
    for row in chosen.to_dict("records"):
        matrix.loc[(row["device"], row["dtype"], row["case"]), (row["backend"], row["metric"])] = (
            row[value]
        )
    return matrix


def interval_list(rows: pd.DataFrame) -> pd.DataFrame:
    """Every judged entry of every verdict, with row_id, claim, status and the columns of EFFECT."""
    kept = ("row_id", *COMBINATION, "claim", "status")
    entries = _exploded(verdicts(rows), "intervals", kept, INTERVAL)
    numbers = list(INTERVAL[1:6])
    entries[numbers] = entries[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
    return _with_effect(entries)


def deviation_parts(rows: pd.DataFrame) -> pd.DataFrame:
    """The ratio of M⁻¹ to the inverse Fisher, entry by entry, as a product of named ratios."""
    parts = _exploded(headline(rows), "parts", COMBINATION, ("entry", *PARTS))
    parts[list(PARTS)] = parts[list(PARTS)].apply(pd.to_numeric, errors="coerce")
    parts["ratio"] = parts[list(PARTS)].prod(axis=1, skipna=False)
    return parts


def status_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """How often each backend (index) met each status (columns, best first), and "total"."""
    newest = verdicts(rows)
    counts = pd.crosstab(newest["backend"].replace("", "no backend"), newest["status"])
    counts = counts.reindex(columns=list(reversed(STATUSES)), fill_value=0)
    counts["total"] = counts.sum(axis=1)
    return counts.rename_axis(index="backend", columns=None)


def known_failures(rows: pd.DataFrame) -> pd.DataFrame:
    """The newest verdicts that fail as expected; `message` says why they are."""
    newest = verdicts(rows)
    return newest[newest["status"] == "expected failure"]


def provenance(rows: pd.DataFrame) -> pd.DataFrame:
    """Versions and machine: columns item and value, several values of one item side by side."""
    items: dict[str, dict[str, None]] = {}
    for name in ("machine", "cores", "device", "dtype", "python", "commit", "run_id"):
        item = "cores of a process" if name == "cores" else name
        items[item] = _distinct(rows[name].dropna())
    for versions in rows["versions"]:
        for name, version in (versions if isinstance(versions, Mapping) else {}).items():
            items.setdefault(name, {})[str(version)] = None
    times = rows["time"].dropna().astype(str)
    items["first row"] = _distinct(times.iloc[:1])
    items["last row"] = _distinct(times.iloc[-1:])
    known = [(name, "; ".join(values)) for name, values in items.items() if values]
    return pd.DataFrame(known, columns=["item", "value"])


def records(cell: Any) -> list[dict[str, Any]]:
    """A cell that holds a list of records; empty if there is none."""
    return [record for record in cell if isinstance(record, dict)] if isinstance(cell, list) else []


def located(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the device and dtype of their run where they lack them; else missing names are "".

    A check that broke down before it began does not say where; the rest of its run does.
    """
    rows = rows.copy()
    rows["run_id"] = rows["run_id"].astype(object).fillna("")
    for name in COMBINATION:
        rows[name] = rows[name].astype(object).where(rows[name].notna() & (rows[name] != ""))
    for name in ("device", "dtype"):
        stated = rows.dropna(subset=name)
        of_run = stated.groupby("run_id")[name].agg(lambda values: list(values.unique()))
        known = {run: values[0] for run, values in of_run.items() if len(values) == 1}
        rows[name] = rows[name].where(rows[name].notna(), rows["run_id"].map(known))
        if stated[name].nunique() == 1:
            rows[name] = stated[name].iloc[0]
    rows[list(COMBINATION)] = rows[list(COMBINATION)].astype(object).fillna("")
    return rows


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """By case, backend and metric: an order that does not depend on who finished first."""
    known = {"diagonal": "0", "dense": "1"}
    keys = pd.DataFrame(
        {
            "setting": frame["device"] + " " + frame["dtype"],
            "case": [(not str(name).startswith(NOTEBOOK), name) for name in frame["case"]],
            "backend": frame["backend"],
            "metric": [known.get(name, f"2{name}") for name in frame["metric"]],
        },
        index=frame.index,
    )
    return frame.loc[keys.sort_values(list(keys), kind="stable").index]


def _judged(rows: pd.DataFrame, *, newest: bool, within: Sequence[str] = ()) -> pd.DataFrame:
    """Verdicts of the run that made the same check last, or those of the runs before it, located.

    Of a run all rows count, even those of one claim: its last must not hide that its first failed.
    """
    where = [*COMBINATION, "run_id"]
    judged = rows[rows["kind"] == "verdict"]
    keys = located(judged[[*where, "claim"]])  # of all columns it would take long
    by = [*(keys[name] for name in (*COMBINATION, "claim")), *(judged[name] for name in within)]
    runs = keys.groupby(by, dropna=False)["run_id"]
    chosen = (keys["run_id"] == runs.transform("last")).to_numpy() == newest
    return judged[chosen].assign(**{name: keys[name].to_numpy()[chosen] for name in where})


def offsets(frame: pd.DataFrame) -> np.ndarray:
    """Low, found and high as distances from what was expected, in margins; (n, 3)."""
    numbers = frame[["low", "found", "high", "expected", "margin"]].apply(
        pd.to_numeric, errors="coerce"
    )
    *values, expected, margin = numbers.to_numpy(dtype=float).T
    log = frame["scale"].eq("log").to_numpy(dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack(
            [
                np.where(log, np.log(x / expected) / np.log1p(margin), (x - expected) / margin)
                for x in values
            ],
            axis=1,
        )


def _with_effect(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    log = frame["scale"].eq("log").to_numpy(dtype=bool)
    found, low, high, expected, margin = (
        pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float) for name in INTERVAL[1:6]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, value in (("deviation", found), ("deviation_low", low), ("deviation_high", high)):
            frame[name] = np.where(log, value / expected - 1, value - expected)
        # A margin of 10 % is symmetric in the logarithm: from 1/1.1 to 1.1.
        frame["band_low"] = np.where(log, expected / (1 + margin), expected - margin)
        frame["band_high"] = np.where(log, expected * (1 + margin), expected + margin)
    return frame


def _exploded(
    frame: pd.DataFrame, column: str, kept: Iterable[str], fields: Iterable[str]
) -> pd.DataFrame:
    kept, fields = list(kept), list(fields)
    lines = [
        {name: row[name] for name in kept} | {name: record.get(name) for name in fields}
        for row in frame.to_dict("records")
        for record in records(row[column])
    ]
    return pd.DataFrame(lines, columns=[*kept, *fields])


def _distinct(values: pd.Series) -> dict[str, None]:
    whole = [int(value) if isinstance(value, float) else value for value in values]
    return dict.fromkeys(str(value) for value in whole)
