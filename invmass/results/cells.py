"""Which cells of a grid a results folder holds whole, so that they need not be made again.

Every row of a cell carries its name and the number of rows that there are of it.
"""

from pathlib import Path

import pandas as pd

from invmass.errors import RowsError
from invmass.results.rows import load_rows

COLUMNS = ("cell", "cell_rows", "run_id", "status", "backend", "alpha")


def load_cells(results: Path) -> pd.DataFrame:
    """Of each cell in a folder the rows that were written last; none if there is no folder."""
    try:
        rows = load_rows(results)
    except RowsError:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = rows.reindex(columns=dict.fromkeys([*rows.columns, *COLUMNS])).dropna(subset="cell")
    return rows[rows["run_id"] == rows.groupby("cell")["run_id"].transform("last")]


def finished(rows: pd.DataFrame) -> set[str]:
    """Cells of which all rows are there, and none is an error."""
    whole = rows.groupby("cell").size() == rows.groupby("cell")["cell_rows"].first()
    return set(whole.index[whole]) - set(rows["cell"][rows["status"] == "error"])
