"""Figures derived from rows, as SVG that is the same for the same rows.

Every function returns the text of one `<svg>` element, or an empty string if the rows hold nothing
to show.
"""

import io
import re
from collections.abc import Mapping, Sequence, Sized
from itertools import product
from typing import Any
from xml.sax.saxutils import quoteattr

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve

from invmass.reports import calibration, tables, wording
from invmass.reports import timings as measured
from invmass.reports.releases import releases as history

# Okabe and Ito's palette, which the colour-blind can tell apart.
BLACK, GREY = "#222222", "#8a8a8a"
BACKENDS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
PARTS = {"geometry": "#0072B2", "regularisation": "#E69F00", "remainder": "#B0B0B0"}
MARKERS = {"pass": "o", "fail": "X", "inconclusive": "D", "expected failure": "s", "error": "v"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}
MOST_ENTRIES = 60  # of one matrix, the furthest from what is expected
MOST_PANELS = 48  # of one figure
LEVELS = (-8.0, -4.5, -2.0, -0.5)  # of the log density: where a Gaussian is 4, 3, 2, 1 sigma out
REACH = 4.0  # standard deviations of the inverse Fisher that an ellipse's panel shows at most


def ellipses(rows: pd.DataFrame, case: str) -> str:
    """1-sigma ellipses of the tuned M⁻¹ over the inverse Fisher's, in z, for a case with d = 2."""
    figure = ellipse_figure(rows, case)
    label = f"Tuned inverse mass matrices and inverse Fisher, {case}"
    return _svg(figure, f"ellipses-{case}", label) if figure else ""


def ellipse_figure(rows: pd.DataFrame, case: str) -> Figure | None:
    """The same as a figure; None if the rows hold nothing to show."""
    shown = [row for row in _of_case(tables.headline(rows), case) if _is_planar(row)]
    if not shown:
        return None
    flat = [row for row in shown if np.ndim(row["tuned"][0]) == 1]
    lines = [line for line in (flat, [row for row in shown if row not in flat]) if line]
    columns = max(len(line) for line in lines)
    colours = _colours(rows)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1 + 1.9 * columns, 0.8 + 2.1 * len(lines)), layout="constrained")
        axes = figure.subplots(len(lines), columns, sharex=True, sharey=True, squeeze=False)
        for i, j in product(range(len(lines)), range(columns)):
            if j < len(lines[i]):
                _ellipse_panel(axes[i, j], lines[i][j], colours)
                axes[i, j].set_title(_label(lines[i][j], shown))
            else:
                axes[i, j].set_visible(False)
        _frame(axes[0, 0], shown)
        names = _coordinates(shown[0])
        figure.supxlabel(f"z: {names[0]}", fontsize=9)
        figure.supylabel(f"z: {names[1]}", fontsize=9)
        keys = [
            Line2D([], [], color=BLACK, lw=2, label="inverse Fisher"),
            Line2D([], [], color=BLACK, lw=1, ls="--", label="its diagonal"),
            Line2D([], [], color=GREY, lw=1, label="tuned, one for each replicate"),
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=3 if columns > 1 else 1)
    return figure


def entries(rows: pd.DataFrame, case: str) -> str:
    """Every entry of M⁻¹ against the inverse Fisher, with interval and margin."""
    figure = entry_figure(rows, case)
    label = f"Entries of tuned inverse mass matrices, {case}"
    return _svg(figure, f"entries-{case}", label) if figure else ""


def entry_figure(rows: pd.DataFrame, case: str) -> Figure | None:
    """The same as a figure, a panel for each backend and metric; None if there is nothing."""
    judged = tables.interval_list(rows)
    judged = judged[(judged["case"] == case) & judged["claim"].isin(tables.HEADLINE)]
    judged = judged[np.isfinite(judged["deviation"])]
    if judged.empty:
        return None
    panels = list(judged.groupby(["backend", "metric"], sort=False))
    tallest = min(MOST_ENTRIES, max(len(panel) for _, panel in panels))
    colours = _colours(rows)
    with matplotlib.rc_context(STYLE):
        size = (1.6 + 3.2 * len(panels), 1.0 + 0.22 * tallest)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, ((backend, metric), panel) in zip(axes, panels, strict=True):
            far = (panel["deviation"].abs() / panel["margin"]).nlargest(MOST_ENTRIES).index
            shown = panel[panel.index.isin(far)]
            y = np.arange(len(shown))
            colour = colours.get(backend, GREY)
            margin = 100 * shown["margin"]
            ax.barh(y, 2 * margin, left=-margin, height=0.9, color="#e3edf3")
            ax.axvline(0, color=GREY, lw=0.8)
            ax.hlines(y, 100 * shown["deviation_low"], 100 * shown["deviation_high"], color=colour)
            ax.plot(100 * shown["deviation"], y, "o", color=colour, ms=4.5)
            ax.set_yticks(y, shown["entry"])
            ax.invert_yaxis()
            ax.tick_params(axis="y", length=0)
            ax.set_title(wording.place({"backend": backend, "metric": metric}))
        figure.supxlabel("percent from what is expected of the inverse Fisher", fontsize=9)
    return figure


