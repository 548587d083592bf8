"""The backend of djangotoolbox's guide runs, and has what its author dreamt of."""

import datetime
import gc
import threading
import uuid
import weakref
from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Upper

from backendkit.stores import ConflictError, NotSupportedError
from backendkit.toolbox.store import store_class
from tests.nonrel.models import Author, Book, Item, model

from .sample import compiler
from .sample.lowlevel import LowLevelError


@pytest.fixture
def shop(database):
    """Three items, two authors and three books."""
    database.create(Item, Author, Book)
    for code, number in (("a", 1), ("b", 2), ("c", None)):
        Item.objects.create(code=code, number=number or 0, note=number and "x")
    ann, bob = Author.objects.create(name="ann"), Author.objects.create(name="bob")
    Book.objects.create(title="one", author=ann)
    Book.objects.create(title="two", author=bob, editor=ann)
    Book.objects.create(title="three", author=bob)
    connection.db_connection.asked.clear()
    return database


def codes(found):
    return [item.code for item in found]


def asked(kind, table):
    """The filters by which a collection was asked."""
    log = connection.db_connection.asked
    return [what for did, where, what in log if (did, where) == (kind, table)]


def test_the_guide_itself(shop):
    """Create, get, filter, exclude, order, slice, count, update, delete."""
    assert Item.objects.get(pk=2).code == "b"
    assert codes(Item.objects.filter(number__gte=1).order_by("code")) == ["a", "b"]
    assert codes(Item.objects.exclude(code="b").order_by("-code")) == ["c", "a"]
    assert codes(Item.objects.filter(note__isnull=True)) == ["c"]
    assert codes(Item.objects.exclude(note=None).order_by("pk")) == ["a", "b"]
    assert codes(Item.objects.filter(code__in=["a", "z", "c"]).order_by("-pk")[:1]) == [
        "c"
    ]
    assert Item.objects.count() == 3
    assert Item.objects.filter(code="a").update(number=F("number") + 4) == 1
    assert Item.objects.get(code="a").number == 5
    assert Item.objects.filter(number__lt=3).delete()[0] == 2
    assert codes(Item.objects.all()) == ["a"]
    with pytest.raises(Item.DoesNotExist):
        Item.objects.get(pk=2)


def test_dreams(shop):
    """Joins, OR, aggregates, functions, subqueries, relations."""
    found = Book.objects.filter(
        Q(author__name="ann") | Q(editor__name="ann")
    ).select_related("author")
    assert {book.title: book.author.name for book in found} == {
        "one": "ann",
        "two": "bob",
    }
    counted = Author.objects.annotate(n=Count("books")).values_list("name", "n")
    assert sorted(counted) == [("ann", 1), ("bob", 2)]
    assert {*Author.objects.values_list(Upper("name"), flat=True)} == {"ANN", "BOB"}
    writers = Author.objects.filter(pk__in=Book.objects.values("editor"))
    assert [author.name for author in writers] == ["ann"]
    Author.objects.get(name="bob").delete()
    assert Book.objects.get().title == "one"


def test_filters_are_handed_over(shop):
    """By the maps, callables included; the primary key under the store's name."""
    Item.objects.get(pk=2)
    assert asked("find", "nonrel_item") == [(("_id", "=", 2),)]
    connection.db_connection.asked.clear()
    [*Item.objects.filter(note__isnull=False)]
    assert asked("find", "nonrel_item") == [(("note", "!=", None),)]
    connection.db_connection.asked.clear()
    [*Item.objects.exclude(code="b")]
    assert asked("find", "nonrel_item") in ([(("code", "!=", "b"),)], [()])
    connection.db_connection.asked.clear()
    assert Item.objects.count() == 3
    assert asked("count", "nonrel_item") == [()]
    assert asked("find", "nonrel_item") == []


def test_an_update_is_an_insert_with_the_key(shop):
    """Of the whole entity: nothing else is known to the store."""
    Item.objects.filter(code="b").update(number=7)
    assert asked("save", "nonrel_item") == [
        {"_id": 2, "code": "b", "number": 7, "note": "x"}
    ]


def test_transactions(shop):
    """What fails is undone, savepoints too; unique is unique."""
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: .*\.code"):
        Item.objects.create(code="a")
    with transaction.atomic():
        Item.objects.create(code="d")
        with pytest.raises(KeyError), transaction.atomic():
            Item.objects.create(code="e")
            raise KeyError
        assert Item.objects.count() == 4
        assert asked("save", "nonrel_item") == []
    assert codes(Item.objects.order_by("code")) == ["a", "b", "c", "d"]
    with pytest.raises(KeyError), transaction.atomic():
        Item.objects.all().delete()
        raise KeyError
    assert Item.objects.count() == 4
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        Book.objects.create(title="x", author_id=99)


