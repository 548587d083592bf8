"""Transactions on one connection."""

import pytest
from django.core.handlers.base import BaseHandler
from django.db import (
    DatabaseError,
    Error,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.db.models import F
from django.db.transaction import TransactionManagementError
from django.http import HttpResponse

from .databases import run
from .models import Author, Book, Item

# Django 6.1 has another name for it.
savepoint = getattr(transaction, "savepoint_create", transaction.savepoint)


class Stop(Exception):
    """Ends a block."""


def codes():
    return sorted(Item.objects.values_list("code", flat=True))


@pytest.fixture
def items(database):
    database.create(Item)
    return database


@pytest.fixture
def our_items(ours):
    ours.create(Item)
    return ours


class TestAtomic:
    def test_commits(self, items):
        """What a block wrote is there after it, and in a new connection."""
        with transaction.atomic():
            Item.objects.create(code="a")
        connection.close()
        assert codes() == ["a"]

    def test_rolls_back(self, items):
        """A block that raises leaves nothing."""
        Item.objects.create(code="before")
        with pytest.raises(Stop), transaction.atomic():
            Item.objects.create(code="a")
            Item.objects.filter(code="before").update(code="changed")
            Item.objects.filter(code="a").delete()
            raise Stop
        assert codes() == ["before"]

    @pytest.mark.parametrize("depth", [1, 2, 5])
    def test_inner_blocks(self, items, depth):
        """An inner block that raises undoes itself only, at any depth."""

        def nest(level):
            Item.objects.create(code=f"in {level}")
            if level < depth:
                try:
                    with transaction.atomic():
                        nest(level + 1)
                        if level + 1 == depth:
                            raise Stop
                except Stop:
                    Item.objects.create(code=f"after {level}")

        with transaction.atomic():
            nest(0)
        kept = [f"in {level}" for level in range(depth)]
        assert codes() == sorted([*kept, f"after {depth - 1}"])

    def test_outer_block_undoes_inner_ones(self, items):
        """What an inner block kept is undone with the outer one."""
        with pytest.raises(Stop), transaction.atomic():
            with transaction.atomic():
                Item.objects.create(code="a")
            raise Stop
        assert codes() == []

    def test_without_savepoint(self, items):
        """An inner block without a savepoint dooms the outer one."""
        with transaction.atomic():
            Item.objects.create(code="a")
            with pytest.raises(Stop), transaction.atomic(savepoint=False):
                Item.objects.create(code="b")
                raise Stop
            with pytest.raises(TransactionManagementError):
                Item.objects.count()
        assert codes() == []

    def test_durable(self, items):
        """A durable block can't be within another one."""
        with transaction.atomic(durable=True):
            Item.objects.create(code="a")
            with pytest.raises(RuntimeError, match="durable"):
                with transaction.atomic(durable=True):
                    pass
        assert codes() == ["a"]

    def test_set_rollback(self, items):
        """A block can be told to undo itself without an exception."""
        with transaction.atomic():
            Item.objects.create(code="a")
            transaction.set_rollback(True)
        assert codes() == []


class TestErrors:
    def test_in_an_inner_block(self, items):
        """After an IntegrityError in an inner block the outer one goes on."""
        with transaction.atomic():
            Item.objects.create(code="a")
            with pytest.raises(IntegrityError), transaction.atomic():
                Item.objects.create(code="b")
                Item.objects.create(code="a")
            Item.objects.create(code="c")
        assert codes() == ["a", "c"]

    def test_without_an_inner_block(self, items):
        """After an IntegrityError the block is unusable, and undone at its end."""
        with pytest.raises(TransactionManagementError), transaction.atomic():
            Item.objects.create(code="a")
            with pytest.raises(IntegrityError):
                Item.objects.create(code="a")
            Item.objects.count()
        assert codes() == []

    def test_of_foreign_keys_at_the_end(self, database):
        """A foreign key that is broken at the end of the block undoes the block."""
        database.create(Author, Book)
        with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"):
            with transaction.atomic():
                Author.objects.create(name="kept?")
                Book.objects.create(title="t", author_id=77)
        assert Author.objects.count() == Book.objects.count() == 0
        assert not connection.in_atomic_block
        Author.objects.create(name="works again")
        assert Author.objects.count() == 1


@pytest.mark.parametrize("within", ["autocommit", "atomic"])
class TestStatements:
    """A statement that fails in the middle leaves nothing."""

    def check(self, within, statement):
        Item.objects.create(code="taken", number=1)
        Item.objects.create(code="x", number=2)
        Item.objects.create(code="y", number=3)
        before = list(Item.objects.order_by("pk").values_list())
        if within == "autocommit":
            with pytest.raises(IntegrityError):
                statement()
        else:
            with transaction.atomic():
                # Not ours to undo: Django's atomic() isn't told of the error.
                with pytest.raises(IntegrityError):
                    statement()
                connection.needs_rollback = False
                assert list(Item.objects.order_by("pk").values_list()) == before
                Item.objects.create(code="z")
            assert codes() == ["taken", "x", "y", "z"]
            Item.objects.filter(code="z").delete()
        assert list(Item.objects.order_by("pk").values_list()) == before

    def test_bulk_create(self, items, within):
        """INSERT of several objects."""
        new = [Item(code=code) for code in ("a", "b", "taken", "c")]
        self.check(within, lambda: Item.objects.bulk_create(new))

    def test_raw_insert(self, items, within):
        """INSERT of several rows in SQL."""
        sql = (
            "INSERT INTO nonrel_item (code, number)"
            " VALUES ('a', 1), ('b', 2), ('taken', 3), ('c', 4)"
        )
        self.check(within, lambda: run(sql))

    def test_raw_insert_select(self, items, within):
        """INSERT … SELECT."""
        sql = (
            "INSERT INTO nonrel_item (code, number) SELECT CASE number WHEN 3"
            " THEN 'taken' ELSE code || '2' END, 0 FROM nonrel_item ORDER BY number"
        )
        self.check(within, lambda: run(sql))

    def test_update(self, items, within):
        """UPDATE by the ORM, whose second row violates UNIQUE."""
        same = {"number": F("number") + 10, "code": "same"}
        self.check(within, lambda: Item.objects.update(**same))

    def test_raw_update(self, items, within):
        """UPDATE in SQL, whose last row violates UNIQUE."""
        sql = (
            "UPDATE nonrel_item SET number = 100, code = CASE number"
            " WHEN 3 THEN 'taken' WHEN 1 THEN 'taken' ELSE code || '2' END"
        )
        self.check(within, lambda: run(sql))

    def test_null(self, items, within):
        """UPDATE whose last row violates NOT NULL."""
        sql = "UPDATE nonrel_item SET number = nullif(number, 3)"
        self.check(within, lambda: run(sql))


class TestSavepoints:
    def test_by_hand(self, items):
        """Savepoints may be set, rolled back to and released by hand."""
        with transaction.atomic():
            Item.objects.create(code="a")
            first = savepoint()
            Item.objects.create(code="b")
            second = savepoint()
            Item.objects.create(code="c")
            transaction.savepoint_rollback(second)
            assert codes() == ["a", "b"]
            transaction.savepoint_commit(second)
            transaction.savepoint_rollback(first)
            Item.objects.create(code="d")
            transaction.savepoint_commit(first)
        assert codes() == ["a", "d"]

    def test_rolled_back_to_twice(self, items):
        """A savepoint can be rolled back to more than once."""
        with transaction.atomic():
            mark = savepoint()
            for code in ("a", "b"):
                Item.objects.create(code=code)
                transaction.savepoint_rollback(mark)
            Item.objects.create(code="c")
        assert codes() == ["c"]

    def test_outer_ends_inner(self, items):
        """Rolling back to a savepoint forgets those that were set after it."""
        with transaction.atomic():
            run("SAVEPOINT one")
            Item.objects.create(code="a")
            run("SAVEPOINT two")
            run("ROLLBACK TO one")
            with pytest.raises(DatabaseError, match="no such savepoint: two"):
                run("ROLLBACK TO SAVEPOINT two")
            connection.needs_rollback = False
            run("RELEASE one")
        assert codes() == []

    def test_same_name(self, items):
        """Of two savepoints of one name the later one is meant."""
        with transaction.atomic():
            run("SAVEPOINT s")
            Item.objects.create(code="a")
            run("SAVEPOINT S")
            Item.objects.create(code="b")
            run("ROLLBACK TO s")
            run("RELEASE s")
            assert codes() == ["a"]
            run("ROLLBACK TO s")
        assert codes() == []

    def test_unknown(self, items):
        """An unknown savepoint is an error."""
        with pytest.raises(DatabaseError, match="no such savepoint: nowhere"):
            run("RELEASE SAVEPOINT nowhere")

    def test_numbers_are_taken_back(self, our_items):
        """Rows after a rollback to a savepoint are numbered without gaps or clashes."""
        with transaction.atomic():
            first = Item.objects.create(code="a").pk
            mark = savepoint()
            Item.objects.create(code="b")
            transaction.savepoint_rollback(mark)
            second = Item.objects.create(code="c").pk
        assert second > first
        assert Item.objects.in_bulk([first, second]).keys() == {first, second}


class TestSchemaChanges:
    """DDL belongs to the transaction."""

    def test_create(self, items):
        """A table that is created in a block that raises is gone."""
        with pytest.raises(Stop), transaction.atomic():
            run("CREATE TABLE other (id integer PRIMARY KEY, n integer)")
            run("CREATE INDEX other_n ON other (n)")
            run("INSERT INTO other (n) VALUES (1)")
            assert run("SELECT n FROM other") == [(1,)]
            raise Stop
        assert items.tables() == ["nonrel_item"]
        run("CREATE TABLE other (a text)")
        assert run("SELECT a FROM other") == []

    def test_drop(self, items):
        """A table that is dropped in a block that raises is there, with its rows."""
        Item.objects.create(code="a")
        before = items.everything()
        with pytest.raises(Stop), transaction.atomic():
            run("DROP TABLE nonrel_item")
            assert items.tables() == []
            raise Stop
        assert items.everything() == before
        with pytest.raises(IntegrityError):
            Item.objects.create(code="a")

    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER TABLE nonrel_item ADD COLUMN more integer NOT NULL DEFAULT 7",
            "ALTER TABLE nonrel_item RENAME COLUMN note TO remark",
            "ALTER TABLE nonrel_item DROP COLUMN note",
            "ALTER TABLE nonrel_item RENAME TO things",
            "CREATE UNIQUE INDEX item_number ON nonrel_item (number)",
            "CREATE VIEW v AS SELECT code FROM nonrel_item",
        ],
    )
    def test_alter(self, items, statement):
        """A table that is altered in a block that raises is as before."""
        Item.objects.create(code="a", number=1)
        Item.objects.create(code="b", number=2)
        before = items.everything()
        with pytest.raises(Stop), transaction.atomic():
            run(statement)
            raise Stop
        assert items.everything() == before
        with transaction.atomic():
            with pytest.raises(Stop), transaction.atomic():
                run(statement)
                raise Stop
            assert items.everything() == before
            Item.objects.create(code="c", number=2)
        assert codes() == ["a", "b", "c"]

    def test_rows_and_schema_together(self, items):
        """Rows and schema that change in one block are kept together."""
        with transaction.atomic():
            Item.objects.create(code="a")
            run("ALTER TABLE nonrel_item ADD COLUMN more integer DEFAULT 7")
            Item.objects.create(code="b")
            run("UPDATE nonrel_item SET more = 8 WHERE code = 'b'")
        assert run("SELECT code, more FROM nonrel_item ORDER BY 1") == [
            ("a", 7),
            ("b", 8),
        ]


