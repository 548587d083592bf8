"""``OPTIONS["verify"]``: each answer of the store is checked."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from backendkit.stores import VerifiedStore

from .databases import default, run


@pytest.mark.parametrize("engine", ["memory", "lmdb"])
def test_the_option(engine, tmp_path):
    """It is one of the settings, and Django works with it."""
    settings = {
        "ENGINE": f"backendkit.backends.{engine}",
        "NAME": str(tmp_path / "verified"),
        "OPTIONS": {"verify": True},
    }
    with default(settings):
        run("CREATE TABLE t (id integer PRIMARY KEY AUTOINCREMENT, s text UNIQUE)")
        run("INSERT INTO t (s) VALUES ('a'), ('b')")
        assert run("SELECT id FROM t WHERE s = 'b'") == [(2,)]
        assert isinstance(connection.connection.store, VerifiedStore)


def test_a_wrong_option(tmp_path):
    """It is True or False."""
    settings = {
        "ENGINE": "backendkit.backends.memory",
        "NAME": "verified",
        "OPTIONS": {"verify": "yes"},
    }
    with default(settings), pytest.raises(ImproperlyConfigured, match="'verify'"):
        run("SELECT 1")
