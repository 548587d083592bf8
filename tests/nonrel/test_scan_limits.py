"""``max_scan_rows`` and ``warn_scan_rows``: rows that are looked at in vain."""

import logging

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, models, transaction
from django.db.models import Count, Max
from django.db.models.functions import Upper

from backendkit.backends.memory.store import MemoryQuery
from backendkit.nonrel.scans import index_text

from .databases import OURS, opened, run
from .models import Author, Book, Item, registry

LOGGER = "django.db.backends.backendkit"
#: Rows in each table; a hundred may be looked at.
ROWS = 220


class Shelf(models.Model):
    """Indexed, but for one column."""

    place = models.IntegerField(db_index=True)
    width = models.IntegerField()
    data = models.JSONField(null=True)

    class Meta:
        app_label = "nonrel"
        apps = registry


def fill():
    authors = Author.objects.bulk_create(Author(name=f"a{n}") for n in range(20))
    Item.objects.bulk_create(Item(code=f"c{n}", number=n % 7) for n in range(ROWS))
    Book.objects.bulk_create(
        Book(title=f"t{n}", author=authors[n % 20]) for n in range(ROWS)
    )
    Shelf.objects.bulk_create(Shelf(place=n % 2, width=n) for n in range(ROWS))


@pytest.fixture(params=[True, False], ids=["native", "sql"])
def native(request):
    return request.param


@pytest.fixture(params=OURS)
def limited(request, native, tmp_path):
    """A database of whose tables a hundred rows may be looked at."""
    with opened(request.param, tmp_path, max_scan_rows=100, native=native) as database:
        database.create(Author, Book, Item, Shelf)
        fill()
        yield database


@pytest.fixture
def lmdb(native, tmp_path):
    """The same on LMDB, which has indexes."""
    with opened("lmdb", tmp_path, max_scan_rows=100, native=native) as database:
        database.create(Author, Book, Item, Shelf)
        fill()
        yield database


class TestWhatIsAnError:
    @pytest.mark.parametrize(
        "query",
        [
            lambda: list(Item.objects.filter(number=3)),
            lambda: Item.objects.filter(number=3).count(),
            lambda: Item.objects.filter(number=30).exists(),
            lambda: Item.objects.filter(note__icontains="x").first(),
            lambda: Item.objects.exclude(number__in=range(7)).count(),
            lambda: Item.objects.filter(number=3).update(number=4),
            lambda: Item.objects.filter(number=3).delete(),
            lambda: list(Item.objects.order_by("number")[:3]),
            lambda: list(Item.objects.order_by("pk")[150:155]),
            lambda: list(
                Item.objects.annotate(upper=Upper("code")).filter(upper="C299")
            ),
            lambda: list(Book.objects.select_related("author").filter(title="x")),
            # What is looked at for each row of another table adds up.
            lambda: run(
                "SELECT 1 FROM nonrel_author a CROSS JOIN nonrel_shelf s"
                " ON s.width = a.id"
            ),
            lambda: run("SELECT * FROM nonrel_item WHERE number + 0 = 3"),
            lambda: run("UPDATE nonrel_item SET number = 4 WHERE number + 0 = 3"),
            lambda: run("SELECT * FROM nonrel_item ORDER BY number\nlimit 3"),
        ],
    )
    def test_rows_are_left_out(self, limited, query):
        with pytest.raises(
            OperationalError, match="max_scan_rows: the query read more than 100 "
        ):
            query()

    @pytest.mark.parametrize(
        "query",
        [
            lambda: list(Item.objects.all()),
            lambda: list(Item.objects.iterator(chunk_size=7)),
            lambda: list(Item.objects.order_by("number")),
            Item.objects.count,
            lambda: Shelf.objects.aggregate(Max("width")),
            lambda: list(Author.objects.annotate(n=Count("pk")).values_list("n")),
            lambda: list(Book.objects.select_related("author")),
            lambda: Item.objects.get(code="c219"),
            lambda: Item.objects.in_bulk(range(1, 200)),
            lambda: list(Author.objects.filter(name="a3")),
            lambda: Item.objects.update(note="x"),
            lambda: Item.objects.all().delete(),
            lambda: run('SELECT id AS "limit" FROM nonrel_item'),
        ],
    )
    def test_all_rows_are_wanted(self, limited, query):
        """So are those of tables that are smaller."""
        query()

    @pytest.mark.parametrize(
        "query",
        [
            lambda: list(Shelf.objects.filter(place=1)),
            lambda: Shelf.objects.filter(place=1).count(),
            lambda: Shelf.objects.filter(place__gte=0).update(width=1),
            lambda: list(Shelf.objects.order_by("place")[:90]),
            lambda: list(Item.objects.order_by("-pk")[:90]),
            lambda: list(Book.objects.filter(author__name="a3")),
            lambda: list(Author.objects.annotate(n=Count("books"))),
            lambda: list(Book.objects.filter(author__in=range(1, 20))),
        ],
    )
    def test_an_index_has_them(self, lmdb, query):
        query()

    def test_just_as_many_as_allowed(self, limited):
        Item.objects.filter(pk__in=range(101, ROWS + 1)).delete()
        assert not Item.objects.filter(number=30).exists()
        Item.objects.create(code="x")
        with pytest.raises(OperationalError):
            Item.objects.filter(number=30).exists()

    def test_it_stops_with_the_row_that_was_looked_for(self, limited):
        assert Item.objects.filter(number=3).exists()
        rows = Item.objects.filter(number=3).values_list("pk").iterator(chunk_size=1)
        assert next(rows)
        with pytest.raises(OperationalError):
            list(rows)

    def test_a_store_that_does_not_tell(self, limited, monkeypatch):
        """Then what it hands over is counted, once."""
        if limited.engine != "memory":
            pytest.skip("the record layer tells")
        untold = property(lambda self: None, lambda self, value: None)
        monkeypatch.setattr(MemoryQuery, "looked_at", untold)
        assert Item.objects.filter(number=3, code__gt="").count() < 100
        with pytest.raises(OperationalError):
            list(Item.objects.annotate(upper=Upper("code")).filter(upper="C299"))