class TestOnCommit:
    def test_after_commit(self, items):
        """A hook runs when the outermost block has committed."""
        called = []
        with transaction.atomic():
            with transaction.atomic():
                transaction.on_commit(lambda: called.append(codes()))
                Item.objects.create(code="a")
            assert called == []
        assert called == [["a"]]

    def test_not_after_rollback(self, items):
        """A hook of a block that was undone doesn't run."""
        called = []
        with transaction.atomic():
            transaction.on_commit(lambda: called.append("outer"))
            with pytest.raises(Stop), transaction.atomic():
                transaction.on_commit(lambda: called.append("inner"))
                raise Stop
        assert called == ["outer"]

    def test_not_after_a_failing_commit(self, database):
        """A hook doesn't run when the commit fails."""
        database.create(Author, Book)
        called = []
        with pytest.raises(IntegrityError), transaction.atomic():
            transaction.on_commit(lambda: called.append(1))
            Book.objects.create(title="t", author_id=77)
        assert called == []

    def test_outside(self, items):
        """Outside of transactions a hook runs at once."""
        called = []
        transaction.on_commit(lambda: called.append(1))
        assert called == [1]

    def test_may_write(self, items):
        """A hook may use the database."""
        with transaction.atomic():
            Item.objects.create(code="a")
            transaction.on_commit(lambda: Item.objects.create(code="b"))
        assert codes() == ["a", "b"]


