"""What a project sees when something breaks: and what is kept is what it was told."""

import itertools
import os
import signal
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import ClassVar

import pytest

from backendkit import clock
from backendkit.backends.immudb import shared
from backendkit.retry import is_conflict, retry
from tests.effort import chance as seeded
from tests.effort import effort, examples
from tests.nonrel.databases import Database, OtherThread, default
from tests.nonrel.models import Item

from .servers import Server

pytest.importorskip("grpc", reason="needs the extra immudb")

#: How often the server is killed, in the midst of twenty transactions each time.
KILLS = examples(test=2, check=10, soak=100)
#: Threads that write at once, each on a connection of its own.
THREADS = effort(test=16, check=64, soak=64)
#: A server that has just been killed has much to do, on a machine that is busy.
PATIENT = {"connect_timeout": 300.0, "timeout": 300.0}


@pytest.fixture(scope="module")
def own(immudb_program, tmp_path_factory):
    """A server that only this module's tests kill, freeze and cut off."""
    with Server(tmp_path_factory.mktemp("faults")) as server:
        yield server


@pytest.fixture
def settings(own):
    """An entry of DATABASES for that server. Its tables are dropped afterwards."""
    from backendkit.backends.immudb import driver

    yield {
        "ENGINE": "backendkit.backends.immudb",
        "PASSWORD": own.password,
        "NAME": "defaultdb",
        "HOST": own.host,
        "PORT": own.port,
        "OPTIONS": PATIENT,
    }
    with driver.connect(
        own.host, own.port, password=own.password, autocommit=True, **PATIENT
    ) as connection:
        for (name,) in connection.query("SELECT name FROM TABLES()").rows:
            connection.run(f'DROP TABLE "{name}"')
    for port in {own.port, *Line.ports}:
        shared.forget((own.host, port, "defaultdb"))


@pytest.fixture
def item(request, settings):
    """A table in Django's default database."""
    with using(request, settings) as database:
        database.create(Item)
        yield Item


@contextmanager
def using(request, settings):
    with ExitStack() as stack:
        if request.config.pluginmanager.hasplugin("django"):
            blocker = request.getfixturevalue("django_db_blocker")
            stack.enter_context(blocker.unblock())
        stack.enter_context(default(settings))
        yield Database("immudb")


def connection_of_store():
    """Return the driver's connection that the next statement takes."""
    from django.db import connection

    return connection.connection.store._idle[-1]


def codes():
    return sorted(Item.objects.values_list("code", flat=True))


class TestKilledServer:
    def test_all_that_was_acknowledged_is_there_and_no_half(self, item, own):
        """It is killed in the midst of transactions, time and again."""
        writers = [Writer(item, name) for name in "xy"]
        chance = seeded("kills")
        for _ in range(KILLS):
            threads = [threading.Thread(target=each.work) for each in writers]
            for thread in threads:
                thread.start()
            # At any moment of the transactions behind those.
            for writer in writers:
                writer.reach(chance.randrange(1, 20))
            threads[0].join(chance.random() * 0.02)
            own.kill()
            for thread in threads:
                thread.join()
            own.start()
            for writer in writers:
                writer.check()
        assert sum(len(each.acknowledged) for each in writers) >= 10 * KILLS

    def test_the_next_request_works(self, item, own):
        from django.db import connection, transaction

        def create(code):
            item.objects.create(code=code)

        with OtherThread() as other:
            for stop in (own.stop, own.kill):
                item.objects.create(code=f"{stop.__name__} 0")
                assert other.do(item.objects.count) == item.objects.count()
                stop()
                own.start()
                # One thread begins with a query, the other one with a transaction.
                assert other.do(item.objects.count) == item.objects.count()
                stop()
                own.start()
                other.do(create, f"{stop.__name__} 1")
                with transaction.atomic():
                    item.objects.create(code=f"{stop.__name__} 2")
                assert connection.is_usable()
        assert item.objects.count() == 6

    def test_while_it_is_away_the_error_says_so(self, item, own):
        from django.db import OperationalError, connection, transaction

        item.objects.create(code="a")
        own.stop()
        try:
            for work in (item.objects.count, lambda: item.objects.create(code="b")):
                for one in (work, transaction.atomic(work)):
                    with pytest.raises(
                        OperationalError, match="unable to connect"
                    ) as caught:
                        one()
                    assert not is_conflict(caught.value)
            assert not connection.is_usable()
        finally:
            own.start()
        assert connection.is_usable()
        assert codes() == ["a"]

    def test_a_transaction_ends_with_it(self, item, own):
        """Whatever comes first: a query, a savepoint's end or the commit."""
        from django.db import OperationalError, transaction

        def nested():
            with transaction.atomic():
                item.objects.create(code="c")

        for last in (lambda: None, item.objects.count, nested):
            with (
                pytest.raises(OperationalError, match=r"lost|nothing was committed"),
                transaction.atomic(),
            ):
                item.objects.create(code="b")
                own.kill()
                own.start()
                last()
            assert codes() == []
        item.objects.create(code="a")
        assert codes() == ["a"]


