"""Ways to write, by the ORM and in SQL, and what is told of them."""

import pytest
from django.db import (
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connection,
    models,
    reset_queries,
    transaction,
)
from django.db.models import Avg, Case, Count, F, Max, Min, Sum, Value, When
from django.db.models.functions import Concat, Length, Upper
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from .databases import OURS, opened, run
from .models import Author, Book, Item, model


@pytest.fixture
def items(database):
    database.create(Item, Author, Book)
    return database


def rows():
    return list(Item.objects.order_by("code").values_list("code", "number"))


def fill(*numbers):
    return Item.objects.bulk_create(
        Item(code=chr(97 + n), number=number) for n, number in enumerate(numbers)
    )


class TestBulkCreate:
    def test_keys(self, items):
        """Created objects get their keys; keys that are given are kept."""
        made = Item.objects.bulk_create(
            [Item(code="a"), Item(pk=50, code="b"), Item(code="c")]
        )
        assert {item.code: item.pk for item in Item.objects.all()} == {
            item.code: item.pk for item in made
        }
        assert made[1].pk == 50
        assert made[2].pk != 50

    def test_in_batches(self, items):
        """Thousands of objects are created in order, in batches of any size."""
        made = Item.objects.bulk_create(
            [Item(code=f"{n}", number=n) for n in range(2500)], batch_size=999
        )
        keys = [item.pk for item in made]
        assert keys == sorted(set(keys))
        assert Item.objects.aggregate(Sum("number"))["number__sum"] == 2499 * 1250

    def test_ignore_conflicts(self, items):
        """Objects that conflict are left out; what is there stays."""
        fill(1, 2)
        Item.objects.bulk_create(
            [Item(code="a", number=9), Item(code="c", number=3), Item(code="c")],
            ignore_conflicts=True,
        )
        assert rows() == [("a", 1), ("b", 2), ("c", 3)]

    def test_ignore_conflicts_of_foreign_keys(self, items):
        """A foreign key that refers to nothing isn't ignored."""
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            Book.objects.bulk_create(
                [Book(title="t", author_id=9)], ignore_conflicts=True
            )
        assert Book.objects.count() == 0

    def test_update_conflicts(self, items):
        """Objects that conflict update what is there, in the fields named."""
        before = fill(1, 2)
        made = Item.objects.bulk_create(
            [Item(code="b", number=20, note="no"), Item(code="c", number=30)],
            update_conflicts=True,
            update_fields=["number"],
            unique_fields=["code"],
        )
        assert rows() == [("a", 1), ("b", 20), ("c", 30)]
        assert made[0].pk == before[1].pk
        assert Item.objects.get(code="b").note is None

    def test_update_conflicts_twice(self, items):
        """Of two objects that conflict with one another the later one stays."""
        Item.objects.bulk_create(
            [Item(code="a", number=1), Item(code="a", number=2)],
            update_conflicts=True,
            update_fields=["number"],
            unique_fields=["code"],
        )
        assert rows() == [("a", 2)]

    def test_update_conflicts_of_others(self, items):
        """A conflict with another constraint than the one named is an error."""
        fill(1, 2)
        before = rows()
        with pytest.raises(IntegrityError, match=r"nonrel_item\.(code|id)"):
            Item.objects.bulk_create(
                [Item(code="x", number=1), Item(pk=77, code="a")],
                update_conflicts=True,
                update_fields=["number"],
                unique_fields=["pk"],
            )
        assert rows() == before