class TestAutocommit:
    def test_off(self, items):
        """Without autocommit all is undone until commit() is called."""
        transaction.set_autocommit(False)
        try:
            Item.objects.create(code="a")
            transaction.rollback()
            assert codes() == []
            Item.objects.create(code="b")
            transaction.commit()
            Item.objects.create(code="c")
            transaction.rollback()
            assert codes() == ["b"]
            transaction.rollback()
        finally:
            transaction.set_autocommit(True)
        assert codes() == ["b"]
        Item.objects.create(code="d")
        connection.close()
        assert codes() == ["b", "d"]

    def test_atomic_within(self, our_items):
        """Without autocommit, blocks are savepoints."""
        transaction.set_autocommit(False)
        try:
            with transaction.atomic():
                Item.objects.create(code="a")
            with pytest.raises(Stop), transaction.atomic():
                Item.objects.create(code="b")
                raise Stop
            assert codes() == ["a"]
            transaction.rollback()
            assert codes() == []
            transaction.rollback()
        finally:
            transaction.set_autocommit(True)

    def test_on_again(self, items):
        """Turning autocommit on again commits."""
        transaction.set_autocommit(False)
        Item.objects.create(code="a")
        transaction.set_autocommit(True)
        connection.close()
        assert codes() == ["a"]

    def test_atomic_requests(self, items):
        """With ATOMIC_REQUESTS a view that raises leaves nothing."""
        connection.settings_dict["ATOMIC_REQUESTS"] = True

        def view(request):
            Item.objects.create(code=request)
            if request == "bad":
                raise Stop
            return HttpResponse("done")

        atomic = BaseHandler().make_view_atomic(view)
        assert atomic("good").content == b"done"
        with pytest.raises(Stop):
            atomic("bad")
        assert codes() == ["good"]


