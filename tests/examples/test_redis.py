"""Django on Redis: what the ORM does, and what faults leave."""

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import Count, F, Sum
from django.template import Context, Engine

from backendkit import dbdev
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import remove
from backendkit.dbdev.temporary import TemporaryServer
from backendkit.retry import is_conflict, retry
from tests.dbdev import engines
from tests.effort import examples
from tests.readonly.databases import aliases
from tests.waiting import PATIENCE

from .models import ALL, Author, Book, Hostile

#: What breaks texts that are put together, and bytes that are taken for text.
TEXTS = ["", "\0", "a:b", "*", "{x}", "[?]", '"', "\\", "\n", "é", "😀", "x" * 100]


@pytest.fixture
def entry(redis_entry):
    return redis_entry


@pytest.fixture
def database(entry, _unblocked):
    """Tables in an empty database, with two aliases."""
    with aliases(default=entry, other=entry):
        with connection.schema_editor() as editor:
            for model in ALL:
                editor.create_model(model)
        yield entry


@pytest.fixture
def raw(entry, redis_server):
    """A client that Django knows nothing of."""
    import redis

    with redis.Redis(port=redis_server.port, password=entry["PASSWORD"]) as client:
        yield client


def test_orm(database):
    """Joins, aggregates, OR, F(), JSON: all that Django can say."""
    ann, bob = (Author.objects.create(name=name) for name in ("ann", "bob"))
    Book.objects.bulk_create(
        Book(title=f"t{n}", price=Decimal(n) / 4, author=(ann, bob)[n % 2], details=[n])
        for n in range(10)
    )
    Book.objects.filter(author__name="bob").update(price=F("price") + 1)
    found = Author.objects.annotate(n=Count("book"), sum=Sum("book__price"))
    assert list(found.order_by("name").values_list("name", "n", "sum")) == [
        ("ann", 5, Decimal("5.00")),
        ("bob", 5, Decimal("11.25")),
    ]
    books = Book.objects.filter(title="t1") | Book.objects.filter(details__0=2)
    assert sorted(book.title for book in books) == ["t1", "t2"]
    ann.delete()
    assert Book.objects.count() == 5
    with pytest.raises(IntegrityError), transaction.atomic():
        Author.objects.create(name="cy")
        Author.objects.create(name="bob")
    assert Author.objects.get() == bob


def test_schema_changes(database):
    """Tables exchange their names, and keep rows and numbers."""
    Author.objects.create(pk=7, name="ann")
    book = Book.objects.create(title="x", price=1)
    names = [model._meta.db_table for model in (Author, Book)]
    with connection.schema_editor() as editor:
        editor.alter_db_table(Author, names[0], "tmp")
        editor.alter_db_table(Book, names[1], names[0])
        editor.alter_db_table(Author, "tmp", names[1])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, title FROM {names[0]}")
        assert cursor.fetchall() == [(book.pk, "x")]
        cursor.execute(f"INSERT INTO {names[1]} (name) VALUES ('bob') RETURNING id")
        assert cursor.fetchall() == [(8,)]


def test_hostile_values(database):
    """They come back, and are found, be they a key, a unique value or a part of names."""
    for number, text in enumerate(TEXTS):
        Hostile.objects.create(key=text, other=text)
        Book.objects.create(title=text, price=1, cover=bytes(range(256)) * number)
    for number, text in enumerate(TEXTS):
        assert Hostile.objects.get(pk=text).other == text
        assert Hostile.objects.get(other=text).pk == text
        book = Book.objects.get(title=text)
        assert bytes(book.cover) == bytes(range(256)) * number
    assert Hostile.objects.filter(pk__in=TEXTS).count() == len(TEXTS)
    long = "漢\0" * 500_000
    Book.objects.create(title=long, price=1)
    assert Book.objects.get(title=long).title == long
    with connection.schema_editor() as editor:
        editor.delete_model(Hostile)
    assert Hostile._meta.db_table not in connection.introspection.table_names()


@pytest.mark.parametrize("name", ["*", "a*", "a:b", "{a}", "a b", "a\n", "a[b]"])
def test_names(entry, name):
    """A database's name has no wildcard: to drop it would drop others."""
    with aliases(default={**entry, "NAME": name}):
        with pytest.raises(ImproperlyConfigured, match="use letters"):
            Author.objects.count()
        with pytest.raises(ImproperlyConfigured, match="use letters"):
            connection.creation.destroy_database(name)


def test_databases_are_apart(database, raw):
    """To clone or drop one leaves others as they are."""
    Author.objects.create(name="ann")
    creation, name = connection.creation, database["NAME"]
    creation.clone_database(name, f"{name}x")
    with aliases(default={**database, "NAME": f"{name}x"}):
        assert Author.objects.get().name == "ann"
        Author.objects.create(name="bob")
        connection.creation.destroy_database(f"{name}x")
        assert not connection.creation.database_exists(f"{name}x")
    assert creation.database_exists(name)
    assert Author.objects.get().name == "ann"