class Writer:
    """Transactions of three rows each: two new ones, and one that counts them."""

    def __init__(self, item, name):
        self.name = name
        self.acknowledged = set()
        self._items = item.objects
        self._step = threading.Condition()
        self._round = 0
        self._running = False
        self._items.create(code=name)

    def work(self):
        """Write until there is no server."""
        from django.db import DatabaseError, connections

        first = max(self.acknowledged, default=-1) + 1
        self._tell(0, running=True)
        try:
            for number in itertools.count(first):
                self._add(number)
                self.acknowledged.add(number)
                self._tell(number + 1 - first, running=True)
        except DatabaseError:
            self._tell(0, running=False)
        finally:
            connections.close_all()

    # The other writer may take numbers at the same time.
    @retry(attempts=1000)
    def _add(self, number):
        from django.db import transaction

        count = self._items.get(code=self.name)
        self._items.create(code=f"{self.name} a {number}")
        with transaction.atomic():
            self._items.create(code=f"{self.name} b {number}")
        count.number += 1
        count.save()

    def _tell(self, number, *, running):
        with self._step:
            self._round, self._running = number, running
            self._step.notify_all()

    def reach(self, number):
        """Wait until so many transactions of this round are acknowledged."""
        with self._step:
            assert self._step.wait_for(
                lambda: self._round >= number or not self._running, timeout=300
            )
            assert self._running

    def check(self):
        """Compare what is there with what was acknowledged."""
        halves = {
            half: {
                int(code.rpartition(" ")[2])
                for code in self._items.filter(
                    code__startswith=f"{self.name} {half} "
                ).values_list("code", flat=True)
            }
            for half in "ab"
        }
        assert halves["a"] == halves["b"]
        assert self._items.get(code=self.name).number == len(halves["a"])
        assert self.acknowledged <= halves["a"]
        # One may have been kept whose answer didn't come.
        assert len(halves["a"] - self.acknowledged) <= 1
        self.acknowledged = halves["a"]


class TestWriters:
    @pytest.mark.check
    def test_two_of_one_row(self, item):
        """One gets the error that it may try again, and does so by retry()."""
        from django.db import OperationalError, transaction

        def add(number):
            row = item.objects.get(code="a")
            both.wait()
            row.number += number
            row.save()

        item.objects.create(code="a")
        both = threading.Barrier(2)
        with OtherThread() as other:
            first = other.start(transaction.atomic(add), 1)
            errors = []
            try:
                transaction.atomic(add)(10)
            except OperationalError as error:
                errors.append(error)
            if error := first.exception(timeout=300):
                errors.append(error)
            (error,) = errors
            assert isinstance(error, OperationalError)
            assert is_conflict(error)
            assert item.objects.get().number in (1, 10)
            item.objects.update(number=0)
            # It waits once, for two attempts.
            first = other.start(retry(attempts=100)(add), 1)
            both = Once(both)
            retry(attempts=100)(add)(10)
            first.result(timeout=300)
        assert item.objects.get().number == 11

    def test_threads(self, item):
        """Each has a connection of its own; some of them change the same row."""
        from django.db import connections

        failures = []
        item.objects.create(code="total")

        @retry(attempts=10_000)
        def add(number):
            item.objects.create(code=f"{number}", number=number)
            if number % 8 == 0:
                total = item.objects.get(code="total")
                total.number += number
                total.save()

        def work(number):
            try:
                add(number)
            except Exception as error:  # noqa: BLE001  # it is shown below
                failures.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert item.objects.count() == THREADS + 1
        assert item.objects.get(code="total").number == sum(range(0, THREADS, 8))
        assert len(set(item.objects.values_list("pk", flat=True))) == THREADS + 1


class Once:
    """Lets everybody pass but the first two, who wait for each other."""

    def __init__(self, barrier):
        self._barrier = barrier
        self._left = [1, 1]

    def wait(self):
        with suppress(IndexError):
            self._left.pop()
            self._barrier.wait()


def forget_session(link):
    """Let the server forget a session, as after a long silence."""
    from backendkit.backends.immudb.driver import _methods

    link.callable(_methods.CLOSE_SESSION)(_methods.EMPTY, metadata=link.metadata)


class TestLostSession:
    """The server has forgotten it. (test_sessions.py waits until it does.)"""

    def test_the_next_request_works(self, item):
        from django.db import transaction

        item.objects.create(code="a")
        for work in (item.objects.count, lambda: item.objects.create(code="b"), codes):
            forget_session(connection_of_store()._link)
            work()
        forget_session(connection_of_store()._link)
        with transaction.atomic():
            item.objects.filter(code="a").update(number=1)
        assert list(item.objects.order_by("code").values_list("number")) == [(1,), (0,)]

    def test_a_transaction_is_lost_with_it(self, item):
        from django.db import OperationalError, transaction

        for last in (lambda: None, item.objects.count):
            item.objects.count()
            link = connection_of_store()._link
            with (
                pytest.raises(OperationalError, match="lost") as caught,
                transaction.atomic(),
            ):
                item.objects.create(code="a")
                forget_session(link)
                last()
            assert not is_conflict(caught.value)
            assert codes() == []


