"""Sessions and connections: lost, renewed, kept alive, closed, forked."""

import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.waiting import PATIENCE, freeze, until

from .servers import Server

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)

grpc = pytest.importorskip("grpc", reason="needs the extra immudb")

from backendkit.backends.immudb.driver._methods import (  # noqa: E402  # after importorskip
    CLOSE_SESSION,
    EMPTY,
    KEEP_ALIVE,
)

#: Seconds after which the server forgets a silent session.
FORGETFUL = 4
SOURCE = str(Path(driver.__file__).parents[4])


@pytest.fixture(scope="module")
def own(immudb_program, tmp_path_factory):
    """A server for this module: it is killed, and forgets sessions after seconds."""
    directory = tmp_path_factory.mktemp("own")
    with Server(
        directory,
        options={
            "max-session-inactivity-time": f"{FORGETFUL}s",
            "session-timeout": f"{FORGETFUL}s",
            "sessions-guard-check-interval": "200ms",
        },
    ) as server:
        yield server


@pytest.fixture
def connect(own):
    opened = []

    def connect(**changes):
        arguments = {
            "port": own.port,
            "password": own.password,
            "autocommit": True,
            "keepalive": None,
            **changes,
        }
        opened.append(driver.connect(**arguments))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def connection(connect):
    connection = connect()
    connection.run(
        "CREATE TABLE IF NOT EXISTS t"
        " (id INTEGER AUTO_INCREMENT, n INTEGER, PRIMARY KEY id)"
    )
    connection.run("DELETE FROM t")
    connection.run("INSERT INTO t (n) VALUES (0)")
    return connection


def numbers(connection):
    return [n for (n,) in connection.query("SELECT n FROM t").rows]


def session(connection):
    return connection._link.metadata


def forget(connection):
    """Let the server drop a session, as it drops one that is silent for too long."""
    link = connection._link
    link.callable(CLOSE_SESSION)(EMPTY, metadata=link.metadata)
    until(lambda: not is_known(link, link.metadata))


class TestExpiry:
    def test_a_session_that_was_dropped_is_renewed_for_reads_and_writes(
        self, connection
    ):
        for call in (
            lambda: numbers(connection),
            lambda: connection.run("INSERT INTO t (n) VALUES (1)"),
            lambda: list(connection.stream("SELECT n FROM t")),
            connection.state,
            lambda: (connection.begin(), connection.rollback()),
        ):
            before = session(connection)
            forget(connection)
            call()
            assert session(connection) != before
        assert sorted(numbers(connection)) == [0, 1]

    def test_a_transaction_is_lost_with_its_session(self, connect, connection):
        writer = connect(autocommit=False)
        for last in (
            writer.commit,
            lambda: numbers(writer),
            lambda: writer.run("INSERT INTO t (n) VALUES (2)"),
        ):
            writer.run("INSERT INTO t (n) VALUES (1)")
            forget(writer)
            with pytest.raises(driver.OperationalError, match=r"transaction.* lost"):
                last()
            writer.rollback()
            assert numbers(writer) == [0]
            writer.rollback()

    def test_rolling_back_what_is_lost_is_no_error(self, connect):
        writer = connect(autocommit=False)
        writer.query("SELECT 1")
        forget(writer)
        writer.rollback()
        writer.query("SELECT 1")

    @pytest.mark.check
    def test_the_keep_alive_keeps_the_session_and_the_transaction(self, connect):
        kept = connect(autocommit=False, keepalive=0.3)
        kept.run("CREATE TABLE IF NOT EXISTS kept (id INTEGER, PRIMARY KEY id)")
        before, idle = session(kept), connect()
        # Whoever isn't kept is forgotten meanwhile.
        until(
            lambda: time.sleep(FORGETFUL + 1) or not is_known(idle._link, session(idle))
        )
        assert session(kept) == before
        kept.commit()
        kept.run("DROP TABLE kept")
        kept.commit()

    def test_the_keep_alive_ends_with_the_last_connection(self, connect):
        def running():
            return [
                thread
                for thread in threading.enumerate()
                if thread.name == "immudb-keepalive"
            ]

        from backendkit.backends.immudb.driver._link import keeper

        # Connections of other tests are in its care, too.
        others = len(keeper()._links)
        one, two = connect(keepalive=1), connect(keepalive=1)
        assert len(running()) == 1
        one.close()
        assert len(running()) == 1
        two.close()
        if not others:
            until(lambda: not running())


