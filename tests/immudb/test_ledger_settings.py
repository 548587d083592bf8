"""Where the ledger isn't there, and settings that are wrong."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import NotSupportedError
from django.db.utils import ConnectionHandler

pytest.importorskip("grpc", reason="needs the extra immudb")

from backendkit.backends.immudb import ledger  # after the skip

from .ledger_models import Author  # the same


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"state": 5}, "'state'. has to be a path"),
            ({"state": ""}, "'state'. has to be a path"),
            ({"state": "/"}, "is a directory"),
            ({"server_public_key": "/no/such/file"}, "server_public_key"),
            ({"server_public_key": b""}, "has to be a path"),
        ],
    )
    def test_wrong_options(self, database, settings_of_database, options, message):
        handler = ConnectionHandler(
            {"default": {**settings_of_database, "OPTIONS": options}}
        )
        with pytest.raises(ImproperlyConfigured, match=message):
            handler["default"].ensure_connection()

    def test_other_backends(self, tmp_path):
        from tests.nonrel.databases import opened

        for engine in ("memory", "sqlite3"):
            with opened(engine, tmp_path):
                for ask in (
                    lambda: Author.objects.as_of(1),
                    Author.objects.history,
                    lambda: Author.objects.changes(0),
                    lambda: list(Author.objects.verified()),
                    lambda: ledger.verify(Author(pk=1)),
                ):
                    with pytest.raises(NotSupportedError, match="only immudb"):
                        ask()
