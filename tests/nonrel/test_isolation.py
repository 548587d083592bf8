"""Two connections to one database, each in its thread."""

import contextlib
import gc
import threading
from concurrent.futures import TimeoutError as FutureTimeout

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import F
from django.db.transaction import TransactionManagementError

from tests.waiting import PATIENCE

from .databases import OtherThread, forget_connection, run
from .models import Author, Book, Item


@pytest.fixture
def other(database):
    """Another thread; nobody waits long for a lock."""
    database.set_options(timeout=0.05)
    database.create(Item, Author, Book)
    with OtherThread() as other:
        yield other


@pytest.fixture
def patient(ours):
    """Another thread that waits for locks as long as it takes."""
    ours.set_options(timeout=PATIENCE)
    ours.create(Item)
    with OtherThread() as other:
        yield other


@pytest.fixture
def _locks(request):
    if "buffered" in request.node.callspec.params.values():
        pytest.skip("nobody waits: conflicts are found at commit")


def create(code, number=0):
    Item.objects.create(code=code, number=number)


def codes():
    return sorted(Item.objects.values_list("code", flat=True))


def end():
    transaction.rollback()
    transaction.set_autocommit(True)


class TestSnapshots:
    def test_uncommitted(self, other):
        """Nobody else sees what isn't committed."""
        with transaction.atomic():
            create("a")
            assert other.do(codes) == []
        assert other.do(codes) == ["a"]

    def test_repeatable(self, other):
        """A transaction sees what was there when it began, and its own writes."""
        create("a")
        with transaction.atomic():
            assert codes() == ["a"]
            other.do(create, "b")
            assert other.do(codes) == ["a", "b"]
            assert codes() == ["a"]
            assert Item.objects.count() == 1
        assert codes() == ["a", "b"]

    def test_schema(self, other):
        """A table that another connection makes is there in the next transaction."""
        with transaction.atomic():
            assert codes() == []
            other.do(run, "CREATE TABLE fresh (n integer)")
            other.do(run, "INSERT INTO fresh VALUES (1)")
            assert "fresh" not in connection.introspection.table_names()
        assert run("SELECT n FROM fresh") == [(1,)]
        other.do(run, "ALTER TABLE fresh ADD COLUMN m integer DEFAULT 2")
        assert run("SELECT * FROM fresh") == [(1, 2)]
        other.do(run, "DROP TABLE fresh")
        with pytest.raises(OperationalError, match="no such table: fresh"):
            run("SELECT * FROM fresh")

    def test_cursor(self, other):
        """A cursor that is being read goes on with what was there when it began."""
        for number in range(300):
            create(f"{number:03}")
        rows = Item.objects.order_by("code").iterator(chunk_size=10)
        next(rows)
        other.do(Item.objects.all().delete)
        assert len(list(rows)) == 299
        assert codes() == []


@pytest.mark.usefixtures("_locks")
class TestLocks:
    def test_time_out(self, other):
        """Who can't have the right to write in time is told that it is locked."""
        with transaction.atomic():
            create("a")
            with pytest.raises(OperationalError, match="database is locked"):
                other.do(create, "b")
            assert other.do(codes) == []
        other.do(create, "c")
        assert codes() == ["a", "c"]

    def test_time_out_in_a_block(self, other):
        """A block that couldn't write has written nothing, and others go on."""

        def block():
            with transaction.atomic():
                create("b")

        with transaction.atomic():
            create("a")
            with pytest.raises(OperationalError, match="database is locked"):
                other.do(block)
        other.do(block)
        assert codes() == ["a", "b"]

    def test_immediate(self, other, database):
        """With transaction_mode IMMEDIATE a block takes the right as it begins."""
        database.set_options(transaction_mode="IMMEDIATE")
        other.do(forget_connection)
        with transaction.atomic():
            with pytest.raises(OperationalError, match="database is locked"):
                other.do(create, "b")
        other.do(create, "c")
        assert codes() == ["c"]

    def test_waits(self, patient):
        """A writer waits for the one before."""
        with transaction.atomic():
            create("a")
            waiting = patient.start(create, "b")
            assert not waiting.done()
        waiting.result(timeout=PATIENCE)
        assert codes() == ["a", "b"]


