"""The JSON from which a service such as shields.io draws a badge.

Source: https://shields.io/badges/endpoint-badge, version 1 of its schema.
"""

import json

import pandas as pd

from invmass.results import wording

from . import summary, tables

LABEL = "inverse mass matrix"
COLOURS = {"pass": "#00694d", "fail": "#a83f00", "error": "#97386c", "inconclusive": "#7a5200"}
GREY = "#555555"


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
