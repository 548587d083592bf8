"""
What immudb does silently differently from SQL, by name: through Django it doesn't.

Each was seen on the server itself; the tests of the driver and docs/design/immudb.rst
tell more of what it does.
"""

import datetime
import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from backendkit.stores import (
    Column,
    ConflictError,
    Index,
    Table,
    ValueType,
)

pytest.importorskip("grpc", reason="needs the extra immudb")

#: See the fixture ``_lent``.
LENDS = True


@pytest.fixture
def models(database):
    from . import models as found

    database.create(found.Parent, found.Trap)
    return found


@pytest.fixture
def trap(models):
    return models.Trap


@pytest.fixture
def four(trap):
    """Rows of NULL, 1, 2 and 3, with text and truth to go with it."""
    rows = [(None, None, None), (1, "a", True), (2, "b", False), (3, "Ab%_\\", True)]
    return [trap.objects.create(n=n, s=s, flag=flag, f=n) for n, s, flag in rows]


def numbers(queryset):
    return sorted(
        queryset.values_list("n", flat=True), key=lambda n: (n is not None, n)
    )


# NULL


def test_null_does_not_match_not_equal(trap, four):
    assert numbers(trap.objects.exclude(n=1).exclude(n=None)) == [2, 3]
    assert numbers(trap.objects.filter(n__lt=5)) == [1, 2, 3]
    assert numbers(trap.objects.filter(n__lte=1)) == [1]


def test_null_does_not_match_not_in(trap, four):
    from django.db.models import Q

    assert numbers(trap.objects.filter(~Q(n__in=[1, 2]), n__isnull=False)) == [3]
    # Django's exclude() has the rows of NULL, by a condition of its own.
    assert numbers(trap.objects.exclude(n__in=[1, 2])) == [None, 3]
    assert numbers(trap.objects.exclude(n__gt=0)) == [None]


def test_null_does_not_match_not_like(trap, four):
    assert numbers(trap.objects.exclude(s__startswith="a").filter(s__isnull=False)) == [
        2
    ]
    assert numbers(trap.objects.exclude(s__startswith="a")) == [None, 2]


def test_null_is_not_equal_to_null(trap, four):
    from django.db.models import F

    assert numbers(trap.objects.filter(n=F("n"))) == [1, 2, 3]
    assert trap.objects.filter(n__in=[None]).count() == 0


def test_null_plus_one_is_null(trap, four):
    from django.db.models import F

    assert trap.objects.update(n=F("n") + 1) == 4
    assert numbers(trap.objects.all()) == [None, 2, 3, 4]


def test_not_of_a_boolean(trap, four):
    from django.db.models import Q

    assert numbers(trap.objects.filter(~Q(flag=True), flag__isnull=False)) == [2]
    assert numbers(trap.objects.filter(flag=False)) == [2]


def test_aggregates_over_nothing_are_null(trap):
    from django.db.models import Avg, Count, Max, Min, Sum

    found = trap.objects.aggregate(Sum("n"), Min("n"), Max("n"), Avg("n"), Count("n"))
    assert found == {
        "n__sum": None,
        "n__min": None,
        "n__max": None,
        "n__avg": None,
        "n__count": 0,
    }


def test_the_average_of_integers_is_not_cut(trap, four):
    from django.db.models import Avg

    trap.objects.filter(n=3).update(n=4)
    found = trap.objects.aggregate(average=Avg("n"))["average"]
    assert found == pytest.approx(7 / 3)


def test_null_passes_a_check(trap):
    from django.db import IntegrityError

    trap.objects.create(n=None)
    with pytest.raises(IntegrityError, match="n_gt"):
        trap.objects.create(n=-1000)
    assert trap.objects.count() == 1


def test_nulls_do_not_collide_in_a_unique_index(trap):
    from django.db import IntegrityError

    for code in (None, None, "one"):
        trap.objects.create(code=code)
    with pytest.raises(IntegrityError, match="UNIQUE"):
        trap.objects.create(code="one")
    assert trap.objects.filter(code=None).count() == 2


