"""The style of figures, and their conversion to SVG text that is the same for the same rows."""

import io
import re
from collections.abc import Mapping, Sized
from typing import Any
from xml.sax.saxutils import quoteattr

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

# Okabe and Ito's palette, which people with colour-blindness can distinguish.
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
MAX_PANELS = 48  # of one figure


def panels_note(shown: Sized, found: Sized) -> str:
    """A note for the axis label of a figure that shows only some of its panels; else empty."""
    return f" ({len(shown)} of {len(found)} panels)" if len(shown) < len(found) else ""


def coordinates(row: Mapping[str, Any]) -> list[str]:
    """The names of a row's coordinates; placeholders if the row has none, as old rows."""
    names = row["coordinates"]
    return [str(name) for name in names] if isinstance(names, list) else ["first", "second"]


def colours(rows: pd.DataFrame) -> dict[str, str]:
    """A colour for each backend, the same in every figure."""
    names = sorted(set(rows["backend"].dropna()) - {""})
    return {name: BACKENDS[i % len(BACKENDS)] for i, name in enumerate(names)}


def svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an `<svg>` element, without prologue, comments and unused ids.

    Args:
        figure: to be drawn.
        name: unique on a page; the prefix of all ids.
        label: description for screen readers.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    style = STYLE | {"svg.hashsalt": name}  # without it ids differ from run to run
    with matplotlib.rc_context(style):
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = text.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    text = text.replace("xlink:href", "href").replace("; stroke-linejoin: miter", "")
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda i: i[0] if i[1] in used else "", text)
    # Several figures share a page, on which ids must be unique.
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{re.sub(r'[^A-Za-z0-9_-]', '-', name)}-", text)
    # A hundredth of a point is finer than any screen.
    text = re.sub(r' d="[^"]*"', lambda d: re.sub(r"(\.\d\d)\d+", r"\1", d[0]), text)
    width = min(640, round(figure.get_figwidth() * 96))  # on a narrower screen the figure scrolls
    opening = f'<svg role="img" aria-label={quoteattr(label)} style="min-width: {width}px" '
    return re.sub(r"\s*\n\s*", "\n", text.replace("<svg ", opening, 1))
