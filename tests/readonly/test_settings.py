"""How it is configured, and around which backends."""

import pickle
import types

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.features import BaseDatabaseFeatures
from django.db.models.sql import compiler

from backendkit.backends.readonly import ReadOnlyError
from backendkit.backends.readonly.base import DatabaseWrapper
from backendkit.stores import ReadOnlyDatabaseError

from .databases import READONLY, aliases, complete, run, wrapped

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"\['engine'\] is missing"),
        ({"engine": None}, "is None, which isn't an ENGINE"),
        ({"engine": ""}, "is '', which isn't an ENGINE"),
        ({"engine": 7}, "is 7, which isn't an ENGINE"),
        ({"engine": READONLY}, "which is read-only itself"),
        ({"engine": "nowhere.at.all"}, "nowhere.at.all"),
    ],
)
def test_a_wrong_engine_is_a_clear_error(options, message):
    with pytest.raises(ImproperlyConfigured, match=message):
        DatabaseWrapper(complete({"ENGINE": READONLY, "OPTIONS": options}), "reports")


def test_other_options_are_the_backends(tmp_path):
    entry = {**SQLITE, "NAME": tmp_path / "db", "OPTIONS": {"timeout": 7}}
    settings = complete(wrapped(entry))
    connection = DatabaseWrapper(settings, "reports")
    params = connection.get_connection_params()
    assert params["timeout"] == 7
    assert "engine" not in params
    assert connection.settings_dict is settings
    assert settings["OPTIONS"]["engine"] == SQLITE["ENGINE"]


def test_an_unknown_option_is_the_backends_error(tmp_path):
    entry = {"ENGINE": "backendkit.backends.memory", "NAME": "x"}
    connection = DatabaseWrapper(complete(wrapped(entry, wrong=1)), "reports")
    with pytest.raises(ImproperlyConfigured, match="unknown options: wrong"):
        connection.get_connection_params()


@pytest.mark.parametrize(
    "name", ["a file", "100% #1?.db", "file:{}", "file:{}?mode=rwc&cache=private"]
)
def test_sqlite_files_are_opened_for_reading(tmp_path, name):
    path = str(tmp_path / "data.db") if name.startswith("file:") else tmp_path / name
    name = name.format(path) if isinstance(path, str) else path
    with aliases(reports=wrapped({**SQLITE, "NAME": name})):
        with pytest.raises(Exception, match="unable to open"):
            run("reports", "SELECT 1")
        assert list(tmp_path.iterdir()) == []
        with aliases(default={**SQLITE, "NAME": name}):
            run("default", "PRAGMA journal_mode = WAL")
            run("default", "CREATE TABLE shop (id integer)")
            run("default", "INSERT INTO shop VALUES (1)")
            assert run("reports", "SELECT id FROM shop") == [(1,)]
        connections["reports"].close()
        # Nobody has it open: the log of its last writes is gone.
        assert run("reports", "SELECT id FROM shop") == [(1,)]
        raw = connections["reports"].connection
        for sql in ("PRAGMA query_only = 0", "ATTACH ':memory:' AS a", "VACUUM"):
            with pytest.raises(raw.DatabaseError):
                raw.execute(sql)


def test_sqlite_in_memory():
    name = "file:reports?mode=memory&cache=shared"
    entry = {**SQLITE, "NAME": name}
    with aliases(default=entry, reports=wrapped(entry)):
        run("default", "CREATE TABLE shop (id integer)")
        assert run("reports", "SELECT * FROM shop") == []
        with pytest.raises(ReadOnlyError):
            run("reports", "DELETE FROM shop")
        # Django leaves it open: closing it ends such a database.
        for alias in ("reports", "default"):
            connections[alias].connection.close()
            connections[alias].connection = None


