"""The command that compares two results folders, as a gate for a library's CI."""

import json
import math
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from invmass.cli.options import options
from invmass.cli.terminal import table
from invmass.errors import UsageError
from invmass.results.reports import report_module
from invmass.results.rows import load_rows
from invmass.results.status import Status
from invmass.results.wording import plural

FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("base", type=FOLDER)
@click.argument("new", type=FOLDER)
@options("factor", "level", "json")
def compare(base: Path, new: Path, factor: float, level: float, as_json: bool) -> None:
    """List timings that became slower and verdicts that became worse from folder BASE to NEW.

    Compare rows that agree in case and version of the case, backend, metric, settings, device and
    precision; timings must also agree in machine and seed. A timing is slower if the ratio of the
    median times is at least --factor, if that ratio is larger than the ratio between two turns of
    the same version (the noise), and if a Mann-Whitney test is significant at --level, divided by
    the number of timings.

    Exit with 1 if a timing is slower or a verdict worse. Otherwise exit with 3 if there are too few
    rounds or too much noise, if no timings or no verdicts can be compared, if a timing of BASE is
    missing in NEW, or if a check that is only in NEW ended in an error.
    """
    comparison = report_module("comparison")

    if not (math.isfinite(factor) and factor > 1):
        raise UsageError(f"--factor must be above 1, such as 1.15, not {factor}")
    if not 0 < level < 1:
        raise UsageError(f"--level must be between 0 and 1, not {level}")
    found = comparison.compare(load_rows(base), load_rows(new), factor, level)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2, allow_nan=False))
    else:
        _show(found)
    undecided = Status.INCONCLUSIVE if found.undecided else Status.PASS
    sys.exit((Status.FAIL if found.worse else undecided).exit_status)


def _show(found: Any) -> None:
    """Tables of timings, of verdicts that are not the same, and of quality; then what they say."""
    confidence = report_module("rounds").CONFIDENCE
    title = f"seconds, median of rounds; interval of the ratio at {confidence:.0%}"
    _table(title, found.timings, _timing)
    changed = [line for line in found.verdicts if line["status"] != "same"]
    _table("verdicts that are not the same", changed, _verdict)
    _table("quality", found.quality, _quality)
    _show_worse(found)
    for line in found.left_out:
        count = plural(line["rows"], f"{line['kind']} row")
        click.echo(f"left out of {line['folder']}: {count}, {line['reason']}")
    for kind, lines in (("timing", found.timings), ("verdict", found.verdicts)):
        counts = Counter(line["status"] for line in lines)
        statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
        click.echo(f"{plural(len(lines), kind)} compared" + f": {statuses}" * bool(lines))
    if any(line["status"] == "too few rounds" for line in found.timings):
        click.echo(
            f"too few rounds: with {found.rounds} on each side all timings can be decided; run "
            "`invmass benchmark` again for BASE and NEW in turn, their rounds are pooled"
        )
    for lost in found.lost:
        click.echo(f"lost: {lost}")
    for kind in found.uncompared:
        click.echo(f"no {kind} of BASE has one of NEW that it could be compared with")


def _show_worse(found: Any) -> None:
    """One line for each thing that is worse, whole however narrow the terminal."""
    names = report_module("comparison").names
    for name, line in zip(names(found.timings), found.timings, strict=True):
        if line["status"] == "slower":
            click.echo(f"slower: {name}, {line['phase']}: {line['ratio']:.3g} times as long")
    for name, line in zip(names(found.verdicts), found.verdicts, strict=True):
        if line["status"] == "worse":
            click.echo(f"worse: {name}, {line['claim']}: was {line['base']}, is {line['new']}")
            if line["command"]:
                click.echo(f"  repeat: {line['command']}")


def _table(title: str, lines: list[dict[str, Any]], cells: Any) -> None:
    """Lines under the names of their combinations."""
    names = report_module("comparison").names
    if lines:
        named = zip(names(lines), lines, strict=True)
        table(title, [{"combination": name} | cells(line) for name, line in named])


def _timing(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "phase": line["phase"],
        "base": f"{line['base_seconds']:.3g}",
        "new": f"{line['new_seconds']:.3g}",
        "ratio": f"{line['ratio']:.3f}",
        "interval": _interval(line["low"], line["high"]),
        "noise": f"{line['noise']:.3f}",
        "p": f"{line['p']:.1e}",
        "verdict": line["status"],
    }


def _verdict(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "claim": line["claim"] or "all claims",
        "base": line["base"],
        "new": line["new"],
        "verdict": line["status"],
        "message": line["message"] or "",
    }


def _quality(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "quantity": line["quantity"],
        "base": _value(line, "base"),
        "new": _value(line, "new"),
        "verdict": line["status"] or "",
        "changed": ", ".join(line.get("entries") or ()),
    }


def _value(line: dict[str, Any], side: str) -> str:
    value = "–" if line[side] is None else f"{line[side]:.4g}"
    if not line.get(f"{side}_entry"):
        return value
    return (
        f"{line[f'{side}_entry']}: {value} {_interval(line[f'{side}_low'], line[f'{side}_high'])}"
    )


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"[{low:.3f}, {high:.3f}]"
