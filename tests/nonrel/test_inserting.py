"""INSERT goes to the engine without its text, unless somebody looks at it."""

import contextlib

import pytest
from django.db import connection, models
from django.db.models.functions import Lower
from django.db.models.sql import InsertQuery
from django.test.utils import CaptureQueriesContext

from .models import Item, model


class Counted(models.IntegerField):
    """Counts how often it is asked for what to save."""

    calls = 0

    def pre_save(self, model_instance, add):
        type(self).calls += 1
        return super().pre_save(model_instance, add)


@pytest.fixture
def items(database):
    database.create(Item)
    return database


def insert_of(*items):
    query = InsertQuery(Item)
    query.insert_values(Item._meta.local_concrete_fields, list(items))
    return query.get_compiler(connection=connection)


def statements(run):
    """Return what reaches the cursor while something runs."""
    seen = []

    def note(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        run()
    return seen


def test_who_looks_sees_the_statement(items):
    """A compiler that is asked, the log and wrappers have SQL with parameters."""
    ((sql, params),) = insert_of(Item(code="a", number=1)).as_sql()
    assert sql.startswith("INSERT INTO ")
    assert params == (None, "a", 1, None)
    with CaptureQueriesContext(connection) as captured:
        Item.objects.create(code="a")
    assert "INSERT INTO " in captured[0]["sql"]
    assert "'a'" in captured[0]["sql"]
    (sql,) = statements(lambda: Item.objects.create(code="b"))
    assert sql.startswith("INSERT INTO ")


def test_nobody_looks(items, monkeypatch):
    """No text is made of plain values, of one object and of many."""
    if not getattr(connection, "native", False):
        pytest.skip("SQLite needs the statement")

    def refuse(self, fields, value_rows):
        raise AssertionError("SQL was made")

    monkeypatch.setattr(
        connection.ops.compiler("SQLInsertCompiler"), "assemble_as_sql", refuse
    )
    Item.objects.create(code="a", number=1)
    made = Item.objects.bulk_create([Item(code="b"), Item(code="c", number=3)])
    assert [(item.pk, item.code) for item in made] == [(2, "b"), (3, "c")]
    assert list(Item.objects.order_by("pk").values_list("code", "number")) == [
        ("a", 1),
        ("b", 0),
        ("c", 3),
    ]


@pytest.mark.parametrize("looking", [False, True])
def test_pre_save_is_called_once(database, looking):
    """Also if another value of the statement is an expression."""
    thing = model("Thing", number=Counted(), name=models.TextField())
    database.create(thing)
    Counted.calls = 0
    context = CaptureQueriesContext(connection) if looking else contextlib.nullcontext()
    with context:
        thing.objects.bulk_create(
            [thing(number=1, name="A"), thing(number=2, name=Lower(models.Value("B")))]
        )
    assert Counted.calls == 2
    assert list(thing.objects.order_by("pk").values_list("number", "name")) == [
        (1, "A"),
        (2, "b"),
    ]
