"""pytest plugin: it puts its parts together, each of which is a module about one subject.

It is loaded in every pytest session of an environment that has invmass, so it imports nothing but
pytest and the standard library until one of the suite's own tests runs.
"""

import pytest

from invmass.pytest_plugin import isolation, known_failures, markers, options, recording, selection
from invmass.pytest_plugin.summary import Summary


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Summary(config))
    for part in (markers, options, known_failures, recording, isolation):
        config.pluginmanager.register(part)


@pytest.hookimpl(trylast=True)  # so that -k does not take away what is not known
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    stale = known_failures.mark_known_failures(config, items)
    selection.deselect(config, items)
    items += known_failures.failure_of_stale(session, stale)