class TestRestart:
    def test_the_next_call_after_a_restart_works(self, connection, own):
        for stop in (own.stop, own.kill):
            for call in (
                lambda: numbers(connection),
                lambda: connection.run("UPDATE t SET n = 3"),
            ):
                stop()
                own.start()
                call()
        assert numbers(connection) == [3]

    def test_while_there_is_no_server_the_error_is_quick_and_tells(
        self, connect, connection, own
    ):
        patient = connect(connect_timeout=2 * PATIENCE, timeout=2 * PATIENCE)
        own.stop()
        try:
            for call in (
                lambda: numbers(patient),
                lambda: patient.run("INSERT INTO t (n) VALUES (1)"),
                patient.begin,
            ):
                started = time.monotonic()
                with pytest.raises(driver.OperationalError, match="unable to connect"):
                    call()
                # It doesn't wait as for a server that is slow.
                assert time.monotonic() - started < PATIENCE
        finally:
            own.start()
        assert numbers(connection) == [0]

    def test_a_transaction_is_lost_with_its_server(self, connect, connection, own):
        writer = connect(autocommit=False)
        for last in (
            lambda: numbers(writer),
            lambda: writer.run("INSERT INTO t (n) VALUES (2)"),
        ):
            writer.run("INSERT INTO t (n) VALUES (1)")
            own.kill()
            own.start()
            self.is_lost(writer, last)

    def is_lost(self, writer, call):
        with pytest.raises(driver.OperationalError, match="is lost"):
            call()
        # Until it is rolled back nothing runs outside of it.
        with pytest.raises(driver.OperationalError, match="roll back"):
            writer.run("INSERT INTO t (n) VALUES (3)")
        writer.rollback()
        assert numbers(writer) == [0]
        writer.rollback()

    def test_so_is_one_of_which_nobody_has_waited_for_a_change(
        self, connect, connection, own
    ):
        writer = connect(autocommit=False)
        for last in (writer.commit, lambda: numbers(writer)):
            writer.run("INSERT INTO t (n) VALUES (1)")
            freeze(own.pid)
            writer.send("INSERT INTO t (n) VALUES (2)")
            own.kill()
            own.start()
            self.is_lost(writer, last)

    def test_a_commit_without_an_answer_says_so(self, connect, connection, own):
        writer = connect(autocommit=False)
        writer.run("INSERT INTO t (n) VALUES (1)")
        own.kill()
        try:
            with pytest.raises(
                driver.OperationalError, match=r"unknown|nothing was committed"
            ):
                writer.commit()
        finally:
            own.start()
        writer.rollback()
        assert numbers(connection) in ([0], [0, 1])

    def test_what_was_acknowledged_survives_a_kill_and_nothing_half(
        self, connect, connection, own
    ):
        """Each transaction writes two rows; the server dies in the midst of them."""
        acknowledged = []
        writer = connect(autocommit=False)
        begun = threading.Event()

        def kill():
            assert begun.wait(PATIENCE)
            own.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(driver.OperationalError):
            for n in range(1, 100_000):
                writer.run("INSERT INTO t (n) VALUES (?)", (n,))
                writer.run("INSERT INTO t (n) VALUES (?)", (-n,))
                writer.commit()
                acknowledged.append(n)
                if n == 20:
                    begun.set()
        killer.join()
        own.start()
        assert acknowledged
        kept = numbers(connection)
        assert {n for n in kept if n > 0} == {-n for n in kept if n < 0}
        assert set(acknowledged) <= set(kept)
        assert len(kept) <= 2 * (len(acknowledged) + 1) + 1


@contextmanager
def frozen(server):
    """The server neither answers nor hangs up, as behind a broken line."""
    freeze(server.pid)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


