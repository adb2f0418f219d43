"""The whole run on one badge: as JSON in the form of a badge endpoint, and as SVG."""

import json

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from invmass.results import wording

from . import summary, tables

LABEL = "inverse mass matrix"
COLOURS = {"pass": "#00694d", "fail": "#a83f00", "error": "#97386c", "inconclusive": "#7a5200"}
GREY = "#555555"
CHARACTER, PADDING = 6.6, 12  # width of a character and of the margins of a half, in pixels


def message(rows: pd.DataFrame) -> tuple[str, str]:
    """What the badge says in a few words, and the status by which it is coloured."""
    status = summary.overview(rows).status
    counts = tables.verdicts(rows)["status"].value_counts()
    judged = int(counts.drop("skipped", errors="ignore").sum())
    if not judged:
        return "nothing checked", ""
    if status == "pass":
        known = int(counts.get("expected failure", 0))
        told = f"{wording.plural(judged - known, 'claim')} hold" + "s" * (judged - known == 1)
        return told + (f", {known} known to fail" if known else ""), status
    words = {"fail": "fail", "error": "broke down", "inconclusive": "open"}
    return f"{counts[status]} of {judged} {words[status]}", status


def badge_json(rows: pd.DataFrame) -> bytes:
    """In version 1 of the schema of badge endpoints: label, message and colour."""
    told, status = message(rows)
    colour = COLOURS.get(status, GREY).removeprefix("#")
    record = {"schemaVersion": 1, "label": LABEL, "message": told, "color": colour}
    return (json.dumps(record) + "\n").encode()


def badge_svg(rows: pd.DataFrame) -> bytes:
    """The same as a picture, 20 pixels high."""
    told, status = message(rows)
    environment = Environment(
        loader=PackageLoader("invmass.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    left, right = (round(CHARACTER * len(text) + PADDING) for text in (LABEL, told))
    return (
        environment.get_template("badge.svg.j2")
        .render(
            label=LABEL,
            message=told,
            colour=COLOURS.get(status, GREY),
            left=left,
            right=right,
            padding=PADDING,
        )
        .encode()
    )