@pytest.mark.parametrize(
    "read",
    [
        lambda: Author.objects.get(pk=1),
        lambda: Author.objects.get(name="ann"),
        lambda: Author.objects.filter(name__contains="n").count(),
        lambda: Author.objects.filter(name="new").exists(),
        lambda: list(Book.objects.select_related("author")),
    ],
)
def test_conflicts(database, read):
    """What a transaction has read, and another one has changed, can't be relied on."""
    author = Author.objects.create(pk=1, name="ann")
    Book.objects.create(title="x", price=1, author=author)
    with pytest.raises(OperationalError, match="another transaction") as caught:
        with transaction.atomic():
            read()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(_change_all).result(PATIENCE)
            Book.objects.create(title="y", price=1)
    assert is_conflict(caught.value)
    assert [book.title for book in Book.objects.all()] == ["x"]


def _change_all():
    Author.objects.using("other").update(name="another")
    Author.objects.using("other").create(name="new")
    connections.close_all()


def test_what_is_apart_does_not_conflict(database):
    """Rows that are read by key may change beside those that are written."""
    Author.objects.bulk_create(Author(pk=n, name=f"a{n}") for n in range(5))
    with transaction.atomic():
        author = Author.objects.get(pk=1)
        Author.objects.using("other").filter(pk=2).update(name="x")
        Author.objects.using("other").create(name="y")
        author.name = "z"
        author.save()
    names = set(Author.objects.values_list("name", flat=True))
    assert names == {"a0", "z", "x", "a3", "a4", "y"}


def test_foreign_keys_of_two_writers(database):
    """A parent goes while a child comes: one of the two is refused."""
    author = Author.objects.create(name="ann")
    with pytest.raises(IntegrityError), transaction.atomic():
        Book.objects.create(title="x", price=1, author=author)
        Author.objects.using("other").all().delete()
    assert (Author.objects.count(), Book.objects.count()) == (0, 0)


def test_no_child_is_left_alone(database):
    """Be it that the parent goes between the check of the foreign key and the commit."""
    rounds = examples(test=10, check=50, soak=500)
    Author.objects.bulk_create(Author(pk=n, name=f"a{n}") for n in range(rounds))

    def work(write):
        for number in range(rounds):
            with contextlib.suppress(IntegrityError, OperationalError):
                write(number)
        connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        add = pool.submit(
            work, lambda n: Book.objects.create(title="x", price=1, author_id=n)
        )
        remove = pool.submit(work, lambda n: Author.objects.filter(pk=n).delete())
        add.result(PATIENCE)
        remove.result(PATIENCE)
    connection.check_constraints()
    parents = set(Author.objects.values_list("pk", flat=True))
    assert parents.issuperset(Book.objects.values_list("author_id", flat=True))


def test_a_unique_value_of_two_writers(database):
    """The second one is told what it would have been told alone."""
    with pytest.raises(IntegrityError, match="UNIQUE"), transaction.atomic():
        Author.objects.create(name="ann")
        Author.objects.using("other").create(name="ann")
    assert Author.objects.count() == 1


def test_retry(database):
    """Writers that meet add up, each once."""
    book = Book.objects.create(title="x", price=0)
    rounds, writers = examples(test=5, check=20, soak=200), 4

    @retry(attempts=1000)
    def sell():
        one = Book.objects.get(pk=book.pk)
        one.price += 1
        one.save()

    def work():
        for _ in range(rounds):
            sell()
        connections.close_all()

    with ThreadPoolExecutor(writers) as pool:
        for future in [pool.submit(work) for _ in range(writers)]:
            future.result(PATIENCE)
    book.refresh_from_db()
    assert book.price == rounds * writers


def test_killed_in_a_transaction():
    """What was committed is there when the server is again; the rest isn't."""
    engines.available(engines.REDIS)
    with TemporaryServer("redis") as server:
        entry = {k: v for k, v in server.settings.items() if k != "DBDEV"}
        with aliases(default=entry):
            with connection.schema_editor() as editor:
                editor.create_model(Author)
            for number in range(examples(test=3, check=10, soak=100)):
                Author.objects.create(name=f"committed {number}")
                with pytest.raises(OperationalError) as caught, transaction.atomic():
                    Author.objects.create(name=f"lost {number}")
                    server.kill()
                assert not is_conflict(caught.value)
                with pytest.raises(OperationalError):
                    Author.objects.count()
                server.start()
                names = Author.objects.order_by("pk").values_list("name", flat=True)
                assert [*names] == [f"committed {n}" for n in range(number + 1)]