# Values


def test_a_sum_does_not_wrap_around(trap):
    from django.db import DatabaseError
    from django.db.models import F, Sum

    largest = 2**63 - 1
    trap.objects.bulk_create([trap(n=largest), trap(n=1)])
    with pytest.raises(DatabaseError, match="overflow"):
        trap.objects.aggregate(Sum("n"))
    with pytest.raises((DatabaseError, OverflowError)):
        trap.objects.filter(n=largest).update(n=F("n") + 1)
    assert numbers(trap.objects.all()) == [1, largest]


def test_an_integer_of_more_than_64_bits(trap):
    trap.objects.create(n=5)
    with pytest.raises(Exception, match=r"64|too large|out of range"):
        trap.objects.create(n=2**63)
    assert trap.objects.filter(n__lt=2**70).count() == 1
    assert trap.objects.filter(n=2**70).count() == 0


def test_floats_with_an_exponent(trap):
    for value in (1e300, 5e-324, float("inf")):
        trap.objects.create(f=value)
        assert trap.objects.get(f=value).f == value


def test_a_float_is_compared_with_an_integer(trap):
    trap.objects.create(f=2.0)
    assert trap.objects.filter(f=2).count() == 1
    assert trap.objects.filter(f__gt=Decimal("1.5")).count() == 1
    assert trap.objects.filter(f__lt=2**70).count() == 1


def test_both_zeros_are_one(trap):
    """In an index of immudb they have two places."""
    trap.objects.create(f=0.0)
    trap.objects.create(f=-0.0)
    for value in (0.0, -0.0, 0):
        assert trap.objects.filter(f=value).count() == 2
        assert trap.objects.filter(f__gte=value).count() == 2
        assert trap.objects.filter(f__lte=value).count() == 2
        assert trap.objects.filter(f__gt=value).count() == 0
        assert trap.objects.filter(f__lt=value).count() == 0
        assert trap.objects.filter(f__in=[value, 7]).count() == 2


def test_times_are_in_order_in_an_index(trap):
    """immudb's keys count nanoseconds in 64 bits: from 1677 to 2262."""
    times = [
        datetime.datetime(year, 1, 1) for year in (1, 1500, 1700, 2000, 2500, 9999)
    ]
    trap.objects.bulk_create([trap(at=time) for time in reversed(times)])
    found = trap.objects.values_list("at", flat=True)
    assert list(found.order_by("at")) == times
    assert list(found.order_by("-at")) == times[::-1]
    assert list(found.order_by("-at")[:2]) == times[:-3:-1]
    for number, time in enumerate(times):
        assert trap.objects.filter(at=time).count() == 1
        assert trap.objects.filter(at__gt=time).count() == 5 - number
        assert trap.objects.filter(at__lte=time).count() == number + 1
        assert sorted(found.filter(at__lt=time)) == times[:number]


def test_decimals_are_exact(trap):
    for text in ("9999999999.99", "-0.01", "10.00", "9.00"):
        trap.objects.create(amount=Decimal(text))
    found = trap.objects.order_by("amount").values_list("amount", flat=True)
    assert list(found) == [
        Decimal(t) for t in ("-0.01", "9.00", "10.00", "9999999999.99")
    ]
    assert trap.objects.filter(amount=Decimal("10.0")).count() == 1
    assert trap.objects.filter(amount__gt=Decimal("9.5")).count() == 2


def test_json_keeps_its_numbers(trap):
    """immudb's own type makes floats of large integers."""
    data = {"b": 12345678901234567890123, "a": [2.5, None]}
    trap.objects.create(data=data)
    assert trap.objects.get().data == data
    assert trap.objects.filter(data__b=data["b"]).count() == 1