class TestConflicts:
    def test_lost_update(self, other):
        """Who read before another one committed can't write; the first one wins."""
        create("a", 1)
        with pytest.raises(OperationalError), transaction.atomic():
            item = Item.objects.get()
            other.do(lambda: Item.objects.update(number=10))
            item.number += 1
            item.save()
        assert Item.objects.get().number == 10

    @pytest.mark.usefixtures("_locks")
    def test_block_is_over(self, other):
        """After a conflict a block is unusable until its end; then all works."""
        create("a", 1)
        with pytest.raises(TransactionManagementError), transaction.atomic():
            Item.objects.get()
            other.do(create, "b")
            with pytest.raises(OperationalError):
                create("c")
            # It was planned before, or it wasn't.
            unusual = Item.objects.filter(number__gt=-7, number__lt=7, code__gte="0")
            for again in (unusual, Item.objects.all()):
                with pytest.raises(TransactionManagementError):
                    again.count()
            Item.objects.count()
        assert codes() == ["a", "b"]
        create("c")
        assert codes() == ["a", "b", "c"]

    def test_in_an_inner_block(self, other):
        """A conflict in an inner block lets nothing of the outer one through."""
        create("a", 1)
        with pytest.raises(OperationalError), transaction.atomic():
            Item.objects.get()
            other.do(create, "b")
            with transaction.atomic():
                create("c")
        assert codes() == ["a", "b"]
        assert not connection.in_atomic_block
        create("d")
        assert codes() == ["a", "b", "d"]

    @pytest.mark.usefixtures("_locks")
    def test_without_autocommit(self, ours):
        """After a conflict nothing works, commit included, until rollback."""
        ours.create(Item)
        create("a", 1)
        transaction.set_autocommit(False)
        with OtherThread() as other:
            Item.objects.get()
            other.do(create, "b")
        for statement in (
            lambda: create("c"),
            lambda: create("c"),
            Item.objects.count,
            lambda: run("SAVEPOINT s"),
            transaction.commit,
        ):
            with pytest.raises(OperationalError, match="another"):
                statement()
        end()
        assert codes() == ["a", "b"]

    @pytest.mark.parametrize("depth", [1, 2, 3])
    def test_first_statement(self, patient, depth):
        """Who only writes, or reads for update, waits and has no conflict."""

        def block(code, level=depth):
            with transaction.atomic():
                if level > 1:
                    block(code, level - 1)
                else:
                    create(code)

        with transaction.atomic():
            create("a")
            waiting = patient.start(block, "b")
            # It has begun when it waits for the lock; there's no event for that.
            with contextlib.suppress(FutureTimeout):
                waiting.result(timeout=0.05)
        waiting.result(timeout=PATIENCE)
        assert codes() == ["a", "b"]

    def test_savepoints_before_the_first_statement(self, database):
        """Savepoints that are set before anything else are marks of the beginning."""
        database.create(Item)
        with transaction.atomic():
            run("SAVEPOINT one")
            run("SAVEPOINT two")
            run("ROLLBACK TO two")
            create("a")
            run("SAVEPOINT three")
            create("b")
            run("ROLLBACK TO three")
            assert codes() == ["a"]
            run("ROLLBACK TO two")
            create("c")
            run("RELEASE two")
            assert codes() == ["c"]
            run("ROLLBACK TO one")
            assert codes() == []
            create("d")
            run("RELEASE one")
        assert codes() == ["d"]

    def test_survived_inner_block(self, ours):
        """Whoever swallows a conflict in an inner block still keeps nothing."""
        ours.create(Item)
        create("a", 1)
        with OtherThread() as other:
            with pytest.raises(Exception), transaction.atomic():  # noqa: B017  # of any class
                Item.objects.get()
                other.do(create, "b")
                try:
                    with transaction.atomic():
                        create("c")
                except OperationalError:
                    pass
                create("d")
        assert codes() == ["a", "b"]
        create("e")
        assert codes() == ["a", "b", "e"]

    def test_again(self, other):
        """A block that is run again after each conflict succeeds."""
        create("a", 0)
        failures = []

        def increase(meanwhile):
            with transaction.atomic():
                number = Item.objects.get().number
                meanwhile()
                Item.objects.update(number=number + 1)

        def again():
            other.do(lambda: Item.objects.update(number=F("number") + 100))

        for meanwhile in (again, again, lambda: None):
            try:
                increase(meanwhile)
            except OperationalError:
                failures.append(1)
        assert len(failures) == 2
        assert Item.objects.get().number == 201


class TestConnecting:
    def test_anew(self, database):
        """To connect anew lets go of the connection that was, and of its locks."""
        database.set_options(timeout=0.05)
        database.create(Item)
        connection.set_autocommit(False)
        create("a", 1)
        connection.connect()
        gc.collect()
        create("b", 2)
        assert codes() == ["b"]
        connection.close()
        if database.engine == "lmdb":
            connection.creation.destroy_database(connection.settings_dict["NAME"])

    def test_the_catalog_is_read_once(self, lmdb):
        """A connection may live no longer than a request: tables are the process's."""
        lmdb.create(Item)
        connection.close()  # it has the tables that it made

        def table():
            connection.ensure_connection()
            return connection.connection.catalog().tables["nonrel_item"]

        before = table()
        connection.close()
        assert table() is before