def test_killed_while_writing():
    """Whatever the server acknowledged is there, and no commit is there by half."""
    engines.available(engines.REDIS)
    with TemporaryServer("redis") as server:
        entry = {k: v for k, v in server.settings.items() if k != "DBDEV"}
        with aliases(default=entry):
            with connection.schema_editor() as editor:
                editor.create_model(Author)
            acknowledged, begun = [], threading.Event()

            def write():
                try:
                    while True:
                        with transaction.atomic():
                            for _ in range(3):
                                name = f"{len(acknowledged)}-{_}"
                                Author.objects.create(name=name)
                        acknowledged.append(len(acknowledged))
                        if len(acknowledged) == 10:
                            begun.set()
                except OperationalError:
                    return
                finally:
                    connections.close_all()

            with ThreadPoolExecutor(1) as pool:
                done = pool.submit(write)
                assert begun.wait(PATIENCE)
                server.kill()
                done.result(PATIENCE)
            server.start()
            names = {*Author.objects.values_list("name", flat=True)}
            whole = len(names) // 3
            assert names == {f"{n}-{part}" for n in range(whole) for part in range(3)}
            assert whole in {len(acknowledged), len(acknowledged) + 1}


class Cutter:
    """
    Stands between a client and the server, and cuts the connection at a commit.

    :param answered: whether the server gets the commit; its answer is kept back.
    """

    def __init__(self, port, *, answered):
        self.port, self.answered, self.cut = port, answered, False
        self.server = None
        #: The server has answered the commit.
        self.done = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, source, target):
        try:
            while data := source.recv(1 << 16):
                if source is self.server and self.cut:
                    self.done.set()
                    break
                if b"EVAL" in data and not self.cut:
                    self.cut, self.server = True, target
                    if self.answered:
                        target.sendall(data)
                        assert self.done.wait(PATIENCE)
                    break
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            with one:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("answered", [False, True])
def test_a_cut_connection(database, redis_server, answered):
    """Whether the commit was done isn't known: nobody does it again unasked."""
    Book.objects.create(pk=1, title="x", price=0)
    cutter = Cutter(redis_server.port, answered=answered)
    port = cutter.listener.getsockname()[1]
    calls = []
    with cutter.listener, aliases(default={**database, "PORT": str(port)}):

        @retry
        def sell():
            calls.append(1)
            Book.objects.update(price=F("price") + 1)

        with pytest.raises(OperationalError) as caught:
            sell()
        assert cutter.cut
        assert len(calls) == 1
        assert not is_conflict(caught.value)
        # The next one has a connection of its own.
        assert Book.objects.get().price == answered


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"no JSON", DataError),
        (b"\xff", DatabaseError),
        (b"[]", DataError),
        (b'{"id": "x", "name": "ann"}', DataError),
        (b'{"id": 1}', DataError),
    ],
)
def test_what_others_have_written(database, raw, value, error):
    """A row that is none is an error of Django's, with the table's name."""
    Author.objects.create(pk=1, name="ann")
    key = f'{{{database["NAME"]}}}:["{Author._meta.db_table}", ""]'
    assert raw.hget(key, "[1]")
    raw.hset(key, "[1]", value)
    for query in (Author.objects.filter(pk=1), Author.objects.all()):
        with pytest.raises(error):
            list(query)
    raw.delete(key)
    raw.set(key, "another type")
    with pytest.raises(OperationalError, match="WRONGTYPE"):
        list(Author.objects.all())


def test_a_bad_catalog(database, raw):
    raw.hset(f"{{{database['NAME']}}}:tables", mapping={"t": "{}", "": "changed"})
    with pytest.raises(DatabaseError, match="catalog"):
        Author.objects.count()


def test_no_server(entry):
    with aliases(default={**entry, "PORT": "1"}):
        with pytest.raises(OperationalError, match="refused"):
            Author.objects.count()
    with aliases(default={**entry, "PASSWORD": "wrong"}):
        with pytest.raises(OperationalError, match="password"):
            Author.objects.count()


def test_its_development_databases(tmp_path):
    """A backup is of what was there; options of the project and passwords are kept."""
    import redis

    engines.available(engines.REDIS)
    options = {"OPTIONS": {"maxmemory-policy": "noeviction", "databases": 3}}
    password = 'a "b" \\ #c'
    with TemporaryServer("redis", PASSWORD=password, DBDEV=options) as server:
        client = redis.Redis(port=server.port, password=password)
        assert client.config_get("databases") == {"databases": "3"}
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        command = Path(f"/proc/{server.pid}/cmdline")
        assert not command.exists() or b"#c" not in command.read_bytes()
        client.set("a", 1)
        backend = server.backend
        templates = Path(dbdev.__file__).with_name("templates")
        guide = Engine([templates]).get_template("dbdev/redisbackend.rst")
        shown = Context({"backend": backend, "info": backend.info()})
        assert "begin with ``{dbdev}``" in guide.render(shown)
        backend.backup(tmp_path)
        client.set("a", 2)
        with backend.locked():
            backend.quiesce()
            remove(server.data)
            backend.restore(tmp_path)
        assert client.get("a") == b"1"
        client.close()
    with pytest.raises(DbdevError, match="line break"):
        with TemporaryServer("redis", PASSWORD="a\nb"):
            pass
