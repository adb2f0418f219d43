"""What was measured of the suite itself and comes with it: how verdicts err, which faults they see.

A report shows it beside what was judged. `python docs/calibration.py` and `python docs/faults.py`
measure it anew.
"""

from pathlib import Path

import pandas as pd

MEASURED = Path(__file__).parent / "measured"
CALIBRATION = MEASURED / "calibration.parquet"
FAULTS = MEASURED / "faults.parquet"
SIGNS = {"fail": "✗", "pass": "✓", "inconclusive": "?", "error": "!"}
FAULT = ("planted", "strength", "case", "metric", "planted_for")


def calibration(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of a calibration among the rows, and if there are none those that come with us."""
    return _own(rows, "calibration", CALIBRATION)


def faults(rows: pd.DataFrame) -> pd.DataFrame:
    """The same of planted faults: a row for each fault, seed and claim."""
    return _own(rows, "fault", FAULTS)


def _own(rows: pd.DataFrame, kind: str, shipped: Path) -> pd.DataFrame:
    own = rows[rows["kind"] == kind]
    return own if len(own) else pd.read_parquet(shipped)


def fault_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Fault by claim, right samplers first, as they come: what each claim said at all seeds.

    Columns of FAULT, then one for each claim: ✗, ✓, ? or !, with a number of seeds unless it is
    all, and of red ones the median number of replicates; empty where nothing was judged.
    """
    judged = rows[rows["claim"].notna()].assign(strength=rows["strength"].fillna(1.0))
    claims = list(dict.fromkeys(judged["claim"]))
    lines = []
    for fault, group in judged.groupby(list(FAULT), sort=False):
        seeds = group["seed"].nunique()
        said = {claim: _said(each, seeds) for claim, each in group.groupby("claim")}
        lines.append(dict(zip(FAULT, fault, strict=True)) | {c: said.get(c, "") for c in claims})
    return pd.DataFrame(lines, columns=[*FAULT, *claims])


def unseen(rows: pd.DataFrame) -> dict[str, str]:
    """Faults that no claim can see, with the reason."""
    hidden = rows[rows["claim"].isna()]
    return dict(zip(hidden["planted"], hidden["message"], strict=True))


def _said(group: pd.DataFrame, seeds: int) -> str:
    counts = group["status"].value_counts()
    said = [
        sign if counts[status] == seeds else f"{sign} {counts[status]}/{seeds}"
        for status, sign in SIGNS.items()
        if status in counts
    ]
    red = group["replicates"][group["status"] == "fail"]
    return ", ".join([*said, *([f"{red.median():.0f}"] if len(red) else [])])
