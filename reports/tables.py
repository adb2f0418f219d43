"""Tables derived from rows, from which pages and figures are made.

Every function takes the rows of `load_rows` and returns a new frame. If a check was run more than
once, its newest run counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from invmass.results import wording
from invmass.results.schema import INVERSE_FISHER
from invmass.results.status import BY_SEVERITY, Status, parse_status

NOTEBOOK = "notebook-"  # cases with this prefix come first, and have figures of ellipses
COMBINATION = ("case", "backend", "metric", "device", "dtype")
HARDWARE = ("machine", "device", "dtype")  # never mixed in one line of a history
DEVIATION = ("deviation", "deviation_low", "deviation_high", "band_low", "band_high")
INTERVAL = ("entry", "found", "low", "high", "expected", "margin", "scale")
COUNTED = tuple(status for status in BY_SEVERITY if status is not Status.SKIPPED)  # in histories
PARTS = ("geometry", "regularisation", "remainder")


def verdicts(rows: pd.DataFrame, within: Sequence[str] = ()) -> pd.DataFrame:
    """The newest verdict of each check, worst status first.

    Args:
        rows: as loaded.
        within: columns, such as "commit", for each value of which the newest verdict is wanted.

    Returns:
        The rows with the columns of DEVIATION added. On the log scale a deviation is
        `found / expected - 1`, on the linear one `found - expected`; the band is the margin around
        the expected value, in units of `found`.
    """
    newest = _judged(rows, newest=True, within=within)
    newest["status"] = newest["status"].map(lambda status: str(parse_status(status)))
    newest["rank"] = newest["status"].map(lambda status: BY_SEVERITY.index(Status(status)))
    newest = in_table_order(newest).sort_values("rank", kind="stable").drop(columns="rank")
    return _with_deviation(newest.reset_index(drop=True))


def superseded(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts that a newer run of the same check has replaced."""
    return _judged(rows, newest=False).reset_index(drop=True)


def inverse_fisher_verdicts(rows: pd.DataFrame, within: Sequence[str] = ()) -> pd.DataFrame:
    """The verdict of each combination on the claim "inverse Fisher", by case, backend and metric.

    Args:
        rows: as loaded.
        within: as in `verdicts`.

    Returns:
        One row for each combination. The column "summary" is a text: the ratio to the inverse
        Fisher and its reading; for rows without a reading, the deviation from the expected ratio.
    """
    newest = verdicts(rows, within)
    chosen = newest[newest["claim"] == INVERSE_FISHER].drop_duplicates([*COMBINATION, *within])
    chosen = in_table_order(chosen).reset_index(drop=True)
    summary = [
        wording.reading_sentence(row)
        or (
            wording.deviation(row["deviation"], row["scale"])
            if wording.has_value(row["deviation"])
            else ""
        )
        for row in chosen.to_dict("records")
    ]
    return chosen.assign(summary=summary)