def test_no_update_is_lost(shop):
    """A row that another connection changes meanwhile is a conflict."""

    def change():
        Item.objects.filter(code="a").update(number=100)
        connection.close()

    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        item = Item.objects.get(code="a")
        other = threading.Thread(target=change)
        other.start()
        other.join()
        item.number += 1
        item.save()
    assert isinstance(caught.value.__cause__, ConflictError)
    assert Item.objects.get(code="a").number == 100


def test_each_type_is_converted(database):
    """Both conversions are called for each value, by the types of data_types."""
    thing = model(
        "Thing",
        key=models.UUIDField(primary_key=True),
        at=models.DateTimeField(null=True),
        day=models.DateField(null=True),
        time=models.TimeField(null=True),
        price=models.DecimalField(max_digits=9, decimal_places=2, null=True),
        took=models.DurationField(null=True),
        data=models.BinaryField(null=True),
        json=models.JSONField(null=True),
        rate=models.FloatField(null=True),
        yes=models.BooleanField(null=True),
    )
    database.create(thing)
    values = {
        "at": datetime.datetime(2010, 4, 1, 12, 30, 0, 5),
        "day": datetime.date(2010, 4, 1),
        "time": datetime.time(23, 59),
        "price": Decimal("12.50"),
        "took": datetime.timedelta(days=-1, microseconds=7),
        "data": b"\0\xff",
        "json": {"a": [1, None]},
        "rate": -0.0,
        "yes": False,
    }
    key = uuid.UUID(int=7)
    thing.objects.create(key=key, **values)
    thing.objects.create(key=uuid.UUID(int=8))
    stored = connection.db_connection.documents("nonrel_thing")[f'"{key}"']
    assert stored["at"] == "2010-04-01 12:30:00.000005"
    assert (stored["price"], stored["data"]) == ("12.5", "00ff")
    found = thing.objects.get(pk=key)
    assert {name: getattr(found, name) for name in values} == values
    for name, value in values.items():
        assert thing.objects.get(**{name: value}).pk == key, name
    for name in ("at", "day", "time", "price", "took", "rate"):
        ordered = {f"{name}__gte": values[name], f"{name}__lte": values[name]}
        assert thing.objects.get(**ordered).pk == key, name
        assert not thing.objects.filter(**{f"{name}__gt": values[name]}), name
    empty = thing.objects.get(pk=uuid.UUID(int=8))
    assert {getattr(empty, name) for name in values} == {None}


def test_the_schema_changes(database):
    """Tables, columns and their names, with the rows that are there."""
    database.create(Item)
    field = models.IntegerField()
    field.set_attributes_from_name("size")
    with connection.schema_editor() as editor:
        editor.add_field(Item, field)  # NOT NULL: there are no rows yet
    with connection.schema_editor() as editor:
        editor.remove_field(Item, field)
    Item.objects.create(code="a")
    with pytest.raises(IntegrityError, match="NOT NULL"):
        with connection.schema_editor() as editor:
            editor.add_field(Item, field)
    with connection.schema_editor() as editor:
        editor.alter_db_table(Item, "nonrel_item", "things")
    assert database.tables() == ["things"]
    documents = connection.db_connection.documents
    assert [one["code"] for one in documents("things").values()] == ["a"]
    assert documents("nonrel_item") == {}
    with connection.schema_editor() as editor:
        editor.alter_db_table(Item, "things", "nonrel_item")
    assert codes(Item.objects.all()) == ["a"]
    with connection.schema_editor() as editor:
        editor.delete_model(Item)
    assert (database.tables(), documents("nonrel_item")) == ([], {})


def test_a_key_of_several_columns(database):
    """One text stands for it in the store."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE t (a integer, b text, n integer, PRIMARY KEY (a, b))"
        )
        cursor.execute("INSERT INTO t VALUES (1, 'x', 1), (1, 'y', 2)")
        cursor.execute("UPDATE t SET n = 3 WHERE b = 'y'")
        cursor.execute("DELETE FROM t WHERE b = 'x'")
        cursor.execute("UPDATE t SET b = 'z'")
        cursor.execute("SELECT * FROM t")
        assert cursor.fetchall() == [(1, "z", 3)]
    (document,) = connection.db_connection.documents("t").values()
    assert document["_id"] == '["1", "z"]'


def test_the_drivers_errors_are_djangos(database, monkeypatch):
    """safe_call makes them DatabaseError, with their cause."""
    database.create(Item)
    Item.objects.create(code="a")
    monkeypatch.setitem(compiler.OPERATORS_MAP, "exact", "like")
    with pytest.raises(DatabaseError, match="no operator 'like'"):
        Item.objects.get(pk=1)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, r"BackendQuery.fetch\(\) for \w+ returned None, not dicts"),
        ([("a", 1)], r"BackendQuery.fetch\(\) for \w+ yielded .*, not a dict"),
    ],
)
def test_fetch_is_checked(shop, monkeypatch, result, message):
    """What isn't a dict is named."""
    monkeypatch.setattr(compiler.BackendQuery, "fetch", lambda *args: result)
    with pytest.raises(DatabaseError, match=message):
        [*Item.objects.all()]


