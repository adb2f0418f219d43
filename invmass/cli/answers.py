"""Verdicts on one experiment in the terminal, as `check` and `judge` show them."""

from collections.abc import Sequence

import click

from invmass.claims.inverse_fisher import InverseFisher, readings, split
from invmass.claims.reading import overall
from invmass.claims.regularisation_floor import why_open
from invmass.claims.sequential import Deviation, Verdict, replicates_wanted
from invmass.cli.terminal import table
from invmass.results.status import Status
from invmass.runs.experiment import Experiment

MOST_MATCHES = 12  # entries shown that match


def show_answers(experiment: Experiment, reached: Sequence[tuple[str, Verdict]]) -> None:
    """Verdicts in the terminal, and what M⁻¹ is to the inverse Fisher, entry by entry."""
    table(
        experiment.name,
        [
            {
                "claim": claim,
                "verdict": verdict.status,
                "furthest entry": verdict.worst.entry,
                "found": f"{verdict.worst.found:.4g}",
                "interval": _interval(verdict),
                "expected": _expected(verdict),
                "replicates": verdict.replicates,
            }
            for claim, verdict in reached
        ],
    )
    for claim, verdict in reached:
        if verdict.status is Status.INCONCLUSIVE:
            click.echo(f"{claim}: {_what_would_decide(experiment, verdict)}")
        if claim == InverseFisher.name:
            _show_readings(experiment, verdict)


def _interval(verdict: Verdict) -> str:
    """The interval of the entry that is furthest out; empty if nothing is estimated."""
    worst = verdict.worst
    return "" if isinstance(worst, Deviation) else f"[{worst.low:.4g}, {worst.high:.4g}]"


def _expected(verdict: Verdict) -> str:
    """What is expected of that entry, with the margin."""
    worst = verdict.worst
    if isinstance(worst, Deviation):
        return f"at most {worst.tolerance:.3g}"
    margin = f"{100 * worst.margin:.3g}%" if worst.scale == "log" else f"{worst.margin:.3g}"
    return f"{worst.expected:.4g} ± {margin}"


def _what_would_decide(experiment: Experiment, verdict: Verdict) -> str:
    if reason := why_open(experiment, verdict):
        return reason
    wanted = replicates_wanted(verdict)
    number = f"about {wanted} replicates" if wanted else "no number of replicates within reach"
    return f"{number} like these would decide at α = {verdict.alpha:g}"


def _show_readings(experiment: Experiment, verdict: Verdict) -> None:
    """Of a verdict on the inverse Fisher: the three readings of each entry, and what it is made of.

    All that do not match, and of those that do the first few.
    """
    found = readings(experiment, verdict)
    shown = [
        entry for i, entry in enumerate(found) if i < MOST_MATCHES or entry.reading != "matches"
    ]
    table(
        f"M⁻¹ over the inverse Fisher itself: {overall(found)}",
        [
            {
                "entry": entry.entry,
                "verdict": entry.reading,
                "M⁻¹ / inverse Fisher": f"{entry.ratio:.4g}",
                "interval": f"[{entry.low:.4g}, {entry.high:.4g}]",
                "predicted": f"{entry.predicted:.4g}",
                "because of": entry.reason,
            }
            for entry in shown
        ],
    )
    if len(shown) < len(found):
        click.echo(f"and {len(found) - len(shown)} more that match")
    table(
        "the ratio as a product of parts",
        [
            {
                "entry": part.entry,
                "geometry": f"{part.geometry:.4g}",
                "regularisation": f"{part.regularisation:.4g}",
                "remainder": f"{part.remainder:.4g}",
            }
            for part in split(experiment, verdict)[:MOST_MATCHES]
        ],
    )