def verdict_matrix(rows: pd.DataFrame, value: str = "status") -> pd.DataFrame:
    """One column of the verdicts on the inverse Fisher as a matrix.

    Args:
        rows: as loaded.
        value: a column of `inverse_fisher_verdicts`, such as "status" or "summary".

    Returns:
        Index (device, dtype, case), one row for each case of the rows, whether judged or not;
        columns (backend, metric). A combination that was not judged is missing (NaN).
    """
    chosen, newest = inverse_fisher_verdicts(rows), in_table_order(verdicts(rows))
    settings = (chosen if len(chosen) else newest)[["device", "dtype"]].drop_duplicates()
    cases = newest[["device", "case"]].drop_duplicates()
    index = settings.merge(cases, on="device", sort=False)
    # All cases in one order of columns.
    columns = in_table_order(chosen.assign(case=""))[["backend", "metric"]].drop_duplicates()
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
    """Every judged entry of every verdict.

    Returns:
        Columns row_id, claim, status, those of COMBINATION, INTERVAL and DEVIATION.
    """
    columns = ("row_id", *COMBINATION, "claim", "status")
    entries = _exploded(verdicts(rows), "intervals", columns, INTERVAL)
    numbers = list(INTERVAL[1:6])
    entries[numbers] = entries[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
    return _with_deviation(entries)


def deviation_parts(rows: pd.DataFrame) -> pd.DataFrame:
    """The ratio of M⁻¹ to the inverse Fisher, entry by entry, as a product of named ratios.

    Returns:
        Columns of COMBINATION, entry, those of PARTS, and ratio, which is their product.
    """
    parts = _exploded(inverse_fisher_verdicts(rows), "parts", COMBINATION, ("entry", *PARTS))
    parts[list(PARTS)] = parts[list(PARTS)].apply(pd.to_numeric, errors="coerce")
    parts["ratio"] = parts[list(PARTS)].prod(axis=1, skipna=False)
    return parts


def status_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """The number of checks by backend (index) and status (columns, best first), and "total"."""
    newest = verdicts(rows)
    counts = pd.crosstab(newest["backend"].replace("", "no backend"), newest["status"])
    counts = counts.reindex(columns=[str(status) for status in reversed(BY_SEVERITY)], fill_value=0)
    counts["total"] = counts.sum(axis=1)
    return counts.rename_axis(index="backend", columns=None)


def expected_failures(rows: pd.DataFrame) -> pd.DataFrame:
    """The newest verdicts that fail as expected; `message` gives the reason."""
    newest = verdicts(rows)
    return newest[newest["status"] == Status.EXPECTED_FAILURE]


def provenance(rows: pd.DataFrame) -> pd.DataFrame:
    """Versions and machine: columns item and value; several values are separated by semicolons."""
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
    stated = [(name, "; ".join(values)) for name, values in items.items() if values]
    return pd.DataFrame(stated, columns=["item", "value"])


def records(cell: Any) -> list[dict[str, Any]]:
    """The records in a field that holds a list of them; empty if the field is empty."""
    return [record for record in cell if isinstance(record, dict)] if isinstance(cell, list) else []


def with_device(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, with device and dtype filled in from other rows of the same run.

    The row of a check that raised an error early has neither. Other missing names become "".
    """
    rows = rows.copy()
    rows["run_id"] = rows["run_id"].astype(object).fillna("")
    for name in COMBINATION:
        rows[name] = rows[name].astype(object).where(rows[name].notna() & (rows[name] != ""))
    for name in ("device", "dtype"):
        stated = rows.dropna(subset=name)
        of_run = stated.groupby("run_id")[name].agg(lambda values: list(values.unique()))
        unique = {run: values[0] for run, values in of_run.items() if len(values) == 1}
        rows[name] = rows[name].where(rows[name].notna(), rows["run_id"].map(unique))
        if stated[name].nunique() == 1:
            rows[name] = stated[name].iloc[0]
    rows[list(COMBINATION)] = rows[list(COMBINATION)].astype(object).fillna("")
    return rows


def in_table_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sorted by case, backend and metric, whatever the order in which the checks finished."""
    first_metrics = {"diagonal": "0", "dense": "1"}
    keys = pd.DataFrame(
        {
            "setting": frame["device"] + " " + frame["dtype"],
            "case": [(not str(name).startswith(NOTEBOOK), name) for name in frame["case"]],
            "backend": frame["backend"],
            "metric": [first_metrics.get(name, f"2{name}") for name in frame["metric"]],
        },
        index=frame.index,
    )
    return frame.loc[keys.sort_values(list(keys), kind="stable").index]


def _judged(rows: pd.DataFrame, *, newest: bool, within: Sequence[str] = ()) -> pd.DataFrame:
    """Verdicts of the newest run of each check, or those of older runs, with their device.

    All rows of a run count, even several of one claim: the last must not hide that one failed.
    """
    where = [*COMBINATION, "run_id"]
    judged = rows[rows["kind"] == "verdict"]
    keys = with_device(judged[[*where, "claim"]])  # with all columns this would be slow
    by = [*(keys[name] for name in (*COMBINATION, "claim")), *(judged[name] for name in within)]
    runs = keys.groupby(by, dropna=False)["run_id"]
    chosen = (keys["run_id"] == runs.transform("last")).to_numpy() == newest
    return judged[chosen].assign(**{name: keys[name].to_numpy()[chosen] for name in where})


def deviations_in_margins(frame: pd.DataFrame) -> np.ndarray:
    """Low, found and high as signed distances from the expected value, in margins.

    Args:
        frame: n rows with the columns of INTERVAL.

    Returns:
        Shape (n, 3); on the log scale distances are differences of logarithms. NaN or infinite
        where a number is missing or not positive.
    """
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


def _with_deviation(frame: pd.DataFrame) -> pd.DataFrame:
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
    frame: pd.DataFrame, column: str, columns: Iterable[str], fields: Iterable[str]
) -> pd.DataFrame:
    """One line for each record in a column of lists: the row's columns and the record's fields."""
    columns, fields = list(columns), list(fields)
    lines = [
        {name: row[name] for name in columns} | {name: record.get(name) for name in fields}
        for row in frame.to_dict("records")
        for record in records(row[column])
    ]
    return pd.DataFrame(lines, columns=[*columns, *fields])


def _distinct(values: pd.Series) -> dict[str, None]:
    whole = [int(value) if isinstance(value, float) else value for value in values]
    return dict.fromkeys(str(value) for value in whole)
