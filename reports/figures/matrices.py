"""Tuned matrices against the inverse Fisher: ellipses, entries, and parts of the deviation."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve

from invmass.results import wording
from invmass.results.schema import INVERSE_FISHER
from invmass.results.status import BY_SEVERITY, Status

from .. import tables
from . import drawing

PARTS = {"geometry": "#0072B2", "regularisation": "#E69F00", "remainder": "#B0B0B0"}
MAX_ENTRIES = 60  # of one matrix: those with the largest deviations
MAX_SIGMAS = 4.0  # of the inverse Fisher: half width of a panel of ellipses, at most


def ellipses(rows: pd.DataFrame, case: str) -> str:
    """1-sigma ellipses of each tuned M⁻¹ and of the inverse Fisher in z, for a case with d = 2."""
    figure = ellipse_figure(rows, case)
    label = f"Tuned inverse mass matrices and inverse Fisher, {case}"
    return drawing.svg(figure, f"ellipses-{case}", label) if figure else ""


def ellipse_figure(rows: pd.DataFrame, case: str) -> Figure | None:
    """The figure of `ellipses`; None if the rows hold nothing to show."""
    shown = [row for row in _of_case(tables.inverse_fisher_verdicts(rows), case) if _is_planar(row)]
    if not shown:
        return None
    flat = [row for row in shown if np.ndim(row["tuned"][0]) == 1]
    lines = [line for line in (flat, [row for row in shown if row not in flat]) if line]
    columns = max(len(line) for line in lines)
    colours = drawing.colours(rows)
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(1 + 1.9 * columns, 0.8 + 2.1 * len(lines)), layout="constrained")
        axes = figure.subplots(len(lines), columns, sharex=True, sharey=True, squeeze=False)
        for i, j in product(range(len(lines)), range(columns)):
            if j < len(lines[i]):
                _ellipse_panel(axes[i, j], lines[i][j], colours)
                axes[i, j].set_title(_label(lines[i][j], shown))
            else:
                axes[i, j].set_visible(False)
        _frame(axes[0, 0], shown)
        names = drawing.coordinates(shown[0])
        figure.supxlabel(f"z: {names[0]}", fontsize=9)
        figure.supylabel(f"z: {names[1]}", fontsize=9)
        keys = [
            Line2D([], [], color=drawing.BLACK, lw=2, label="inverse Fisher"),
            Line2D([], [], color=drawing.BLACK, lw=1, ls="--", label="its diagonal"),
            Line2D([], [], color=drawing.GREY, lw=1, label="tuned M⁻¹, one for each replicate"),
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=3 if columns > 1 else 1)
    return figure


def entries(rows: pd.DataFrame, case: str) -> str:
    """Deviation of every entry of M⁻¹ from its predicted value, with interval and margin."""
    figure = entry_figure(rows, case)
    label = f"Entries of tuned inverse mass matrices, {case}"
    return drawing.svg(figure, f"entries-{case}", label) if figure else ""


def entry_figure(rows: pd.DataFrame, case: str) -> Figure | None:
    """The figure of `entries`, a panel for each backend and metric; None if there is nothing."""
    judged = tables.interval_list(rows)
    judged = judged[(judged["case"] == case) & (judged["claim"] == INVERSE_FISHER)]
    judged = judged[np.isfinite(judged["deviation"])]
    if judged.empty:
        return None
    panels = list(judged.groupby(["backend", "metric"], sort=False))
    tallest = min(MAX_ENTRIES, max(len(panel) for _, panel in panels))
    colours = drawing.colours(rows)
    with matplotlib.rc_context(drawing.STYLE):
        size = (1.6 + 3.2 * len(panels), 1.0 + 0.22 * tallest)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, ((backend, metric), panel) in zip(axes, panels, strict=True):
            far = (panel["deviation"].abs() / panel["margin"]).nlargest(MAX_ENTRIES).index
            shown = panel[panel.index.isin(far)]
            y = np.arange(len(shown))
            colour = colours.get(backend, drawing.GREY)
            margin = 100 * shown["margin"]
            ax.barh(y, 2 * margin, left=-margin, height=0.9, color="#e3edf3")
            ax.axvline(0, color=drawing.GREY, lw=0.8)
            ax.hlines(y, 100 * shown["deviation_low"], 100 * shown["deviation_high"], color=colour)
            ax.plot(100 * shown["deviation"], y, "o", color=colour, ms=4.5)
            ax.set_yticks(y, shown["entry"])
            ax.invert_yaxis()
            ax.tick_params(axis="y", length=0)
            ax.set_title(wording.backend_and_metric({"backend": backend, "metric": metric}))
        figure.supxlabel(
            "deviation from the predicted M⁻¹ / inverse Fisher, in percent", fontsize=9
        )
    return figure


def deviation_split(rows: pd.DataFrame, case: str) -> str:
    """The deviation from the inverse Fisher, split into its named parts on the log scale."""
    parts = tables.deviation_parts(rows)
    parts = parts[(parts["case"] == case) & (parts[list(PARTS)] > 0).all(axis=1)]
    if parts.empty:
        return ""
    percent = 100 * np.log(parts[list(PARTS)].to_numpy(dtype=float))
    y = np.arange(len(parts))
    lines = parts.to_dict("records")
    labels = [f"{_label(row, lines)}: {row['entry']}".replace("\n", ", ") for row in lines]
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(8, 0.9 + 0.24 * len(parts)), layout="constrained")
        axes = figure.subplots()
        for sign in (1, -1):
            reached = np.zeros(len(parts))
            for name, value in zip(PARTS, percent.T, strict=True):
                width = np.where(sign * value > 0, value, 0)
                label = name if sign > 0 else None
                axes.barh(y, width, left=reached, height=0.62, color=PARTS[name], label=label)
                reached = reached + width
        axes.plot(percent.sum(axis=1), y, "D", color=drawing.BLACK, ms=4, label="sum")
        axes.axvline(0, color=drawing.BLACK, lw=0.8)
        axes.set_yticks(y, labels)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel("100 · log(M⁻¹ / inverse Fisher)")
        figure.legend(loc="outside upper center", ncols=4)
        label = f"Parts of the deviation from the inverse Fisher, {case}"
        return drawing.svg(figure, f"deviation-{case}", label)


def effects(rows: pd.DataFrame) -> str:
    """Ratio of M⁻¹ to the inverse Fisher with interval and margin, a panel for each case.

    If there are more than MAX_PANELS cases, those with the largest deviations in margins.
    """
    entries = tables.interval_list(rows)
    entries = entries[(entries["claim"] == INVERSE_FISHER) & _is_ratio(entries)]
    found_verdicts = tables.inverse_fisher_verdicts(rows)
    entries = entries[entries["row_id"].isin(found_verdicts["row_id"])]
    worst = _worst(entries).set_index("row_id", drop=False)
    worst = worst.loc[[row_id for row_id in found_verdicts["row_id"] if row_id in worst.index]]
    if worst.empty:
        return ""
    sampler = {
        row["row_id"]: wording.backend_and_metric(row) for row in found_verdicts.to_dict("records")
    }
    order = [name for name in _samplers(rows) if name in {sampler[i] for i in worst["row_id"]}]
    panel_of = ["case", "device", "dtype"]
    found = list(worst.groupby(panel_of, sort=False))
    far = sorted(
        found, key=lambda panel: -np.abs(tables.deviations_in_margins(panel[1])[:, 1]).max()
    )
    chosen = {key for key, _ in far[: drawing.MAX_PANELS]}
    panels = [panel for panel in found if panel[0] in chosen]
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    height = 0.4 + lines * (0.7 + 0.2 * len(order))
    colours = drawing.colours(rows)
    several = worst[["device", "dtype"]].drop_duplicates().shape[0] > 1
    with matplotlib.rc_context(drawing.STYLE):
        figure = Figure(figsize=(1.6 + 2.1 * columns, height), layout="constrained")
        axes = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for ax, ((case, *where), entry) in zip(axes, panels, strict=False):
            ax.set_title(f"{case}\n{wording.device_and_dtype(*where)}" if several else case)
            _effect_panel(ax, entry, [order.index(sampler[i]) for i in entry["row_id"]], colours)
        axes[0].set_yticks(range(len(order)), order)
        axes[0].set_ylim(len(order) - 0.4, -0.6)
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        label = "M⁻¹ / inverse Fisher, in the entry with the largest deviation"
        figure.supxlabel(label + drawing.panels_note(panels, found), fontsize=9)
        used = [status for status in BY_SEVERITY if status in set(worst["status"])]
        keys = [
            Line2D([], [], color=drawing.BLACK, ls="", marker=s.marker, label=str(s)) for s in used
        ]
        figure.legend(handles=keys, loc="outside upper center", ncols=len(keys))
        return drawing.svg(
            figure, "effects", "Ratio of tuned inverse mass matrix to inverse Fisher"
        )


def _ellipse_panel(axes: Axes, row: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    centre, fisher = _centre(row), np.asarray(row["inverse_fisher"], dtype=float)
    drawn = [matrix for matrix in map(_full, row["tuned"]) if _is_covariance(matrix)]
    colour = colours.get(row["backend"], drawing.GREY)
    for matrix in drawn:
        axes.add_patch(_ellipse(centre, matrix, ec=colour, lw=0.8, alpha=0.45))
    axes.add_patch(_ellipse(centre, fisher, ec=drawing.BLACK, lw=2))
    if np.ndim(row["tuned"][0]) == 1:
        diagonal = np.diag(np.diag(fisher))
        axes.add_patch(_ellipse(centre, diagonal, ec=drawing.BLACK, lw=1, ls="--"))
    axes.plot(*centre, "+", color=drawing.BLACK, ms=5)
    limits = MAX_SIGMAS**2 * np.diag(fisher)
    beyond = sum(bool((np.diag(matrix) > limits).any()) for matrix in drawn)
    undrawn = len(row["tuned"]) - len(drawn)
    notes = [f"{beyond} exceed the panel"] * bool(beyond)
    notes += [f"{undrawn} not positive definite"] * bool(undrawn)
    axes.text(0.03, 0.97, "\n".join(notes), transform=axes.transAxes, va="top", fontsize=7)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=8)


def _ellipse(centre: np.ndarray, covariance: np.ndarray, **style: Any) -> PathPatch:
    """The 1-sigma ellipse as four Bézier curves, which take a tenth of the text of a polygon."""
    c = 0.5522847498  # the handle's length for a quarter of a circle
    quarter = np.array([(1, 0), (1, c), (c, 1), (0, 1)])
    turn = np.array([(0, -1), (1, 0)])
    quarters = [quarter @ np.linalg.matrix_power(turn, k).T for k in range(4)]
    circle = np.concatenate([quarters[0], *(q[1:] for q in quarters[1:])])
    vertices = centre + circle @ np.linalg.cholesky(covariance).T
    return PathPatch(Curve(vertices, [Curve.MOVETO] + [Curve.CURVE4] * 12), fill=False, **style)


def _frame(axes: Axes, shown: Sequence[Mapping[str, Any]]) -> None:
    """Set limits that show every ellipse, up to MAX_SIGMAS of the inverse Fisher."""
    low, high = [], []
    for row in shown:
        centre, fisher = _centre(row), np.diag(np.asarray(row["inverse_fisher"], dtype=float))
        variances = [fisher, *(np.diag(m) for m in map(_full, row["tuned"]) if _is_covariance(m))]
        half = np.minimum(1.12 * np.sqrt(np.max(variances, axis=0)), MAX_SIGMAS * np.sqrt(fisher))
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
    axes.axvline(1, color=drawing.GREY, lw=0.8)
    for row, at in zip(entries.to_dict("records"), y, strict=True):
        colour = colours.get(row["backend"], drawing.GREY)
        axes.plot([row["expected"]] * 2, [at - 0.45, at + 0.45], color=drawing.GREY, lw=0.8, ls=":")
        axes.plot([row["low"], row["high"]], [at, at], color=colour, lw=1.6)
        axes.plot(row["found"], at, Status(row["status"]).marker, color=colour, ms=6)
    axes.set_xscale("log")
    numbers = entries[["band_low", "band_high", "low", "high", "found"]]
    low, high = min(0.85, numbers.min(axis=None)), max(1.2, numbers.max(axis=None))
    axes.set_xlim(low / 1.03, high * 1.03)
    ticks = [t for t in (0.01, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 100) if low <= t <= high]
    ticks = ticks if len(ticks) > 1 else [0.9, 1, 1.1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.tick_params(axis="y", length=0)


def _worst(entries: pd.DataFrame) -> pd.DataFrame:
    """The entry of each verdict with the largest deviation, in margins."""
    ranked = entries.assign(
        distance=np.abs(tables.deviations_in_margins(entries)[:, 1])
    ).sort_values("distance", ascending=False, kind="stable")
    return ranked.drop_duplicates("row_id").drop(columns="distance").sort_index()


def _is_ratio(entries: pd.DataFrame) -> pd.Series:
    numbers = entries[["found", "low", "high", "expected", "margin"]].astype(float)
    return entries["scale"].eq("log") & (numbers > 0).all(axis=1) & np.isfinite(numbers).all(axis=1)


def _samplers(rows: pd.DataFrame) -> list[str]:
    """`numpyro, dense` and so on, in the order of the matrix of verdicts."""
    columns = tables.verdict_matrix(rows).columns
    return [
        wording.backend_and_metric({"backend": backend, "metric": metric})
        for backend, metric in columns
    ]


def _of_case(verdicts: pd.DataFrame, case: str) -> list[dict[str, Any]]:
    return verdicts[verdicts["case"] == case].to_dict("records")


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


def _label(row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """Backend and metric; device and dtype too if the rows of the figure differ in them."""
    several = len({(other["device"], other["dtype"]) for other in others}) > 1
    where = f"\n{wording.device_and_dtype(row['device'], row['dtype'])}" if several else ""
    return wording.backend_and_metric(row) + where