class TestUpdates:
    def test_bulk_update(self, items):
        """``bulk_update()`` writes each object's own values."""
        made = fill(*range(10))
        for item in made:
            item.number *= 10
            item.note = f"n{item.number}"
        assert Item.objects.bulk_update(made, ["number", "note"], batch_size=4) == 10
        assert all(item.note == f"n{item.number}" for item in Item.objects.all())
        assert Item.objects.aggregate(Sum("number"))["number__sum"] == 450

    def test_update_or_create(self, items):
        """``update_or_create()`` does the one or the other."""
        one, created = Item.objects.update_or_create(code="a", defaults={"number": 1})
        assert created
        two, created = Item.objects.update_or_create(
            code="a",
            defaults={"number": F("number") + 5},
            create_defaults={"number": 100},
        )
        assert not created
        assert one.pk == two.pk
        assert rows() == [("a", 6)]

    def test_expressions(self, items):
        """UPDATE computes from the row as it was."""
        fill(1, 2, 3)
        Item.objects.update(
            number=F("number") * 2 + Length("code"), note=Concat("code", F("number"))
        )
        assert list(Item.objects.order_by("code").values_list("number", "note")) == [
            (3, "a1"),
            (5, "b2"),
            (7, "c3"),
        ]
        Item.objects.update(
            number=Case(When(number__gt=4, then=Value(0)), default=F("number"))
        )
        assert rows() == [("a", 3), ("b", 0), ("c", 0)]

    def test_subquery(self, items):
        """UPDATE and DELETE take subqueries, of their own table as well."""
        fill(1, 2, 3)
        largest = Item.objects.order_by("-number").values("number")[:1]
        Item.objects.filter(number__lt=3).update(number=largest)
        assert [number for _, number in rows()] == [3, 3, 3]
        Item.objects.filter(pk__in=Item.objects.order_by("code")[:2]).delete()
        assert rows() == [("c", 3)]

    def test_related(self, items):
        """UPDATE filters by related rows."""
        one, two = (Author.objects.create(name=name) for name in "ab")
        for author in (one, two):
            Book.objects.create(title="t", author=author)
        assert Book.objects.filter(author__name="b").update(title="u") == 1
        assert Author.objects.filter(books__title="u").get() == two

    def test_counts(self, items):
        """The number of rows is told: those matched, changed or not."""
        fill(1, 1, 2)
        assert Item.objects.filter(number=1).update(number=1) == 2
        assert Item.objects.filter(number=9).update(number=1) == 0
        assert Item.objects.filter(number=1).delete() == (2, {"nonrel.Item": 2})


