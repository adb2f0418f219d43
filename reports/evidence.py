"""Measurements of the suite itself: error rates of its verdicts, and planted faults that it finds.

A report shows them beside the verdicts. `benchmarks/calibration.py` and `benchmarks/faults.py`
repeat the measurements.
"""

from pathlib import Path

import pandas as pd

from invmass.results.status import BY_SEVERITY, Status

MEASURED = Path(__file__).parent / "measured"
CALIBRATION = MEASURED / "calibration.parquet"
FAULTS = MEASURED / "faults.parquet"
FAULT = ("planted", "strength", "case", "metric", "planted_for")


def calibration(rows: pd.DataFrame) -> pd.DataFrame:
    """The calibration among the rows; if there is none, the one that is shipped."""
    return _rows_or_shipped(rows, "calibration", CALIBRATION)


def faults(rows: pd.DataFrame) -> pd.DataFrame:
    """The planted faults among the rows, a row for each fault, seed and claim; else the shipped."""
    return _rows_or_shipped(rows, "fault", FAULTS)


def _rows_or_shipped(rows: pd.DataFrame, kind: str, shipped: Path) -> pd.DataFrame:
    own = rows[rows["kind"] == kind]
    return own if len(own) else pd.read_parquet(shipped)


def fault_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The result of each claim on each planted fault; correct samplers come first.

    Args:
        rows: of kind "fault", in the order in which the faults are to be listed.

    Returns:
        Columns of FAULT, then one for each claim: the symbol of the status, followed by the number
        of seeds unless it is the same at all seeds, and by the median number of replicates of
        failures. Empty where nothing was judged.
    """
    judged = rows[rows["claim"].notna()].assign(strength=rows["strength"].fillna(1.0))
    claims = list(dict.fromkeys(judged["claim"]))
    lines = []
    for fault, group in judged.groupby(list(FAULT), sort=False):
        seeds = group["seed"].nunique()
        results = {claim: _result(each, seeds) for claim, each in group.groupby("claim")}
        lines.append(dict(zip(FAULT, fault, strict=True)) | {c: results.get(c, "") for c in claims})
    return pd.DataFrame(lines, columns=[*FAULT, *claims])


def undetectable_faults(rows: pd.DataFrame) -> dict[str, str]:
    """Faults that no claim can find, with the reason."""
    hidden = rows[rows["claim"].isna()]
    return dict(zip(hidden["planted"], hidden["message"], strict=True))


def _result(group: pd.DataFrame, seeds: int) -> str:
    counts = group["status"].value_counts()
    parts = [
        status.symbol if counts[status] == seeds else f"{status.symbol} {counts[status]}/{seeds}"
        for status in BY_SEVERITY
        if status in counts
    ]
    failed = group["replicates"][group["status"] == Status.FAIL]
    return ", ".join([*parts, *([f"{failed.median():.0f}"] if len(failed) else [])])