def test_a_nul_in_a_text(trap):
    trap.objects.create(s="a\0b")
    trap.objects.create(s="a")
    assert trap.objects.filter(s="a\0b").count() == 1
    assert list(trap.objects.order_by("s").values_list("s", flat=True)) == ["a", "a\0b"]


def test_patterns_are_as_in_sqlite(trap, four):
    for text, wanted in (("A", [1, 3]), ("%", [3]), ("_", [3]), ("\\", [3]), ("É", [])):
        assert numbers(trap.objects.filter(s__contains=text)) == wanted


# Names


def test_names_with_anything_in_them(models):
    models.Parent.objects.create(order="x")
    assert models.Parent.objects.get(order="x").order == "x"
    from django.db import connection

    names = connection.introspection.table_names()
    assert sorted(names) == ['traps "Parent"', "traps_trap"]
    models.Trap.objects.create(password=5)
    assert models.Trap.objects.get(password=5).password == 5


# SQL that is missing or wrong


def test_expressions_in_aggregates(trap, four):
    from django.db.models import F, Sum

    assert trap.objects.aggregate(total=Sum(F("n") * 2))["total"] == 12


def test_subqueries_in_the_select_list(trap, four):
    from django.db.models import F, OuterRef, Subquery

    below = trap.objects.filter(n__lt=OuterRef("n")).order_by("-n").values("n")[:1]
    found = trap.objects.filter(n__gt=0).annotate(below=Subquery(below))
    assert list(found.order_by("n").values_list("n", "below")) == [
        (1, None),
        (2, 1),
        (3, 2),
    ]
    assert trap.objects.filter(n=F("f")).count() == 3


def test_concatenation(trap, four):
    from django.db.models import Value
    from django.db.models.functions import Concat

    found = trap.objects.filter(n=1).annotate(both=Concat("s", Value("!")))
    assert found.get().both == "a!"


def test_a_running_sum(trap, four):
    from django.db.models import F, Sum, Window

    running = Window(Sum("n"), order_by=F("n").asc())
    found = trap.objects.filter(n__gt=0).annotate(total=running).order_by("n")
    assert list(found.values_list("total", flat=True)) == [1, 3, 6]


def test_foreign_keys_are_enforced(models):
    from django.db import IntegrityError, connection, transaction

    parent = models.Parent.objects.create(order="p")
    models.Trap.objects.create(parent=parent)
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        models.Trap.objects.create(parent_id=parent.pk + 77)
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        models.Parent.objects.all()._raw_delete(connection.alias)
    with pytest.raises(IntegrityError), transaction.atomic():
        models.Trap.objects.update(parent_id=99)
    assert models.Parent.objects.count() == models.Trap.objects.count() == 1


def test_an_insert_returns_its_key_and_is_there(trap):
    made = trap.objects.create(n=5)
    assert trap.objects.get(pk=made.pk).n == 5
    many = trap.objects.bulk_create([trap(n=n) for n in range(5)])
    assert {one.pk for one in many} == set(
        trap.objects.exclude(pk=made.pk).values_list("pk", flat=True)
    )


def test_conflicts_of_a_secondary_unique_index(trap):
    trap.objects.create(code="a", n=1)
    trap.objects.bulk_create(
        [trap(code="a", n=2), trap(code="b", n=3)], ignore_conflicts=True
    )
    assert numbers(trap.objects.all()) == [1, 3]
    trap.objects.bulk_create(
        [trap(code="a", n=7), trap(code="c", n=8)],
        update_conflicts=True,
        update_fields=["n"],
        unique_fields=["code"],
    )
    assert numbers(trap.objects.all()) == [3, 7, 8]


def test_an_explicit_key_below_others(trap):
    """In a column that immudb numbers, it would be refused."""
    high = trap.objects.create()
    trap.objects.create(pk=high.pk + 100)
    trap.objects.create(pk=-5)
    trap.objects.create(pk=high.pk + 50)
    assert trap.objects.create().pk > high.pk + 100


