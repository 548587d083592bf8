"""The backend as a project has it: settings, errors, test databases, the shell."""

import subprocess
import sys
import warnings

import pytest

pytest.importorskip("grpc", reason="needs the extra immudb")


@pytest.fixture
def item(database):
    from tests.nonrel.models import Item

    database.create(Item)
    return Item


def opened(settings, **changes):
    """Return a connection with other settings, not yet connected."""
    from django.db import connections
    from django.db.utils import ConnectionHandler

    found = ConnectionHandler({"default": {**settings, **changes}})
    assert connections is not found
    return found["default"]


def test_the_settings_of_the_seed(settings_of_database, item):
    """Its dictionary works as it is written, with a port as text."""
    assert settings_of_database["ENGINE"] == "immudb_backend"
    assert settings_of_database["PORT"].isdecimal()
    made = item.objects.create(code="a", number=5)
    assert item.objects.get(pk=made.pk).number == 5
    from django.db import connection

    assert connection.vendor == "sqlite"
    assert connection.display_name == connection.store_vendor == "immudb"
    assert connection.get_server_version() in ((1, 11, 1), None)
    assert connection.is_usable()


def test_nothing_heavy_is_loaded_before_it_is_used():
    program = (
        "import sys, immudb_backend.base, backendkit.backends.immudb.store\n"
        "assert not {'grpc', 'google.protobuf'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_wrong_password(settings_of_database, database):
    from django.db import OperationalError

    wrong = opened(settings_of_database, PASSWORD="wrong")
    with pytest.raises(OperationalError, match=r"immudb at .*(password|user)"):
        wrong.ensure_connection()
    wrong.settings_dict["PASSWORD"] = settings_of_database["PASSWORD"]
    wrong.ensure_connection()
    wrong.close()


def test_an_unknown_database(settings_of_database, database):
    from django.db import OperationalError

    wrong = opened(settings_of_database, NAME="nowhere")
    with pytest.raises(OperationalError, match="has no database 'nowhere'"):
        wrong.ensure_connection()


def test_no_server(settings_of_database, database):
    from django.db import OperationalError

    wrong = opened(settings_of_database, PORT="9")
    with pytest.raises(
        OperationalError, match=r"no connection to immudb at .*:9, is it"
    ):
        wrong.ensure_connection()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"PORT": "x"}, r"\['PORT'\] has to be a port, .* and is 'x'"),
        ({"NAME": ""}, "supply the NAME"),
        ({"OPTIONS": {"tsl": True}}, "unknown options: tsl"),
    ],
)
def test_settings_that_are_wrong(settings_of_database, database, changes, wanted):
    from django.core.exceptions import ImproperlyConfigured

    with pytest.raises(ImproperlyConfigured, match=wanted):
        opened(settings_of_database, **changes).ensure_connection()


def test_another_version_is_warned_of(settings_of_database, database, monkeypatch):
    from backendkit.backends.immudb.store import ImmudbStore

    monkeypatch.setattr(ImmudbStore, "version", lambda self: (2, 0, 1))
    other = opened(settings_of_database)
    with pytest.warns(RuntimeWarning, match=r"immudb 2\.0\.1 .* tested with 1\.11"):
        other.ensure_connection()
    other.close()
    monkeypatch.setattr(ImmudbStore, "version", lambda self: ())
    other = opened(settings_of_database)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.ensure_connection()
    other.close()


def test_test_databases(settings_of_database, database, connection):
    """They are made, copied and emptied; the database itself isn't touched."""
    from tests.nonrel.models import Item

    other = opened(settings_of_database, TEST={"NAME": "test_made", "MIGRATE": False})
    creation = other.creation
    name = creation._create_test_db(0, autoclobber=True)
    try:
        assert name == "test_made"
        assert not creation.database_exists(name)  # nothing in it to be lost
        sizes = {one.name: one.max_tx_entries for one in connection.databases()}
        assert sizes[name] == 4096
        inside = opened(settings_of_database, NAME=name)
        with inside.schema_editor() as editor:
            editor.create_model(Item)
        with inside.cursor() as cursor:
            cursor.execute("INSERT INTO nonrel_item (code, number) VALUES ('a', 1)")
        inside.close()
        assert creation.database_exists(name)
        creation.clone_database(name, "test_made_1")
        copied = opened(settings_of_database, NAME="test_made_1")
        with copied.cursor() as cursor:
            cursor.execute("SELECT code, number FROM nonrel_item")
            assert cursor.fetchall() == [("a", 1)]
        copied.close()
    finally:
        creation.destroy_database(name)
        creation.destroy_database("test_made_1")
        creation.destroy_database("test_made_1")
    assert not creation.database_exists(name)


def test_a_cursor_where_no_database_is_needed(settings_of_database, database):
    """As Django and the conformance run use it when a database may be missing."""
    other = opened(settings_of_database, NAME="nowhere")
    with other._nodb_cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]
    assert other.connection is None


def test_the_shell(settings_of_database, database, monkeypatch, capsys):
    """immuclient if it is there, with the password where nobody sees it."""
    from django.db.backends.base.client import BaseDatabaseClient

    from backendkit.backends.immudb import client

    ran = []
    monkeypatch.setattr(client.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        BaseDatabaseClient, "runshell", lambda self, parameters: ran.append(parameters)
    )
    shell = opened(settings_of_database).client
    shell.runshell(["--help"])
    assert ran == [["--help"]]
    command, environment = shell.settings_to_cmd_args_env(settings_of_database, ["x"])
    assert command[0] == "immuclient"
    assert command[-1] == "x"
    assert f"--immudb-port={settings_of_database['PORT']}" in command
    assert settings_of_database["PASSWORD"] not in " ".join(command)
    assert environment == {"IMMUCLIENT_PASSWORD": settings_of_database["PASSWORD"]}
    monkeypatch.setattr(client.shutil, "which", lambda name: None)
    shell.runshell(["SELECT 1"])
    assert "1" in capsys.readouterr().out


def test_joins_cost_a_call_for_each_table(database, item):
    """And one to know the moment that all of them are read at."""
    from django.db import connection

    from tests.nonrel.models import Author, Book

    database.create(Author, Book)
    authors = Author.objects.bulk_create([Author(name=f"a{n}") for n in range(30)])
    Book.objects.bulk_create(
        [Book(title=f"b{n}", author=authors[n % 30]) for n in range(90)]
    )
    list(Book.objects.select_related("author"))
    store = connection.connection.store
    calls = []
    link = store._idle[0]._link
    ask = link.call

    def call(method, *args, **kwargs):
        calls.append(method.name)
        return ask(method, *args, **kwargs)

    link.call = call
    assert len(list(Book.objects.select_related("author"))) == 90
    reads = [name for name in calls if "Query" in name]
    assert len(reads) <= 4, calls  # two of them look at the catalog, once a second
    calls.clear()
    item.objects.filter(code="a").first()
    assert len([name for name in calls if "Query" in name]) <= 3
