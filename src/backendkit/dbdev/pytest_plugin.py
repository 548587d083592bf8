"""
A plugin for pytest: the servers that the settings need run while the tests do.

``pytest -p backendkit.dbdev.pytest_plugin``, or ``pytest_plugins`` in the project's
``conftest.py``. With pytest-xdist, all workers use the same servers; pytest-django gives
each worker its own test databases.
"""

from __future__ import annotations

import os
import sys

import pytest
from django.conf import settings

from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.testing import TestServers

_servers = pytest.StashKey[TestServers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    parser.addini(
        "dbdev_databases",
        "Aliases of the databases whose servers are started (default: those whose"
        " settings come from backendkit.dbdev.dbsettings).",
        type="args",
        default=None,
    )
    parser.getgroup("dbdev", "development databases").addoption(
        "--dbdev-keep",
        action="store_true",
        help="Don't stop the servers that were started for the tests.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the servers, before pytest-xdist starts its workers."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    if not (settings.configured or os.environ.get("DJANGO_SETTINGS_MODULE")):
        return
    try:
        servers = TestServers(config.getini("dbdev_databases") or None)
        servers.start()
    except DbdevError as error:
        raise pytest.UsageError(f"backendkit.dbdev: {error}") from error
    except Exception as error:
        # Settings, an ENGINE or a driver may raise anything: it is no error of pytest.
        raise pytest.UsageError(
            "backendkit.dbdev: the development databases can't be started:"
            f" {type(error).__name__}: {error}"
        ) from error
    if not config.option.dbdev_keep:
        config.stash[_servers] = servers


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop those that weren't running before, when all workers have ended."""
    servers = config.stash.get(_servers, None)
    if servers is None:
        return
    try:
        servers.stop()
    except DbdevError as error:
        # The tests have ended: their result stands.
        sys.stderr.write(f"backendkit.dbdev: {error}\n")