def deviation_split(rows: pd.DataFrame, case: str) -> str:
    """The deviation from the inverse Fisher in its named parts, in percent of the logarithm."""
    parts = tables.deviation_parts(rows)
    parts = parts[(parts["case"] == case) & (parts[list(PARTS)] > 0).all(axis=1)]
    if parts.empty:
        return ""
    percent = 100 * np.log(parts[list(PARTS)].to_numpy(dtype=float))
    y = np.arange(len(parts))
    lines = parts.to_dict("records")
    labels = [f"{_label(row, lines)}: {row['entry']}".replace("\n", ", ") for row in lines]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.9 + 0.24 * len(parts)), layout="constrained")
        axes = figure.subplots()
        for sign in (1, -1):
            reached = np.zeros(len(parts))
            for name, value in zip(PARTS, percent.T, strict=True):
                width = np.where(sign * value > 0, value, 0)
                label = name if sign > 0 else None
                axes.barh(y, width, left=reached, height=0.62, color=PARTS[name], label=label)
                reached = reached + width
        axes.plot(percent.sum(axis=1), y, "D", color=BLACK, ms=4, label="together")
        axes.axvline(0, color=BLACK, lw=0.8)
        axes.set_yticks(y, labels)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel("100 · log(M⁻¹ / inverse Fisher)")
        figure.legend(loc="outside upper center", ncols=4)
        label = f"Parts of the deviation from the inverse Fisher, {case}"
        return _svg(figure, f"deviation-{case}", label)


def effects(rows: pd.DataFrame) -> str:
    """Ratio of M⁻¹ to the inverse Fisher with interval and margin, a panel for each case.

    Of many cases, those whose worst entry is the furthest from what was expected, in margins.
    """
    entries = tables.interval_list(rows)
    entries = entries[entries["claim"].isin(tables.HEADLINE) & _is_ratio(entries)]
    headline = tables.headline(rows)
    entries = entries[entries["row_id"].isin(headline["row_id"])]
    worst = _worst(entries).set_index("row_id", drop=False)
    worst = worst.loc[[row_id for row_id in headline["row_id"] if row_id in worst.index]]
    if worst.empty:
        return ""
    place = {row["row_id"]: wording.place(row) for row in headline.to_dict("records")}
    order = [name for name in _places(rows) if name in {place[i] for i in worst["row_id"]}]
    panel_of = ["case", "device", "dtype"]
    found = list(worst.groupby(panel_of, sort=False))
    far = sorted(found, key=lambda panel: -np.abs(tables.offsets(panel[1])[:, 1]).max())
    chosen = {key for key, _ in far[:MOST_PANELS]}
    panels = [panel for panel in found if panel[0] in chosen]
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    height = 0.4 + lines * (0.7 + 0.2 * len(order))
    colours = _colours(rows)
    several = worst[["device", "dtype"]].drop_duplicates().shape[0] > 1
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.6 + 2.1 * columns, height), layout="constrained")
        axes = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for ax, ((case, *where), entry) in zip(axes, panels, strict=False):
            ax.set_title(f"{case}\n{wording.setting(*where)}" if several else case)
            _effect_panel(ax, entry, [order.index(place[i]) for i in entry["row_id"]], colours)
        axes[0].set_yticks(range(len(order)), order)
        axes[0].set_ylim(len(order) - 0.4, -0.6)
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        label = "M⁻¹ / inverse Fisher: the entry furthest from expectation"
        figure.supxlabel(label + _left_out(panels, found), fontsize=9)
        used = [status for status in MARKERS if status in set(worst["status"])]
        keys = [Line2D([], [], color=BLACK, ls="", marker=MARKERS[s], label=s) for s in used]
        figure.legend(handles=keys, loc="outside upper center", ncols=len(keys))
        return _svg(figure, "effects", "Ratio of tuned inverse mass matrix to inverse Fisher")