class TestTimeOut:
    def test_every_call_has_one(self, connect, connection, own):
        # Longer than the server's memory for sessions, which sleeps, too.
        slow, inside = connect(timeout=0.5), connect(timeout=0.5, autocommit=False)
        waiting = connect(timeout=0.5, autocommit=False)
        inside.run("INSERT INTO t (n) VALUES (1)")
        waiting.run("INSERT INTO t (n) VALUES (1)")
        calls = [
            lambda: slow.query("SELECT 1"),
            lambda: inside.run("INSERT INTO t (n) VALUES (1)"),
            waiting.commit,
        ]
        for call in calls:
            with frozen(own):
                if call == waiting.commit:
                    waiting.send("INSERT INTO t (n) VALUES (1)")
                started = time.monotonic()
                with pytest.raises(driver.OperationalError, match="time-out"):
                    call()
                assert 0.4 < time.monotonic() - started < PATIENCE
        inside.rollback()
        waiting.rollback()
        # The next ones work: on a new channel, and without the old snapshot.
        for one in (slow, inside, waiting):
            one.timeout = 30
            assert numbers(one) == [0]

    def test_renewing_closes_the_session_that_is_replaced(self, connect, connection):
        """Its transaction would hold a snapshot."""
        writer = connect(autocommit=False)
        writer.run("INSERT INTO t (n) VALUES (1)")
        old = session(writer)
        writer._transaction = None
        writer._link.renew()
        assert session(writer) != old
        until(lambda: not is_known(writer._link, old))


def is_known(link, metadata):
    """Whether the server still has a session. Asking keeps it."""
    try:
        link.callable(KEEP_ALIVE)(EMPTY, metadata=metadata)
    except grpc.RpcError as error:
        assert error.details() == "session not found"  # noqa: PT017  # in a helper
        return False
    return True


class TestClose:
    def test_nothing_works_afterwards(self, connection):
        cursor = connection.cursor()
        cursor.execute("SELECT n FROM t")
        connection.close()
        connection.close()
        assert connection.closed
        for call in (
            connection.cursor,
            connection.commit,
            connection.rollback,
            connection.begin,
            connection.ping,
            connection.state,
            cursor.fetchone,
            lambda: cursor.execute("SELECT 1"),
            lambda: connection.query("SELECT 1"),
            lambda: connection.run("DELETE FROM t"),
        ):
            with pytest.raises(driver.InterfaceError, match="closed"):
                call()

    def test_a_closed_cursor_says_so(self, connection):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        for call in (cursor.fetchone, lambda: cursor.execute("SELECT 1")):
            with pytest.raises(driver.InterfaceError, match="cursor is closed"):
                call()

    def test_another_thread_may_close_and_so_cancel(self, connect, own):
        running = connect(timeout=2 * PATIENCE)
        raised = []

        def work():
            try:
                running.query("SELECT 1")
            except driver.Error as error:
                raised.append(error)

        with frozen(own):
            thread = threading.Thread(target=work)
            thread.start()
            time.sleep(0.3)
            running.close()
            thread.join(timeout=PATIENCE)
            assert not thread.is_alive()
        (error,) = raised
        assert isinstance(error, driver.InterfaceError)
        assert "closed" in str(error)

    def test_a_dropped_connection_closes_its_session(self, connect, own):
        connection = driver.connect(port=own.port, password=own.password)
        metadata = session(connection)
        del connection
        gc.collect()
        # Sooner than the server would drop it by itself.
        other = connect()
        until(lambda: not is_known(other._link, metadata))

    def test_a_process_that_ends_without_closing_ends(self, own):
        script = f"""
            from backendkit.backends.immudb import driver
            connection = driver.connect(port={own.port}, password={own.password!r})
            connection.query("SELECT 1")
            print("done")
        """
        done = run(script)
        assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


FORKED = (
    "another process began this transaction, before a fork. Roll it back, or"
    " close the connection."
)


