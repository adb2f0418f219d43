"""Finds the cells of a sweep whose rows a results folder already holds.

Every row of a cell carries the name of the cell and the number of its rows.
"""

from pathlib import Path

import pandas as pd

from invmass.errors import RowsError
from invmass.results.rows import load_rows
from invmass.results.status import Status

COLUMNS = ("cell", "cell_rows", "run_id", "status", "backend", "alpha")


def load_cells(results: Path) -> pd.DataFrame:
    """The rows of the last run of each cell in a folder; an empty table if there is no folder."""
    try:
        rows = load_rows(results)
    except RowsError:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = rows.reindex(columns=dict.fromkeys([*rows.columns, *COLUMNS])).dropna(subset="cell")
    return rows[rows["run_id"] == rows.groupby("cell")["run_id"].transform("last")]


def finished(rows: pd.DataFrame) -> set[str]:
    """The cells of which all rows are present and none is an error."""
    whole = rows.groupby("cell").size() == rows.groupby("cell")["cell_rows"].first()
    return set(whole.index[whole]) - set(rows["cell"][rows["status"] == Status.ERROR])