def timings(rows: pd.DataFrame) -> str:
    """Effective draws a second where sampling was timed, seconds of warm-up otherwise.

    A panel for each case and setting, for so many as one figure bears.
    """
    table = measured.timings(rows)
    sampled = bool(table["ess_per_second"].notna().any())
    column = "ess_per_second" if sampled else "warmup_seconds"
    table = table[table[column].notna()]
    if table.empty:
        return ""
    keys = ["case", "device", "dtype"]
    found = list(table.groupby(keys, sort=False, dropna=False))
    panels = found[:MOST_PANELS]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    tallest = max(len(panel) for _, panel in panels)
    colours = _colours(rows)
    with matplotlib.rc_context(STYLE):
        size = (1 + 2.8 * columns, 0.3 + lines * (0.7 + 0.22 * tallest))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for ax, ((case, *where), panel) in zip(axes, panels, strict=False):
            setting = wording.setting(*(str(name) for name in where if wording.known(name)))
            ax.set_title(f"{case} ({setting})")
            _bars(ax, panel, column, colours)
            ax.set_ylim(tallest - 0.4, -0.6)
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        unit = "effective draws a second (worst coordinate)" if sampled else "seconds of warm-up"
        figure.supxlabel(unit + _left_out(panels, found), fontsize=9)
        return _svg(figure, "timings", f"Timings: {unit}")


def curves(rows: pd.DataFrame) -> str:
    """Seconds of warm-up and of sampling along dimension, chains and condition number."""
    points = measured.curves(rows)
    if points.empty:
        return ""
    panels = list(points.groupby(["along", "curve", "phase", *measured.CURVE[3:]], sort=False))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    colours = _colours(rows)
    with matplotlib.rc_context(STYLE):
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
            ax.set_title(f"{phase}: {curve}")
            ax.grid(axis="y")
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        figure.supylabel("seconds", fontsize=9)
        labels = [wording.place({"backend": b, "metric": m}) for b, m in used]
        figure.legend(list(used.values()), labels, loc="outside upper center", ncols=3)
        return _svg(figure, "curves", "Seconds along dimension, chains and condition number")


def settings(rows: pd.DataFrame, case: str) -> str:
    """ESS per gradient (colour) and acceptance (number) by step size, steps and mass matrix."""
    chosen = rows[(rows["kind"] == "setting") & (rows["case"] == case)]
    if chosen.empty:
        return ""
    chosen = chosen[chosen["run_id"] == chosen["run_id"].iloc[-1]]
    metrics = list(dict.fromkeys(chosen["metric"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.4 + 3.3 * len(metrics), 3.4), layout="constrained")
        axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        best = float(chosen["ess_per_gradient"].max())
        for ax, metric in zip(axes, metrics, strict=True):
            shown = chosen[chosen["metric"] == metric]
            worth, accepted = (
                shown.pivot_table(index="steps", columns="relative_step_size", values=column)
                for column in ("ess_per_gradient", "acceptance")
            )
            colours = np.log10(np.maximum(worth.to_numpy(dtype=float), 1e-4))
            image = ax.imshow(
                colours, cmap="cividis", vmin=-4, vmax=np.log10(best), aspect="auto", origin="lower"
            )
            for (i, j), value in np.ndenumerate(accepted.to_numpy(dtype=float)):
                dark = colours[i, j] < (np.log10(best) - 4) / 2
                colour = "white" if dark else BLACK
                ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=colour)
            ax.set_xticks(range(worth.shape[1]), [f"{size:g}" for size in worth.columns])
            ax.set_yticks(range(worth.shape[0]), [f"{steps:.0f}" for steps in worth.index])
            ax.set_title(f"mass matrix: {metric}")
        axes[0].set_ylabel("leapfrog steps")
        figure.supxlabel("step size, in units of the shortest scale", fontsize=9)
        figure.colorbar(image, ax=list(axes), label="log₁₀ of min ESS per gradient")
        return _svg(figure, f"settings-{case}", f"Worth of each setting of HMC, {case}")