class TestWhatItSays:
    @pytest.mark.parametrize(
        ("query", "wanted", "columns"),
        [
            (lambda: Item.objects.filter(number=3), {"number exact"}, {"number"}),
            (
                lambda: Item.objects.filter(note__contains="x", number__gt=5),
                {"note contains", "number gt"},
                {"number"},
            ),
            (
                lambda: Item.objects.filter(number__in=[1, 2], note="x"),
                {"number in", "note exact"},
                {"number", "note"},
            ),
            (
                lambda: Item.objects.filter(number=3).order_by("note")[:1],
                {"number exact"},
                None,
            ),
            (lambda: Item.objects.order_by("-number")[:9], {"number DESC"}, {"number"}),
        ],
    )
    def test_an_index_that_would_help(self, lmdb, query, wanted, columns):
        """It names the table, the filters without values, and the index."""
        with pytest.raises(OperationalError) as caught:
            list(query())
        text = str(caught.value)
        table = query().model._meta.db_table
        assert f"the query read more than 100 rows of table {table}" in text
        assert all(one in text for one in wanted)
        first, _, rest = text.partition(f"This would help: an index on {table} (")
        assert first
        assert rest.endswith(").")
        names = rest.removesuffix(").").split(", ")
        assert columns is None or set(names) == columns
        # With it, there is no error any more.
        with connection.schema_editor() as editor:
            index = models.Index(fields=names, name="helpful")
            editor.add_index(query().model, index)
        list(query())

    @pytest.mark.parametrize(
        "query",
        [
            lambda: Item.objects.filter(note__icontains="x"),
            lambda: Item.objects.exclude(number__in=range(7)),
            lambda: Item.objects.order_by("pk")[150:155],
            lambda: Shelf.objects.filter(place=1, data={"a": 1}),
        ],
    )
    def test_no_index_helps(self, lmdb, query):
        with pytest.raises(OperationalError, match="No index helps"):
            list(query())

    def test_where_indexes_are_not_used(self, tmp_path, native):
        with opened("memory", tmp_path, max_scan_rows=9, native=native) as database:
            database.create(Author, Book, Item, Shelf)
            fill()
            with pytest.raises(
                OperationalError, match="only looks up rows by unique indexes"
            ):
                list(Shelf.objects.filter(width=3))

    def test_in_the_terms_of_the_model(self, monkeypatch):
        monkeypatch.setattr(apps, "get_models", registry.get_models)
        assert index_text("nonrel_book", ["author_id", "title"]) == (
            'Index(fields=["author", "title"]) in the Meta of nonrel.Book.'
        )
        assert index_text("nonrel_book", ["gone"]) == "an index on nonrel_book (gone)."
        assert index_text("other", ["a", "b"]) == "an index on other (a, b)."


