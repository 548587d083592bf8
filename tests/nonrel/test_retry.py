"""Transactions are run again after a conflict."""

import sqlite3
import threading
import unittest

import pytest
from django.db import (
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import Sum
from django.db.transaction import TransactionManagementError
from django.test import TestCase

from backendkit import backoff, clock
from backendkit import retry as module
from backendkit.retry import is_conflict, retry
from backendkit.stores import ConflictError, UnknownOutcomeError

from .databases import OtherThread
from .models import Item


@pytest.fixture
def item(database):
    database.create(Item)
    return Item.objects.create(code="a").pk


@pytest.fixture
def our_item(ours):
    ours.create(Item)
    return Item.objects.create(code="a").pk


@pytest.fixture
def slept(monkeypatch):
    """Don't sleep, but note for how long, and let the clock show it."""
    pauses, now = [], clock.monotonic

    class Time:
        sleep = staticmethod(pauses.append)

    monkeypatch.setattr(module, "time", Time)
    monkeypatch.setattr(clock, "monotonic", lambda: now() + sum(pauses))
    monkeypatch.setattr(backoff.random, "uniform", lambda low, high: high)
    return pauses


def conflict():
    """Raise what Django makes of a store's conflict."""
    raise OperationalError("met") from ConflictError("met")


class TestConflicts:
    def test_two_connections(self, item):
        """Both add to what they have read: one of them runs twice, and none is lost."""
        attempts = []

        @retry
        def add(number, meanwhile=None):
            attempts.append(number)
            found = Item.objects.get(pk=item)
            if meanwhile is not None and len(attempts) == 1:
                meanwhile()
            found.number += number
            found.save()
            return found.number

        with OtherThread() as other:
            assert add(1, lambda: other.do(add, 10)) == 11
        assert attempts == [1, 10, 1]
        assert Item.objects.get(pk=item).number == 11

    def test_threads(self, ours):
        """Threads that count up one row together lose nothing."""
        ours.create(Item)
        pk = Item.objects.create(code="a").pk

        @retry(attempts=1000, delay=0.001, longest=0.01)
        def count():
            found = Item.objects.get(pk=pk)
            found.number += 1
            found.save()

        def work():
            try:
                for _ in range(10):
                    count()
            finally:
                connection.close()
                del connections["default"]

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Item.objects.aggregate(Sum("number"))["number__sum"] == 40

    def test_swallowed(self, our_item):
        """That the block goes on after a conflict doesn't hide it."""
        attempts = []

        @retry
        def work():
            attempts.append(Item.objects.get(pk=our_item).number)
            if len(attempts) == 1:
                other.do(lambda: Item.objects.update(number=5))
            try:
                with transaction.atomic():
                    Item.objects.create(code="b")
            except OperationalError:
                pass

        with OtherThread() as other:
            work()
        assert attempts == [0, 5]
        assert Item.objects.filter(code="b").exists()


class TestAttempts:
    def test_undone_before_the_next(self, item, slept):
        """Nothing of a failed attempt is there in the next one."""
        found = []

        @retry(delay=0.02)
        def work():
            found.append(Item.objects.count())
            Item.objects.create(code="b")
            if len(found) < 3:
                conflict()
            return "done"

        assert work() == "done"
        assert found == [1, 1, 1]
        assert Item.objects.count() == 2
        assert slept == [0.02, 0.04]

    def test_gives_up(self, item, slept):
        """After the last attempt the error is raised, with a note."""

        @retry(attempts=4, delay=1, longest=2.5)
        def work():
            conflict()

        with pytest.raises(OperationalError, match="met") as caught:
            work()
        (note,) = caught.value.__notes__
        assert note.startswith("retry: gave up after 4 attempts in 5.")
        assert slept == [1, 2, 2.5]

    def test_time(self, item, slept):
        """No attempt begins when the time is over."""

        @retry(attempts=100, delay=10, longest=100, timeout=25)
        def work():
            conflict()

        with pytest.raises(OperationalError):
            work()
        assert slept == [10]

    def test_by_default(self, item, slept):
        """There is a time for all attempts, and pauses follow what an attempt takes."""
        took = []

        @retry
        def work():
            took.append(clock.monotonic())
            slept.append(0.1)  # the clock goes on
            conflict()

        with pytest.raises(OperationalError):
            work()
        assert 28 < sum(slept) <= 30.2
        pauses = [one for one in slept if one != 0.1]
        assert 0.2 <= pauses[0] < 0.4
        assert pauses[3:] == [1.0] * len(pauses[3:])

    def test_other_errors(self, item, slept):
        """What isn't a conflict is raised at once, whatever it came from."""
        errors = [IntegrityError("no"), ValueError("no"), OperationalError("no")]
        errors[1].__cause__ = ConflictError("met")

        for error in errors:

            @retry
            def work(error=error):
                raise error

            with pytest.raises(type(error), match="no"):
                work()
        assert slept == []

    def test_unknown_outcome(self, item, slept):
        """What may have been committed isn't run again, even after a conflict."""
        ran = []

        @retry
        def work():
            ran.append(1)
            try:
                conflict()
            except OperationalError:
                raise OperationalError("no answer") from UnknownOutcomeError("no")

        with pytest.raises(OperationalError, match="no answer"):
            work()
        assert (ran, slept) == ([1], [])

    def test_after_the_commit(self, item, slept):
        """A conflict in a hook that runs after the commit isn't the transaction's."""

        @retry
        def work():
            Item.objects.create(code="b")
            transaction.on_commit(conflict)

        with pytest.raises(OperationalError, match="met"):
            work()
        assert Item.objects.filter(code="b").count() == 1
        assert slept == []

    def test_log(self, item, slept, caplog):
        """Each further attempt is logged."""
        caplog.set_level("INFO", "backendkit.retry")

        @retry(attempts=2)
        def work():
            conflict()

        with pytest.raises(OperationalError):
            work()
        assert len(caplog.messages) == 1
        assert "work: attempt 1: met" in caplog.messages[0]


class TestWhere:
    def test_in_atomic(self, item):
        """A part of a transaction can't be run again: refused before it runs."""
        ran = []
        work = retry(lambda: ran.append(1))
        with transaction.atomic():
            with pytest.raises(TransactionManagementError, match="inside of atomic"):
                work()
        assert ran == []
        work()
        assert ran == [1]

    def test_without_autocommit(self, item):
        """As if in a transaction."""
        transaction.set_autocommit(False)
        try:
            with pytest.raises(
                TransactionManagementError, match="while autocommit is off"
            ):
                retry(list)()
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)

    def test_in_a_test_case(self, item, slept):
        """The test's own transaction can't be run again: there is one attempt."""
        ran = []

        class Test(TestCase):
            def test(self):
                @retry
                def work():
                    ran.append(Item.objects.create(code="b").pk)

                @retry
                def fail():
                    conflict()

                work()
                with self.assertRaises(OperationalError):  # noqa: PT027  # a TestCase
                    fail()

        result = unittest.TestResult()
        unittest.TestSuite([Test("test")]).run(result)
        assert (result.testsRun, result.errors, result.failures) == (1, [], [])
        assert len(ran) == 1
        assert slept == []

    def test_using(self, item):
        """Another database's transaction is none."""
        with transaction.atomic():
            with pytest.raises(TransactionManagementError):
                retry(using="default")(list)()

    def test_wrong_use(self):
        """What can't be run again is refused when it is decorated."""

        async def coroutine():
            pass

        def generator():
            yield

        for function in (coroutine, generator):
            with pytest.raises(TypeError, match="Decorate a plain function"):
                retry(function)
        with pytest.raises(ValueError, match="attempts"):
            retry(attempts=0)