class TestRawSQL:
    def test_insert(self, items):
        """INSERT with given columns, with all, with parameters of both kinds."""
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO nonrel_item VALUES (7, 'a', 1, NULL)")
            assert cursor.rowcount == 1
            cursor.execute(
                "INSERT INTO nonrel_item (number, code) VALUES (%s, %s), (%s, %s)",
                [2, "b%", 3, "it's"],
            )
            assert cursor.rowcount == 2
            cursor.execute(
                "INSERT INTO nonrel_item (number, code) VALUES (%(n)s, %(c)s)",
                {"n": 4, "c": "d"},
            )
        assert rows() == [("a", 1), ("b%", 2), ("d", 4), ("it's", 3)]
        assert Item.objects.get(code="b%").pk == 8

    def test_insert_or_ignore(self, items):
        """OR IGNORE leaves out what conflicts."""
        fill(1)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT OR IGNORE INTO nonrel_item (code, number)"
                " VALUES ('a', 9), ('b', 2), ('c', NULL)"
            )
            assert cursor.rowcount == 1
        assert rows() == [("a", 1), ("b", 2)]

    @pytest.mark.parametrize("words", ["INSERT OR REPLACE", "REPLACE", "replace"])
    def test_insert_or_replace(self, items, words):
        """OR REPLACE deletes what is in the way."""
        fill(1, 2)
        run(f"{words} INTO nonrel_item (id, code, number) VALUES (1, 'b', 9)")
        assert rows() == [("b", 9)]

    def test_insert_or_ignore_behind_with(self, items):
        """A statement may begin with common table expressions."""
        fill(1)
        run(
            "WITH t (c, n) AS (VALUES ('a', 5), ('z', 6))"
            " INSERT OR IGNORE INTO nonrel_item (code, number) SELECT c, n FROM t"
        )
        assert rows() == [("a", 1), ("z", 6)]

    def test_insert_select(self, items):
        """INSERT … SELECT reads what was there before, also of the same table."""
        fill(1, 2)
        run(
            "INSERT INTO nonrel_item (code, number)"
            " SELECT code || code, number * 10 FROM nonrel_item"
        )
        assert rows() == [("a", 1), ("aa", 10), ("b", 2), ("bb", 20)]

    def test_update_and_delete(self, items):
        """UPDATE and DELETE, with subqueries, FROM and counts."""
        fill(1, 2, 3, 4)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE nonrel_item SET number = -number WHERE id > 2")
            assert cursor.rowcount == 2
            cursor.execute(
                "UPDATE nonrel_item SET note = o.code FROM nonrel_item AS o"
                " WHERE o.id = nonrel_item.id + 1"
            )
            cursor.execute(
                "DELETE FROM nonrel_item WHERE number <"
                " (SELECT avg(number) FROM nonrel_item)"
            )
            assert cursor.rowcount == 2
        assert sorted(Item.objects.values_list("code", "note")) == [
            ("a", "b"),
            ("b", "c"),
        ]

    def test_executemany(self, items):
        """``executemany()`` runs a statement for each set of parameters."""
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO nonrel_item (code, number) VALUES (%s, %s)",
                [(f"{n}", n) for n in range(50)],
            )
            assert cursor.rowcount == 50
            cursor.executemany(
                "UPDATE nonrel_item SET number = 0 WHERE code = %s",
                iter([["1"], ["2"]]),
            )
            assert cursor.rowcount == 2
        assert Item.objects.filter(number=0).count() == 3

    def test_executemany_fails_as_a_whole(self, items):
        """In a block a failing ``executemany()`` leaves nothing."""
        with pytest.raises(IntegrityError), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO nonrel_item (code, number) VALUES (%s, 1)",
                    [["a"], ["b"], ["a"]],
                )
        assert rows() == []

    def test_queries(self, items):
        """Joins, CTEs, recursive ones, windows, compound and correlated queries."""
        fill(3, 1, 2)
        one = Author.objects.create(name="x")
        Book.objects.create(title="t", author=one)
        assert run(
            "WITH big AS (SELECT * FROM nonrel_item WHERE number > 1)"
            " SELECT b.code, i.code FROM big b JOIN nonrel_item i"
            " ON i.number = b.number - 1 ORDER BY 1"
        ) == [("a", "c"), ("c", "b")]
        assert run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5)"
            " SELECT sum(i), (SELECT count(*) FROM nonrel_item) FROM n"
        ) == [(15, 3)]
        assert run(
            "SELECT code, rank() OVER (ORDER BY number) FROM nonrel_item ORDER BY code"
        ) == [("a", 3), ("b", 1), ("c", 2)]
        assert run(
            "SELECT code FROM nonrel_item UNION SELECT title FROM nonrel_book"
            " EXCEPT SELECT 'b' ORDER BY 1"
        ) == [("a",), ("c",), ("t",)]
        assert run(
            "SELECT a.name, (SELECT title FROM nonrel_book b WHERE b.author_id = a.id)"
            " FROM nonrel_author a LEFT JOIN nonrel_item i ON i.code = a.name"
        ) == [("x", "t")]
        found = Item.objects.raw(
            "SELECT *, upper(code) AS big FROM nonrel_item WHERE number > %s", [1]
        )
        assert sorted(item.big for item in found) == ["A", "C"]

    def test_percent(self, items):
        """Without parameters a % is a %; with them it is written twice."""
        fill(7)
        assert run("SELECT number % 4, '%s' FROM nonrel_item") == [(3, "%s")]
        assert run("SELECT number %% %s, '%%s' FROM nonrel_item", [4]) == [(3, "%s")]

    def test_cursor(self, items):
        """A cursor tells columns, and gives rows one by one, in parts, or all."""
        fill(*range(10))
        with connection.cursor() as cursor:
            cursor.execute("SELECT code, number AS n FROM nonrel_item ORDER BY 1")
            assert [column[0] for column in cursor.description] == ["code", "n"]
            assert cursor.fetchone() == ("a", 0)
            assert [row[1] for row in cursor.fetchmany(3)] == [1, 2, 3]
            assert len(cursor.fetchall()) == 6
            assert cursor.fetchone() is None
            assert cursor.fetchall() == []

    def test_returning(self, items):
        """An INSERT returns columns and expressions, UPDATE is refused on a store."""
        sql = "INSERT INTO nonrel_item (code, number) VALUES ('a', 1) RETURNING id"
        assert run(sql) == [(1,)]
        sql = sql.replace("'a'", "'b'")
        assert run(f"{sql}, number + 1 AS n, upper(code)") == [(2, 2, "B")]
        if items.is_oracle:
            return
        with pytest.raises(OperationalError, match="RETURNING"):
            run("UPDATE nonrel_item SET number = 2 RETURNING id")
        assert {number for _, number in rows()} == {1}


class TestAggregates:
    def test_empty(self, items):
        """Aggregates over no row are NULL, counts 0, defaults as given."""
        nothing = Item.objects.filter(number__gt=5)
        assert nothing.aggregate(
            a=Avg("number"), s=Sum("number"), m=Max("number"), c=Count("*")
        ) == {"a": None, "s": None, "m": None, "c": 0}
        assert nothing.aggregate(s=Sum("number", default=7)) == {"s": 7}
        assert nothing.values("code").annotate(Count("pk")).count() == 0
        assert run("SELECT count(*), total(number), max(code) FROM nonrel_item") == [
            (0, 0.0, None)
        ]

    def test_groups(self, items):
        """Groups, filters of aggregates and of groups."""
        for name, titles in (("a", "xy"), ("b", "z"), ("c", "")):
            author = Author.objects.create(name=name)
            for title in titles:
                Book.objects.create(title=title, author=author)
        counted = Author.objects.annotate(n=Count("books"), last=Max("books__title"))
        assert list(counted.order_by("name").values_list("name", "n", "last")) == [
            ("a", 2, "y"),
            ("b", 1, "z"),
            ("c", 0, None),
        ]
        assert [a.name for a in counted.filter(n__gt=0).order_by("-n")] == ["a", "b"]
        only = Count("books", filter=models.Q(books__title__lt="y"))
        assert Author.objects.annotate(n=only).aggregate(Sum("n"), Min("n")) == {
            "n__sum": 1,
            "n__min": 0,
        }


