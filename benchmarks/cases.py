"""Writes docs/cases.md, its pictures and docs/cases.json.

Run `python benchmarks/cases.py`. It takes a few minutes.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invmass.adaptation.estimators import WELFORD_DENSE
from invmass.cli.listing import case_line, reference
from invmass.model.case import Case, Truth
from invmass.model.catalogue import all_cases
from invmass.whitening import whiten

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "cases"
DRAWS, WINDOW = 20_000, 500  # of a picture; of the last window of 1,000 steps
STYLE: dict[Any, Any] = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
INTRODUCTION = """# The cases

`python benchmarks/cases.py` writes this page. Each picture shows exact draws, made without a
sampler, of the first and the last coordinate: on the left in constrained space x, on the right in
unconstrained space z. The transform to z is that of Stan, BlackJAX, nutpie, PyMC and our own HMC;
other libraries may use other transforms (`invmass fisher CASE --backend NAME`). The picture in z
also shows the inverse Fisher information at the true parameters (orange) and the covariance of the
posterior (dashed), which is what warm-up estimates. Both are drawn as the density, or the ellipse
of one standard deviation, of a normal distribution with that covariance and the posterior's mean.

The *gap* measures how far the covariance is from the inverse Fisher information. Whiten the
covariance by the inverse Fisher: the gap is the largest absolute log ratio or correlation. The
*ratio* is M⁻¹ over the inverse Fisher that geometry and Stan's regularisation together predict for
a dense metric after 1,000 warm-up steps, in the directions with the smallest and the largest ratio.
If it is within 10% of one, a correct sampler *matches* the inverse Fisher; otherwise it *differs as
documented*. For parameters with small scales, the floor of 1e-5 that Stan's rule adds to each
variance dominates: M⁻¹ is 1.54 times the inverse Fisher in `fine_mean`, 11 times in `narrow_mean`,
and 42 times in one direction of `interest_rates`. There the contribution of the data is judged
separately from the floor.

References are accurate to 0.2% of each variance, and the tests compare each one with a second,
independent computation. Every run computes the references again. The tests compare them with the
values stored in [cases.json](cases.json); `invmass list --case CASE --json` prints one. Cases of
the quick tier run on every push, cases of the full tier with `invmass validate --tier full`. Two
cases run only when they are named (`--case 'scaling-1000-*'`), because they would add ten minutes
to the full tier.

| case | d | tier | gap | ratio | reference |
|---|---|---|---|---|---|
"""


def main() -> None:
    """The page, one picture a case, and the references."""
    FOLDER.mkdir(exist_ok=True)
    rows, sections, stored = [], [], []
    for case in all_cases().values():
        print(case.name, flush=True)
        truth = case.truth_in_own_space
        gap = f"{truth.gap:.3f}" if np.isfinite(truth.gap) else "∞"
        rows.append(
            f"| [{case.name}](#{case.name}) | {case.dimension} | {case.tier} | {gap} | "
            f"{predicted(truth)} | {case.reference.how} |\n"
        )
        sections.append(section(case))
        stored.append(case_line(case) | reference(case))
        picture(case, truth).savefig(FOLDER / f"{case.name}.png", dpi=90, metadata={"Software": ""})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in stored)
    (DOCS / "cases.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    page = DOCS / "cases.md"
    page.write_text(INTRODUCTION + "".join(rows) + "".join(sections), encoding="utf-8")


def predicted(truth: Truth) -> str:
    """Least and largest ratio of M⁻¹ to the inverse Fisher by Stan's dense rule."""
    covariance = truth.moments.covariance
    if not np.all(np.isfinite(covariance)):
        return "–"
    regularised = WELFORD_DENSE.regularised(covariance, WINDOW)
    ratios = np.diag(whiten(regularised[None], truth.inverse_fisher)[0])
    least, most = f"{ratios.min():.3g}", f"{ratios.max():.3g}"
    return least if least == most else f"{least} to {most}"


def section(case: Case) -> str:
    """What is said of one case."""
    text = f"\n## {case.name}\n\n`{case.summary}`\n\n"
    coordinates = case.posterior.coordinates
    shown = ", ".join(coordinates[:12]) + (", …" if len(coordinates) > 12 else "")
    text += f"Coordinates: {shown}. "
    text += f"Data: {case.source}\n\n" if case.source else "\n\n"
    return text + f"![Densities of {case.name} in x and z](cases/{case.name}.png)\n"


def picture(case: Case, truth: Truth) -> Figure:
    """Densities in x and in z."""
    shown = [0] if case.dimension == 1 else [0, -1]
    free = case.starts(0, DRAWS)
    z = truth.free_to_unconstrained(free)[:, shown]
    free, labels = free[:, shown], [case.posterior.coordinates[i] for i in shown]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.8), layout="constrained")
        in_x, in_z = figure.subplots(1, 2)
        for axes, points, space in ((in_x, free, "x"), (in_z, z, "z")):
            draw = line if case.dimension == 1 else plane
            draw(axes, points, [f"{space}: {label}" for label in labels])
        for matrix, style in (
            (truth.inverse_fisher, {"color": "#D55E00", "lw": 1.6, "label": "inverse Fisher"}),
            (truth.moments.covariance, {"color": "#222222", "ls": "--", "label": "covariance"}),
        ):
            if np.all(np.isfinite(matrix)):
                over = normal_curve if case.dimension == 1 else ellipse
                over(in_z, truth.moments.mean[shown], matrix[np.ix_(shown, shown)], style)
        figure.legend(
            *in_z.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False
        )
    return figure


def line(axes: Axes, points: np.ndarray, labels: list[str]) -> None:
    """A histogram of one coordinate."""
    values = points[:, 0]
    low, middle, high = np.quantile(values, [0.002, 0.5, 0.998])
    quarter = np.quantile(values, 0.75) - middle
    reach = np.array([low, min(high, middle + 10 * quarter)])  # long tails would hide the rest
    axes.hist(values, bins=80, range=tuple(reach), density=True, color="#56B4E9")
    axes.set(xlabel=labels[0], yticks=[], xlim=reach)


def plane(axes: Axes, points: np.ndarray, labels: list[str]) -> None:
    """Where the draws of two coordinates lie."""
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    inside = np.all((points > low) & (points < high), axis=1)
    u, v = points[inside].T
    axes.hexbin(u, v, gridsize=36, cmap="Blues", mincnt=1, linewidths=0.0)
    axes.set(xlabel=labels[0], ylabel=labels[1])


def normal_curve(axes: Axes, mean: np.ndarray, variance: np.ndarray, style: dict) -> None:
    """The density of a normal distribution, in the limits that the axes have."""
    u = np.linspace(*axes.get_xlim(), 200)
    scale = np.sqrt(variance[0, 0])
    density = np.exp(-0.5 * ((u - mean[0]) / scale) ** 2) / scale / np.sqrt(2 * np.pi)
    axes.plot(u, density, **style)


def ellipse(axes: Axes, mean: np.ndarray, covariance: np.ndarray, style: dict) -> None:
    """One standard deviation about the mean of two coordinates."""
    angle = np.linspace(0.0, 2 * np.pi, 200)
    factor = np.linalg.cholesky(covariance)
    axes.plot(*(mean[:, None] + factor @ [np.cos(angle), np.sin(angle)]), **style)


if __name__ == "__main__":
    main()