def trajectories(rows: pd.DataFrame, case: str) -> str:
    """Paths of HMC over the density in z, and beneath them the energy's error along each."""
    chosen = rows[(rows["kind"] == "trajectories") & (rows["case"] == case)]
    if chosen.empty:
        return ""
    shown = chosen[chosen["run_id"] == chosen["run_id"].iloc[-1]].to_dict("records")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1 + 2.6 * len(shown), 4.6), layout="constrained")
        axes = figure.subplots(
            2, len(shown), sharey="row", squeeze=False, gridspec_kw={"height_ratios": (2, 1)}
        )
        for (above, below), row in zip(axes.T, shown, strict=True):
            density = np.asarray(row["log_density"], dtype=float)
            grid = [np.asarray(axis, dtype=float) for axis in row["axes"]]
            line = {"colors": GREY, "linewidths": 0.6, "linestyles": "solid"}
            above.contour(*grid, density.T, levels=LEVELS, **line)
            paths = np.asarray(row["paths"], dtype=float)
            for path in paths:
                above.plot(*path.T, color=BACKENDS[0], lw=0.9, marker=".", ms=2.5)
            above.plot(*paths[:, 0].T, "o", color=BACKENDS[1], ms=3.5)
            above.set_xlabel(f"z: {_coordinates(row)[0]}")
            above.set_title(
                f"mass matrix: {row['metric']}\nacceptance {wording.number(row['acceptance'])}"
            )
            below.axhline(0, color=GREY, lw=0.8)
            below.plot(np.transpose(row["energy_errors"]), color=BACKENDS[0], lw=0.8)
            below.set_xlabel("leapfrog step")
        axes[0, 0].set_ylabel(f"z: {_coordinates(shown[0])[1]}")
        axes[1, 0].set_ylabel("error of the energy")
        return _svg(figure, f"trajectories-{case}", f"Trajectories of HMC, {case}")


def power(rows: pd.DataFrame) -> str:
    """Of a calibration: shares of the answers, and the cost; thin lines are combinations."""
    each = list(calibration.power(rows).groupby(list(calibration.COMBINATION)))
    together = calibration.power(rows, by=())
    answers = {"passed": BACKENDS[2], "failed": BACKENDS[1], "undecided": BACKENDS[5]}
    cost = "over Wald's bound"
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        panels = [(left, answer, colour) for answer, colour in answers.items()]
        for axes, column, colour in [*panels, (right, cost, BACKENDS[0])]:
            for _, line in each:
                axes.plot(line["effect"], line[column], color=colour, lw=0.5, alpha=0.4)
            axes.plot(together["effect"], together[column], color=colour, lw=2, label=column)
        right.axhline(2, color=GREY, lw=0.8, ls="--")
        right.set_ylim(0, 5)
        left.set_ylabel("share of the answers")
        right.set_ylabel("mean replicates over Wald's bound")
        for axes in (left, right):
            axes.set_xlabel("effect, in margins")
            axes.axvline(1, color=GREY, lw=0.8)
        left.legend()
        return _svg(figure, "power", "Power and cost of a verdict")


def releases(rows: pd.DataFrame) -> str:
    """Over releases of a library: checks that are not green, seconds of warm-up, ESS per gradient.

    One row of panels for each library and backend with several releases.
    """
    table = history(rows)
    if table.empty:
        return ""
    table[["case", "metric"]] = table[["case", "metric"]].fillna("")
    keys = ["library", "backend", "machine", "device", "dtype"]
    panels = list(table.groupby(keys, sort=False))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 0.5 + 2.2 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 3, squeeze=False)
        for (judged, warmup, worth), (key, panel) in zip(axes, panels, strict=True):
            library, backend, *_ = key
            versions = list(dict.fromkeys(panel["version"]))
            _release_counts(judged, panel, versions)
            judged.set_ylabel(f"{backend}, by {library}" if backend != library else library)
            timed = panel[panel["case"] != ""]
            for (case, metric), line in timed.groupby(["case", "metric"], sort=False):
                at = [versions.index(version) for version in line["version"]]
                _release_line(warmup, at, line, "warmup_seconds", f"{case} {metric}")
                _release_line(worth, at, line, "ess_per_gradient", f"{case} {metric}")
            for ax in (judged, warmup, worth):
                ax.set_xticks(range(len(versions)), versions, rotation=30, ha="right")
                ax.set_ylim(bottom=0)
            if warmup.lines:
                warmup.legend(fontsize=7)
        for ax, title in zip(
            axes[0], ("checks", "seconds of warm-up", "min ESS per gradient"), strict=True
        ):
            ax.set_title(title)
        return _svg(figure, "releases", "Verdicts and speed over releases")


