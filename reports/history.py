"""What changed from one commit to the next: verdicts, and how far the worst is off.

The commit is that of the suite's checkout; where a wheel was called in another, it is that one's.
"""

import numpy as np
import pandas as pd

from . import tables

COUNTED = ("pass", "fail", "inconclusive", "error", "expected failure")
LINE = ["commit", *tables.PLACE]


def commits(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each commit, machine, device and dtype, oldest first.

    Empty unless the rows hold verdicts of two commits. Of each the newest run of each check counts;
    `distance` is that of the headline verdict that is furthest from what was expected, in margins,
    and `furthest` says which it is.
    """
    judged = tables.located(rows[rows["kind"].eq("verdict") & rows["commit"].notna()])
    if judged["commit"].nunique() < 2:
        return pd.DataFrame()
    judged[LINE] = judged[LINE].fillna("")
    since = judged.groupby(LINE)["time"].min().rename("since")
    counts = tables.verdicts(judged, within=LINE).groupby(LINE)["status"].value_counts()
    counts = counts.unstack(fill_value=0).reindex(columns=COUNTED, fill_value=0)
    lines = pd.concat([since, counts], axis=1).join(_furthest(judged))
    lines["furthest"] = lines["furthest"].fillna("")
    return lines.reset_index().sort_values("since", kind="stable", ignore_index=True)


def _furthest(judged: pd.DataFrame) -> pd.DataFrame:
    """By line: the headline verdict furthest from what was expected, and its distance."""
    headline = tables.headline(judged, within=LINE)
    headline["distance"] = np.abs(tables.offsets(headline)[:, 1])
    headline["furthest"] = headline["case"] + ", " + headline["backend"] + " " + headline["metric"]
    known = headline[np.isfinite(headline["distance"])]
    worst = known.sort_values("distance", ascending=False, kind="stable").drop_duplicates(LINE)
    return worst.set_index(LINE)[["distance", "furthest"]]