class TestClosing:
    def test_reuse(self, items):
        """A closed connection opens again when it is used."""
        Item.objects.create(code="a")
        for _ in range(3):
            connection.close()
            connection.close()
            assert codes() == ["a"]

    def test_open_cursor(self, items):
        """A cursor of a closed connection is an error, not a crash."""
        Item.objects.create(code="a")
        cursor = connection.cursor()
        cursor.execute("SELECT code FROM nonrel_item")
        connection.close()
        with pytest.raises(ProgrammingError, match="closed"):
            cursor.fetchall()

    def test_within_a_block(self, items):
        """Closing within a block undoes it."""
        with pytest.raises(Error, match="closed database"):
            with transaction.atomic():
                Item.objects.create(code="a")
                connection.close()
                Item.objects.create(code="b")
        assert codes() == []
        Item.objects.create(code="c")
        assert codes() == ["c"]


class TestIterating:
    """A queryset that is being read while other things happen."""

    @pytest.fixture
    def many(self, our_items):
        Item.objects.bulk_create(
            Item(code=f"{number:04}", number=number) for number in range(700)
        )

    def rest(self, rows):
        return [item.number for item in rows]

    def test_across_writes(self, many):
        """In autocommit the rows are those of the beginning, whatever is written."""
        rows = Item.objects.order_by("code").iterator(chunk_size=10)
        assert next(rows).number == 0
        Item.objects.filter(number=500).delete()
        Item.objects.filter(number=600).update(number=-600)
        Item.objects.create(code="9999", number=1)
        assert self.rest(rows) == list(range(1, 700))
        assert Item.objects.count() == 700

    def test_writing_each_row(self, many):
        """Each row may be written while all are read."""
        for item in Item.objects.iterator(chunk_size=10):
            item.number += 1000
            item.save()
        assert Item.objects.filter(number__gte=1000).count() == 700

    @pytest.mark.parametrize("end", ["commit", "rollback"])
    def test_across_the_end(self, many, end):
        """Rows asked for in a block can be read after it, unless it was rolled back."""
        with transaction.atomic():
            Item.objects.filter(number=3).update(note="changed")
            rows = Item.objects.order_by("code").iterator(chunk_size=10)
            next(rows)
            if end == "rollback":
                transaction.set_rollback(True)
        if end == "rollback":
            with pytest.raises(OperationalError, match="abort due to ROLLBACK"):
                self.rest(rows)
        else:
            assert self.rest(rows) == list(range(1, 700))
        changed = Item.objects.filter(note="changed").count()
        assert changed == (1 if end == "commit" else 0)

    def test_across_savepoints(self, many):
        """Rows can be read on across blocks that are undone, and those that aren't."""
        seen = []
        with transaction.atomic():
            for item in Item.objects.order_by("code").iterator(chunk_size=10):
                seen.append(item.number)
                try:
                    with transaction.atomic():
                        item.note = "seen"
                        item.save()
                        if item.number % 2:
                            raise Stop
                except Stop:
                    pass
        assert seen == list(range(700))
        assert Item.objects.filter(note="seen").count() == 350

    def test_in_a_block_while_writing(self, many):
        """No row is met twice because it was changed while all are read."""
        with transaction.atomic():
            seen = []
            for item in Item.objects.order_by("code").iterator(chunk_size=10):
                seen.append(item.number)
                Item.objects.filter(pk=item.pk).update(code=f"z{item.code}")
        assert seen == list(range(700))

    def test_two_at_once(self, many):
        """Two querysets can be read in turns."""
        up = Item.objects.order_by("code").iterator(chunk_size=7)
        down = Item.objects.order_by("-code").iterator(chunk_size=11)
        pairs = list(zip(up, down, strict=True))
        assert [a.number + b.number for a, b in pairs] == [699] * 700

    def test_given_up(self, many):
        """A queryset that isn't read to its end keeps nobody from writing."""
        next(Item.objects.iterator(chunk_size=10))
        rows = Item.objects.iterator(chunk_size=10)
        next(rows)
        Item.objects.all().delete()
        connection.close()
        assert Item.objects.count() == 0


