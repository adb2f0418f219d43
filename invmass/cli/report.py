"""`invmass report`: rows as a page."""

import json
from pathlib import Path

import click
from click.core import ParameterSource

from invmass.cli.options import options
from invmass.options import RESULTS
from invmass.results.reports import report_module
from invmass.results.rows import load_rows


@click.command()
@options(results=RESULTS)
@options("json", "history", "output")
@click.pass_context
def report(
    context: click.Context, results: Path, history: tuple[Path, ...], output: Path, as_json: bool
) -> None:
    """Write an HTML page with figures, a summary, a badge, CSV and parquet from rows."""
    write_report = report_module("page").write_report
    given = context.get_parameter_source("results") is not ParameterSource.DEFAULT
    places = [*history, *([results] if given or not history else [])]
    paths = write_report(load_rows(*places), output)
    if as_json:
        click.echo(json.dumps([str(path) for path in paths], indent=2))
    else:
        for path in paths:
            click.echo(f"wrote {path}")
