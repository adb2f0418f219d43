"""The figures of a page, each as a file of its own."""

import re
from html import unescape

_FIGURE = re.compile(r'<svg role="img" aria-label="([^"]*)".*?</svg>', re.DOTALL)


def pictures(page: str) -> dict[str, bytes]:
    """Each labelled `<svg>` of a page, by a file name made of its label."""
    found: dict[str, bytes] = {}
    for figure in _FIGURE.finditer(page):
        stem = re.sub(r"[^a-z0-9]+", "-", unescape(figure[1]).lower()).strip("-")
        found.setdefault(f"{stem}.svg", figure[0].encode())
    return found
