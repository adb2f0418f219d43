"""Options of the table `invmass.options` as options of pytest, `--invmass-NAME`."""

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from invmass.options import CELLS, IN_PYTEST, OPTIONS, SETTINGS, Option


def add_options(parser: pytest.Parser) -> None:
    """Add the options of the table that pytest has."""
    group = parser.getgroup("invmass", "validation of inverse mass matrices")
    for name in IN_PYTEST:
        group.addoption(f"--invmass-{name}", **_arguments(OPTIONS[name]))


def option(config: pytest.Config, name: str) -> Any:
    """The value of one of our options, by its name without the prefix."""
    return config.getoption(f"--invmass-{name}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse bad names and values before anything runs, in one line.

    In a session that uses none of these options nothing is imported.
    """
    given = {name: option(session.config, name) for name in (*CELLS, *SETTINGS)}
    if all(value == OPTIONS[name].default for name, value in given.items()):
        return
    from invmass.errors import UsageError
    from invmass.runs.plan import select_cells, settings_from

    try:
        select_cells(*chosen_names(session.config))
        settings_from(lambda name: option(session.config, name))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def chosen_names(config: pytest.Config) -> tuple[list[str], list[str], list[str]]:
    """The cases, backends and metrics that were asked for by name."""
    case, backend, metric = (option(config, name) or [] for name in ("case", "backend", "metric"))
    return case, backend, metric


def _arguments(entry: Option) -> dict[str, Any]:
    """What `addoption` takes; argparse reads a percent sign in a help text as a format."""
    text = {"help": entry.text.replace("%", "%%")}
    if entry.type is bool:
        return text | {"action": "store_true"}
    arguments = text | {"type": _in_range(entry), "default": entry.default}
    if entry.choices:
        arguments["choices"] = entry.choices
    if entry.metavar:
        arguments["metavar"] = entry.metavar
    if entry.repeatable:
        arguments["action"] = "append"
    return arguments


def _in_range(entry: Option) -> Callable[[str], Any]:
    """The type of an option, which refuses what is out of the range that the table gives."""

    def convert(text: str) -> Any:
        value = entry.type(text)
        if entry.minimum is not None and value < entry.minimum:
            raise argparse.ArgumentTypeError(f"{text} is below {entry.minimum}")
        if entry.above is not None and not value > entry.above:
            raise argparse.ArgumentTypeError(f"{text} is not above {entry.above:g}")
        return value

    convert.__name__ = entry.type.__name__  # argparse calls it so where the text is no such value
    return convert
