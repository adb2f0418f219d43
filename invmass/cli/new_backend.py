"""The command that writes a package with a backend, its tests and its CI job, to start from."""

import keyword
import re
from importlib.metadata import version
from pathlib import Path

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from invmass.cli.options import option
from invmass.errors import UsageError
from invmass.sampling.registry import OWN

FILES = {  # by template
    "pyproject.toml.j2": "pyproject.toml",
    "README.md.j2": "README.md",
    "known_failures.txt.j2": "known_failures.txt",
    "__init__.py.j2": "src/{package}/__init__.py",
    "backend.py.j2": "src/{package}/backend.py",
    "test_backend.py.j2": "tests/test_backend.py",
    "invmass.yml.j2": ".github/workflows/invmass.yml",
}


@click.command("new-backend")
@click.argument("name")
@option("out", default_text="invmass-NAME")
def new_backend(name: str, out: Path | None) -> None:
    """Write a package that adds a backend NAME, with tests and a CI job.

    The package adapts BlackJAX's NUTS at first, so that every check passes. Replace it by your
    sampler.
    """
    for path in write(name, out or Path(f"invmass-{name}")):
        click.echo(f"wrote {path}")


def write(name: str, folder: Path) -> list[Path]:
    """Write the package into a folder.

    Raises:
        UsageError: the name is none for a backend or is taken, or the folder is not empty or
            cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(f"a backend is called in lower case, such as my-sampler, not {name!r}")
    if keyword.iskeyword(name.capitalize()):
        raise UsageError(f"{name.capitalize()} is a word of Python's own; choose another name")
    if name in OWN:
        raise UsageError(f"there is a backend {name!r} already; choose another name")
    words = name.split("-")
    package, class_name = "_".join(["invmass", *words]), "".join(map(str.capitalize, words))
    written = []
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; choose another place with --out")
        for template, place in FILES.items():
            path = folder / place.format(package=package)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(render(template, name, package, class_name), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UsageError(
            f"cannot write {folder}: {error.strerror}; choose another place with --out"
        ) from error
    return written


def render(template: str, name: str, package: str, class_name: str) -> str:
    """One file of the package as text."""
    environment = Environment(
        loader=PackageLoader("invmass", "templates/new_backend"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(
        name=name, package=package, class_name=class_name, version=version("invmass")
    )
