"""The options of the command line and of the pytest plugin: one table.

`invmass.cli.options` makes click's decorators of its entries, `invmass.pytest_plugin.options` the
options of pytest, `--invmass-NAME`. It is imported in every pytest session of an environment that
has invmass, so it imports nothing but the standard library.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

RESULTS = Path("invmass-results")  # where the commands that run many checks keep their rows
TIERS = ("quick", "full")
# The cap on replicates by tier; skewed posteriors of the full one leave 6% between a metric and its
# target.
REPLICATES = {"quick": 2048, "full": 8192}


@dataclass(frozen=True)
class Option:
    """One option, as all commands that have it and the pytest plugin show and read it.

    Attributes:
        name: without the dashes and without the plugin's prefix.
        help: an imperative sentence; `text` adds how often it may be given, and its default.
        type: of its value; a `bool` is a flag, without a value.
        default: the value if it is not given; None if that depends on what is run.
        default_text: the default in words, where the value itself does not say enough.
        choices: all values that it takes; any if there are none.
        metavar: what stands for its value in a help page.
        repeatable: whether it may be given several times.
        minimum: the smallest value that it takes.
        above: a bound that its value must exceed.
        required: whether a command refuses to run without it.
        negative: name of the flag that says the opposite.
        flag: what is typed, where another option has the same flag for another command.
        group: "cells" chooses what is judged, "settings" how: these are fields of `Settings`.
        in_pytest: whether the pytest plugin has it too.
        parameter: keyword argument by which a command receives it, where it is not its name.
    """

    name: str
    help: str
    type: type = str
    default: Any = None
    default_text: str = ""
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    repeatable: bool = False
    minimum: int | None = None
    above: float | None = None
    required: bool = False
    negative: str = ""
    flag: str = ""
    group: Literal["cells", "settings", ""] = ""
    in_pytest: bool = False
    parameter: str = ""

    @property
    def keyword(self) -> str:
        """The keyword argument by which a command receives the value."""
        return self.parameter or self.name.replace("-", "_") + "s" * self.repeatable

    @property
    def text(self) -> str:
        """The help text: what the option does, whether it is repeatable, and its default."""
        default = self.default_text
        if not default and self.default is not None and self.type is not bool:
            default = _plain(self.default)
        ends = [" Repeatable."] * self.repeatable + [f" [default: {default}]"] * bool(default)
        return self.help + "".join(ends)


def _plain(value: Any) -> str:
    """A default as a user would write it: 1e-6, not 1e-06."""
    return f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else str(value)


def _table(*options: Option) -> dict[str, Option]:
    return {option.name: option for option in options}


OPTIONS = _table(
    # What is judged.
    Option(
        "backend",
        "Use this backend.",
        default_text="all",
        metavar="NAME|MODULE:CLASS",
        repeatable=True,
        group="cells",
        in_pytest=True,
    ),
    Option(
        "metric",
        "Tune this kind of metric, such as diagonal or dense.",
        default_text="all that suit the case",
        metavar="NAME",
        repeatable=True,
        group="cells",
        in_pytest=True,
    ),
    Option(
        "case",
        "Use this case, family of cases or pattern.",
        default_text="those of the tier",
        metavar="NAME",
        repeatable=True,
        group="cells",
        in_pytest=True,
    ),
    Option(
        "tier",
        "Run the quick checks, or all of them.",
        choices=TIERS,
        default="quick",
        in_pytest=True,
    ),
    Option(
        "claim",
        "Judge this claim alone.",
        default_text="all that apply to the case, except those that take long",
        metavar="NAME",
        repeatable=True,
    ),
    # How it is judged.
    Option(
        "seed",
        "Derive every random number from this seed.",
        type=int,
        default=0,
        metavar="N",
        group="settings",
        in_pytest=True,
    ),
    Option(
        "tolerance",
        "Set the margin of equivalence, as a fraction.",
        type=float,
        default=0.1,
        metavar="T",
        group="settings",
        in_pytest=True,
    ),
    Option(
        "false-alarm",
        "Bound the probability α that a verdict is wrong.",
        type=float,
        default=1e-6,
        metavar="A",
        group="settings",
        in_pytest=True,
    ),
    Option(
        "replicates",
        "Stop after this many replicates; a verdict that is still open is inconclusive.",
        type=int,
        default_text=f"{REPLICATES['quick']}, or {REPLICATES['full']} in the full tier",
        metavar="R",
        group="settings",
        in_pytest=True,
    ),
    Option(
        "num-warmup",
        "Take this many warm-up steps.",
        type=int,
        default=1000,
        metavar="N",
        group="settings",
        in_pytest=True,
    ),
    # Where and how it runs.
    Option(
        "device",
        "Run on this kind of device.",
        choices=("cpu", "gpu", "tpu"),
        default_text="JAX's choice",
        in_pytest=True,
    ),
    Option("x64", "Run the samplers in float64.", type=bool, in_pytest=True),
    Option(
        "jobs",
        "Start this many processes on this machine.",
        type=int,
        default_text="run in this process",
        metavar="N",
        minimum=1,
    ),
    Option("scheduler", "Run on the workers of this Dask scheduler.", metavar="ADDRESS"),
    Option(
        "time-limit",
        "Stop a combination after this many seconds, if it runs in a process of its own.",
        type=float,
        default=1200.0,
        metavar="S",
        above=0.0,
        in_pytest=True,
    ),
    Option(
        "chains",
        "Time this many chains at once.",
        type=int,
        default_text="64, or 8 for many coordinates",
        metavar="C",
        repeatable=True,
        minimum=1,
        in_pytest=True,
        parameter="chains",
    ),
    Option(
        "turns",
        "Run every timing this many times, in turn with the others.",
        type=int,
        default=2,
        metavar="N",
        minimum=1,
        in_pytest=True,
    ),
    Option("seeds", "Run at these seeds, ranges or numbers.", default="0", metavar="0-9,12"),
    # What is kept and shown.
    Option(
        "results",
        "Keep rows in this folder, or in a database named *.sqlite.",
        type=Path,
        metavar="PLACE",
        in_pytest=True,
    ),
    Option(
        "xfails-file",
        "Expect the failures that this file lists, one 'id  # reason' per line.",
        type=Path,
        metavar="FILE",
        in_pytest=True,
    ),
    Option("json", "Print JSON.", type=bool, parameter="as_json"),
    Option("out", "Write to this folder.", type=Path, metavar="FOLDER"),
    # Of `check` alone.
    Option(
        "block",
        "Tune a dense block of these sites (only for a model of your own).",
        metavar="SITE,SITE",
        repeatable=True,
    ),
    Option(
        "prior",
        "Count the curvature of the prior, or not (only for a model of your own).",
        type=bool,
        default_text="only if the observations leave the information singular",
        negative="no-prior",
    ),
    Option("no-regularise", "Tune without regularisation, as NumPyro can.", type=bool),
    # Of `judge` alone.
    Option(
        "tuned-on",
        "Name the case that the matrices were tuned on.",
        metavar="NAME",
        required=True,
        flag="case",
        parameter="case",
    ),
    Option("estimator", "Name the estimator that tuned the matrices.", default_text="as FILES say"),
    Option(
        "window",
        "Give the number of draws in the last window.",
        type=int,
        default_text="as FILES say",
        minimum=1,
    ),
    Option(
        "space",
        "Name the unconstrained space of the matrices: Stan's, or a backend's.",
        default_text="as FILES say, else stan",
    ),
    Option("sampler", "Write this name of the sampler into rows and reports."),
    # Of `compare` alone.
    Option(
        "factor",
        "Smallest slowdown ratio that counts as a regression.",
        type=float,
        default=1.15,
    ),
    Option(
        "level",
        "Largest probability that chance alone makes anything look slower.",
        type=float,
        default=0.001,
    ),
    # Of `report` alone.
    Option(
        "history",
        "Add the rows of other runs, in this folder or any folder below it. Without --results, "
        "read these rows only.",
        type=Path,
        metavar="PLACE",
        repeatable=True,
        parameter="history",
    ),
    Option(
        "output",
        "Write the report to this folder.",
        type=Path,
        default=Path("invmass-report"),
        metavar="FOLDER",
    ),
    # Of `export` and `calibrate` alone.
    Option(
        "starts",
        "Write this many exact draws of the posterior as starting points.",
        type=int,
        default=64,
        minimum=1,
    ),
    Option(
        "warm-ups",
        "Warm up this many times for each combination and seed.",
        type=int,
        default=4096,
        minimum=128,
        parameter="warm_ups",
    ),
    Option(
        "verdicts",
        "Resample this many verdicts for each combination, seed and α.",
        type=int,
        default=2000,
        minimum=10,
    ),
)
CELLS = tuple(name for name, option in OPTIONS.items() if option.group == "cells")
SETTINGS = tuple(name for name, option in OPTIONS.items() if option.group == "settings")
IN_PYTEST = tuple(name for name, option in OPTIONS.items() if option.in_pytest)


def default(name: str) -> Any:
    """The default of one option."""
    return OPTIONS[name].default
