"""Numbers, statuses and names of samplers as text, the same on every page."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

MISSING = "–"
AXES = {"dimension": "dimension", "replicates": "chains", "condition": "condition number"}


def has_value(value: Any) -> bool:
    """Whether a field of a row is filled in: not None, NaN or an empty string."""
    return isinstance(value, list | dict) or (bool(pd.notna(value)) and value != "")


def number(value: Any, digits: int = 3) -> str:
    """A number to so many significant digits, with a thin space between thousands."""
    if not has_value(value):
        return MISSING
    value = float(value)
    if abs(value) >= 10**digits and abs(value) < 1e9:
        return f"{value:,.0f}".replace(",", "\u202f").replace("-", "−")
    if value == 0 or 1e-4 <= abs(value) < 10**digits:
        return f"{value:#.{digits}g}".removesuffix(".").replace("-", "−")
    mantissa, _, exponent = f"{value:.{digits}g}".replace("-", "−", value < 0).partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def deviation(value: Any, scale: Any) -> str:
    """A deviation with its sign.

    Args:
        value: found / expected - 1 on the log scale, found - expected on the linear one.
        scale: "log", which gives percent, or "linear", which gives a plain number.
    """
    if not has_value(value):
        return MISSING
    if scale == "log":
        return f"{100 * float(value):+,.1f}%".replace("-", "−").replace(",", "\u202f")
    sign = "" if float(value) < 0 else "+"
    return sign + number(value).replace("-", "−")


def deviation_interval(verdict: Mapping[str, Any]) -> str:
    """The confidence interval of the deviation; empty if the row has none."""
    low, high = verdict["deviation_low"], verdict["deviation_high"]
    if not has_value(low) and not has_value(high):
        return ""
    return f"{deviation(low, verdict['scale'])} to {deviation(high, verdict['scale'])}"


def margin(verdict: Mapping[str, Any]) -> str:
    """The equivalence margin, in the unit of the deviation."""
    if not has_value(verdict["margin"]):
        return MISSING
    if verdict["scale"] == "log":
        return f"±{100 * float(verdict['margin']):.3g}%"
    return f"±{number(verdict['margin'], 2)}"


def estimate_line(verdict: Mapping[str, Any]) -> str:
    """Entry, estimate, interval, expected value and margin, in one line; empty if none is found."""
    if not has_value(verdict["found"]):
        return ""
    entry = f"{verdict['entry']}: " if has_value(verdict["entry"]) else ""
    kind = "ratio " if verdict["scale"] == "log" else ""
    bounds = f"interval {number(verdict['low'])} to {number(verdict['high'])}, "
    return (
        f"{entry}{kind}{number(verdict['found'])}, "
        f"{bounds if has_value(verdict['low']) else ''}"
        f"expected {number(verdict['expected'])} {margin(verdict)}"
    )


def deviation_sentence(verdict: Mapping[str, Any]) -> str:
    """Size and direction of the deviation, with interval and margin; has no full stop.

    `x[0] is 28.0% above its expected value (interval +24.0% to +32.0%, margin ±10%)`.
    """
    if not has_value(verdict["deviation"]):
        return ""
    size = deviation(verdict["deviation"], verdict["scale"])
    side = "below" if size.startswith("−") else "above"
    entry = f"{verdict['entry']} is " if has_value(verdict["entry"]) else ""
    interval = deviation_interval(verdict)
    bounds = f"interval {interval}, " if interval else ""
    return (
        f"{entry}{size.lstrip('+−')} {side} its expected value ({bounds}margin {margin(verdict)})"
    )


def ratio(value: Any, scale: Any) -> str:
    """M⁻¹ over the inverse Fisher: `1.55×`; off the diagonal (scale "linear") a plain number."""
    return f"{number(value)}×" if scale == "log" else deviation(value, scale)


def reading_sentence(verdict: Mapping[str, Any]) -> str:
    """The ratio of M⁻¹ to the inverse Fisher in the most extreme entry, its reading and the reason.

    `1.55×, differs as documented: regularisation 1.56`; empty if the row has no reading.
    """
    if not has_value(verdict.get("reading")):
        return ""
    entry = most_extreme_reading(verdict)
    reason = f": {entry['reason']}" if entry.get("reason") else ""
    if entry.get("reading") != verdict["reading"]:
        reason = ""
    return f"{ratio(entry['ratio'], entry['scale'])}, {verdict['reading']}{reason}"


def most_extreme_reading(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The entry furthest from the inverse Fisher, of those with the reading of the whole verdict.

    Returns:
        One record of the column `readings`. If no entry has the verdict's reading, the entry
        furthest from the inverse Fisher of them all.
    """

    def distance(entry: Mapping[str, Any]) -> float:
        if entry["scale"] != "log":
            return abs(entry["ratio"])
        return abs(math.log(entry["ratio"])) if entry["ratio"] > 0 else math.inf

    entries = [entry for entry in verdict["readings"] if has_value(entry["ratio"])]
    same_reading = [entry for entry in entries if entry["reading"] == verdict["reading"]]
    return max(same_reading or entries, key=distance)


def first_error_line(message: Any) -> str:
    """The line of a message that states the error: in a traceback, the first marked with E."""
    lines = without_terminal_codes(message).splitlines() if has_value(message) else []
    marked = [line[1:].strip() for line in lines if line.startswith("E  ")]
    return next((line for line in (*marked, *lines) if line.strip()), "").strip()


def without_terminal_codes(text: Any) -> str:
    """The text without the escape sequences that colour it in a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(text))


def backend_and_metric(row: Mapping[str, Any]) -> str:
    """`numpyro, dense`; the backend alone if the row names no metric."""
    names = (row["backend"], row["metric"])
    return ", ".join(str(name) for name in names if has_value(name)) or "no backend"


def device_and_dtype(device: str, dtype: str) -> str:
    """`cpu, float32`."""
    return ", ".join(name for name in (device, dtype) if name) or "device not stated"


def error_rate(value: float) -> str:
    """A probability to two digits: `2.4e-4`."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if value < 0.1 else f"{value:.2g}"


def joined(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def markdown_table(header: Sequence[Any], lines: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; a vertical bar in a cell is escaped."""
    rows = (header, ["---"] * len(header), *lines)
    escaped = ([str(cell).replace("|", r"\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def plural(count: int, noun: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