class TestNumbers:
    """Keys that the database gives."""

    def test_never_again(self, items):
        """A number isn't given again after its row was deleted."""
        fill(1, 2)
        Item.objects.get(pk=2).delete()
        assert Item.objects.create(code="c").pk == 3
        Item.objects.all().delete()
        assert Item.objects.create(code="d").pk == 4
        connection.close()
        assert Item.objects.create(code="e").pk == 5

    def test_behind_given_ones(self, items):
        """Numbers go on behind the largest that was ever given by hand."""
        Item.objects.create(pk=100, code="a")
        Item.objects.filter(pk=100).delete()
        assert Item.objects.create(code="b").pk == 101
        Item.objects.create(pk=-5, code="c")
        assert Item.objects.create(code="d").pk == 102


class TestBeingTold:
    """``explain()``, ``connection.queries``."""

    def test_explain(self, ours):
        """``explain()`` tells of each table how it is read."""
        ours.create(Author, Book)
        text = Book.objects.filter(author__name="x").explain()
        assert "nonrel_book" in text
        assert "nonrel_author" in text
        assert "scan" in text.lower()
        text = Book.objects.filter(pk=3).explain()
        assert "primary key" in text

    def test_queries(self, ours):
        """Each statement is logged with its time and the calls of the store."""
        ours.create(Item)
        with override_settings(DEBUG=True):
            reset_queries()
            fill(1, 2)
            list(Item.objects.filter(number=2))
            Item.objects.filter(number=2).update(number=3)
            logged = list(connection.queries)
        insert, select, update = (
            next(query for query in logged if query["sql"].startswith(word))
            for word in ("INSERT", "SELECT", "UPDATE")
        )
        assert all(float(query["time"]) >= 0 for query in logged)
        (call,) = insert.store
        assert (call["table"], call["call"], call["rows"]) == (
            "nonrel_item",
            "insert",
            2,
        )
        (call,) = select.store
        assert call["table"] == "nonrel_item"
        assert call["rows"] >= 1
        assert call["time"] > 0
        assert "'a'" in insert["sql"]
        assert update.store
        assert all(list(query) == ["sql", "time"] for query in logged)

    def test_captured(self, items):
        """Queries can be captured and counted."""
        fill(1)
        with CaptureQueriesContext(connection) as captured:
            list(Item.objects.annotate(big=Upper("code")))
            with pytest.raises(IntegrityError):
                Item.objects.create(code="a")
        assert len(captured) >= 2
        assert "upper" in captured[0]["sql"].lower()

    def test_last_executed_query(self, items):
        """A logged statement has its values in it, written as SQL."""
        with CaptureQueriesContext(connection) as captured:
            list(Item.objects.filter(code="it's", number=5, note__startswith="50%"))
        sql = captured[0]["sql"]
        assert "'it''s'" in sql
        assert "50" in sql

    def test_execute_wrapper(self, items):
        """A wrapper sees every statement as text, with its parameters."""
        seen = []

        def wrapper(execute, sql, params, many, context):
            seen.append((str(sql).split()[0], many))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(wrapper):
            Item.objects.create(code="a")
            Item.objects.get()
            Item.objects.all().delete()
        assert ("INSERT", False) in seen
        assert ("SELECT", False) in seen
        assert ("DELETE", False) in seen


