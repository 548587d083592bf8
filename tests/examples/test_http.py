"""Django over an HTTP service: what the ORM does, and what a fault of the service is."""

import itertools
from decimal import Decimal

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DataError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import Count, F

from backendkit.backends.memory.store import MemoryStore
from http_store.store import seconds
from tests.effort import chance, examples
from tests.readonly.databases import aliases, run

from .models import ALL, Author, Book, Hostile
from .service import Handler, Service

_numbers = itertools.count()


@pytest.fixture
def service(_unblocked):
    """A service with the tables of the models."""
    service, name = Service(page=3), f"service-{next(_numbers)}"
    with aliases(default={"ENGINE": "backendkit.backends.memory", "NAME": name}):
        with connection.schema_editor() as editor:
            for model in ALL:
                editor.create_model(model)
        service.store = MemoryStore.open(name)
    yield service
    MemoryStore.drop(name)
    service.close()


@pytest.fixture
def entry(service):
    service.token = "secret"
    return {
        "ENGINE": "http_store",
        "NAME": service.url,
        "PASSWORD": "secret",
        "OPTIONS": {"timeout": 10, "allow_no_transactions": True},
    }


@pytest.fixture
def database(entry):
    with aliases(default=entry):
        yield


def fill():
    ann, bob = (Author.objects.create(name=name) for name in ("ann", "bob"))
    Book.objects.bulk_create(
        Book(title=f"t{n}", price=Decimal(n) / 4, author=(ann, bob)[n % 2], details=[n])
        for n in range(10)
    )


def test_orm(database):
    """Joins, aggregates, F(), JSON: all that Django can say, over four pages."""
    fill()
    found = Author.objects.annotate(n=Count("book")).order_by("-name")
    assert list(found.values_list("name", "n")) == [("bob", 5), ("ann", 5)]
    assert Book.objects.filter(author__name="bob").update(price=F("price") + 1) == 5
    assert Book.objects.get(details__0=3).price == Decimal("1.75")
    book = Book.objects.get(pk=4)
    book.title = "new"
    book.save()
    assert Book.objects.get(title="new").pk == 4
    assert Book.objects.filter(pk__in=[1, 2, 99]).delete()[0] == 2
    assert sorted(Book.objects.values_list("pk", flat=True)) == [*range(3, 11)]
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
        Author.objects.create(name="bob")
    with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
        Author.objects.filter(name="ann").update(name="bob")
    assert Author.objects.count() == 2


def test_hostile_values(database):
    """They come back, and are found, be they a part of the URL."""
    texts = ["", "\0", "a/b", "..", "?x=1", "#", "%2F", "*", "a:b", "é", "😀", "\r\n"]
    for text in texts:
        Hostile.objects.create(key=text, other=text)
    for text in texts:
        assert Hostile.objects.get(pk=text).other == text
        assert Hostile.objects.get(other=text).pk == text
    long = "漢\0" * 50_000
    Book.objects.create(title=long, price=1, cover=bytes(range(256)))
    book = Book.objects.get(title=long)
    assert (book.title, bytes(book.cover)) == (long, bytes(range(256)))


def test_a_row_is_one_request(database, service):
    """A look-up by primary key reads no page."""
    fill()
    service.requests.clear()
    assert Book.objects.get(pk=7).title == "t6"
    assert [path for _, path in service.requests] == ["/v1/examples_book/%5B7%5D"]


def test_rate_limit(database, service):
    """What is refused is asked again, and whatever it is, it is done once."""
    fill()
    service.rate, service.times = 40, []
    for number in range(25):
        Author.objects.filter(pk=1).update(name=f"a{number}")
    service.rate = None
    assert Author.objects.get(pk=1).name == "a24"


@pytest.mark.parametrize("fault", [Handler.too_many, Handler.too_many_until])
def test_writes_wait_for_the_rate_limit(database, service, fault):
    service.faults += [fault] * 3
    Author.objects.create(name="ann")
    assert not service.faults
    assert Author.objects.count() == 1