class TestSelectForUpdate:
    def test_outside(self, ours):
        """Outside of a block it is an error, and nothing is read."""
        ours.create(Item)
        with pytest.raises(TransactionManagementError, match="select_for_update"):
            list(Item.objects.select_for_update())

    def test_inside(self, ours):
        """In a block it returns the rows."""
        ours.create(Item)
        Item.objects.create(code="a")
        with transaction.atomic():
            (item,) = Item.objects.select_for_update().filter(code="a")
            item.number = 5
            item.save()
        assert Item.objects.get().number == 5

    def test_raw(self, ours):
        """Raw SQL may say FOR UPDATE, but not what no store can do."""
        ours.create(Item)
        Item.objects.create(code="a")
        with transaction.atomic():
            sql = f"SELECT code FROM nonrel_item {connection.ops.for_update_sql()}"
            assert run(sql) == [("a",)]
        sql = connection.ops.for_update_sql(nowait=True)
        with pytest.raises(NotSupportedError, match="NOWAIT"):
            run(f"SELECT code FROM nonrel_item {sql}")

    @pytest.mark.parametrize(
        "option", [{"nowait": True}, {"skip_locked": True}, {"of": ("self",)}]
    )
    def test_options(self, ours, option):
        """What no store can do is refused."""
        ours.create(Item)
        with transaction.atomic(), pytest.raises(NotSupportedError):
            list(Item.objects.select_for_update(**option))
