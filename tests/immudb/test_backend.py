"""The backend as a project has it: settings, errors, test databases, the shell."""

import contextlib
import io
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
        OperationalError, match=r"unable to connect to immudb at .*:9\. Does it"
    ):
        wrong.ensure_connection()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"PORT": "x"}, r"\['PORT'\] has to be a port, .* not 'x'"),
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
    with pytest.warns(RuntimeWarning, match=r"is immudb 2\.0\.1, .* tested with 1\.11"):
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


def test_joins_cost_a_call_for_each_table(database, item, monkeypatch):
    """And one to know the moment that all of them are read at."""
    from tests.nonrel.models import Author, Book

    database.create(Author, Book)
    authors = Author.objects.bulk_create([Author(name=f"a{n}") for n in range(30)])
    Book.objects.bulk_create(
        [Book(title=f"b{n}", author=authors[n % 30]) for n in range(90)]
    )
    list(Book.objects.select_related("author"))
    with counted(monkeypatch) as calls:
        assert len(list(Book.objects.select_related("author"))) == 90
    # Two of them look at the tables, once a second if anything was committed.
    assert len([name for name in calls if "Query" in name]) <= 4, calls
    with counted(monkeypatch) as calls:
        item.objects.filter(code="a").first()
    assert len([name for name in calls if "Query" in name]) <= 3, calls


@contextlib.contextmanager
def counted(monkeypatch):
    """Give a list of the calls that are made."""
    from backendkit.backends.immudb.driver._link import Link

    calls, ask = [], Link.call

    def call(link, method, *args, **kwargs):
        calls.append(method.name)
        return ask(link, method, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Link, "call", call)
        yield calls


def looks(calls):
    """
    How many calls looked whether the tables are as they were.

    It is looked now and then, by the clock: two calls if anything was committed meanwhile.
    """
    return 2 * max(1, calls.count("CurrentState"))


def test_many_keys_are_one_call_if_they_are_most_of_the_table(database, monkeypatch):
    """Else a hundred go into a statement. It makes no difference to what is found."""
    from tests.nonrel.models import Author, Book

    database.create(Author, Book)
    authors = Author.objects.bulk_create([Author(name=f"a{n}") for n in range(800)])
    Book.objects.bulk_create(
        [Book(title=f"b{n}", author=authors[-n]) for n in range(800)]
    )
    joined = Book.objects.select_related("author")
    list(joined)
    with counted(monkeypatch) as calls:
        found = list(joined.all())
    assert {book.title: book.author.name for book in found} == {
        f"b{n}": f"a{-n % 800}" for n in range(800)
    }
    assert 3 <= len(calls) <= 3 + looks(calls), calls
    with counted(monkeypatch) as calls:
        found = Author.objects.prefetch_related("books")
        assert all(len(author.books.all()) == 1 for author in found)
    assert 2 <= len(calls) <= 4 + looks(calls), calls
    keys = [author.pk for author in authors]
    for some in (keys[:150], keys[:400]):
        named = Author.objects.filter(pk__in=[*some, 10**9])
        wanted = [f"a{n}" for n in range(len(some))]
        assert set(named.values_list("name", flat=True)) == set(wanted)
        assert named.count() == len(wanted)
        assert named.exclude(name="a5").order_by("-name").first().name == max(wanted)
        assert [*named.order_by("pk").values_list("pk", flat=True)[3:5]] == some[3:5]


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("native", [True, False])
def test_objects_are_made_while_their_rows_come(database, native, atomic):
    """What making them reads and writes doesn't get into the way of the rest."""
    from django.db import connection, transaction
    from django.db.models.signals import post_init

    from tests.nonrel.models import Author

    database.create(Author)
    # Of an answer, 2,500 rows come at a time.
    for n in range(0, 6_000, 1_000):
        Author.objects.bulk_create(
            [Author(pk=i + 1, name=f"a{i}") for i in range(n, n + 1_000)]
        )
    read, made = [], []

    def look(sender, instance, **kwargs):
        if (
            instance.pk
            and not instance.name.startswith("new")
            and instance.pk % 1500 < 2
        ):
            name = Author.objects.filter(pk=7001 - instance.pk).values_list("name")
            read.append((instance.pk, name.first()))
            made.append(Author.objects.create(name=f"new {instance.pk}"))
            Author.objects.filter(pk=instance.pk + 3_000).update(name="changed")

    post_init.connect(look, sender=Author)
    try:
        with transaction.atomic() if atomic else contextlib.nullcontext():
            connection.native = native
            found = list(Author.objects.order_by("pk"))
            connection.native = True
    finally:
        post_init.disconnect(look, sender=Author)
    assert [author.name for author in found] == [f"a{n}" for n in range(6_000)]
    assert [pk for pk, _ in read] == [1, 1500, 1501, 3000, 3001, 4500, 4501, 6000]
    names = [name and name[0] for _, name in read]
    assert names[1:3] == ["a5500", "a5499"]
    assert (len(made), Author.objects.count()) == (8, 6_008)
    changed = Author.objects.filter(name="changed").values_list("pk", flat=True)
    # The last one is the first new one.
    assert [*changed.order_by("pk")] == [3001, 4500, 4501, 6000, 6001]


def test_a_statement_that_meets_another_writer_is_run_again(item, monkeypatch):
    """Outside of atomic(): nobody has seen what it read."""
    from django.db import connection, transaction
    from django.db.models import F
    from django.db.utils import ConnectionHandler, OperationalError

    from backendkit.backends.immudb.session import ImmudbSession
    from backendkit.retry import is_conflict

    one = item.objects.create(code="a", number=0)
    other = ConnectionHandler({"default": connection.settings_dict})["default"]
    apply, hurries = ImmudbSession._apply, [True, True]

    def late(session, changes):
        if hurries and hurries.pop():
            hurries.append(False)
            with other.cursor() as cursor:
                cursor.execute("UPDATE nonrel_item SET number = number + 10")
        return apply(session, changes)

    monkeypatch.setattr(ImmudbSession, "_apply", late)
    try:
        assert item.objects.filter(pk=one.pk).update(number=F("number") + 1) == 1
        assert item.objects.get().number == 21
        hurries[:] = [True]
        with pytest.raises(OperationalError) as caught, transaction.atomic():
            item.objects.filter(pk=one.pk).update(number=0)
        assert is_conflict(caught.value)
        assert item.objects.get().number == 31
    finally:
        other.close()


def test_the_digits_of_decimals(database):
    """inspectdb writes them; other databases keep numbers of any digits."""
    from django.core.management import call_command
    from django.db import connection, models

    from tests.nonrel.models import Registry

    class Price(models.Model):
        amount = models.DecimalField(max_digits=12, decimal_places=3, null=True)
        other = models.DecimalField(max_digits=5, decimal_places=0)

        class Meta:
            app_label = "prices"
            apps = Registry()

    database.create(Price)
    out = io.StringIO()
    call_command("inspectdb", stdout=out)
    assert "amount = models.DecimalField(max_digits=12, decimal_places=3" in (
        out.getvalue()
    )
    assert "other = models.DecimalField(max_digits=5, decimal_places=0)" in (
        out.getvalue()
    )
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(
            cursor, "prices_price"
        )
    assert [(one.precision, one.scale) for one in described] == [
        (None, None),
        (12, 3),
        (5, 0),
    ]