class TestFork:
    def test_a_child_must_connect_again_and_can(self, own):
        """So do Django's parallel tests, and servers that load before they fork."""
        script = f"""
            import os, gc, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            from backendkit.backends.immudb import driver

            def connect():
                return driver.connect(
                    port={own.port}, password={own.password!r}, autocommit=True
                )

            parents = connect()
            parents.query("SELECT 1")
            closed = connect()
            closed.close()
            child = os.fork()
            if not child:
                try:
                    parents.query("SELECT 1")
                except driver.InterfaceError as error:
                    print(error, flush=True)
                own = connect()
                print(own.query("SELECT 2").rows, flush=True)
                own.close()
                parents.close()
                del parents, closed
                gc.collect()
                raise SystemExit(7)
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status))
            print(parents.query("SELECT 3").rows)
        """
        done = run(script)
        assert done.stdout.splitlines() == [
            "the connection belongs to another process: connect again after a fork",
            "[(2,)]",
            "7",
            "[(3,)]",
        ], done.stderr

    def test_a_store_that_a_child_inherits(self, own):
        """A connection works on there, but for its transaction; numbers differ."""
        script = f"""
            import os, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            from django.conf import settings
            settings.configure(DATABASES={{"default": {{
                "ENGINE": "backendkit.backends.immudb", "NAME": "defaultdb",
                "USER": "immudb", "PASSWORD": {own.password!r},
                "HOST": "127.0.0.1", "PORT": "{own.port}",
            }}}})
            import django
            django.setup()
            from django.db import InterfaceError, connection, models, transaction

            class Row(models.Model):
                class Meta:
                    app_label = "fork"

            def ended(pid):
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

            with connection.schema_editor() as editor:
                editor.create_model(Row)
            Row.objects.create()
            child = os.fork()
            if not child:
                assert Row.objects.count() == 1
                Row.objects.create()
                os._exit(0)
            # At the same time, one of them could be a conflict.
            assert ended(child) == 0
            Row.objects.create()
            print(Row.objects.count())
            with transaction.atomic():
                Row.objects.create()
                child = os.fork()
                if not child:
                    try:
                        Row.objects.count()
                    except InterfaceError as error:
                        print(error, flush=True)
                    connection.rollback_exc = None
                    connection.in_atomic_block = False
                    connection.rollback()
                    print(Row.objects.count(), flush=True)
                    os._exit(0)
                assert ended(child) == 0
                assert Row.objects.count() == 4
            print(Row.objects.count())
        """
        done = run(script)
        assert done.stdout.splitlines() == [
            "3",
            FORKED,
            "3",
            "4",
        ], done.stderr

    def test_a_fork_waits_for_the_keep_alive(self, own):
        """A child that is made while a thread is in a call could never connect."""
        script = f"""
            import os, time, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            from backendkit.backends.immudb import driver
            from backendkit.backends.immudb.driver import _link

            def connect():
                return driver.connect(port={own.port}, password={own.password!r})

            class Slow(_link.Link):
                def keep_alive(self):
                    with _link.calling:
                        started.append(time.monotonic())
                        time.sleep(0.5)

            started = []
            link = Slow(connect()._link.settings)
            _link.keeper().watch(link)
            while not started:
                time.sleep(0.01)
            child = os.fork()
            if not child:
                print(time.monotonic() - started[0] > 0.4, flush=True)
                connect().close()
                os._exit(5)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
        done = run(script)
        assert done.stdout == "True\n5\n", done.stderr

    def test_the_driver_needs_no_django(self, own):
        script = f"""
            import sys
            from backendkit.backends.immudb import driver
            driver.connect(port={own.port}, password={own.password!r}).close()
            print("django" in sys.modules, "apsw" in sys.modules)
        """
        assert run(script).stdout == "False False\n"


def run(script):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class TestBrokenLine:
    """A proxy hangs up in the midst of what the server says, time and again."""

    def test_a_query_is_asked_again(self, connection, own):
        with cutting_proxy(own.port, after=3_000) as (port, cuts):
            with driver.connect(
                port=port, password=own.password, autocommit=True
            ) as reader:
                for _ in range(100):
                    assert numbers(reader) == [0]
            assert len(cuts) > 2

    def test_a_change_is_not_and_its_error_says_so(self, connection, own):
        with (
            cutting_proxy(own.port, after=3_000) as (port, _),
            driver.connect(port=port, password=own.password, autocommit=True) as writer,
            pytest.raises(driver.OperationalError, match="is unknown"),
        ):
            for n in range(1, 300):
                writer.run("INSERT INTO t (n) VALUES (?)", (n,))
        # What has happened is all of them, perhaps the last one, and none twice.
        kept = sorted(numbers(connection))
        assert kept in (list(range(n)), list(range(n + 1)))


@contextmanager
def cutting_proxy(port, after):
    """Pass bytes on to a port; hang up after so many from the server, and note it."""
    cuts = []
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def pump(source, target, limit):
        try:
            while data := source.recv(1_000):
                target.sendall(data)
                if limit is not None:
                    limit -= len(data)
                    if limit < 0:
                        cuts.append(limit)
                        break
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            for arguments in ((client, server, None), (server, client, after)):
                threading.Thread(target=pump, args=arguments, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], cuts
    finally:
        listener.close()
