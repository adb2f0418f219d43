"""How numbers, statuses and places are put into words, alike on every page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

SYMBOLS = {
    "pass": "✓",
    "fail": "✗",
    "inconclusive": "?",
    "error": "!",
    "expected failure": "≈",
    "skipped": "–",
}
MISSING = "–"
AXES = {"dimension": "dimension", "replicates": "chains", "condition": "condition number"}


def known(value: Any) -> bool:
    """Whether a cell holds something."""
    return isinstance(value, list | dict) or (bool(pd.notna(value)) and value != "")


def number(value: Any, digits: int = 3) -> str:
    """To so many significant digits, with a thin space between thousands."""
    if not known(value):
        return MISSING
    value = float(value)
    if abs(value) >= 10**digits and abs(value) < 1e9:
        return f"{value:,.0f}".replace(",", "\u202f").replace("-", "−")
    if value == 0 or 1e-4 <= abs(value) < 10**digits:
        return f"{value:#.{digits}g}".removesuffix(".").replace("-", "−")
    mantissa, _, exponent = f"{value:.{digits}g}".replace("-", "−", value < 0).partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def deviation(value: Any, scale: Any) -> str:
    """A deviation with its sign: percent of a ratio, a plain number on the linear scale."""
    if not known(value):
        return MISSING
    if scale == "log":
        return f"{100 * float(value):+,.1f}%".replace("-", "−").replace(",", "\u202f")
    sign = "" if float(value) < 0 else "+"
    return sign + number(value).replace("-", "−")


def interval(verdict: Mapping[str, Any]) -> str:
    """The interval of the deviation."""
    low, high = verdict["deviation_low"], verdict["deviation_high"]
    if not known(low) and not known(high):
        return ""
    return f"{deviation(low, verdict['scale'])} to {deviation(high, verdict['scale'])}"


def margin(verdict: Mapping[str, Any]) -> str:
    """The margin, in the unit of the deviation."""
    if not known(verdict["margin"]):
        return MISSING
    if verdict["scale"] == "log":
        return f"±{100 * float(verdict['margin']):.3g}%"
    return f"±{number(verdict['margin'], 2)}"


def effect(verdict: Mapping[str, Any]) -> str:
    """Entry, ratio or value, interval and what was expected, in one line."""
    if not known(verdict["found"]):
        return ""
    entry = f"{verdict['entry']}: " if known(verdict["entry"]) else ""
    kind = "ratio " if verdict["scale"] == "log" else ""
    bounds = f"interval {number(verdict['low'])} to {number(verdict['high'])}, "
    return (
        f"{entry}{kind}{number(verdict['found'])}, "
        f"{bounds if known(verdict['low']) else ''}"
        f"expected {number(verdict['expected'])} {margin(verdict)}"
    )


def told(verdict: Mapping[str, Any]) -> str:
    """How far off the entry is, in which direction, and how sure that is; as a sentence's end."""
    if not known(verdict["deviation"]):
        return ""
    size = deviation(verdict["deviation"], verdict["scale"])
    side = "below" if size.startswith("−") else "above"
    entry = f"{verdict['entry']} is " if known(verdict["entry"]) else ""
    bounds = f"interval {interval(verdict)}, " if interval(verdict) else ""
    margins = f"{bounds}margin {margin(verdict)}"
    return f"{entry}{size.lstrip('+−')} {side} what was expected of it ({margins})"


def ratio(value: Any, scale: Any) -> str:
    """M⁻¹ over the inverse Fisher: `1.55×`; beside the diagonal a plain number."""
    return f"{number(value)}×" if scale == "log" else deviation(value, scale)


def reading(verdict: Mapping[str, Any]) -> str:
    """M⁻¹ over the inverse Fisher itself in the entry furthest from it, and what is to be said.

    `1.55×, differs as documented: regularisation 1.56`; empty if the row does not say.
    """
    if not known(verdict.get("reading")):
        return ""
    entry = furthest_reading(verdict)
    reason = f": {entry['reason']}" if entry.get("reason") else ""
    if entry.get("reading") != verdict["reading"]:
        reason = ""
    return f"{ratio(entry['ratio'], entry['scale'])}, {verdict['reading']}{reason}"


def furthest_reading(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Of the entries that are read as the whole is, the one furthest from the inverse Fisher."""

    def distance(entry: Mapping[str, Any]) -> float:
        if entry["scale"] != "log":
            return abs(entry["ratio"])
        return abs(math.log(entry["ratio"])) if entry["ratio"] > 0 else math.inf

    entries = [entry for entry in verdict["readings"] if known(entry["ratio"])]
    alike = [entry for entry in entries if entry["reading"] == verdict["reading"]]
    return max(alike or entries, key=distance)


def gist(message: Any) -> str:
    """The line of a message that says what is wrong: in a traceback, the first marked with E."""
    lines = str(message).splitlines() if known(message) else []
    marked = [line[1:].strip() for line in lines if line.startswith("E  ")]
    return next((line for line in (*marked, *lines) if line.strip()), "").strip()


def place(verdict: Mapping[str, Any]) -> str:
    """Backend, metric: as far as the row names them."""
    names = (verdict["backend"], verdict["metric"])
    return ", ".join(str(name) for name in names if known(name)) or "no backend"


def setting(device: str, dtype: str) -> str:
    """Device and dtype of a run."""
    return ", ".join(name for name in (device, dtype) if name) or "device not stated"


def rate(value: float) -> str:
    """An error rate: `2.4e-4`."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if value < 0.1 else f"{value:.2g}"


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def markdown(header: Sequence[Any], lines: Iterable[Sequence[Any]]) -> str:
    """A table; a bar in a cell is no border of it."""
    told = (header, ["---"] * len(header), *lines)
    escaped = ([str(cell).replace("|", r"\|") for cell in line] for line in told)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def plural(count: int, noun: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