def _release_counts(axes: Axes, panel: pd.DataFrame, versions: Sequence[str]) -> None:
    """Stacked: green, and what is not."""
    counts = panel.drop_duplicates("version").set_index("version").loc[list(versions)]
    bad = counts[["fail", "error", "inconclusive"]].sum(axis=1).to_numpy()
    good = counts["pass"].to_numpy()
    place = np.arange(len(versions))
    axes.bar(place, good, width=0.6, color=BACKENDS[2], label="pass")
    axes.bar(place, bad, width=0.6, bottom=good, color=BACKENDS[1], label="not")
    axes.legend(fontsize=7)


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


def _ellipse_panel(axes: Axes, row: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    centre, fisher = _centre(row), np.asarray(row["inverse_fisher"], dtype=float)
    drawn = [matrix for matrix in map(_full, row["tuned"]) if _is_covariance(matrix)]
    colour = colours.get(row["backend"], GREY)
    for matrix in drawn:
        axes.add_patch(_ellipse(centre, matrix, ec=colour, lw=0.8, alpha=0.45))
    axes.add_patch(_ellipse(centre, fisher, ec=BLACK, lw=2))
    if np.ndim(row["tuned"][0]) == 1:
        diagonal = np.diag(np.diag(fisher))
        axes.add_patch(_ellipse(centre, diagonal, ec=BLACK, lw=1, ls="--"))
    axes.plot(*centre, "+", color=BLACK, ms=5)
    limits = REACH**2 * np.diag(fisher)
    beyond = sum(bool((np.diag(matrix) > limits).any()) for matrix in drawn)
    undrawn = len(row["tuned"]) - len(drawn)
    told = [f"{beyond} reach beyond"] * bool(beyond) + [f"{undrawn} degenerate"] * bool(undrawn)
    axes.text(0.03, 0.97, "\n".join(told), transform=axes.transAxes, va="top", fontsize=7)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=8)


def _ellipse(centre: np.ndarray, covariance: np.ndarray, **style: Any) -> PathPatch:
    """The 1-sigma ellipse as four Bézier curves, a tenth of the size of a polygon."""
    c = 0.5522847498  # the handle's length for a quarter of a circle
    quarter = np.array([(1, 0), (1, c), (c, 1), (0, 1)])
    turn = np.array([(0, -1), (1, 0)])
    quarters = [quarter @ np.linalg.matrix_power(turn, k).T for k in range(4)]
    circle = np.concatenate([quarters[0], *(q[1:] for q in quarters[1:])])
    vertices = centre + circle @ np.linalg.cholesky(covariance).T
    return PathPatch(Curve(vertices, [Curve.MOVETO] + [Curve.CURVE4] * 12), fill=False, **style)