def test_conversions_are_checked(shop, monkeypatch):
    """A value of another type is an error that names the column."""
    convert = compiler.SQLCompiler.convert_value_from_db

    def wrong(self, db_type, value):
        return "7" if db_type == "integer" else convert(self, db_type, value)

    monkeypatch.setattr(compiler.SQLCompiler, "convert_value_from_db", wrong)
    with pytest.raises(DatabaseError, match=r"'7' for nonrel_item.number, .* integer"):
        [*Item.objects.all()]


def test_exact_is_needed():
    """Without it no row could be deleted."""

    class Query(compiler.BackendQuery):
        OPERATORS_MAP = {"gt": ">"}

    class Compilers:
        __name__ = "shop.compiler"

        class SQLCompiler(compiler.SQLCompiler):
            query_class = Query

    with pytest.raises(NotSupportedError, match=r"shop\.compiler: .* 'exact'"):
        store_class(Compilers())


def test_a_test_database_leaves_the_other_alone(shop):
    """Its tables have names of their own, and its clones too."""
    creation, documents = connection.creation, connection.db_connection.documents
    before = dict(connection.db_connection.collections)
    creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        assert connection.settings_dict["NAME"] == "test_shop"
        assert "nonrel_item" not in shop.tables()
        shop.create(Item)
        Item.objects.create(code="z")
        assert len(documents("test_shop.nonrel_item")) == 1
        creation.clone_test_db("1", verbosity=0)
        assert len(documents("test_shop_1.nonrel_item")) == 1
        creation.destroy_test_db(verbosity=0, suffix="1")
        assert documents("test_shop_1.nonrel_item") == {}
        assert Item.objects.count() == 1
    finally:
        creation.destroy_test_db("shop", verbosity=0)
    assert "table_prefix" not in connection.settings_dict["OPTIONS"]
    assert codes(Item.objects.order_by("code")) == ["a", "b", "c"]
    after = {
        name: rows
        for name, rows in connection.db_connection.collections.items()
        if rows
    }
    assert after == before


def test_the_warning(database):
    """A commit isn't all or nothing: the project is told, until it accepts that."""
    (warning,) = connection.validation.check()
    assert warning.id == "backendkit.W001"
    connection.settings_dict["OPTIONS"] = {"allow_no_transactions": True}
    assert connection.validation.check() == []


def test_tables_exchange_their_names(shop):
    """In one transaction, with their rows and numbers."""
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("CREATE TABLE a (id integer PRIMARY KEY AUTOINCREMENT, x text)")
        cursor.execute("CREATE TABLE b (id integer PRIMARY KEY AUTOINCREMENT, x text)")
        cursor.execute("INSERT INTO a (x) VALUES ('1'), ('2')")
        cursor.execute("INSERT INTO b (x) VALUES ('3')")
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("ALTER TABLE a RENAME TO c")
        cursor.execute("ALTER TABLE b RENAME TO a")
        cursor.execute("ALTER TABLE c RENAME TO b")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO a (x) VALUES ('new')")
        cursor.execute("INSERT INTO b (x) VALUES ('new')")
        cursor.execute("SELECT id, x FROM a ORDER BY id")
        assert cursor.fetchall() == [(1, "3"), (2, "new")]
        cursor.execute("SELECT id, x FROM b ORDER BY id")
        assert cursor.fetchall() == [(1, "1"), (2, "2"), (3, "new")]


def test_a_commit_that_fails_half_way(shop, monkeypatch):
    """The error is seen; what was written before it stays, as the page says."""
    insert = compiler.SQLInsertCompiler.insert

    def failing(self, data, return_id=False):
        if data.get("code") == "e":
            raise LowLevelError("disk full")
        return insert(self, data, return_id)

    wrapped = compiler.safe_call(failing)
    monkeypatch.setattr(compiler.SQLInsertCompiler, "insert", wrapped)
    with pytest.raises(DatabaseError, match="disk full"), transaction.atomic():
        Item.objects.create(code="d")
        Item.objects.create(code="e")
    assert codes(Item.objects.filter(code__gt="c")) == ["d"]
    Item.objects.create(code="f")
    assert Item.objects.count() == 5


def test_a_connection_that_nobody_has_is_closed(shop):
    """The store doesn't hold the connection that holds it."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM nonrel_item")
        assert cursor.fetchone() == (3,)
    inner, gone = other.connection, weakref.ref(other)
    del other, cursor
    gc.collect()
    assert gone() is None
    assert inner.closed