def test_a_rate_limit_for_too_long(database, service):
    """An error now, rather than after an hour."""
    Author.objects.count()
    service.faults.append(Handler.too_many_for_long)
    with pytest.raises(OperationalError, match=r"429 .*too many requests"):
        Author.objects.count()
    assert Author.objects.count() == 0


def test_retry_after():
    assert seconds("17") == 17
    assert seconds("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert seconds("Fri, 01 Jan 2100 00:00:00 GMT") > 1e9


READING = [Handler.broken, Handler.cut, Handler.truncated, Handler.too_many]


def test_failures_in_the_middle(database, service):
    """Whatever happens to a page, all rows are read, each once."""
    fill()
    random = chance("pages")
    for _ in range(examples(test=3, check=10, soak=200)):
        for at in range(4):
            service.faults += random.choices(READING, k=random.randrange(2))
            service.faults += [None] * at
        assert sorted(Book.objects.values_list("pk", flat=True)) == [*range(1, 11)]
        service.faults.clear()


@pytest.mark.parametrize("fault", [Handler.cut, Handler.cut_after, Handler.broken])
@pytest.mark.parametrize(
    "write",
    [
        lambda: Author.objects.create(name="new"),
        lambda: Author.objects.bulk_create([Author(name="x"), Author(name="y")]),
    ],
)
def test_a_write_is_never_repeated(database, service, fault, write):
    """Nobody knows whether it was done: that is an error, and it is done once at most."""
    Author.objects.count()
    service.requests.clear()
    service.faults.append(fault)
    with pytest.raises(OperationalError, match="POST /v1/examples_author"):
        write()
    assert [method for method, _ in service.requests].count("POST") == 1
    count = Author.objects.count()
    assert bool(count) == (fault is Handler.cut_after)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        7,
        {"rows": 7, "next": None},
        {"rows": [7], "next": None},
        {"rows": [{"id": "x", "name": "a"}], "next": None},
        {"rows": [], "next": ""},
        {"rows": [], "next": 7},
    ],
)
def test_answers_that_are_none(database, service, answer):
    """A service that says something else is an error of Django's, and no endless loop."""
    Author.objects.count()
    service.faults.append(lambda handler: handler.answer(200, answer))
    with pytest.raises(DataError):
        list(Author.objects.all())
    service.faults.append(Handler.nonsense)
    with pytest.raises(DataError):
        list(Author.objects.all())


def test_tables_cannot_be_changed(database, service):
    with service.writing() as session:
        before = session.catalog()
    for sql in ("CREATE TABLE t (id integer PRIMARY KEY)", "DROP TABLE examples_book"):
        with pytest.raises(NotSupportedError, match=r"tables of .* can't be changed"):
            run("default", sql)
    with service.writing() as session:
        assert session.catalog().tables == before.tables


def test_no_transactions(entry):
    """Django says so before anybody relies on it; a block isn't undone."""
    refused = {**entry, "OPTIONS": {"timeout": 10}}
    with aliases(default=refused):
        (error,) = connection.validation.check()
        assert (error.id, error.level) == ("backendkit.E001", checks.ERROR)
    with aliases(default=entry):
        assert connection.validation.check() == []
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Author.objects.create(name="ann")
            1 / 0  # noqa: B018  # fails
        assert Author.objects.get().name == "ann"


@pytest.mark.parametrize(
    "name", ["", "shop", "ftp://x/", "http://", "/tmp/x", "http:x"]
)
def test_names(entry, name):
    with aliases(default={**entry, "NAME": name}):
        with pytest.raises(ImproperlyConfigured, match="NAME"):
            Author.objects.count()


def test_a_wrong_token(entry, service):
    with aliases(default={**entry, "PASSWORD": "wrong"}):
        with pytest.raises(OperationalError, match=r"401 .*no token"):
            Author.objects.count()


def test_no_service(entry, service):
    service.close()
    with aliases(default={**entry, "OPTIONS": {"timeout": 0.2}}):
        with pytest.raises(OperationalError, match="refused"):
            Author.objects.count()
