"""What a write looks up is looked up a hundred at a time, whatever refers to what."""

import pytest
from django.db import IntegrityError

from tests.nonrel.models import Author, Book, Item

pytest.importorskip("grpc", reason="needs the extra immudb")

ROWS = 300


@pytest.fixture
def queries(calls):
    """Count the queries of transactions from when it is called."""

    def counted(write):
        calls.clear()
        write()
        return sum(map(calls.count, ("TxSQLQuery", "UnarySQLQuery", "SQLQuery")))

    return counted


@pytest.mark.parametrize("children", [0, 1])
def test_delete(database, queries, children):
    """The rows, those of two tables that refer to them, and both again at the commit."""
    database.create(Author, Book)
    authors = Author.objects.bulk_create(Author(name=str(n)) for n in range(2 * ROWS))
    Book.objects.bulk_create(
        Book(title="b", author=author, editor=authors[0])
        for author in authors[: ROWS * children]
    )
    kept = [Book(title="kept", author=authors[-1], editor=one) for one in authors[:3]]
    Book.objects.bulk_create(kept)
    found = Author.objects.filter(pk__in=[author.pk for author in authors[:ROWS]])
    assert queries(found.delete) <= 12 + 7 * ROWS // 100
    assert Author.objects.count() == ROWS
    assert {book.title for book in Book.objects.all()} == {"kept"}
    assert set(Book.objects.values_list("editor", flat=True)) == {None}


def test_uniqueness_and_references(database, queries):
    database.create(Author, Book, Item)
    authors = Author.objects.bulk_create(Author(name=str(n)) for n in range(ROWS))
    books = [Book(title="b", author=author) for author in authors]
    few = 6 + 3 * ROWS // 100
    assert queries(lambda: Book.objects.bulk_create(books)) <= few
    items = [Item(code=str(n)) for n in range(ROWS)]
    assert queries(lambda: Item.objects.bulk_create(items)) <= few
    for item in items:
        item.code += "x"
    assert queries(lambda: Item.objects.bulk_update(items, ["code"])) <= 2 * few
    assert Item.objects.filter(code__endswith="x").count() == ROWS
    for item, other in zip(items, reversed(items), strict=True):
        item.number = int(other.code[:-1])
    items[5].code = items[6].code
    with pytest.raises(IntegrityError, match="code"):
        Item.objects.bulk_update(items, ["code", "number"])
    assert not Item.objects.exclude(number=0).exists()
    moved = Book.objects.filter(title="b")
    assert queries(lambda: moved.update(author=authors[0])) <= few
    assert Book.objects.filter(author=authors[0]).count() == ROWS


def test_a_transaction_remembers_fewer_than_it_deletes(database, queries, monkeypatch):
    monkeypatch.setattr("backendkit.stores._committed._REMEMBERED", 50)
    monkeypatch.setattr("backendkit.engine.deleting._TOGETHER", 20)
    database.create(Author, Book)
    authors = Author.objects.bulk_create(Author(name=str(n)) for n in range(ROWS))
    Book.objects.bulk_create(Book(title="b", author=author) for author in authors[:20])
    everybody = Author.objects.filter(pk__in=[author.pk for author in authors])
    assert queries(everybody.delete) <= 12 + 9 * ROWS // 100 + ROWS // 20
    assert not Author.objects.exists()
    assert not Book.objects.exists()


def test_a_slice_of_a_join_is_a_slice_of_the_table(database, asked):
    """Of rows that refer to nothing, none is found, and others come in their place."""
    from django.db import models

    from tests.nonrel.models import Registry

    class Loose(models.Model):
        author = models.ForeignKey(Author, models.DO_NOTHING, db_constraint=False)

        class Meta:
            app_label = "batches"
            apps = Registry()

    database.create(Author, Loose)
    authors = Author.objects.bulk_create(Author(name=str(n)) for n in range(3))
    # Of the first twenty and of every third, the author isn't there.
    Loose.objects.bulk_create(
        Loose(author_id=authors[n % 3].pk if n >= 20 and n % 3 else -1)
        for n in range(200)
    )
    there = [pk for pk in range(1, 201) if pk > 20 and (pk - 1) % 3]
    joined = Loose.objects.select_related("author").order_by("pk")
    for low, high in (
        (0, 1),
        (0, 7),
        (3, 9),
        (0, 60),
        (100, 140),
        (110, 130),
        (0, 500),
    ):
        found = [loose.pk for loose in joined[low:high]]
        assert found == there[low:high]
        found = [loose.pk for loose in joined.reverse()[low:high]]
        assert found == there[::-1][low:high]
    assert [loose.pk for loose in joined] == there
    asked.clear()
    assert len(joined.filter(pk__gt=100)[:5]) == 5
    assert "LIMIT" in asked[0][0]
