"""The command that judges and times one release of a library, and shows it beside the others."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from invmass.cli.options import options
from invmass.cli.terminal import table
from invmass.errors import UsageError
from invmass.results.reports import report_module
from invmass.results.rows import load_rows
from invmass.results.status import Status
from invmass.results.wording import number
from invmass.sampling.registry import OWN, load_backend

HISTORY = Path("invmass-history")
TIMED = "notebook-uniform"  # if no cases are named
CASES = f"judge those of the quick tier, time {TIMED}"
SHOWN = (Status.PASS, Status.FAIL, Status.INCONCLUSIVE, Status.ERROR)
PASS = Status.PASS.exit_status
JUDGED = {status.exit_status for status in Status if status.is_verdict}  # whatever the verdict


@click.command()
@click.argument("requirements", nargs=-1, required=True, metavar="LIBRARY[==VERSION]...")
@options("case", "metric", "seed", "device", default_texts={"case": CASES})
@options(jobs=2, results=HISTORY)
def upstream(
    requirements: Sequence[str],
    cases: Sequence[str],
    metrics: Sequence[str],
    seed: int,
    device: str | None,
    jobs: int,
    results: Path,
) -> None:
    """Judge and time the backends that need LIBRARY, in the release that is installed here.

    Add the rows to those of other releases and print a table of all releases. Exit with 0 once the
    release was judged and timed, even if verdicts fail, and with 1 if that was not possible.
    """
    given = [_installed(text) for text in requirements]
    backends = [
        name
        for name in OWN
        if any(canonicalize_name(r) in given for r in load_backend(name).requires)
    ]
    if not backends:
        raise UsageError(f"no backend needs {', '.join(requirements)}")
    words = [f"--backend={name}" for name in backends]
    words += [f"--case={case}" for case in cases] + [f"--metric={metric}" for metric in metrics]
    words.append(f"--seed={seed}")
    words += [] if device is None else [f"--device={device}"]
    words += [f"--results={results}"]
    timed = words if cases else [*words, f"--case={TIMED}"]
    statuses = [
        subprocess.run([sys.executable, "-m", "invmass", *command], check=False).returncode
        for command in (["validate", f"--jobs={jobs}", *words], ["benchmark", *timed])
    ]
    show(results)
    done = statuses[0] in JUDGED and statuses[1] == PASS
    sys.exit(PASS if done else Status.FAIL.exit_status)


def show(results: Path) -> None:
    """The table over releases."""
    found = report_module("releases").releases(load_rows(results))
    if found.empty:
        click.echo(f"{results} holds one release of each library so far")
        return
    for library, lines in found.groupby("library"):
        table(
            f"releases of {library}",
            [
                {
                    "release": line["version"],
                    "backend": line["backend"],
                    **{status: line[status] for status in SHOWN},
                    "timed": f"{line['case']} {line['metric']}",
                    "compile s": number(line.get("warmup_compile_seconds")),
                    "warm-up s": number(line.get("warmup_seconds")),
                    "sampling s": number(line.get("sampling_seconds")),
                    "ESS/gradient": number(line.get("ess_per_gradient")),
                }
                for line in lines.to_dict("records")
            ],
        )


def _installed(text: str) -> str:
    """The canonical name of a library that is here, in a release that the text allows.

    Raises:
        UsageError: it is not, or the text is no requirement.
    """
    try:
        wanted = Requirement(text)
        version = importlib.metadata.version(wanted.name)
    except InvalidRequirement as error:
        raise UsageError(f"{text!r} is no requirement such as blackjax==1.7.0: {error}") from error
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(
            f"{wanted.name} is not installed: python -m pip install {text!r}"
        ) from error
    if not wanted.specifier.contains(version, prereleases=True):
        raise UsageError(
            f"{wanted.name} {version} is installed: python -m pip install {text!r}, or "
            f"tox run -e upstream -- {text!r}"
        )
    return canonicalize_name(wanted.name)