class TestWrongSQL:
    """Wrong statements are errors, and change nothing."""

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT nothing FROM nonrel_item",
            "SELECT * FROM nowhere",
            "INSERT INTO nowhere VALUES (1)",
            "INSERT INTO nonrel_item (nothing) VALUES (1)",
            "UPDATE nonrel_item SET nothing = 1",
            "DELETE FROM nowhere",
            "DROP TABLE nowhere",
            "CREATE TABLE nonrel_item (id integer)",
            "CREATE INDEX i ON nonrel_item (nothing)",
            "ALTER TABLE nonrel_item ADD COLUMN code text",
            "ALTER TABLE nonrel_item DROP COLUMN nothing",
            "ALTER TABLE nonrel_item RENAME COLUMN code TO number",
            "SELEKT 1",
            "SELECT (1",
            "INSERT INTO nonrel_item VALUES (1)",
            "INSERT INTO nonrel_item (code, number) VALUES ('x')",
            "BEGIN nothing",
        ],
    )
    def test_wrong(self, items, sql):
        """They are OperationalErrors or ProgrammingErrors, as on SQLite."""
        fill(1, 2)
        before = items.everything()
        with pytest.raises((OperationalError, ProgrammingError)):
            run(sql)
        assert items.everything() == before
        with pytest.raises((OperationalError, ProgrammingError)):
            with transaction.atomic():
                run(sql)
        assert items.everything() == before

    def test_number_of_parameters(self, items):
        """Too few or too many parameters are an error."""
        fill(1)
        for params in ([], [1, 2]):
            with pytest.raises(ProgrammingError):
                run("SELECT * FROM nonrel_item WHERE number = %s", params)
            with pytest.raises(ProgrammingError):
                run("UPDATE nonrel_item SET number = %s", params)
        with pytest.raises((ProgrammingError, KeyError)):
            run("UPDATE nonrel_item SET number = %(a)s", {"b": 1})
        assert rows() == [("a", 1)]

    def test_two_statements(self, items):
        """Of two statements in one text none is run, as in sqlite3."""
        fill(1)
        with pytest.raises((ProgrammingError, OperationalError)):
            run("UPDATE nonrel_item SET number = 5; DELETE FROM nonrel_item")
        assert rows() == [("a", 1)]

    def test_empty(self, items):
        """An empty statement does nothing."""
        run("")
        run("-- nothing")


def test_of_a_keyless_table(ours):
    """Rows of a table without a primary key can be changed and deleted one by one."""
    run("CREATE TABLE bag (a text, b integer)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO bag VALUES (%s, %s)", [("x", 1)] * 3)
    run("UPDATE bag SET b = 2 WHERE rowid = (SELECT min(rowid) FROM bag)")
    assert sorted(run("SELECT a, b FROM bag")) == [("x", 1), ("x", 1), ("x", 2)]
    run("DELETE FROM bag WHERE rowid IN (SELECT rowid FROM bag WHERE b = 1 LIMIT 1)")
    assert run("SELECT count(*) FROM bag") == [(2,)]


def test_many_columns(database):
    """A table may have hundreds of columns."""
    fields = {f"c{n}": models.IntegerField(default=n) for n in range(300)}
    wide = model("Wide", **fields)
    database.create(wide)
    wide.objects.create()
    one = wide.objects.get(c299=299)
    assert [getattr(one, name) for name in fields] == list(range(300))
    wide.objects.update(c150=-1)
    assert wide.objects.values_list("c149", "c150", "c151").get() == (149, -1, 151)


class TestManyParameters:
    """More values than SQLite binds in one statement."""

    @pytest.mark.check
    def test_a_long_list_on_each(self, ours):
        self.long_list(ours)

    def test_a_long_list(self, lmdb):
        self.long_list(lmdb)

    def long_list(self, ours):
        """IN takes a list of any length, of numbers and of hostile texts."""
        ours.create(Item)
        Item.objects.bulk_create(Item(code=f"c{n}", number=n) for n in range(300))
        numbers = [*range(-40_000, 0), *range(100, 200)]
        assert Item.objects.filter(number__in=numbers).count() == 100
        texts = [f"it's %s ? \"{n}" for n in range(33_000)]
        Item.objects.filter(number=7).update(code=texts[-1])
        found = Item.objects.filter(code__in=texts).values_list("number", flat=True)
        assert list(found) == [7]

    def test_bulk_update(self, tmp_path):
        """bulk_update() of more objects than fit into one statement."""
        from backendkit.nonrel.operations import MOST_UPDATED

        with opened("memory", tmp_path) as database:
            self.update(database, 5 * MOST_UPDATED + 1)

    @pytest.mark.check
    @pytest.mark.parametrize("engine", OURS)
    def test_bulk_update_of_thousands(self, tmp_path, engine):
        with opened(engine, tmp_path) as database:
            self.update(database, 6_000)

    def update(self, database, count):
        database.create(Item)
        items = [Item(code=f"c{n}", number=n) for n in range(count)]
        Item.objects.bulk_create(items)
        for item in items:
            item.number = -item.number
            item.code += "x"
        assert Item.objects.bulk_update(items, ["number", "code"]) == count
        assert Item.objects.filter(number__lte=0, code__endswith="x").count() == count