class TestCommitWithoutAnswer:
    """Nobody knows whether it was made, and that is what is said."""

    @pytest.fixture
    def line(self, request, settings, own):
        """A line to the server that can be cut."""
        with line(own.port) as between:
            with using(request, {**settings, "PORT": between.port}) as database:
                database.create(Item)
                yield between

    def before_commit(self, do, seconds=None):
        """Do something right before the next commit is sent, with another time-out."""
        from backendkit.backends.immudb.driver import _methods

        link = connection_of_store()._link
        ask = link.call

        def call(method, request, timeout, *args):
            if method in (_methods.COMMIT, _methods.EXEC) or (
                method is _methods.TX_EXEC and request.sql.endswith("; COMMIT")
            ):
                link.call = ask
                do()
                timeout = seconds or timeout
            return ask(method, request, timeout, *args)

        link.call = call

    @pytest.mark.parametrize("lost", ["answer", "request"])
    @pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "autocommit"])
    def test_it_is_all_or_nothing_and_not_repeated(self, line, lost, atomic):
        from django.db import OperationalError

        ran = []

        def write():
            ran.append(1)
            # Of the numbers that are given next, if it isn't there.
            Item.objects.create(pk=before.pk + 2, code="a")
            if atomic:
                Item.objects.create(code="b")

        before = Item.objects.create(code="before")
        self.before_commit(line.cut_answers if lost == "answer" else line.cut_requests)
        with pytest.raises(
            OperationalError, match=r"is unknown|nothing was committed"
        ) as caught:
            (retry(write) if atomic else write)()
        assert not is_conflict(caught.value)
        assert len(ran) == 1
        line.mend()
        # The server may be at it still.
        kept = codes()
        if lost == "request" or "nothing" in str(caught.value):
            assert kept == ["before"]
        else:
            assert kept in (["before"], ["a", "b", "before"][:: 1 if atomic else 2])
        for code in "wxyz":
            retry(Item.objects.create)(code=code)
        assert codes()[-4:] == [*"wxyz"]
        assert codes()[:-4] in (["before"], kept)

    def test_a_server_that_is_frozen(self, request, settings, own):
        """No answer within the time-out is no answer."""
        from django.db import OperationalError

        with using(request, settings) as database:
            database.create(Item)
            Item.objects.create(code="a")
            self.before_commit(lambda: os.kill(own.pid, signal.SIGSTOP), 1.0)
            try:
                with pytest.raises(OperationalError, match=r"is unknown.*time-out"):
                    Item.objects.create(code="b")
            finally:
                os.kill(own.pid, signal.SIGCONT)
            assert codes() in (["a"], ["a", "b"])
            retry(Item.objects.create)(code="c")
            assert codes() in (["a", "c"], ["a", "b", "c"])


def test_a_time_out_covers_all_that_a_statement_does(request, settings, own):
    """Planning it, and connecting again where an answer has failed to come before."""
    from django.db import OperationalError, connection

    with using(request, settings) as database:
        database.create(Item)
        found = Item.objects.filter(pk=Item.objects.create(code="a").pk)
        # Not before: the machine may be busy.
        for one in connection.connection.store._idle:
            one.timeout = 1.5
        os.kill(own.pid, signal.SIGSTOP)
        try:
            for statement in (
                found.get,
                lambda: list(Item.objects.order_by("number")),
                lambda: Item.objects.create(code="b"),
                lambda: found.update(number=2),
            ):
                began = clock.monotonic()
                with pytest.raises(OperationalError):
                    statement()
                assert clock.monotonic() - began < 2.7
        finally:
            os.kill(own.pid, signal.SIGCONT)
        assert found.get().number == 0


class Line:
    """Passes bytes on to a port of this machine, until it is cut."""

    #: Those of all lines: what is known of a database is kept by its port.
    ports: ClassVar[set[int]] = set()

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._cut = None
        self.port = self._listener.getsockname()[1]
        self.ports.add(self.port)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                for arguments in (
                    (client, server, "requests"),
                    (server, client, "answers"),
                ):
                    threading.Thread(
                        target=self._pump, args=arguments, daemon=True
                    ).start()

    def _pump(self, source, target, what):
        with suppress(OSError):
            while data := source.recv(65_536):
                if what == self._cut:
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut_requests(self):
        """Hang up as soon as the client says something."""
        self._cut = "requests"

    def cut_answers(self):
        """Hang up as soon as the server says something."""
        self._cut = "answers"

    def mend(self):
        """Pass on all that comes by new connections."""
        self._cut = None

    def close(self):
        """Take no more connections; those that are there go with their ends."""
        self._listener.close()


@contextmanager
def line(port):
    """Open a line."""
    made = Line(port)
    try:
        yield made
    finally:
        made.close()
