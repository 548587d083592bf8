"""How often Django calls the server: docs/design/immudb.rst says what for."""

import pytest
from django.db import transaction
from django.db.models import F

from backendkit import clock
from tests.nonrel.models import Author, Book, Item

pytest.importorskip("grpc", reason="needs the extra immudb")

#: See the fixture ``_lent``.
LENDS = True

BEGIN, READ, WRITE, ALONE = "NewTx", "TxSQLQuery", "TxSQLExec", "SQLExec"


@pytest.fixture
def calls(calls, monkeypatch):
    """Return the names of the calls that something makes."""
    now = clock.monotonic()

    def made(do):
        with monkeypatch.context() as patched:
            # As long as it stands still, nobody looks whether tables have changed.
            patched.setattr(clock, "monotonic", lambda: now)
            do()  # numbers are taken, and what statements are is found out
            calls.clear()
            do()
        return calls

    return made


@pytest.fixture
def author(database):
    """Tables with some rows: all that a process finds out about them is found out."""
    database.create(Author, Book, Item)
    authors = Author.objects.bulk_create([Author(name=str(n)) for n in range(100)])
    Item.objects.bulk_create([Item(code=f"0{n}") for n in range(100)])
    Book.objects.bulk_create([Book(title="b", author=authors[0]) for _ in range(100)])
    assert Author.objects.count() == 100
    return authors[0]


def test_get(author, calls):
    assert calls(lambda: Author.objects.get(pk=author.pk)) == ["UnarySQLQuery"]


class TestCreate:
    def test_alone(self, author, calls):
        """All that has to be sure is sent with the row."""
        assert calls(lambda: Author.objects.create(name="new")) == [ALONE]

    def test_unique(self, author, calls):
        codes = iter("xyz")
        made = calls(lambda: Item.objects.create(code=next(codes)))
        assert made == [BEGIN, READ, WRITE]

    def test_foreign_key(self, author, calls):
        made = calls(lambda: Book.objects.create(title="new", author=author))
        assert made == [BEGIN, READ, WRITE]

    def test_in_a_transaction(self, author, calls):
        """A transaction of immudb's begins with what has to be read."""

        @transaction.atomic
        def create():
            Author.objects.create(name="one")
            Author.objects.create(name="other")

        assert calls(create) == [ALONE]

    def test_bulk(self, author, calls):
        """The process has numbers enough once it has asked for more of them."""

        def authors():
            Author.objects.bulk_create([Author(name=str(n)) for n in range(100)])

        for _ in range(3):
            authors()
        assert calls(authors) == [ALONE]
        parts = iter("vwxyz")

        def create():
            part = next(parts)
            Item.objects.bulk_create([Item(code=f"{part}{n}") for n in range(100)])

        for _ in range(3):
            create()
        assert calls(create) == [BEGIN, READ, WRITE]


class TestChange:
    """What is changed is read in the transaction that changes it."""

    def test_update(self, author, calls):
        found = Author.objects.filter(pk=author.pk)
        names = iter("xyz")
        assert calls(lambda: found.update(name=next(names))) == [BEGIN, READ, WRITE]

    def test_expression(self, author, calls):
        found = Item.objects.filter(code="05")
        made = calls(lambda: found.update(number=F("number") + 1))
        assert made == [BEGIN, READ, WRITE]

    def test_unique(self, author, calls):
        found, codes = Item.objects.filter(pk=Item.objects.first().pk), iter("xyz")
        made = calls(lambda: found.update(code=next(codes)))
        assert made == [BEGIN, READ, READ, WRITE]

    def test_save(self, author, calls):
        item, numbers = Item.objects.first(), iter(range(1, 9))

        def save():
            item.number = next(numbers)
            item.save()

        assert calls(save) == [BEGIN, READ, WRITE]

    def test_delete(self, author, calls):
        keys = iter(Item.objects.values_list("pk", flat=True)[:2])
        made = calls(lambda: Item.objects.filter(pk=next(keys)).delete())
        assert made == [BEGIN, READ, WRITE]

    def test_nothing(self, author, calls):
        """What changes nothing has nothing to commit."""
        made = calls(lambda: Author.objects.filter(pk=-1).update(name="x"))
        assert made == [BEGIN, READ, "Rollback"]


def test_what_is_looked_at_now_and_then(author, calls, monkeypatch):
    """A process that was idle makes sure of the tables by one call."""
    made = calls(lambda: Author.objects.create(name="new"))
    for seconds in (0.3, 2.0):
        now = clock.monotonic() + seconds
        monkeypatch.setattr(clock, "monotonic", lambda now=now: now)
        made.clear()
        Author.objects.create(name="new")
        assert made == ["UnarySQLQuery", ALONE]
