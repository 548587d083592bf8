"""Statements that are commented, copied, formatted or looked at on their way."""

import contextlib
import copy
import datetime
import decimal
import pickle
import sqlite3
import uuid

import pytest
import sqlparse
from django.core.management.color import no_style
from django.db import IntegrityError, connection, models, transaction
from django.db.backends import utils
from django.db.models import Count, F, Max, Q, Subquery, Sum
from django.db.models.functions import Upper
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import effort

from .databases import opened, run
from .models import Author, Book, Item, model

Every = model(
    "Every",
    u=models.UUIDField(),
    x=models.DecimalField(max_digits=6, decimal_places=2),
    j=models.JSONField(),
    b=models.BooleanField(),
    day=models.DateField(),
    at=models.DateTimeField(),
    took=models.DurationField(),
)
VALUES = {
    "u": uuid.UUID(int=5),
    "x": decimal.Decimal("1.50"),
    "j": {"a": 1},
    "b": True,
    "day": datetime.date(2020, 1, 1),
    "at": datetime.datetime(2020, 1, 1, 2),
    "took": datetime.timedelta(seconds=2),
}
NASTY = " /* ' \" ; -- sqlite_master pragma_x( IN (SELECT RETURNING %%s ? */"

CHANGES = {
    "behind": lambda sql: sql + NASTY,
    "before": lambda sql: NASTY + sql,
    "line": lambda sql: f"-- ROLLBACK ' ;\n{sql}\n-- x",
    "copied": lambda sql: "".join([str(sql)]),
    "pickled": lambda sql: pickle.loads(pickle.dumps(sql)),  # our own
    "deep copied": copy.deepcopy,
    "stripped": lambda sql: f"  {sql}; ".strip(),
    "percent": lambda sql: "%s" % sql,  # noqa: UP031  # one of the ways
    "lower": lambda sql: sqlparse.format(sql, keyword_case="lower"),
    "indented": lambda sql: sqlparse.format(sql, reindent=True),
    "same": lambda sql: sql,
}


def changing(change, kind):
    """Return an execute_wrapper that changes statements, and their parameters' class."""

    def wrapper(execute, sql, params, many, context):
        if not many and params is not None and kind is not None:
            params = kind(params)
        return execute(change(sql), params, many, context)

    return wrapper


def create():
    item = Item.objects.create(code="new", number=7, note="a%b")
    return item.code, Item.objects.get(pk=item.pk).note


def bulk():
    made = Item.objects.bulk_create([Item(code=f"b{n}", number=n) for n in range(3)])
    kept = Item.objects.filter(pk__in=[item.pk for item in made])
    return sorted(kept.values_list("code", flat=True))


def conflicts():
    Item.objects.bulk_create(
        [Item(code="one", number=8), Item(code="two", number=9)], ignore_conflicts=True
    )
    Item.objects.bulk_create(
        [Item(code="one", number=5), Item(code="three")],
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=["number", "note"],
    )
    return Item.objects.get_or_create(code="four", defaults={"number": 4})[1]


def reads():
    like = Item.objects.filter(code__contains="n", note__isnull=True)
    inner = Item.objects.filter(code__startswith="o").values("pk")
    return (
        list(like.order_by("code").values_list("code", "number")),
        Item.objects.filter(pk__in=Subquery(inner)).count(),
        Item.objects.filter(Q(code__icontains="O") | Q(number=1)).exists(),
        Item.objects.aggregate(Max("number"), n=Sum("number", default=0)),
        Item.objects.filter(code__endswith="e").aggregate(n=Count("*")),
        list(Item.objects.annotate(u=Upper("code")).order_by("u").values_list("u")[:3]),
        list(Book.objects.select_related("author").filter(author__name__contains="A")),
        list(Item.objects.values("number").annotate(n=Count("pk")).order_by("number")),
        Item.objects.filter(code__in=["one", "two", "x'y"]).first() is not None,
    )


def writes():
    return (
        Item.objects.filter(code__contains="o").update(number=F("number") + 1),
        Item.objects.filter(number__gt=2).update(note="n'"),
        Item.objects.filter(code="two").delete(),
        Item.objects.filter(
            code__in=Item.objects.filter(number=3).values("code")
        ).delete(),
    )


