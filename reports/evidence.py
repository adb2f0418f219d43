"""What was measured of the suite itself and comes with it: how often verdicts err, what they cost.

A report shows it beside what was judged. `python docs/calibration.py` adds to it.
"""

from pathlib import Path

import pandas as pd

CALIBRATION = Path(__file__).parent / "measured" / "calibration.parquet"


def calibration(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of a calibration among the rows, and if there are none those that come with us."""
    own = rows[rows["kind"] == "calibration"]
    return own if len(own) else pd.read_parquet(CALIBRATION)
