"""The command line. Exit status: 0 pass, 1 fail, 2 usage, 3 inconclusive."""

import sys
from pathlib import Path

import click

from invmass.cli.benchmark import benchmark
from invmass.cli.compare import compare
from invmass.cli.report import report
from invmass.cli.validate import validate
from invmass.errors import InvmassError
from invmass.results.status import USAGE


class _Group(click.Group):
    """Imports the commands that need JAX when one of them is called, or all are listed."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            self._add_commands_with_jax()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_commands_with_jax()
        return super().list_commands(ctx)

    def _add_commands_with_jax(self) -> None:
        from invmass.cli.calibrate import calibrate
        from invmass.cli.check import check
        from invmass.cli.explore import explore
        from invmass.cli.export import export_
        from invmass.cli.fisher import fisher
        from invmass.cli.judge import judge
        from invmass.cli.listing import list_
        from invmass.cli.new_backend import new_backend
        from invmass.cli.repeat import repeat
        from invmass.cli.sweep import sweep
        from invmass.cli.upstream import upstream

        for command in (list_, check, repeat, fisher, explore, judge, export_, new_backend):
            self.add_command(command)
        for command in (sweep, calibrate, upstream):
            self.add_command(command)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="invmass")
def cli() -> None:
    """Is the inverse mass matrix that a sampler tuned the one that the posterior calls for?"""


for _command in (validate, benchmark, report, compare):
    cli.add_command(_command)


def main() -> None:
    """Run the command; errors of our own are one message and status 2."""
    sys.path.append(str(Path.cwd()))  # where users keep the backends that they bring
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except InvmassError as error:
        click.echo(f"invmass: {error}", err=True)
        sys.exit(USAGE)
