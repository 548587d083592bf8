"""Shapes of queries: what looks like a query that needs no SQL, and isn't one."""

import uuid

import pytest
from django.db import connection, models
from django.db.models import Count, Max, Value
from django.test.utils import CaptureQueriesContext

from .databases import run
from .models import Item, registry


class Shown(models.CharField):
    """A field that says how its column is selected."""

    def select_format(self, compiler, sql, params):
        """Return SQL for a SELECT clause."""
        return f"upper({sql})", params


class Text(models.CharField):
    """Text whose column is of another type."""

    def db_type(self, connection):
        """Return the column's type."""
        return "uuid"


class Number(models.BooleanField):
    """A truth whose column is a number."""

    def db_type(self, connection):
        """Return the column's type."""
        return "integer"


class Loud(models.IntegerField):
    """A number that is read as text."""

    def from_db_value(self, value, expression, connection):
        """Return a value as Python sees it."""
        return f"<{value}>"


class Odd(models.Model):
    """Fields that aren't what their classes are called."""

    shown = Shown(max_length=9, default="a")
    token = Text(max_length=32, null=True)
    number = Number(null=True)

    class Meta:
        app_label = "nonrel"
        apps = registry


def store_calls(action):
    """Return what an action returns, and what the store is asked meanwhile."""
    with CaptureQueriesContext(connection) as captured:
        found = action()
    return found, [c["call"] for one in captured.captured_queries for c in one.store]


def test_existence_is_asked_for_by_the_compiler(ours):
    """It needs no SQL, whatever else the query selects; a query like it is another."""
    ours.create(Item)
    Item.objects.bulk_create(Item(code=code, number=1) for code in "abc")
    rows = Item.objects.filter(number=1)
    for found, wanted in (
        (rows, True),
        (rows.filter(code="x"), False),
        (rows[1:], True),
    ):
        answer, calls = store_calls(found.exists)
        assert answer is wanted
        assert "for exists" in calls[0]
    for constant in (1, True, 1.0):
        same = rows.annotate(a=Value(constant)).values_list("a", flat=True)
        found, calls = store_calls(lambda same=same: list(same))
        assert found == [constant] * 3
        assert {type(one) for one in found} == {type(constant)}
        assert not calls[0].startswith("native:")
        assert same.exists()
        assert same.explain()
    # What exists() makes, asked for its rows.
    made = rows.query.exists(limit=False).get_compiler("default")
    assert [row for chunk in made.execute_sql() for row in chunk] == [(1,)] * 3


def test_fields_convert_by_themselves(database):
    """A total in another field is another query, in any order of the two."""
    database.create(Item)
    Item.objects.bulk_create(Item(code=code, number=7) for code in "ab")
    groups = Item.objects.values("code").order_by("code")
    for _ in range(2):
        plain = groups.annotate(n=Max("number"))
        loud = groups.annotate(n=Max("number", output_field=Loud()))
        assert [row["n"] for row in plain] == [7, 7]
        assert [row["n"] for row in loud] == ["<7>", "<7>"]
        counted = groups.annotate(n=Count("*", output_field=Loud()))
        assert [row["n"] for row in counted] == ["<1>", "<1>"]
        assert [row["n"] for row in groups.annotate(n=Count("*"))] == [1, 1]
        assert (
            Item.objects.aggregate(n=Max("number", output_field=Loud()))["n"] == "<7>"
        )


def test_a_field_selects_its_column_in_its_own_way(database):
    database.create(Odd)
    Odd.objects.create()
    assert Odd.objects.get().shown == "A"
    assert Odd.objects.values_list("shown").distinct().get() == ("A",)
    assert Odd.objects.get(shown="a").pk


@pytest.mark.parametrize("stored", [None, 0, 1, 2])
def test_a_truth_of_a_number(database, stored):
    """Of more than two values: those that the SQL finds, which versions write anew."""
    database.create(Odd)
    Odd.objects.create()
    run("UPDATE nonrel_odd SET number = %s", [stored])
    for truth in (True, False):
        for asked in (Odd.objects.filter, Odd.objects.exclude):
            queryset = asked(number=truth)
            assert queryset.count() == len(Odd.objects.raw(str(queryset.query)))
            if stored != 2:
                is_it = stored is not None and bool(stored) is truth
                assert queryset.exists() == (is_it is (asked == Odd.objects.filter))


def test_text_of_another_type(database):
    """The column's own text is what patterns are compared with."""
    database.create(Odd)
    token = uuid.UUID(int=0xABCDEF).hex
    Odd.objects.create(token=token)
    for pattern in (token[-9:], "00abc"):
        assert Odd.objects.filter(token__contains=pattern).count() == 1
        assert Odd.objects.filter(token__contains=pattern).exists()


class Place(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "nonrel"
        apps = registry


class Restaurant(Place):
    stars = models.IntegerField(default=0)

    class Meta:
        app_label = "nonrel"
        apps = registry


def test_a_statement_within_another_one(database):
    """An UPDATE of parents reads their keys while it is put together."""
    database.create(Place, Restaurant)
    Restaurant.objects.create(name="Demon Dogs")
    Restaurant.objects.create(name="Other")
    dogs = Restaurant.objects.filter(name__icontains="dog")
    assert dogs.update(name="Dog house", stars=4) == 1
    assert sorted(Restaurant.objects.values_list("name", "stars")) == [
        ("Dog house", 4),
        ("Other", 0),
    ]
