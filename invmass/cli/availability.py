"""Whether a backend can run here, for commands that go on without those that cannot."""

import click

from invmass.sampling.backend import Backend


def is_available(backend: Backend, asked_for: bool, quiet: bool) -> bool:
    """Whether a backend can run; if not, the reason is printed unless the command is quiet.

    Raises:
        BackendUnavailableError: it was asked for by name, and cannot.
    """
    if asked_for:
        backend.check_available()
    reason = backend.why_unavailable()
    if reason and not quiet:
        click.echo(f"{backend.name}: skipped, {reason}")
    return reason is None
