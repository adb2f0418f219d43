"""Options of the table `invmass.options` as decorators of click's commands."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from invmass.options import OPTIONS, Option

Command = Callable[..., Any]


def options(
    *names: str, default_texts: Mapping[str, str] | None = None, **defaults: Any
) -> Callable[[Command], Command]:
    """Give a command options of the table, in this order.

    Args:
        names: options as they stand in the table.
        default_texts: by name, what the help of this command says about the default of an option.
        defaults: options after those, by keyword (`num_warmup`), with a default of the command's.
    """
    texts = default_texts or {}
    named = [
        replace(OPTIONS[name], default_text=texts.get(name, OPTIONS[name].default_text))
        for name in names
    ]
    own = [
        replace(OPTIONS[name], default=value, default_text="")
        for name, value in ((key.replace("_", "-"), value) for key, value in defaults.items())
    ]

    def decorate(command: Command) -> Command:
        for each in reversed([*named, *own]):
            command = _decorator(each)(command)
        return command

    return decorate


def option(name: str, **changes: Any) -> Callable[[Command], Command]:
    """Give a command one option of the table, with changes to its entry."""
    return _decorator(replace(OPTIONS[name], **changes))


def _decorator(entry: Option) -> Callable[[Command], Command]:
    flag = "--" + (entry.flag or entry.name)
    if entry.negative:
        flag += f"/--{entry.negative}"
    if entry.type is bool:
        default = None if entry.negative else False
        return click.option(flag, entry.keyword, is_flag=True, default=default, help=entry.text)
    return click.option(
        flag,
        entry.keyword,
        type=_type(entry),
        default=() if entry.repeatable else entry.default,
        multiple=entry.repeatable,
        required=entry.required,
        metavar=entry.metavar,
        help=entry.text,
    )


def _type(entry: Option) -> Any:
    if entry.choices:
        return click.Choice(entry.choices)
    if entry.type is Path:
        return click.Path(path_type=Path)
    if entry.type is int and entry.minimum is not None:
        return click.IntRange(entry.minimum)
    if entry.type is float and entry.above is not None:
        return click.FloatRange(entry.above, min_open=True)
    return entry.type
