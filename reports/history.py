"""What changed from one commit to the next: verdicts, and how far the worst is off.

The commit is that of the suite's checkout; where a wheel was called in another, it is that one's.
"""

from typing import Any

import numpy as np
import pandas as pd

from invmass.reports import tables

COUNTED = ("pass", "fail", "inconclusive", "error", "expected failure")


def commits(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each commit, machine, device and dtype, oldest first.

    Empty unless the rows hold verdicts of two commits. Of each the newest run of each check counts;
    `distance` is that of the headline verdict that is furthest from what was expected, in margins,
    and `furthest` says which it is.
    """
    judged = tables.located(rows[rows["kind"].eq("verdict") & rows["commit"].notna()])
    if judged["commit"].nunique() < 2:
        return pd.DataFrame()
    groups = judged.groupby(["commit", *tables.PLACE], dropna=False)
    lines = [
        dict(zip(("commit", *tables.PLACE), key, strict=True)) | _line(group)
        for key, group in groups
    ]
    return pd.DataFrame(lines).sort_values("since", kind="stable").reset_index(drop=True)


def _line(judged: pd.DataFrame) -> dict[str, Any]:
    newest = tables.verdicts(judged)
    counts = newest["status"].value_counts()
    headline = tables.headline(judged)
    distances = np.abs(tables.offsets(headline)[:, 1])
    known = np.isfinite(distances)
    line: dict[str, Any] = {"since": judged["time"].min(), "distance": np.nan, "furthest": ""}
    line |= {name: int(counts.get(name, 0)) for name in COUNTED}
    if known.any():
        worst = headline.iloc[int(np.argmax(np.where(known, distances, -1.0)))]
        line["distance"] = float(distances[known].max())
        line["furthest"] = f"{worst['case']}, {worst['backend']} {worst['metric']}"
    return line