def _frame(axes: Axes, shown: Sequence[Mapping[str, Any]]) -> None:
    """Limits that hold every ellipse, unless one is absurdly large."""
    low, high = [], []
    for row in shown:
        centre, fisher = _centre(row), np.diag(np.asarray(row["inverse_fisher"], dtype=float))
        variances = [fisher, *(np.diag(m) for m in map(_full, row["tuned"]) if _is_covariance(m))]
        half = np.minimum(1.12 * np.sqrt(np.max(variances, axis=0)), REACH * np.sqrt(fisher))
        low.append(centre - half)
        high.append(centre + half)
    (left, bottom), (right, top) = np.min(low, axis=0), np.max(high, axis=0)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _effect_panel(
    axes: Axes, entries: pd.DataFrame, y: list[int], colours: Mapping[str, str]
) -> None:
    height = np.array(y)
    band = entries["band_high"] - entries["band_low"]
    axes.barh(height, band, left=entries["band_low"], height=0.9, color="#e3edf3")
    axes.axvline(1, color=GREY, lw=0.8)
    for row, at in zip(entries.to_dict("records"), y, strict=True):
        colour = colours.get(row["backend"], GREY)
        axes.plot([row["expected"]] * 2, [at - 0.45, at + 0.45], color=GREY, lw=0.8, ls=":")
        axes.plot([row["low"], row["high"]], [at, at], color=colour, lw=1.6)
        axes.plot(row["found"], at, MARKERS.get(row["status"], "o"), color=colour, ms=4.5)
    axes.set_xscale("log")
    numbers = entries[["band_low", "band_high", "low", "high", "found"]]
    low, high = min(0.85, numbers.min(axis=None)), max(1.2, numbers.max(axis=None))
    axes.set_xlim(low / 1.03, high * 1.03)
    ticks = [t for t in (0.01, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 100) if low <= t <= high]
    ticks = ticks if len(ticks) > 1 else [0.9, 1, 1.1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.tick_params(axis="y", length=0)


def _bars(axes: Axes, panel: pd.DataFrame, column: str, colours: Mapping[str, str]) -> None:
    y = np.arange(len(panel))
    colour = [colours.get(name, GREY) for name in panel["backend"]]
    axes.barh(y, panel[column], height=0.66, color=colour)
    axes.set_yticks(y, [wording.place(row) for row in panel.to_dict("records")])
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


def _left_out(shown: Sized, of: Sized) -> str:
    """What a figure that bears no more says of the rest."""
    return f" ({len(shown)} panels of {len(of)})" if len(shown) < len(of) else ""


def _worst(entries: pd.DataFrame) -> pd.DataFrame:
    """Of each verdict the entry furthest from what was expected, in units of its margin."""
    ranked = entries.assign(distance=np.abs(tables.offsets(entries)[:, 1])).sort_values(
        "distance", ascending=False, kind="stable"
    )
    return ranked.drop_duplicates("row_id").drop(columns="distance").sort_index()


def _is_ratio(entries: pd.DataFrame) -> pd.Series:
    numbers = entries[["found", "low", "high", "expected", "margin"]].astype(float)
    return entries["scale"].eq("log") & (numbers > 0).all(axis=1) & np.isfinite(numbers).all(axis=1)


def _places(rows: pd.DataFrame) -> list[str]:
    """Backends with their metrics, in the order of the matrix."""
    columns = tables.verdict_matrix(rows).columns
    return [wording.place({"backend": backend, "metric": metric}) for backend, metric in columns]


def _of_case(headline: pd.DataFrame, case: str) -> list[dict[str, Any]]:
    return headline[headline["case"] == case].to_dict("records")


def _is_planar(row: Mapping[str, Any]) -> bool:
    fisher, tuned = row["inverse_fisher"], row["tuned"]
    if not isinstance(fisher, list) or not isinstance(tuned, list) or not tuned:
        return False
    matrix = np.asarray(fisher, dtype=float)
    return matrix.shape == (2, 2) and _is_covariance(matrix)


def _is_covariance(matrix: np.ndarray) -> bool:
    finite = matrix.shape == (2, 2) and bool(np.isfinite(matrix).all())
    return finite and bool((np.linalg.eigvalsh(matrix) > 0).all())


def _full(metric: Any) -> np.ndarray:
    values = np.asarray(metric, dtype=float)
    return np.diag(values) if values.ndim == 1 else values


def _centre(row: Mapping[str, Any]) -> np.ndarray:
    position = row["position"]
    return np.asarray(position if isinstance(position, list) else [0.0, 0.0], dtype=float)


def _coordinates(row: Mapping[str, Any]) -> list[str]:
    names = row["coordinates"]
    return [str(name) for name in names] if isinstance(names, list) else ["first", "second"]


def _label(row: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> str:
    """Backend and metric; device and dtype too, if those of the others differ."""
    several = len({(other["device"], other["dtype"]) for other in beside}) > 1
    where = f"\n{wording.setting(row['device'], row['dtype'])}" if several else ""
    return wording.place(row) + where


def _colours(rows: pd.DataFrame) -> dict[str, str]:
    """A colour for each backend, the same in every figure."""
    names = sorted(set(rows["backend"].dropna()) - {""})
    return {name: BACKENDS[i % len(BACKENDS)] for i, name in enumerate(names)}


def _svg(figure: Figure, name: str, label: str) -> str:
    """The figure without what a page does not need: prologue, comments, ids nobody refers to."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    style = STYLE | {"svg.hashsalt": name}  # ids that differ from run to run otherwise
    with matplotlib.rc_context(style):
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = text.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    text = text.replace("xlink:href", "href").replace("; stroke-linejoin: miter", "")
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda i: i[0] if i[1] in used else "", text)
    # Several figures share a page, where an id may stand once.
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{re.sub(r'[^A-Za-z0-9_-]', '-', name)}-", text)
    # A hundredth of a point is finer than any screen.
    text = re.sub(r' d="[^"]*"', lambda d: re.sub(r"(\.\d\d)\d+", r"\1", d[0]), text)
    width = min(640, round(figure.get_figwidth() * 96))  # below, a phone scrolls it
    opening = f'<svg role="img" aria-label={quoteattr(label)} style="min-width: {width}px" '
    return re.sub(r"\s*\n\s*", "\n", text.replace("<svg ", opening, 1))
