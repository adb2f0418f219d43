"""Changes from one commit to the next: counts of statuses, and the largest deviation.

The commit is that of the suite's checkout. If the suite is installed as a wheel, it is the commit
of the checkout in which it was called.
"""

import numpy as np
import pandas as pd

from . import tables

LINE = ["commit", *tables.HARDWARE]


def commits(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each commit, machine, device and dtype, oldest first.

    Returns:
        Columns of LINE, `since` (time of its first row), counts of the statuses of the newest run
        of each check, `largest_deviation` (of its verdicts on the inverse Fisher, in margins) and
        `largest_in` (case, backend and metric of that verdict). Empty unless the rows hold
        verdicts of at least two commits.
    """
    judged = tables.with_device(rows[rows["kind"].eq("verdict") & rows["commit"].notna()])
    if judged["commit"].nunique() < 2:
        return pd.DataFrame()
    judged[LINE] = judged[LINE].fillna("")
    since = judged.groupby(LINE)["time"].min().rename("since")
    counts = tables.verdicts(judged, within=LINE).groupby(LINE)["status"].value_counts()
    counts = counts.unstack(fill_value=0).reindex(columns=list(tables.COUNTED), fill_value=0)
    counts.columns = [str(status) for status in tables.COUNTED]
    lines = pd.concat([since, counts], axis=1).join(_largest_deviation(judged))
    lines["largest_in"] = lines["largest_in"].fillna("")
    return lines.reset_index().sort_values("since", kind="stable", ignore_index=True)


def _largest_deviation(judged: pd.DataFrame) -> pd.DataFrame:
    """By line: the largest deviation of its verdicts on the inverse Fisher, and where it is."""
    found = tables.inverse_fisher_verdicts(judged, within=LINE)
    found["largest_deviation"] = np.abs(tables.deviations_in_margins(found)[:, 1])
    found["largest_in"] = found["case"] + ", " + found["backend"] + " " + found["metric"]
    found = found[np.isfinite(found["largest_deviation"])]
    found = found.sort_values("largest_deviation", ascending=False, kind="stable")
    return found.drop_duplicates(LINE).set_index(LINE)[["largest_deviation", "largest_in"]]
