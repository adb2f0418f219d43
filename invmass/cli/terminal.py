"""Tables in the terminal."""

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from invmass.results.status import Status

WIDEST = 1000  # columns of a line that goes to a file or a pipe
ROUNDING = 1e-12  # a correlation that is smaller is shown as zero
STYLE = {
    Status.PASS: "green",
    "matches": "green",
    Status.FAIL: "bold red",
    "differs": "cyan",
    "differs as documented": "cyan",
    "wrong": "bold red",
    Status.INCONCLUSIVE: "yellow",
    "undecided": "yellow",
    Status.ERROR: "bold magenta",
    "slower": "bold red",
    "worse": "bold red",
    "faster": "green",
    "better": "green",
    "changed": "cyan",
    "too few rounds": "yellow",
    "within noise": "yellow",
}


def matrix(title: str, names: list[str], values: list[Any]) -> None:
    """A matrix, or one row of values, under the names of its coordinates."""
    array = np.atleast_2d(np.asarray(values))
    if len(array) > 1:
        scale = np.sqrt(np.abs(np.diagonal(array)))
        array = np.where(np.abs(array) < ROUNDING * np.outer(scale, scale), 0.0, array)
    rows = [
        {"": names[i] if len(array) > 1 else ""}
        | {name: f"{value:.6g}" for name, value in zip(names, row, strict=True)}
        for i, row in enumerate(array)
    ]
    table(title, rows)


def table(title: str, rows: list[dict[str, Any]]) -> None:
    """Rows with the same keys, coloured by their verdict; a file or a pipe takes any width."""
    shown = Table()
    for column in rows[0]:
        shown.add_column(column, overflow="fold")
    for row in rows:
        cells = [str(cell) for cell in row.values()]
        shown.add_row(*cells, style=STYLE.get(str(row.get("verdict"))))
    console = Console()
    if not console.is_terminal:
        console.width = WIDEST
    console.print(Text(title, style="bold"), shown, sep="\n")  # a table folds a title of its own