@pytest.mark.parametrize("first", ["reports", "default"])
def test_lmdb_is_opened_in_either_order(tmp_path, first):
    """One environment serves both aliases in a process."""
    entry = {
        "ENGINE": "backendkit.backends.lmdb",
        "NAME": str(tmp_path / "data"),
        "OPTIONS": {"sync": "none"},
    }
    with aliases(default=entry):
        run("default", "CREATE TABLE shop (id integer PRIMARY KEY)")
    reading = wrapped({**entry, "OPTIONS": {}})
    with aliases(default=entry, reports=reading):
        assert run(first, "SELECT * FROM shop") == []
        run("default", "INSERT INTO shop (id) VALUES (1)")
        assert run("reports", "SELECT * FROM shop") == [(1,)]
        assert connections["reports"].connection.store.options.readonly
        with pytest.raises(ReadOnlyDatabaseError):
            connections["reports"].connection.execute("DELETE FROM shop")


def test_a_missing_lmdb_is_not_made(tmp_path):
    entry = {"ENGINE": "backendkit.backends.lmdb", "NAME": str(tmp_path / "data")}
    with aliases(reports=wrapped(entry)), pytest.raises(Exception, match="data"):
        run("reports", "SELECT 1")
    assert list(tmp_path.iterdir()) == []


def test_any_store_of_ours(tmp_path):
    entry = {"ENGINE": "tests.stores.engine", "NAME": "reports"}
    with aliases(default=entry, reports=wrapped(entry)):
        run("default", "CREATE TABLE shop (id integer PRIMARY KEY)")
        run("default", "INSERT INTO shop (id) VALUES (1)")
        assert run("reports", "SELECT * FROM shop") == [(1,)]
        with pytest.raises(ReadOnlyDatabaseError):
            connections["reports"].connection.execute("DELETE FROM shop")
        connections["default"].creation.destroy_database("reports")


@pytest.fixture
def strangers(monkeypatch):
    """A backend like those for stores without SQL: its compilers use no cursor."""
    from django.db.backends.sqlite3 import base

    written = []

    class SQLInsertCompiler(compiler.SQLInsertCompiler):
        def execute_sql(self, *args, **kwargs):
            written.append(self)

    class Operations(base.DatabaseOperations):
        def compiler(self, name):
            own = {"SQLInsertCompiler": SQLInsertCompiler}
            return own.get(name) or super().compiler(name)

    class Features(base.DatabaseFeatures):
        supports_transactions = BaseDatabaseFeatures.supports_transactions

    class Client(base.DatabaseClient):
        executable_name = "strange"

    class Wrapper(base.DatabaseWrapper):
        vendor = "strange"

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            # As backends did it, before there were names for the classes.
            self.ops = Operations(self)
            self.features = Features(self)
            self.client = Client(self)

    module = types.SimpleNamespace(DatabaseWrapper=Wrapper)
    monkeypatch.setattr(
        "backendkit.backends.readonly.base.load_backend", lambda name: module
    )
    entry = {"ENGINE": "strange", "NAME": ":memory:"}
    with aliases(reports=wrapped(entry)):
        yield written


def test_compilers_without_a_cursor_write_nothing(strangers):
    from tests.nonrel.models import Item

    connection = connections["reports"]
    # Django's own answer would make a table.
    assert connection.features.supports_transactions is True
    with pytest.raises(ReadOnlyError, match=r"to insert nonrel\.Item"):
        Item.objects.using("reports").create(code="x")
    assert strangers == []
    with pytest.raises(ReadOnlyError, match="dbshell"):
        connection.client.runshell([])


def test_the_error_is_pickled_for_parallel_tests():
    error = pickle.loads(pickle.dumps(ReadOnlyError("reports", "DELETE")))
    assert str(error) == str(ReadOnlyError("reports", "DELETE"))
    assert (error.alias, error.what) == ("reports", "DELETE")


@pytest.mark.parametrize(
    ("engine", "command", "environment"),
    [
        (
            "postgresql",
            ["psql", "-c", "SELECT 1", "x"],
            {"PGOPTIONS": "-c a=b -c default_transaction_read_only=on"},
        ),
        ("sqlite3", ["sqlite3", "-readonly", "x", "-c", "SELECT 1"], None),
    ],
)
def test_a_shell_is_told(engine, command, environment, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c a=b")
    entry = {"ENGINE": f"django.db.backends.{engine}", "NAME": "x"}
    connection = DatabaseWrapper(complete(wrapped(entry)), "reports")
    found = connection.client.settings_to_cmd_args_env(
        connection.settings_dict, ["-c", "SELECT 1"]
    )
    assert found == (command, environment)