class TestWhatIsLeft:
    def test_a_write_changes_nothing(self, limited):
        for write in (
            lambda: Item.objects.filter(number=3).update(number=4),
            lambda: Item.objects.filter(number=3).delete(),
            lambda: run("UPDATE nonrel_item SET note = code WHERE number + 0 = 3"),
        ):
            before = limited.everything()
            with pytest.raises(OperationalError):
                write()
            assert limited.everything() == before

    def test_the_transaction_goes_on(self, limited):
        with transaction.atomic():
            Item.objects.create(code="first")
            with pytest.raises(OperationalError), transaction.atomic():
                list(Item.objects.filter(number=3))
            # As for any statement that fails, no savepoint is needed.
            with connection.cursor() as cursor, pytest.raises(OperationalError):
                cursor.execute("UPDATE nonrel_item SET note = 'x' WHERE number+0 = 3")
            Item.objects.create(code="second")
        assert Item.objects.filter(code__in=["first", "second"]).count() == 2

    def test_schema_and_constraints_are_not_hindered(self, lmdb):
        with connection.schema_editor() as editor:
            editor.add_index(Item, models.Index(fields=["number"], name="by_number"))
            unique = models.UniqueConstraint(
                fields=["number", "code"],
                condition=models.Q(number__gt=1),
                name="unique_pair",
            )
            editor.add_constraint(Item, unique)
            check = models.CheckConstraint(condition=models.Q(number__lt=9), name="c")
            editor.add_constraint(Item, check)
            field = models.IntegerField(default=5)
            field.set_attributes_from_name("further")
            editor.add_field(Item, field)
        connection.check_constraints()
        Author.objects.filter(name="a3").delete()
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE some AS SELECT * FROM nonrel_item WHERE id+0>9"
            )
        run("DELETE FROM some")


class TestWarning:
    def test_once(self, tmp_path, native, caplog):
        with opened("lmdb", tmp_path, warn_scan_rows=100, native=native) as database:
            database.create(Author, Book, Item, Shelf)
            fill()
            with caplog.at_level(logging.WARNING, LOGGER):
                for number in (3, 4, 4):
                    assert Item.objects.filter(number=number).count() in (31, 32)
                list(Item.objects.all())
                list(Shelf.objects.filter(place=1))
                (record,) = caplog.records
                assert record.name == LOGGER
                text = record.getMessage()
                assert text.startswith(
                    "warn_scan_rows: the query read more than 100 rows of table"
                )
                assert text.endswith("an index on nonrel_item (number).")
                list(Shelf.objects.filter(width=1))
                assert len(caplog.records) == 2

    def test_before_the_error(self, tmp_path, native, caplog):
        with opened(
            "lmdb", tmp_path, warn_scan_rows=9, max_scan_rows=20, native=native
        ) as database:
            database.create(Author, Book, Item, Shelf)
            fill()
            with pytest.raises(OperationalError, match="more than 20 rows"):
                list(Item.objects.filter(number=9))
            assert "more than 9 rows" in caplog.text

    @pytest.mark.parametrize("notable", [None, 20, 30])
    def test_none(self, tmp_path, caplog, notable):
        """Nor if as many rows are an error."""
        with opened(
            "lmdb", tmp_path, warn_scan_rows=notable, max_scan_rows=20
        ) as database:
            database.create(Author, Book, Item, Shelf)
            fill()
            with pytest.raises(OperationalError):
                list(Item.objects.filter(number=9))
            assert not caplog.records


@pytest.mark.parametrize("option", ["max_scan_rows", "warn_scan_rows"])
@pytest.mark.parametrize("value", [0, -1, True, "100", 1.5])
def test_the_options_are_numbers(tmp_path, option, value):
    with pytest.raises(ImproperlyConfigured, match=rf"\['{option}'\] is {value!r}\."):
        with opened("memory", tmp_path, **{option: value}) as database:
            database.create(Item)