class TestIsConflict:
    def test_chain(self):
        """However deep it is, and though the chain is a ring."""
        error = outer = OperationalError()
        for _ in range(2000):
            inner = ValueError()
            outer.__context__ = inner
            outer = inner
        assert not is_conflict(error)
        outer.__cause__ = ConflictError("met")
        outer.__cause__.__context__ = error
        assert is_conflict(error)

    @pytest.mark.parametrize("name", ["sqlstate", "pgcode"])
    def test_sqlstate(self, name):
        """Serialization failures and deadlocks of other databases."""
        for state, wanted in (
            ("40001", True),
            ("40P01", True),
            ("23505", False),
            (None, False),
        ):
            error = OperationalError()
            error.__cause__ = Exception()
            setattr(error.__cause__, name, state)
            assert is_conflict(error) is wanted

    def test_sqlite(self, tmp_path):
        """A locked SQLite database."""
        one, other = (
            sqlite3.connect(tmp_path / "db", timeout=0, isolation_level=None)
            for _ in range(2)
        )
        one.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
            other.execute("BEGIN IMMEDIATE")
        assert is_conflict(caught.value)
        with pytest.raises(sqlite3.OperationalError) as caught:
            other.execute("SELECT nothing")
        assert not is_conflict(caught.value)
        one.close()
        other.close()
