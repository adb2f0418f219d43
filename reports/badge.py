"""The JSON from which a service such as shields.io draws a badge.

Source: https://shields.io/badges/endpoint-badge, version 1 of its schema.
"""

import json

import pandas as pd

from invmass.results.status import Status

from . import summary, tables

LABEL = "inverse mass matrix"
GREY = "#555555"


def badge_json(rows: pd.DataFrame) -> bytes:
    """Label, message and colour of the badge for a run."""
    message, colour = _message_and_colour(rows)
    record = {
        "schemaVersion": 1,
        "label": LABEL,
        "message": message,
        "color": colour.removeprefix("#"),
    }
    return (json.dumps(record) + "\n").encode()


def _message_and_colour(rows: pd.DataFrame) -> tuple[str, str]:
    """The worst status with the number of its checks, and expected failures if the run passes."""
    status = summary.overview(rows).status
    counts = tables.verdicts(rows)["status"].value_counts()
    judged = int(counts.drop(Status.SKIPPED, errors="ignore").sum())
    if not judged:
        return "nothing checked", GREY
    shown = [status, Status.EXPECTED_FAILURE] if status is Status.PASS else [status]
    parts = [f"{counts[each]} {each}" for each in shown if each in counts]
    return f"{', '.join(parts)} of {judged}", status.colour