def test_a_slice_of_nothing(trap, four):
    """LIMIT 0 is no limit."""
    assert list(trap.objects.all()[0:0]) == []
    assert list(trap.objects.order_by("n")[2:2]) == []
    assert len(trap.objects.order_by("n")[3:9]) == 1


def test_schema_changes_of_tables_with_rows(trap, four):
    from django.db import IntegrityError, connection
    from django.db import models as fields

    with connection.schema_editor() as editor:
        editor.alter_unique_together(trap, [], [("n",)])
    with pytest.raises(IntegrityError):
        trap.objects.create(n=1)
    with connection.schema_editor() as editor:
        editor.alter_unique_together(trap, [("n",)], [])
        added = fields.IntegerField(default=7)
        added.set_attributes_from_name("added")
        added.model = trap
        editor.add_field(trap, added)
    with connection.cursor() as cursor:
        cursor.execute('SELECT DISTINCT "added" FROM traps_trap')
        assert cursor.fetchall() == [(7,)]
        with pytest.raises(IntegrityError, match="NOT NULL"):
            cursor.execute('UPDATE traps_trap SET "added" = NULL')


def test_null_is_refused_where_it_was_allowed(trap, four):
    """The table's definition changes; with NULL in it, it doesn't."""
    from django.db import IntegrityError, connection

    old, new = trap._meta.get_field("n"), trap._meta.get_field("n").clone()
    new.null = False
    new.set_attributes_from_name("n")
    new.model = trap
    with pytest.raises(IntegrityError), connection.schema_editor() as editor:
        editor.alter_field(trap, old, new)
    trap.objects.filter(n=None).delete()
    with connection.schema_editor() as editor:
        editor.alter_field(trap, old, new)
    with pytest.raises(IntegrityError, match="NOT NULL"):
        trap.objects.create(n=None)


# Transactions


def test_an_error_does_not_end_a_transaction(trap):
    from django.db import IntegrityError, transaction

    with transaction.atomic():
        trap.objects.create(code="a", n=1)
        with pytest.raises(IntegrityError), transaction.atomic():
            trap.objects.create(code="a", n=2)
        trap.objects.create(code="b", n=3)
    assert numbers(trap.objects.all()) == [1, 3]


def test_rolling_back_to_a_savepoint_undoes(trap, four):
    from django.db import transaction

    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            trap.objects.update(n=9)
            trap.objects.filter(s="a").delete()
            raise ZeroDivisionError
        trap.objects.filter(n=3).update(n=4)
    assert numbers(trap.objects.all()) == [None, 1, 2, 4]


def test_a_row_is_written_as_often_as_one_likes(trap):
    from django.db import transaction

    with transaction.atomic():
        one = trap.objects.create(n=0, s="a")
        for number in range(5):
            one.n, one.s = number, f"s{number}"
            one.save()
        one.delete()
        two = trap.objects.create(pk=one.pk or 1, n=1)
        two.delete()
        trap.objects.create(pk=1, n=7)
    assert numbers(trap.objects.all()) == [7]


def test_rows_take_over_values_of_an_index(trap, four):
    """What one row leaves, another one gets, in the same transaction."""
    from django.db import transaction
    from django.db.models import F

    trap.objects.filter(n__gt=0).update(n=F("n") + 1)
    assert numbers(trap.objects.filter(n__gte=2)) == [2, 3, 4]
    with transaction.atomic():
        two, three = trap.objects.get(n=2), trap.objects.get(n=3)
        two.n, three.n = 3, 2
        two.save()
        three.save()
        trap.objects.filter(n=4).delete()
        trap.objects.create(n=4, s="new")
    assert trap.objects.get(n=3).s == "a"
    assert trap.objects.get(n=4).s == "new"
    for number in (2, 3, 4):
        assert trap.objects.filter(n=number).count() == 1


