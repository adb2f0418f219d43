"""Step size, steps and mass matrix of HMC: ESS per gradient of each setting, and trajectories."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from invmass.results import wording

from . import drawing

LEVELS = (-8.0, -4.5, -2.0, -0.5)  # log density at 4, 3, 2 and 1 sigma of a Gaussian


def settings(rows: pd.DataFrame, case: str) -> str:
    """ESS per gradient (colour) and acceptance (number) by step size, steps and mass matrix.

    Args:
        rows: as loaded; those of kind "setting" are used.
        case: the name of one case.
    """
    chosen = rows[(rows["kind"] == "setting") & (rows["case"] == case)]
    if chosen.empty:
        return ""
    chosen = chosen[chosen["run_id"] == chosen["run_id"].iloc[-1]]
    metrics = list(dict.fromkeys(chosen["metric"]))
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(1.4 + 3.3 * len(metrics), 3.4), layout="constrained")
        axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        best = float(chosen["ess_per_gradient"].max())
        for ax, metric in zip(axes, metrics, strict=True):
            shown = chosen[chosen["metric"] == metric]
            ess, acceptance = (
                shown.pivot_table(index="steps", columns="relative_step_size", values=column)
                for column in ("ess_per_gradient", "acceptance")
            )
            colours = np.log10(np.maximum(ess.to_numpy(dtype=float), 1e-4))
            image = ax.imshow(
                colours, cmap="cividis", vmin=-4, vmax=np.log10(best), aspect="auto", origin="lower"
            )
            for (i, j), value in np.ndenumerate(acceptance.to_numpy(dtype=float)):
                dark = colours[i, j] < (np.log10(best) - 4) / 2
                colour = "white" if dark else drawing.BLACK
                ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=colour)
            ax.set_xticks(range(ess.shape[1]), [f"{size:g}" for size in ess.columns])
            ax.set_yticks(range(ess.shape[0]), [f"{steps:.0f}" for steps in ess.index])
            ax.set_title(f"mass matrix: {metric}")
        axes[0].set_ylabel("leapfrog steps")
        figure.supxlabel("step size / smallest posterior scale", fontsize=9)
        figure.colorbar(image, ax=list(axes), label="log₁₀ (min ESS per gradient)")
        return drawing.svg(
            figure, f"settings-{case}", f"ESS per gradient of each setting of HMC, {case}"
        )


def trajectories(rows: pd.DataFrame, case: str) -> str:
    """Trajectories of HMC over the density in z, and the energy error along each below.

    Args:
        rows: as loaded; those of kind "trajectories" are used.
        case: the name of one case.
    """
    chosen = rows[(rows["kind"] == "trajectories") & (rows["case"] == case)]
    if chosen.empty:
        return ""
    shown = chosen[chosen["run_id"] == chosen["run_id"].iloc[-1]].to_dict("records")
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(1 + 2.6 * len(shown), 4.6), layout="constrained")
        axes = figure.subplots(
            2, len(shown), sharey="row", squeeze=False, gridspec_kw={"height_ratios": (2, 1)}
        )
        for (above, below), row in zip(axes.T, shown, strict=True):
            density = np.asarray(row["log_density"], dtype=float)
            grid = [np.asarray(axis, dtype=float) for axis in row["axes"]]
            line = {"colors": drawing.GREY, "linewidths": 0.6, "linestyles": "solid"}
            above.contour(*grid, density.T, levels=LEVELS, **line)
            paths = np.asarray(row["paths"], dtype=float)
            for path in paths:
                above.plot(*path.T, color=drawing.BACKENDS[0], lw=0.9, marker=".", ms=2.5)
            above.plot(*paths[:, 0].T, "o", color=drawing.BACKENDS[1], ms=3.5)
            above.set_xlabel(f"z: {drawing.coordinates(row)[0]}")
            above.set_title(
                f"mass matrix: {row['metric']}\nacceptance {wording.number(row['acceptance'])}"
            )
            below.axhline(0, color=drawing.GREY, lw=0.8)
            below.plot(np.transpose(row["energy_errors"]), color=drawing.BACKENDS[0], lw=0.8)
            below.set_xlabel("leapfrog step")
        axes[0, 0].set_ylabel(f"z: {drawing.coordinates(shown[0])[1]}")
        axes[1, 0].set_ylabel("energy error")
        size = shown[0]["relative_step_size"]
        figure.supxlabel(f"step size: {size:g} × smallest posterior scale", fontsize=9)
        return drawing.svg(figure, f"trajectories-{case}", f"Trajectories of HMC, {case}")
