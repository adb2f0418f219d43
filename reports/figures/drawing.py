"""How figures look, and their text as SVG that is the same for the same rows."""

import io
import re
from collections.abc import Mapping, Sized
from typing import Any
from xml.sax.saxutils import quoteattr

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

# Okabe and Ito's palette, which the colour-blind can tell apart.
BLACK, GREY = "#222222", "#8a8a8a"
BACKENDS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
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
MOST_PANELS = 48  # of one figure


def left_out(shown: Sized, of: Sized) -> str:
    """What a figure that bears no more says of the rest."""
    return f" ({len(shown)} panels of {len(of)})" if len(shown) < len(of) else ""


def coordinates(row: Mapping[str, Any]) -> list[str]:
    """Their names, or what stands for the first two of an old row."""
    names = row["coordinates"]
    return [str(name) for name in names] if isinstance(names, list) else ["first", "second"]


def colours(rows: pd.DataFrame) -> dict[str, str]:
    """A colour for each backend, the same in every figure."""
    names = sorted(set(rows["backend"].dropna()) - {""})
    return {name: BACKENDS[i % len(BACKENDS)] for i, name in enumerate(names)}


def svg(figure: Figure, name: str, label: str) -> str:
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