@pytest.mark.usefixtures("_locks")
class TestSelectForUpdate:
    def test_excludes(self, other, database):
        """Rows that are selected for update can't be written by another thread."""
        if database.is_oracle:
            pytest.skip("SQLite has no FOR UPDATE, and Django leaves it out")
        create("a", 1)
        with transaction.atomic():
            item = Item.objects.select_for_update().get(code="a")
            with pytest.raises(OperationalError, match="database is locked"):
                other.do(lambda: Item.objects.update(number=10))
            assert other.do(codes) == ["a"]
            item.number += 1
            item.save()
        other.do(lambda: Item.objects.update(number=F("number") * 10))
        assert Item.objects.get().number == 20

    def test_raw(self, other, database):
        """FOR UPDATE in raw SQL excludes as well."""
        if database.is_oracle:
            pytest.skip("SQLite has no FOR UPDATE")
        create("a", 1)
        with transaction.atomic():
            assert run("SELECT number FROM nonrel_item FOR UPDATE") == [(1,)]
            with pytest.raises(OperationalError, match="database is locked"):
                other.do(lambda: Item.objects.update(number=10))
        assert Item.objects.get().number == 1

    def test_counts_right(self, patient):
        """Threads that read for update and write back lose no count."""
        create("a", 0)
        start = threading.Barrier(2)

        def count():
            start.wait(timeout=PATIENCE)
            for _ in range(25):
                with transaction.atomic():
                    item = Item.objects.select_for_update().get()
                    item.number += 1
                    item.save()

        future = patient.start(count)
        count()
        future.result(timeout=PATIENCE)
        assert Item.objects.get().number == 50


class TestConstraints:
    """Constraints hold whoever writes at the same time."""

    def test_unique(self, patient):
        """Of two threads that create the same rows, one does each."""
        start = threading.Barrier(2)

        def fill():
            start.wait(timeout=PATIENCE)
            made = 0
            for number in range(60):
                try:
                    create(f"{number}")
                    made += 1
                except IntegrityError:
                    pass
            return made

        future = patient.start(fill)
        made = fill()
        assert made + future.result(timeout=PATIENCE) == 60
        assert len(codes()) == 60

    def test_get_or_create(self, patient):
        """Two threads that get or create the same rows get the same rows."""
        start = threading.Barrier(2)

        def fill():
            start.wait(timeout=PATIENCE)
            return [
                Item.objects.get_or_create(code=f"{number}")[0].pk
                for number in range(40)
            ]

        future = patient.start(fill)
        assert fill() == future.result(timeout=PATIENCE)

    def test_parent_is_deleted(self, other):
        """A parent that one deletes can't get a child from one who read before."""
        key = Author.objects.create(name="a").pk
        with pytest.raises(OperationalError), transaction.atomic():
            assert Author.objects.filter(pk=key).exists()
            other.do(lambda: Author.objects.all().delete())
            Book.objects.create(title="t", author_id=key)
        assert Book.objects.count() == 0
        with pytest.raises(IntegrityError):
            Book.objects.create(title="t", author_id=key)

    def test_numbers(self, patient):
        """Two threads' rows have different numbers."""
        start = threading.Barrier(2)

        def fill(prefix):
            start.wait(timeout=PATIENCE)
            return [
                Item.objects.create(code=f"{prefix}{number}").pk for number in range(60)
            ]

        future = patient.start(fill, "a")
        numbers = fill("b") + future.result(timeout=PATIENCE)
        assert len(set(numbers)) == 120


class TestThreads:
    def test_sharing_needs_permission(self, database):
        """A connection belongs to its thread, unless sharing is allowed."""
        database.create(Item)
        mine = connections["default"]
        create("a")

        def use():
            with mine.cursor() as cursor:
                cursor.execute("SELECT code FROM nonrel_item")
                return cursor.fetchall()

        with OtherThread() as other:
            with pytest.raises(DatabaseError, match="created in a thread"):
                other.do(use)
            mine.inc_thread_sharing()
            try:
                assert other.do(use) == [("a",)]
            finally:
                mine.dec_thread_sharing()

    def test_writing_in_many(self, database):
        """One connection may be used by many threads, one after the other."""
        database.create(Item)
        mine = connections["default"]
        mine.inc_thread_sharing()

        def write(code):
            with mine.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO nonrel_item (code, number) VALUES (%s, 0)", [code]
                )

        try:
            for code in "abc":
                with OtherThread() as other:
                    other.do(write, code)
            create("d")
        finally:
            mine.dec_thread_sharing()
        assert codes() == ["a", "b", "c", "d"]

    def test_many_readers(self, ours):
        """Many threads read at once, each with its connection."""
        ours.create(Item)
        for code in "abc":
            create(code)
        start = threading.Barrier(8)

        def read():
            start.wait(timeout=PATIENCE)
            return [codes() for _ in range(5)]

        others = [OtherThread().__enter__() for _ in range(8)]
        try:
            futures = [other.start(read) for other in others]
            for future in futures:
                assert future.result(timeout=PATIENCE) == [["a", "b", "c"]] * 5
        finally:
            for other in others:
                other.__exit__()

    def test_ends_without_closing(self, database):
        """A thread that ends in the middle of a transaction keeps nobody waiting."""
        database.set_options(timeout=0.2)
        database.create(Item)

        def leave():
            transaction.set_autocommit(False)
            create("lost")

        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
        gc.collect()
        create("a")
        assert codes() == ["a"]
