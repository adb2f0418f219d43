"""The calibration of verdicts: power, and replicates needed."""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from invmass.results.status import Status

from .. import calibration
from . import drawing


def power(rows: pd.DataFrame) -> str:
    """Share of each answer, and replicates over Wald's bound, against the effect in margins.

    Thin lines are single combinations; thick ones, all together.

    Args:
        rows: of kind "calibration".
    """
    each = list(calibration.power(rows).groupby(list(calibration.COMBINATION)))
    together = calibration.power(rows, by=())
    answers = {
        "passed": Status.PASS,
        "failed": Status.FAIL,
        "undecided": Status.INCONCLUSIVE,
    }
    cost = "over Wald's bound"
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        panels = [(left, column, status.colour, status) for column, status in answers.items()]
        for axes, column, colour, label in [*panels, (right, cost, drawing.BACKENDS[0], cost)]:
            for _, line in each:
                axes.plot(line["effect"], line[column], color=colour, lw=0.5, alpha=0.4)
            axes.plot(together["effect"], together[column], color=colour, lw=2, label=str(label))
        right.axhline(2, color=drawing.GREY, lw=0.8, ls="--")
        right.set_ylim(0, 5)
        left.set_ylabel("share of verdicts")
        right.set_ylabel("mean replicates over Wald's bound")
        for axes in (left, right):
            axes.set_xlabel("true deviation, in margins")
            axes.axvline(1, color=drawing.GREY, lw=0.8)
        left.legend()
        return drawing.svg(
            figure, "power", "Share of verdicts, and replicates needed, by true deviation"
        )
