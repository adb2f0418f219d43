"""Options stand once: the command line and the pytest plugin show and read the same table."""

import argparse
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click
import pytest

from invmass.cli.main import cli
from invmass.options import IN_PYTEST, OPTIONS, SETTINGS, Option
from invmass.pytest_plugin.options import add_options
from invmass.runs.experiment import Settings


def command_options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command, but for --help, with the command's name."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield name, parameter


def entries(parameter: click.Option) -> list[Option]:
    """The entries of the table that an option of a command can be made of."""
    flag = parameter.opts[0].removeprefix("--")
    return [each for each in OPTIONS.values() if (each.flag or each.name) == flag]


def test_every_option_of_a_command_is_one_of_the_table() -> None:
    for command, parameter in command_options():
        assert parameter.help is not None, (command, parameter.opts)
        assert any(parameter.help.startswith(each.help) for each in entries(parameter)), (
            command, parameter.opts,
        )  # fmt: skip


def test_every_option_of_the_table_is_one_of_a_command() -> None:
    flags = {parameter.opts[0] for _, parameter in command_options()}
    assert {f"--{each.flag or each.name}" for each in OPTIONS.values()} == flags


def test_commands_without_a_tier_name_no_default_that_depends_on_it() -> None:
    with_tier = {name for name, parameter in command_options() if parameter.opts[0] == "--tier"}
    for command, parameter in command_options():
        if command not in with_tier:
            text = str(parameter.help)
            assert "the tier" not in text, (command, parameter.opts)
            assert "full tier" not in text, (command, parameter.opts)


class Group(argparse.ArgumentParser):
    """Stands for pytest's parser and for the group of options in it."""

    def getgroup(self, *_: str) -> "Group":
        return self

    def addoption(self, flag: str, **arguments: Any) -> None:
        self.add_argument(flag, **arguments)


@pytest.fixture
def group() -> Group:
    group = Group(exit_on_error=False)
    add_options(group)  # type: ignore[arg-type]
    return group


def test_pytest_has_the_options_with_their_defaults(group: Group) -> None:
    defaults = {
        name: False if OPTIONS[name].type is bool else OPTIONS[name].default for name in IN_PYTEST
    }
    found = vars(group.parse_args([]))
    assert found == {f"invmass_{n.replace('-', '_')}": value for n, value in defaults.items()}


@pytest.mark.parametrize("word", ["time-limit=0", "turns=0", "chains=0", "seed=x", "tier=slow"])
def test_pytest_refuses_what_is_out_of_range(group: Group, word: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=f"--invmass-{word.partition('=')[0]}"):
        group.parse_args([f"--invmass-{word}"])


def test_settings_are_options_with_the_same_defaults() -> None:
    assert set(SETTINGS) == {entry.name.replace("_", "-") for entry in fields(Settings)}
    for entry in fields(Settings):
        stated = OPTIONS[entry.name.replace("_", "-")]
        assert stated.default in (None, entry.default)
        assert f"{entry.default:g}".replace("e-0", "e-") in stated.text


@pytest.mark.parametrize("entry", OPTIONS.values(), ids=OPTIONS)
def test_help_is_a_sentence_with_the_default_in_brackets(entry: Option) -> None:
    assert entry.help[0].isupper()
    assert entry.help.endswith(".")
    assert ("[default: " in entry.text) == bool(
        entry.default_text or (entry.default is not None and entry.type is not bool)
    )
