"""``QuerySet.explain(analyze=True)``: each step, as it was measured."""

import re

import pytest
from django.db import connection
from django.db.models import Count, Q
from django.test.utils import CaptureQueriesContext

from .databases import OURS, opened
from .models import Author, Book, Item

#: A line: table, how it is read, how often, rows read, rows returned, seconds.
STEP = re.compile(
    r"measured: (\w+): (.*): (once|[\d,]+ times), ([\d,]+) rows? read,"
    r" ([\d,]+) returned, (\d+\.\d{6}) s"
)
TOTAL = re.compile(r"measured: ([\d,]+) rows? in (\d+\.\d{6}) s")


@pytest.fixture(params=[True, False], ids=["native", "sql"])
def native(request):
    return request.param


@pytest.fixture(params=OURS)
def books(request, native, tmp_path):
    with opened(request.param, tmp_path, native=native) as database:
        database.create(Author, Book, Item)
        authors = [Author.objects.create(name=name) for name in "abc"]
        for number in range(30):
            Book.objects.create(title=f"t{number}", author=authors[number % 3])
        yield database


def measured(queryset):
    """Return what each step says, and the number of rows."""
    lines = queryset.explain(analyze=True).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("measured"))
    plan = queryset.explain().splitlines()
    assert len(plan) == at > 0
    *steps, total = lines[at:]
    rows, seconds = TOTAL.fullmatch(total).groups()
    assert float(seconds) > 0
    return [STEP.fullmatch(step).groups()[:5] for step in steps], int(rows)


def test_a_scan(books, native):
    ((table, how, times, looked, returned),), rows = measured(
        Book.objects.filter(title__startswith="t2")
    )
    assert (table, times) == ("nonrel_book", "once")
    assert how.startswith("native: scan (title startswith)" if native else "scan with")
    assert (looked, returned, rows) == ("30", "11", 11)


def test_a_key(books):
    ((_, how, times, looked, returned),), rows = measured(Book.objects.filter(pk=3))
    assert "seek primary key" in how
    assert (times, looked, returned, rows) == ("once", "1", "1", 1)


def test_rows_looked_up(books, native):
    steps, rows = measured(Book.objects.select_related("author"))
    assert rows == 30
    found = {table: (times, looked) for table, _, times, looked, _ in steps}
    assert found["nonrel_book"] == ("once", "30")
    # SQLite asks for each book's author; what was read is remembered.
    assert found["nonrel_author"] == ("once", "3")


def test_a_join(books):
    steps, rows = measured(Author.objects.annotate(number=Count("books")))
    assert rows == 3
    assert {table for table, *_ in steps} == {"nonrel_author", "nonrel_book"}
    # Each way of reading a table is one line, however often it was used.
    assert len({step[:2] for step in steps}) == len(steps)


def test_the_order_of_a_join(lmdb):
    """SQLite is told that a key has its part of the rows, so it begins with the keys."""
    lmdb.create(Author, Book)
    Author.objects.bulk_create(Author(name=f"n{number}") for number in range(100))
    Book.objects.bulk_create(
        Book(title=f"u{number}", author_id=number % 100 + 1) for number in range(1000)
    )
    steps, rows = measured(Book.objects.filter(author__name="n7"))
    assert rows == 10
    found = [(table, times, looked) for table, _, times, looked, _ in steps]
    assert found == [("nonrel_author", "once", "100"), ("nonrel_book", "once", "10")]


def test_each_side_of_an_or(lmdb):
    """SQLite looks again at what hands over filters; it must find what it gave."""
    lmdb.create(Item)
    for number in range(8):
        Item.objects.create(code=f"c{number}", number=number % 4)
    query = Item.objects.filter(Q(number__gt=2) | Q(number=1, pk__gt=2))
    query = query.filter(code__endswith="7").order_by("number", "pk")
    plan = query.explain()
    assert "MULTI-INDEX OR" in plan
    assert "with the compiler's filters" in plan
    assert [item.code for item in query] == ["c7"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT backendkit_filters FROM nonrel_item LIMIT 1")
        assert cursor.fetchall() == [(None,)]


def test_no_rows(books):
    assert measured(Item.objects.filter(number=4))[1] == 0
    lines = Item.objects.none().explain(analyze=True).splitlines()
    assert TOTAL.fullmatch(lines[-1])[1] == "0"


def test_not_asked_for(books):
    assert "measured" not in Book.objects.explain(analyze=False)
    with pytest.raises(ValueError, match="Unknown options: verbose"):
        Book.objects.explain(analyze=True, verbose=True)


def test_while_queries_are_captured(books):
    """They aren't lost to each other."""
    with CaptureQueriesContext(connection) as captured:
        ((_, _, _, looked, _),), _ = measured(Book.objects.filter(title="t3"))
    assert looked == "30"
    stores = [query.store for query in connection.queries_log if query.store]
    assert any(call["looked"] == 30 for calls in stores for call in calls)
    assert len(captured) == 3
    assert connection.connection.trace is None
