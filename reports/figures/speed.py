"""Timings, their growth with size, and changes over releases."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from invmass.results import wording
from invmass.results.status import BY_SEVERITY

from .. import timings as times
from ..releases import releases as history
from . import drawing


def timings(rows: pd.DataFrame) -> str:
    """ESS per second if sampling was timed, otherwise seconds of warm-up.

    A panel for each case, device and dtype, up to MAX_PANELS.
    """
    table = times.timings(rows)
    sampled = bool(table["ess_per_second"].notna().any())
    column = "ess_per_second" if sampled else "warmup_seconds"
    table = table[table[column].notna()]
    if table.empty:
        return ""
    keys = ["case", "device", "dtype"]
    found = list(table.groupby(keys, sort=False, dropna=False))
    panels = found[: drawing.MAX_PANELS]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    tallest = max(len(panel) for _, panel in panels)
    colours = drawing.colours(rows)
    with matplotlib.rc_context(drawing.STYLE):
        size = (1 + 2.8 * columns, 0.3 + lines * (0.7 + 0.22 * tallest))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for ax, ((case, *where), panel) in zip(axes, panels, strict=False):
            setting = wording.device_and_dtype(
                *(str(name) for name in where if wording.has_value(name))
            )
            ax.set_title(f"{case} ({setting})")
            _bars(ax, panel, column, colours)
            ax.set_ylim(tallest - 0.4, -0.6)
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        unit = "min ESS per second" if sampled else "seconds of warm-up"
        figure.supxlabel(unit + drawing.panels_note(panels, found), fontsize=9)
        return drawing.svg(figure, "timings", f"Timings: {unit}")


def curves(rows: pd.DataFrame) -> str:
    """Seconds of warm-up and of sampling against dimension, chains and condition number."""
    points = times.curves(rows)
    if points.empty:
        return ""
    panels = list(points.groupby(["along", "curve", "phase", *times.CURVE[3:]], sort=False))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    colours = drawing.colours(rows)
    with matplotlib.rc_context(drawing.STYLE):
        size = (1 + 2.8 * columns, 0.8 + 2.4 * lines)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        used: dict[tuple[str, str], Line2D] = {}
        for ax, ((along, curve, phase, *_), panel) in zip(axes, panels, strict=False):
            for (backend, metric), line in panel.groupby(["backend", "metric"], sort=False):
                style = {"color": colours[backend], "ls": "--" if metric == "diagonal" else "-"}
                (used[backend, metric],) = ax.plot(
                    line["at"], line["seconds"], marker="o", ms=3.5, lw=1.4, **style
                )
            ax.set(xscale="log", yscale="log", xlabel=wording.AXES[along])
            _ticks(ax.xaxis, panel["at"])
            _ticks(ax.yaxis, panel["seconds"])
            ax.set_title(f"{phase}: {curve}")
            ax.grid(axis="y")
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        figure.supylabel("seconds", fontsize=9)
        labels = [wording.backend_and_metric({"backend": b, "metric": m}) for b, m in used]
        figure.legend(list(used.values()), labels, loc="outside upper center", ncols=3)
        return drawing.svg(
            figure, "curves", "Seconds against dimension, chains and condition number"
        )


def releases(rows: pd.DataFrame) -> str:
    """Checks by status, seconds of warm-up and ESS per gradient, by release of a library.

    One row of panels for each library and backend with several releases. What was timed in one
    release only is left out.
    """
    table = history(rows)
    if table.empty:
        return ""
    table[["case", "metric"]] = table[["case", "metric"]].fillna("")
    keys = ["library", "backend", "machine", "device", "dtype"]
    panels = list(table.groupby(keys, sort=False))
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(10.4, 0.5 + 2.2 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 3, squeeze=False)
        for (judged, warmup, ess), (key, panel) in zip(axes, panels, strict=True):
            library, backend, *_ = key
            versions = list(dict.fromkeys(panel["version"]))
            _release_counts(judged, panel, versions)
            judged.set_ylabel(f"{backend}, by {library}" if backend != library else library)
            timed = panel[panel["case"] != ""]
            for (case, metric), line in timed.groupby(["case", "metric"], sort=False):
                if len(line) == 1:
                    continue
                at = [versions.index(version) for version in line["version"]]
                _release_line(warmup, at, line, "warmup_seconds", f"{case} {metric}")
                _release_line(ess, at, line, "ess_per_gradient", f"{case} {metric}")
            for ax in (judged, warmup, ess):
                ax.set_xticks(range(len(versions)), versions, rotation=30, ha="right")
                ax.set_ylim(bottom=0)
            judged.set_ylim(top=1.35 * judged.get_ylim()[1])  # room for the legend
            judged.legend(fontsize=7, loc="upper left")
            if warmup.lines:
                outside = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)}
                ess.legend(handles=list(warmup.lines), fontsize=7, **outside)
        for ax, title in zip(
            axes[0], ("checks", "seconds of warm-up", "min ESS per gradient"), strict=True
        ):
            ax.set_title(title)
        return drawing.svg(figure, "releases", "Verdicts and speed over releases")


def _bars(axes: Axes, panel: pd.DataFrame, column: str, colours: Mapping[str, str]) -> None:
    y = np.arange(len(panel))
    colour = [colours.get(name, drawing.GREY) for name in panel["backend"]]
    axes.barh(y, panel[column], height=0.66, color=colour)
    several = panel["replicates"].nunique() > 1
    axes.set_yticks(
        y,
        [
            wording.backend_and_metric(row)
            + (f", {row['replicates']:.0f} chains" if several else "")
            for row in panel.to_dict("records")
        ],
    )
    for at, value in zip(y, panel[column], strict=True):
        axes.annotate(
            wording.number(value),
            (value, at),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.margins(x=0.18)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="y", length=0)


def _ticks(axis: Axis, values: pd.Series) -> None:
    """Tick labels at decades, and also at 2 and 5 times them if there are few decades."""
    axis.set_minor_formatter(NullFormatter())
    if values.max() < 100 * values.min():
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")


def _release_counts(axes: Axes, panel: pd.DataFrame, versions: Sequence[str]) -> None:
    """Stacked bars of the counts of each status."""
    counts = panel.drop_duplicates("version").set_index("version").loc[list(versions)]
    bottom, x = np.zeros(len(versions)), np.arange(len(versions))
    for status in reversed(BY_SEVERITY):
        if status not in counts or not counts[status].any():
            continue
        height = counts[status].to_numpy(dtype=float)
        axes.bar(x, height, width=0.6, bottom=bottom, color=status.colour, label=str(status))
        bottom += height


def _release_line(
    axes: Axes, at: Sequence[int], line: pd.DataFrame, column: str, label: str
) -> None:
    values = line[column].to_numpy(dtype=float) if column in line else np.full(len(at), np.nan)
    if not np.isfinite(values).any():
        return
    axes.plot(at, values, marker="o", ms=4, lw=1.2, label=label)
    if column == "warmup_seconds":
        ends = line[["warmup_low", "warmup_high"]].to_numpy(dtype=float)
        axes.vlines(at, *ends.T, color=axes.lines[-1].get_color(), lw=1)