def related():
    author = Author.objects.create(name="A")
    Book.objects.create(title="t", author=author, editor=author)
    found = list(author.books.values_list("title", "editor__name"))
    return found, author.delete()[0]


def savepoints():
    with transaction.atomic():
        Item.objects.create(code="kept")
        with contextlib.suppress(IntegrityError), transaction.atomic():
            Item.objects.create(code="lost")
            Item.objects.create(code="kept")
        with contextlib.suppress(ValueError), transaction.atomic():
            Item.objects.create(code="undone")
            raise ValueError
    with contextlib.suppress(ValueError), transaction.atomic():
        Item.objects.all().delete()
        raise ValueError
    return Item.objects.filter(code__in=["kept", "lost", "undone"]).count()


def every():
    Every.objects.create(**VALUES)
    rows = [tuple(row.values()) for row in Every.objects.values(*VALUES)]
    return rows, list(Every.objects.values("b").annotate(n=Max("at"), d=Max("day")))


def sequences():
    for sql in connection.ops.sequence_reset_by_name_sql(
        no_style(), [{"table": "nonrel_item", "column": "id"}]
    ):
        run(sql)
    return Item.objects.create(code="behind").pk > 1


def raw():
    run("INSERT INTO nonrel_item (code, number) VALUES (%s, %s)", ["raw'", 6])
    run("UPDATE nonrel_item SET number = 1 WHERE code = 'sqlite_master'")
    return (
        run("SELECT count(*) FROM nonrel_item WHERE code LIKE %s", ["%a%"]),
        run("SELECT name FROM sqlite_master WHERE name = 'nonrel_item'"),
    )


def migrate():
    field = models.IntegerField(default=3)
    field.set_attributes_from_name("extra")
    with connection.schema_editor() as editor:
        editor.add_field(Author, field)
        editor.add_index(Book, models.Index(fields=["title"], name="by_title"))
    with connection.schema_editor() as editor:
        editor.remove_index(Book, models.Index(fields=["title"], name="by_title"))
        editor.remove_field(Author, field)
    return connection.introspection.table_names()


OPERATIONS = [create, bulk, conflicts, reads, writes, related, savepoints, every]
OPERATIONS += [sequences, raw, migrate]


@settings(max_examples=effort(test=8, check=50, soak=3000))
@given(
    st.permutations(OPERATIONS),
    st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3),
    st.sampled_from([None, list, tuple]),
)
def test_changed_statements_mean_the_same(tmp_path_factory, operations, changes, kind):
    """
    Whatever a wrapper does to the text, the ORM does what it does on SQLite without.

    ``%s`` within a comment is written as wrappers have to: doubled.
    """
    answers = []
    for engine in ("sqlite3", "memory", "lmdb"):
        with opened(engine, tmp_path_factory.mktemp("observed")) as database:
            database.create(Item, Author, Book, Every)
            Item.objects.bulk_create(
                [
                    Item(code=code, number=n)
                    for n, code in enumerate(["one", "two", "x"])
                ]
            )
            with contextlib.ExitStack() as stack:
                if engine != "sqlite3":
                    for name in changes:
                        wrapper = changing(CHANGES[name], kind)
                        stack.enter_context(connection.execute_wrapper(wrapper))
                found = [str(operation()) for operation in operations]
            rows = list(
                Item.objects.order_by("code").values_list("code", "number", "note")
            )
            answers.append((found, rows))
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


@pytest.fixture
def rows(ours):
    ours.create(Item, Author, Book, Every)
    Every.objects.create(**VALUES)
    Item.objects.create(code="a%", number=1)
    return ours


@pytest.mark.parametrize("times", [1, 2])
def test_a_compiler_may_be_asked_again(rows, monkeypatch, times):
    """What asks for the text before it is executed changes no value (django-silk)."""
    execute_sql, seen = SQLCompiler.execute_sql, []

    def asking(self, *args, **kwargs):
        for _ in range(times):
            sql, params = self.as_sql()
            seen.append(str(sql) % tuple(params))
        return execute_sql(self, *args, **kwargs)

    monkeypatch.setattr(SQLCompiler, "execute_sql", asking)
    for name, value in VALUES.items():
        assert list(Every.objects.values_list(name, flat=True)) == [value]
    assert Every.objects.filter(b=True).count() == 1
    assert Every.objects.filter(b=True).update(b=False) == 1
    assert Every.objects.filter(b=False).delete()[0] == 1
    assert all(text.split()[0] in ("SELECT", "UPDATE", "DELETE") for text in seen)


