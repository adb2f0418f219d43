"""A verdict in words: the claim, the deciding entries and the command that repeats the test."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields

import jax

from invmass.claims.inverse_fisher import InverseFisher, readings
from invmass.claims.reading import Reading
from invmass.claims.regularisation_floor import why_open
from invmass.claims.sequential import Verdict
from invmass.results.status import Status
from invmass.runs.experiment import Experiment, Settings
from invmass.sampling.registry import spec_of

SHOWN = 6  # entries in a failure message


def command(experiment: Experiment, claim: str | None = None) -> str:
    """The shell command that repeats one verdict on a cell, or all verdicts if `claim` is None."""
    words = ["invmass", "check", experiment.case.name]
    words += _options(experiment, tuple(entry.name for entry in fields(Settings)))
    return shlex.join(words + (["--claim", claim] if claim else []))


def benchmark_command(experiment: Experiment, full: bool) -> str:
    """The shell command that repeats the timings of a cell.

    Args:
        experiment: the cell.
        full: whether the timing belongs to the full tier.
    """
    words = ["invmass", "benchmark", "--case", experiment.case.name]
    words += ["--tier", "full"] if full else []
    words += ["--chains", str(experiment.chains)] if experiment.chains else []
    return shlex.join(words + _options(experiment, ("seed", "num_warmup")))


def _options(experiment: Experiment, names: Sequence[str]) -> list[str]:
    """Options for backend, metric, seed, device and precision, and for non-default settings."""
    words = ["--backend", spec_of(experiment.backend), "--metric", experiment.metric]
    for entry in fields(Settings):
        value = getattr(experiment.settings, entry.name)
        if entry.name in names and (value != entry.default or entry.name == "seed"):
            words += ["--" + entry.name.replace("_", "-"), str(value)]
    if device := jax.config.jax_default_device:
        words += ["--device", device.platform]
    if jax.config.jax_enable_x64:
        words.append("--x64")
    return words


def explain(experiment: Experiment, claim: str, verdict: Verdict) -> str:
    """The message of a verdict: cell, deciding entries, and the command that repeats the test.

    Args:
        experiment: the cell.
        claim: name of the claim.
        verdict: the verdict of that claim on that cell.
    """
    headline = {
        Status.PASS: "passes",
        Status.FAIL: "FAILS",
        Status.INCONCLUSIVE: f"is INCONCLUSIVE after {verdict.replicates} replicates",
    }[verdict.status]
    not_passing = [i for i in verdict.intervals if (i.outside or not i.inside)]
    ordered = sorted(not_passing, key=lambda i: -max(map(abs, i.offsets)))
    lines = [
        f"{claim}: {headline} for case {experiment.case.name}, backend "
        f"{experiment.backend.name}, metric {experiment.metric}",
        *(f"  {i}" for i in ordered[:SHOWN]),
    ]
    if reason := why_open(experiment, verdict):
        lines.append(f"  {reason}")
    if len(ordered) > SHOWN:
        lines.append(f"  … and {len(ordered) - SHOWN} more of {len(verdict.intervals)} entries")
    if claim == InverseFisher.name:
        lines.append(_readings(experiment, verdict))
    lines += [
        f"  {verdict.replicates} replicates, {verdict.looks} look(s), α = {verdict.alpha:g}, "
        f"seed {experiment.settings.seed}",
        f"  repeat: {command(experiment, claim)}",
    ]
    return "\n".join(lines)


def _readings(experiment: Experiment, verdict: Verdict) -> str:
    """A line that explains "found" and "expected", and counts the readings of the entries."""
    counts = Counter(entry.reading for entry in readings(experiment, verdict))
    reading_counts = ", ".join(
        f"{reading} in {counts[reading]}" for reading in Reading if counts[reading]
    )
    return (
        "  found: M⁻¹ over the inverse Fisher itself; expected: what geometry and the documented "
        f"regularisation predict; entries: {reading_counts}"
    )