@pytest.mark.check
def test_many_rows_leave_their_place_in_an_index(trap):
    """With more than 512 in a transaction, immudb would end, and not start again."""
    from django.db.models import F

    assert any("n" in index.fields for index in trap._meta.indexes) or (
        trap._meta.get_field("n").db_index
    )
    trap.objects.bulk_create([trap(n=n) for n in range(900)])
    for times in (1, 2):
        trap.objects.update(n=F("n") + 1)
        assert trap.objects.filter(n__gte=times).count() == 900
        assert trap.objects.get(n=times)


def test_transactions_that_fail_leave_no_snapshot(trap):
    """After a hundred of them, immudb would answer nobody."""
    from django.db import IntegrityError, connection, transaction

    trap.objects.create(code="a")
    for number in range(150):
        with pytest.raises(IntegrityError):
            trap.objects.create(code="a")
        if number % 10 == 0:
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                trap.objects.create(code="b")
                raise ZeroDivisionError
        if number % 50 == 0:
            connection.close()
    assert trap.objects.count() == 1


def test_the_second_of_two_writers_may_try_again(trap, four, database):
    from django.db import OperationalError, connections, transaction

    one = trap.objects.get(n=1)

    def change():
        trap.objects.filter(n=1).update(s="theirs")
        connections.close_all()

    with pytest.raises(OperationalError) as caught, transaction.atomic():
        mine = trap.objects.get(pk=one.pk)
        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
        mine.s = "mine"
        mine.save()
    assert isinstance(caught.value.__cause__, ConflictError)
    assert trap.objects.get(pk=one.pk).s == "theirs"


# The server itself: if one of these fails, it has learned, and we may do less.


def test_a_value_that_passes_from_row_to_row_is_refused(connection):
    """The reason for ``changes.replace``."""
    connection.run("CREATE TABLE t (id INTEGER, n INTEGER, PRIMARY KEY id)")
    connection.run("CREATE INDEX ON t(n)")
    connection.run("INSERT INTO t (id, n) VALUES (1, 1)")
    with pytest.raises(Exception, match="non-transient key to transient"):
        connection.run(
            "UPDATE t SET n = 2 WHERE id = 1; INSERT INTO t (id, n) VALUES (2, 1)"
        )


def test_limit_zero_is_no_limit(connection):
    connection.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
    connection.run("INSERT INTO t (id) VALUES (1), (2)")
    assert len(connection.query("SELECT id FROM t LIMIT 0").rows) == 2


def test_a_transaction_has_a_snapshot_for_each_index(connection, connect):
    """The reason for ``UNTIL TX`` in sessions that only read."""
    connection.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
    connection.run("CREATE TABLE u (id INTEGER, PRIMARY KEY id)")
    other = connect(autocommit=True)
    other.begin(read_only=True)
    assert other.query("SELECT id FROM t").rows == []
    connection.run("INSERT INTO t (id) VALUES (1); INSERT INTO u (id) VALUES (1)")
    assert other.query("SELECT id FROM t").rows == []
    assert other.query("SELECT id FROM u").rows == [(1,)]
    other.rollback()


def test_an_unknown_entry_limit_is_no_error(store, monkeypatch):
    """For who may not list databases it is as if it were low."""
    from backendkit.backends.immudb.shared import Shared

    monkeypatch.setattr(Shared, "limit", lambda self, connection: None)
    column = Column("id", ValueType.INTEGER, nullable=False)
    table = Table(
        "wide", (column, replace(column, name="n")), ("id",), (Index("i", ("n",)),)
    )
    session = store.session()
    session.begin(write=True)
    session.create_table(table)
    session.insert(table, [(n, n) for n in range(1500)])
    session.commit()
    session.begin(write=True)
    assert list(session.catalog().tables) == ["wide"]
    assert session.get(table, (1499,)) == (1499, 1499)
    session.rollback()
