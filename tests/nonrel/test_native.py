"""The native path: which queries need no SQL, and that it changes nothing."""

import datetime
import decimal
import gc
import uuid

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, OperationalError, connection, models
from django.db.models import Avg, Count, F, Max, Min, Q, Sum
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from .databases import ENGINES, opened
from .models import Author, Book, Item, registry


class Kinds(models.Model):
    """A column of each type."""

    truth = models.BooleanField()
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    clock = models.TimeField(null=True)
    lasting = models.DurationField(null=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    huge = models.DecimalField(max_digits=30, decimal_places=2, null=True)
    ratio = models.FloatField(null=True)
    token = models.UUIDField(null=True)
    data = models.JSONField(null=True)
    raw = models.BinaryField(null=True)

    class Meta:
        app_label = "nonrel"
        apps = registry


def native(queryset):
    """Whether a query needs no SQL."""
    return queryset.explain().startswith("native:")


@pytest.fixture
def books(ours):
    ours.create(Author, Book, Item, Kinds)
    authors = [Author.objects.create(name=name) for name in "abc"]
    for number in range(9):
        editor = authors[number % 2] if number % 3 else None
        Book.objects.create(
            title=f"t{number}", author=authors[number % 3], editor=editor
        )
    return authors


class TestWhichQueries:
    @pytest.mark.parametrize(
        "query",
        [
            Book.objects.all,
            lambda: Book.objects.filter(pk=3),
            lambda: Book.objects.filter(author=1, title__gt="t1"),
            lambda: Book.objects.filter(author_id__in=[1, 2]),
            lambda: Book.objects.filter(editor=None).exclude(title="t0"),
            lambda: Book.objects.filter(title__icontains="T"),
            lambda: Book.objects.order_by("-title")[2:5],
            lambda: Book.objects.values("title"),
            lambda: Book.objects.values_list("author_id", "pk"),
            lambda: Book.objects.only("title"),
            lambda: Book.objects.select_related("author", "editor"),
            lambda: Book.objects.select_related("author").order_by("title")[:2],
            lambda: Book.objects.order_by("author__name"),
            lambda: Book.objects.order_by("editor__name", "-title")[1:4],
            lambda: Book.objects.values_list("title", "author__name"),
            lambda: Book.objects.values("title").order_by("title"),
            lambda: Book.objects.values("title").distinct(),
            lambda: (
                Book.objects.values("editor__name").distinct().order_by("editor__name")
            ),
            lambda: Book.objects.values("title").annotate(n=Count("pk")),
            lambda: Book.objects.values("author__name").annotate(n=Count("editor")),
            lambda: Book.objects.values("title", "author").annotate(Max("editor")),
        ],
    )
    def test_native(self, books, query):
        assert native(query())

    @pytest.mark.parametrize(
        "work",
        [
            lambda: list(Book.objects.select_related("author")),
            lambda: Book.objects.get(pk=3),
            Book.objects.exists,
            lambda: list(Book.objects.filter(author__name="a")),
            lambda: list(Book.objects.values("author__name").annotate(n=Count("pk"))),
            lambda: list(Book.objects.iterator(chunk_size=1)),
            lambda: Author.objects.create(name="new"),
            lambda: Author.objects.bulk_create([Author(name="x"), Author(name="y")]),
            lambda: Book.objects.filter(pk=3).update(title="t"),
            lambda: Book.objects.update(title=F("title")),
            lambda: Book.objects.filter(pk__gt=7).delete(),
        ],
    )
    def test_no_query_waits_to_be_collected(self, books, work):
        """
        As on Django's own backends, a queryset's memory doesn't wait for the collector.

        Parts of a buffered session, which know each other, may.
        """
        work()
        gc.collect(0)
        # What the other tests left is of no interest, and takes a second to look through.
        gc.freeze()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            work()
            gc.collect()
            kinds = {type(one).__module__ for one in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.unfreeze()
            gc.enable()
        ours = ("django.", "backendkit.nonrel.", "backendkit.engine.compiled", __name__)
        assert not [kind for kind in kinds if kind.startswith(ours)]

    @pytest.mark.parametrize(
        "query",
        [
            lambda: Book.objects.filter(author__name="a"),
            lambda: Book.objects.filter(author__name="a").order_by("editor__name"),
            lambda: Book.objects.filter(Q(pk=1) | Q(title="t3")),
            lambda: Book.objects.filter(title=F("author__name")),
            lambda: Book.objects.annotate(n=Count("pk")),
            Book.objects.distinct,
            lambda: Book.objects.values("title").distinct()[:2],
            lambda: Book.objects.values("title").distinct().order_by("pk"),
            lambda: Book.objects.order_by(F("author__name").asc(nulls_last=True)),
            lambda: Author.objects.order_by("books__title"),
            lambda: Author.objects.values("books__title").distinct(),
            lambda: Book.objects.filter(pk__in=Author.objects.values("pk")),
            lambda: Book.objects.extra(where=["1"]),
            lambda: Book.objects.filter(pk=1).union(Book.objects.filter(pk=2)),
            lambda: Author.objects.annotate(n=Count("books")),
            lambda: Author.objects.values("name").annotate(n=Count("books")),
            lambda: Book.objects.values("title").annotate(n=Count("pk", distinct=True)),
            lambda: (
                Book.objects.values("title")
                .annotate(n=Count("pk"))
                .filter(author__name="a")
            ),
            lambda: (
                Book.objects.values("title").annotate(n=Count("pk")).filter(n__gt=1)
            ),
            lambda: Kinds.objects.values("ratio").annotate(n=Count("pk")),
            lambda: Kinds.objects.values("day").annotate(n=Sum("price")),
            lambda: Kinds.objects.values("huge").annotate(n=Count("pk")),
            lambda: Kinds.objects.filter(huge=1),
            lambda: Kinds.objects.filter(data={"a": 1}),
        ],
    )
    def test_by_sqlite(self, books, query):
        assert not native(query())

    def test_explained(self, books):
        text = Book.objects.filter(pk=3).explain()
        assert text == "native: seek primary key (id exact) ~1 rows of nonrel_book"
        text = Book.objects.select_related("editor").order_by("title").explain()
        first, second = text.splitlines()
        # LMDB's rows have to be sorted; the reference store has any order.
        assert first.partition(" ~")[0] in (
            "native: scan sorted by title",
            "native: scan in order of title",
        )
        assert "look up nonrel_author by id, in batches, or NULLs" in second

    def test_turned_off(self, tmp_path):
        with opened("memory", tmp_path, native=False) as database:
            database.create(Item)
            assert not native(Item.objects.all())

    def test_the_option_is_true_or_false(self, tmp_path):
        with pytest.raises(ImproperlyConfigured, match=r"\['native'\] is 'no'"):
            with opened("memory", tmp_path, native="no") as database:
                database.create(Item)


class TestAnswers:
    def test_of_all_kinds(self, books):
        """Values are as Django wants them, NULL too, with a time zone or without."""
        values = {
            "truth": True,
            "day": datetime.date(2024, 2, 29),
            "moment": datetime.datetime(2024, 2, 29, 12, 30, 0, 5),
            "clock": datetime.time(1, 2, 3),
            "lasting": datetime.timedelta(days=-1, microseconds=7),
            "price": decimal.Decimal("12.50"),
            "huge": decimal.Decimal("1234567.25"),
            "ratio": 0.1,
            "token": uuid.UUID(int=7),
            "data": {"a": [1, None]},
            "raw": b"\0\xff",
        }
        for zone in (None, datetime.UTC):
            with override_settings(USE_TZ=zone is not None, TIME_ZONE="UTC"):
                wanted = {**values, "moment": values["moment"].replace(tzinfo=zone)}
                pk = Kinds.objects.create(**wanted).pk
                query = Kinds.objects.filter(pk=pk)
                assert native(query)
                assert query.values(*wanted).get() == wanted
                found = query.get()
                assert {name: getattr(found, name) for name in wanted} == wanted
                assert repr(found.price) == "Decimal('12.50')"
                for name in ("truth", "day", "moment", "clock", "lasting", "price"):
                    assert Kinds.objects.filter(pk=pk, **{name: wanted[name]}).exists()
                assert Kinds.objects.filter(pk=pk, token=wanted["token"]).count() == 1
                assert Kinds.objects.filter(pk=pk, ratio__lt=1, raw=b"\0\xff").exists()
        pk = Kinds.objects.create(truth=False).pk
        assert Kinds.objects.filter(pk=pk).values_list().get() == (
            pk,
            False,
            *[None] * 10,
        )

    def test_related_rows(self, books):
        """Each row with its own; NULL has none; a second look asks nothing."""
        with CaptureQueriesContext(connection) as captured:
            found = list(Book.objects.select_related("author", "editor").order_by("pk"))
            names = [(b.author.name, b.editor and b.editor.name) for b in found]
        assert len(captured) == 1
        assert names == [
            ("abc"[n % 3], "abc"[n % 2] if n % 3 else None) for n in range(9)
        ]
        assert captured[0]["sql"].startswith("SELECT")
        tables = [call["table"] for call in captured.captured_queries[0].store]
        assert tables[0] == "nonrel_book"

    def test_a_dangling_reference(self, books):
        """An inner join leaves the row out, and out of the slice; an outer doesn't."""
        with connection.constraint_checks_disabled():
            Book.objects.filter(pk=1).update(author_id=99)
            Book.objects.filter(pk=2).update(editor_id=99)
            related = Book.objects.order_by("pk").select_related("author", "editor")
            assert native(related)
            assert [book.pk for book in related[:2]] == [2, 3]
            assert related[0].editor is None
            assert [book.pk for book in related[6:9]] == [8, 9]
            Book.objects.update(author_id=1, editor_id=None)

    def test_order_of_a_joined_table(self, books):
        """NULL first, as in SQLite; a slice keeps what it needs only."""
        Book.objects.filter(pk__gt=6).update(editor=3)
        query = Book.objects.order_by("-editor__name", "title")
        assert native(query)
        wanted = ["t6", "t7", "t8", "t1", "t5", "t2", "t4", "t0", "t3"]
        assert [book.title for book in query] == wanted
        assert [book.title for book in query[2:5]] == wanted[2:5]
        names = Book.objects.order_by("editor__name").values_list("editor__name")
        assert native(names)
        assert [name for (name,) in names] == [None, None, *"aabbccc"]
        assert [name for (name,) in names[:3]] == [None, None, "a"]
        backwards = names.reverse()[:4]
        assert [name for (name,) in backwards] == [*"cccb"]

    def test_distinct(self, books):
        names = Book.objects.values_list("editor__name", flat=True).distinct()
        assert native(names)
        assert list(names) == [None, "b", "a"]  # as they come
        assert list(names.order_by("-editor__name")) == ["b", "a", None]
        assert list(names.order_by("-editor__name")[1:2]) == ["a"]
        both = Book.objects.values_list("author__name", "author").distinct()
        assert list(both) == [("a", 1), ("b", 2), ("c", 3)]

    def test_an_order_that_django_has_joined_before(self, books):
        """The kind of a join is the query's, whatever was prepared for another one."""
        with connection.constraint_checks_disabled():
            Book.objects.filter(pk=2).update(editor=99)
            inner = Book.objects.exclude(editor=None).order_by("editor__name")
            outer = Book.objects.order_by("editor__name")
            for query in (inner, outer, inner, outer):
                with_sql = connection.native
                found = list(query)
                connection.native = False
                try:
                    assert list(query.all()) == found
                finally:
                    connection.native = with_sql
            Book.objects.filter(pk=2).update(editor=None)

    def test_aggregates(self, books):
        found = Book.objects.aggregate(
            Max("title"),
        ) | Book.objects.aggregate(Min("author_id"))
        assert found == {"title__max": "t8", "author_id__min": 1}
        assert Book.objects.aggregate(n=Sum("author_id"))["n"] == 18
        assert Book.objects.aggregate(n=Count("editor"))["n"] == 6
        assert Book.objects.filter(pk=0).aggregate(n=Max("title"))["n"] is None
        assert Book.objects.filter(pk=0).aggregate(n=Sum("author"))["n"] is None
        assert Book.objects.filter(editor=None).count() == 3
        assert not Book.objects.filter(title="x").exists()

    def test_writes(self, books):
        assert Book.objects.filter(title__in=["t1", "t2"]).update(title="x") == 2
        assert Book.objects.filter(title="x").count() == 2
        assert Book.objects.filter(title="x").delete() == (2, {"nonrel.Book": 2})
        assert Book.objects.count() == 7

    @pytest.mark.parametrize("value", [2**63, "\ud800"])
    def test_a_value_that_nothing_can_hold(self, books, value):
        """An error, though no row would get it (random writes found it)."""
        field = "number" if value == 2**63 else "note"
        with pytest.raises(DataError):
            Item.objects.update(**{field: value})

    def test_a_table_that_another_connection_alters(self, ours):
        """What was planned before is planned anew."""
        ours.create(Item)
        Item.objects.create(code="a", number=1)
        assert Item.objects.get(code="a").number == 1
        other = connection.copy()
        try:
            with other.cursor() as cursor:
                cursor.execute('ALTER TABLE "nonrel_item" RENAME "number" TO "amount"')
                cursor.execute('ALTER TABLE "nonrel_item" ADD "number" integer NULL')
            assert Item.objects.get(code="a").number is None
            assert Item.objects.filter(number=None).update(number=5) == 1
            assert Item.objects.get(code="a").number == 5
        finally:
            other.close()


class TestGroups:
    """GROUP BY, over to-one joins too, without SQL."""

    def test_totals(self, books):
        query = Book.objects.values("author__name").annotate(
            n=Count("pk"), least=Min("title"), most=Max("editor"), total=Sum("editor")
        )
        assert native(query)
        a, b, c = (
            {"author__name": "a", "n": 3, "least": "t0", "most": None, "total": None},
            {"author__name": "b", "n": 3, "least": "t1", "most": 2, "total": 4},
            {"author__name": "c", "n": 3, "least": "t2", "most": 2, "total": 4},
        )
        found = {row["author__name"]: row for row in query}
        assert found == {
            "a": a,
            "b": b | {"total": found["b"]["total"]},
            "c": c | {"total": found["c"]["total"]},
        }
        assert [row["total"] for row in query] == [
            None,
            *(
                sum(1 + number % 2 for number in range(9) if number % 3 == rest)
                for rest in (1, 2)
            ),
        ]

    def test_null_is_a_group(self, books):
        query = Book.objects.values_list("editor__name").annotate(Count("pk"))
        assert native(query)
        assert list(query) == [(None, 3), ("a", 3), ("b", 3)]

    def test_nothing(self, ours):
        ours.create(Author, Book)
        query = Book.objects.values("author__name").annotate(n=Count("pk"))
        assert list(query) == []

    def test_order_and_slice(self, books):
        Book.objects.filter(title__in=["t0", "t1", "t3"]).update(editor=3)
        query = Book.objects.values_list("editor__name").annotate(n=Count("pk"))
        by_number = query.order_by("-n", "-editor__name")
        assert native(by_number)
        assert list(by_number) == [("c", 3), ("a", 3), ("b", 2), (None, 1)]
        assert list(by_number[1:3]) == [("a", 3), ("b", 2)]
        # What the order names is another key of the groups.
        by_author = query.filter(editor=3).order_by("author__name")
        assert native(by_author)
        assert list(by_author) == [("c", 2), ("c", 1)]

    def test_a_dangling_reference(self, books):
        """An inner join leaves the row out of all groups; an outer one doesn't."""
        with connection.constraint_checks_disabled():
            Book.objects.update(author_id=99, editor_id=99)
            authors = Book.objects.values("author__name").annotate(n=Count("pk"))
            editors = Book.objects.values("editor__name").annotate(n=Count("pk"))
            assert list(authors) == []
            assert list(editors) == [{"editor__name": None, "n": 9}]
            Book.objects.update(author_id=1, editor_id=None)

    def test_each_type(self, ours):
        """Keys, least and greatest values are as SQLite would give them."""
        ours.create(Kinds)
        moment = datetime.datetime(2024, 5, 6, 7, 8, 9, 10)
        values = {
            "day": datetime.date(2024, 5, 6),
            "moment": moment,
            "clock": datetime.time(1, 2, 3),
            "lasting": datetime.timedelta(days=-1, microseconds=7),
            "price": decimal.Decimal("12.50"),
            "token": uuid.UUID(int=7),
            "raw": b"\0\xff",
            "truth": True,
        }
        Kinds.objects.create(**values)
        for name, value in values.items():
            query = Kinds.objects.values_list(name).annotate(Count(name))
            # Of decimals SQLite sees floats.
            assert native(query) == (name != "price")
            assert list(query) == [(value, 1)]
            if name not in ("truth", "token", "raw"):
                query = Kinds.objects.values_list("truth").annotate(
                    Min(name), Max(name)
                )
                assert native(query) == (name != "price")
                assert list(query) == [(True, value, value)]

    def test_a_sum_that_no_column_holds(self, ours):
        """What SQLite makes of it, it says itself."""
        ours.create(Item)
        for code in "abc":
            Item.objects.create(code=code, note="x", number=2**63 - 1)
        query = Item.objects.values_list("note").annotate(n=Sum("number"))
        assert native(query)
        with pytest.raises(OperationalError, match="integer overflow"):
            list(query)
        means = Item.objects.values_list("note").annotate(n=Avg("number"))
        assert native(means)
        assert list(means) == [("x", 2.0**63)]

    def test_calls_of_the_store(self, books):
        """A table that is joined is read in batches of keys, never row by row."""
        Book.objects.bulk_create(
            Book(title=f"u{number}", author=books[number % 3]) for number in range(2000)
        )
        query = Book.objects.values("author__name").annotate(n=Count("pk"))
        with CaptureQueriesContext(connection) as captured:
            assert sum(row["n"] for row in query) == 2009
        calls = captured.captured_queries[0].store
        assert [(call["table"], call["rows"]) for call in calls] == [
            ("nonrel_book", 2009),
            ("nonrel_author", 3),
        ]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_least_and_the_greatest_at_once(engine, tmp_path):
    """Each by an index, if there is one for all of them; be most values NULL or none."""
    from django.db.models import Max, Min

    from tests.nonrel.test_dates import Event

    start = datetime.datetime(2026, 1, 1)
    with opened(engine, tmp_path) as database:
        database.create(Event)
        both = {"low": Min("at"), "high": Max("at"), "last": Max("pk")}
        assert Event.objects.aggregate(**both) == dict.fromkeys(both)
        Event.objects.bulk_create([Event(at=None)] * 60)
        assert Event.objects.aggregate(**both) == {
            "low": None,
            "high": None,
            "last": 60,
        }
        Event.objects.bulk_create(
            [Event(at=start + datetime.timedelta(days=n)) for n in (5, 3, 8)]
        )
        found = Event.objects.aggregate(**both)
        assert [found["low"].day, found["high"].day, found["last"]] == [4, 9, 63]
        some = Event.objects.filter(at__lt=start + datetime.timedelta(days=6))
        assert [one.day for one in some.aggregate(Max("at"), Min("at")).values()] == [
            6,
            4,
        ]
        assert some.aggregate(Max("at"), Min("at"), n=Count("pk"))["n"] == 2
        assert some.aggregate(Max("at", default=start), low=Min("at"))["low"].day == 4