def _cursor_class(monkeypatch, seen):
    execute = utils.CursorWrapper.execute

    def looking(self, sql, params=None):
        seen.append((sql, params))
        return execute(self, sql, params)

    monkeypatch.setattr(utils.CursorWrapper, "execute", looking)


def _connection(monkeypatch, seen):
    cursor = connection.cursor

    class Wrapper:
        def __init__(self, wrapped):
            self.wrapped = wrapped

        def __getattr__(self, name):
            return getattr(self.wrapped, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.wrapped.close()

        def execute(self, sql, params=None):
            seen.append((sql, params))
            return self.wrapped.execute(sql, params)

    monkeypatch.setattr(
        connection, "cursor", lambda *args: Wrapper(cursor(*args)), raising=False
    )


@pytest.mark.parametrize("install", [_cursor_class, _connection])
def test_what_is_seen_is_true(rows, monkeypatch, install):
    """
    A tool that replaces a cursor sees statements and parameters that could be run.

    They are run, by SQLite over a copy of the rows, and give the same.
    """
    seen = []
    with monkeypatch.context() as patch:
        install(patch, seen)
        found = [
            list(Item.objects.values_list("code", "number").filter(code="a%")),
            list(Item.objects.values_list("code").filter(code__contains="%")),
            [(Item.objects.filter(number=1).count(),)],
            list(Item.objects.values_list("number").annotate(n=Count("pk"))),
        ]
        Item.objects.filter(code="a%").update(number=2)
        Item.objects.filter(number=2).delete()
        Item.objects.create(code="made", number=3)
    copied = sqlite3.connect(":memory:")
    copied.execute(
        run("SELECT sql FROM sqlite_master WHERE name = 'nonrel_item'")[0][0]
    )
    copied.execute("INSERT INTO nonrel_item (code, number) VALUES ('a%', 1)")
    answers = []
    for sql, params in seen:
        if params is None:
            continue  # a savepoint
        assert type(params) in (tuple, list)
        text = sql.replace("%s", "?")
        answers.append(copied.execute(text, tuple(params)).fetchall())
    assert answers[:4] == found
    assert copied.execute("SELECT code, number FROM nonrel_item").fetchall() == [
        ("made", 3)
    ]


def test_what_is_logged_can_be_run(rows):
    """connection.queries and str(query) are SQL, filters that are pushed down too."""
    query = Item.objects.filter(code__contains="a").order_by("code")
    with CaptureQueriesContext(connection) as captured:
        assert len(query) == 1
    sql = captured[0]["sql"]
    assert "nonrel_item" in sql
    assert len(run(sql)) == 1
    assert "NULL /*" not in f"{sql}{query.query}"


def test_a_text_that_nobody_asked_for_is_written_when_somebody_does(rows):
    """A statement that is run without SQL tells it afterwards, in each way to ask."""
    compiler = Item.objects.filter(code="a%").query.get_compiler(connection=connection)
    compiler._executing = True
    statement, params = compiler.as_sql()
    text = str(statement)
    assert text.startswith('SELECT "nonrel_item"."id"')
    assert (f"{statement}", "%s" % statement) == (text, text)  # noqa: UP031  # it is what is tested
    assert (statement + "", "" + statement) == (text, text)
    assert (len(statement), statement[:6], statement.upper()) == (
        len(text),
        "SELECT",
        text.upper(),
    )
    assert statement == text
    assert hash(statement) == hash(text)
    assert repr(statement) == repr(text)
    assert copy.copy(statement) == text
    assert type(pickle.loads(pickle.dumps(statement))) is str
    assert tuple(params) == ("a%",)
    assert (list(params), len(params), params[0]) == (["a%"], 1, "a%")
    assert run(text, list(params)) == run("SELECT * FROM nonrel_item")


def test_nothing_is_written_that_nobody_sees(rows, monkeypatch):
    """Statements that are run without SQL have no text made."""

    def refuse(*args, **kwargs):
        raise AssertionError("SQL was made")

    monkeypatch.setattr(SQLCompiler, "as_sql", refuse)
    item = Item.objects.get(code="a%")
    assert Item.objects.filter(pk=item.pk).update(number=2) == 1
    assert Item.objects.filter(number=2).exists()
