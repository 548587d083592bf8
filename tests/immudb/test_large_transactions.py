"""Transactions of more rows than immudb takes at once, on a server: kills, readers, others."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from backendkit.backends.immudb import gate, journal
from backendkit.backends.immudb import session as sessions
from backendkit.backends.immudb import shared as known
from backendkit.backends.immudb.catalog import CREATE_OWN, JOURNAL, META
from backendkit.stores import Column, Index, OperationalError, Table, ValueType
from tests.effort import chance as seeded
from tests.effort import effort, examples
from tests.waiting import until

from .servers import Server, connected

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)

#: Kills of a client, of the server; and the rows that a transaction changes.
CLIENTS = examples(test=2, check=10, soak=300)
SERVERS = examples(test=1, check=5, soak=100)
ROWS = effort(test=1_200, check=2_000, soak=5_000)

EVENT = Table(
    "event",
    (
        Column("id", ValueType.INTEGER),
        Column("round", ValueType.INTEGER),
        Column("text", ValueType.STRING, max_length=20),
    ),
    ("id",),
    (Index("by_round", ("round",)),),
)
ROOT = str(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def own(immudb_program, tmp_path_factory):
    """A server that only this module's tests kill."""
    with Server(tmp_path_factory.mktemp("large")) as server:
        yield server


@pytest.fixture
def place(own):
    """An empty database: host, port and name."""
    found = (own.host, own.port, "defaultdb")
    known.forget(found)
    yield found
    with connected(own) as connection:
        for (name,) in connection.query("SELECT name FROM TABLES()").rows:
            connection.run(f'DROP TABLE "{name}"')
    known.forget(found)


@pytest.fixture
def stores(own, place):
    """Make stores that know of each other what those of two processes do: nothing."""
    with contextlib.ExitStack() as stack:

        def make():
            made = store_of(own.port, own.password)
            stack.callback(made.close)
            return made

        yield make


def store_of(port, password, timeout=300.0):
    from backendkit.backends.immudb.store import ImmudbStore

    store = ImmudbStore({"port": port, "password": password, "timeout": timeout})
    store.shared = known.Shared()
    return store


@contextlib.contextmanager
def writing(store):
    """A transaction, which is committed."""
    session = store.session()
    try:
        session.begin(write=True)
        yield session
        session.commit()
    finally:
        session.close()


def fill(store, rows=ROWS, table=EVENT):
    """Make the table: round 0, and as many rows as each round has."""
    with writing(store) as session:
        session.create_table(table)
    with writing(store) as session:
        session.insert(table, rows_of(0, rows))


def rows_of(number, rows):
    return [(number * rows + n, number, f"{number}") for n in range(rows)]


def change(session, number, rows):
    """
    Write a round: half of the rows that are there is deleted, as many come.

    All the others are changed, and leave their place in the index.
    """
    table = session.catalog().tables["event"]
    old = [
        key
        for (key,) in session.run_query("SELECT id FROM event ORDER BY id", (), table)
    ]
    half = rows // 2
    session.delete(table, [(key,) for key in old[:half]])
    session.set_columns(table, ("round",), {(key,): (number,) for key in old[half:]})
    session.insert(table, rows_of(number, rows)[:half])


def rounds(store, *, alone=True):
    """Return the rounds that rows are of, with their numbers of rows."""
    session = store.reader()
    session.begin(write=False)
    try:
        session.alone = alone
        past = "" if alone else f" UNTIL TX {session.until()}"
        found = session.run_query(f"SELECT round FROM event{past}", (), EVENT)
    finally:
        session.close()
    counts = {}
    for (number,) in found:
        counts[number] = counts.get(number, 0) + 1
    return counts


def check_rest(store, former=None):
    """
    The gate is open, and nothing of a committed journal is left.

    :param former: what the last journals were before, to which this one is added. Who
        applies it may be killed before it has deleted it: the next one has to do that.
    """
    with store.other() as connection:
        last = gate.read_gate(connection)
        assert not last.closed
        left = {
            one
            for (one,) in connection.query(
                f"SELECT DISTINCT journal FROM {JOURNAL}"
            ).rows
        }
        if former is None:
            assert -last.journal not in left
        else:
            assert not former.intersection(left) - {-last.journal}
            former.add(-last.journal)


#: A process that writes rounds, and says so; or reads.
PROGRAM = """
    import sys
    sys.path.insert(0, {root!r})
    from tests.django_setup import set_up
    set_up()
    from tests.immudb import test_large_transactions as own
    store = own.store_of({port}, {password!r})
    {work}
"""
WRITE = """
    for number in range({first}, {last}):
        print("begin", number, flush=True)
        with own.writing(store) as session:
            own.change(session, number, {rows})
        print("done", number, flush=True)
"""


@contextlib.contextmanager
def process(server, work):
    """Run a program on a store of its own, until the end of the block."""
    text = textwrap.dedent(PROGRAM).format(
        root=ROOT,
        port=server.port,
        password=server.password,
        work=textwrap.dedent(work).strip(),
    )
    started = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.kill(started.pid, signal.SIGKILL)
        started.wait()
        started.stdout.close()


def written(line):
    word, number = line.split()
    return word, int(number)


def kill_clients(own, stores, work, check):
    """
    Kill clients at any moment of large transactions.

    :param work: what they do, one number after the other.
    :param check: given a store, returns the number that all rows are of.
    """
    chance = seeded("kills of clients")
    last, former = 0, set()
    for _ in range(CLIENTS):
        text = work.format(first=last + 1, last=last + 20, rows=ROWS)
        with process(own, text) as writer:
            assert written(writer.stdout.readline()) == ("begin", last + 1)
            time.sleep(chance.random() * 1.5)
            os.kill(writer.pid, signal.SIGKILL)
            said = [written(line) for line in writer.stdout.readlines()]
        done = max((n for word, n in said if word == "done"), default=last)
        begun = max((n for word, n in said if word == "begin"), default=last + 1)
        fresh = stores()
        last = check(fresh)
        assert last in {done, begun}
        check_rest(fresh, former)


def kill_servers(own, stores, work, check):
    """
    Kill the server at any moment of large transactions.

    :param work: given a session and a number, does that in a transaction.
    :param check: as of :func:`kill_clients`.
    """
    chance = seeded("kills of the server")
    last, former = 0, set()
    for _ in range(SERVERS):
        outcome = []

        def write(number=last + 1, outcome=outcome):
            try:
                with writing(stores()) as session:
                    work(session, number)
            except OperationalError:
                outcome.append("unknown")
            else:
                outcome.append("done")

        thread = threading.Thread(target=write)
        thread.start()
        thread.join(0.3 + chance.random() * 2)
        own.kill()
        own.start()
        thread.join()
        fresh = stores()
        found = check(fresh)
        assert found == last + 1 or (outcome == ["unknown"] and found == last)
        check_rest(fresh, former)
        last = found


def the_round(store):
    """Return the round that all rows are of."""
    counts = rounds(store)
    assert list(counts.values()) == [ROWS]
    return next(iter(counts))


class TestKills:
    """Each transaction is there as a whole, or not at all."""

    @pytest.fixture(autouse=True)
    def _filled(self, place, stores):
        fill(stores())

    def test_of_clients(self, own, stores):
        kill_clients(own, stores, WRITE, the_round)

    def test_of_the_server(self, own, stores):
        def work(session, number):
            change(session, number, ROWS)

        kill_servers(own, stores, work, the_round)


def migrate(session, number):
    """Give each row a new column with the number, in place of the former one's."""
    table = session.catalog().tables["event"]
    columns = [
        *(column for column in table.columns if not column.name.startswith("mark")),
        Column(f"mark_{number}", ValueType.INTEGER),
    ]
    made = dataclasses.replace(table, columns=tuple(columns))
    session.alter_table("event", made, fill={f"mark_{number}": number})


def mark(store):
    """Return the number of the change that all rows have, and all definitions."""
    session = store.reader()
    session.begin(write=False)
    try:
        table = session.catalog().tables["event"]
        (name,) = [one for one in table.positions if one.startswith("mark")]
        found = session.run_query(f"SELECT id, round, {name} FROM event", (), table)
    finally:
        session.close()
    number = int(name.removeprefix("mark_"))
    assert sorted(found) == [(key, 0, number) for key in range(ROWS)]
    return number


MIGRATE = """
    for number in range({first}, {last}):
        print("begin", number, flush=True)
        with own.writing(store) as session:
            own.migrate(session, number)
        print("done", number, flush=True)
"""


class TestKilledSchemaChanges:
    """A table is made anew with all its rows: there is the one or the other."""

    @pytest.fixture(autouse=True)
    def _marked(self, place, stores):
        store = stores()
        fill(store)
        with writing(store) as session:
            migrate(session, 0)

    def test_of_clients(self, own, stores):
        kill_clients(own, stores, MIGRATE, mark)

    @pytest.mark.check
    def test_of_the_server(self, own, stores):
        kill_servers(own, stores, migrate, mark)


class TestOthers:
    def test_readers_see_all_or_nothing(self, own, stores):
        """In another process, and in single statements as in several."""
        store, reader = stores(), stores()
        fill(store)
        rounds_to_go = effort(test=1, check=3, soak=20)
        work = WRITE.format(first=1, last=rounds_to_go + 1, rows=ROWS)
        seen = []
        with process(own, work) as writer:
            while writer.poll() is None:
                for alone in (True, False):
                    (counts,) = [rounds(reader, alone=alone)]
                    assert list(counts.values()) == [ROWS], counts
                    seen += counts
        assert writer.returncode == 0
        assert seen == sorted(seen)
        assert rounds(reader) == {rounds_to_go: ROWS}

    def test_two_processes_with_large_ones(self, own, stores):
        """One of them is first; the other one can be run again, and then is whole."""
        store = stores()
        fill(store)
        work = """
            from backendkit.stores import ConflictError
            for number in range({first}, {last}):
                while True:
                    try:
                        with own.writing(store) as session:
                            own.change(session, number, {rows})
                        break
                    except ConflictError:
                        pass
                print("done", number, flush=True)
        """
        more = effort(test=1, check=2, soak=10)
        with (
            process(own, work.format(first=1, last=1 + more, rows=ROWS)) as one,
            process(own, work.format(first=101, last=101 + more, rows=ROWS)) as two,
        ):
            assert len(one.stdout.readlines()) == more
            assert len(two.stdout.readlines()) == more
        counts = rounds(stores())
        assert list(counts.values()) == [ROWS]
        assert set(counts) <= {more, 100 + more}
        check_rest(stores())

    def test_small_writers_lose_nothing(self, own, stores):
        """Beside a large transaction they wait, or are told to run again."""
        from backendkit.stores import ConflictError

        store = stores()
        fill(store)
        counter = Table("counter", EVENT.columns[:2], ("id",))
        with writing(store) as session:
            session.create_table(counter)
        with writing(store) as session:
            session.insert(counter, [(1, 0)])
        raised = 0
        beside = stores()
        with process(own, WRITE.format(first=1, last=2, rows=ROWS)) as writer:
            while writer.poll() is None:
                with contextlib.suppress(ConflictError), writing(beside) as session:
                    table = session.catalog().tables["counter"]
                    (now,) = session.run_query("SELECT round FROM counter", (), counter)
                    session.set_columns(table, ("round",), {(1,): (now[0] + 1,)})
                    session.commit()
                    raised += 1
                    session.begin(write=True)
        assert writer.returncode == 0
        with beside.other() as connection:
            assert connection.query("SELECT round FROM counter").rows == [(raised,)]
        assert raised
        assert rounds(store) == {1: ROWS}


class TestServer:
    @pytest.mark.parametrize(
        "rows", [600, pytest.param(1_600, marks=pytest.mark.check)]
    )
    def test_rows_that_leave_their_places_in_an_index(self, own, stores, rows):
        """Of more than 512 in one transaction, immudb 1.11's indexer ended the server."""
        store = stores()
        fill(store, rows)
        with writing(store) as session:
            table = session.catalog().tables["event"]
            changes = {(key,): (7,) for key in range(rows)}
            session.set_columns(table, ("round",), changes)
        assert rounds(store) == {7: rows}
        own.stop()
        own.start()
        assert rounds(stores()) == {7: rows}


class TestForeignClients:
    def test_a_row_that_is_inserted_meanwhile(self, own, stores, monkeypatch):
        """It comes after the commit: the transaction's own row replaces it."""
        store = stores()
        fill(store, 10)
        finish = journal.finish

        def late(*arguments):
            with connected(own) as connection:
                connection.run("INSERT INTO event (id, round) VALUES (1000, 77)")
            monkeypatch.undo()
            finish(*arguments)

        monkeypatch.setattr(sessions, "finish", late)
        with writing(store) as session:
            table = session.catalog().tables["event"]
            session.insert(table, [(n, 0, "") for n in range(10, 10 + ROWS)])
        assert rounds(stores()) == {0: 10 + ROWS}
        check_rest(store)


class TestFormats:
    def test_a_journal_of_a_newer_version(self, own, stores):
        """It isn't applied: the error says what is needed."""
        store = stores()
        fill(store, 10)
        newer = gate.Gate(1, (int(time.time()) << 30) + 1, 0, 5 << 8 | 2)
        with store.other() as connection:
            connection.run(*journal.set_gate(newer))
            with pytest.raises(OperationalError, match="newer version of backendkit"):
                journal.finish(connection, newer.journal, 900)
            assert gate.read_gate(connection) == newer
        with pytest.raises(OperationalError, match="newer version of backendkit"):
            rounds(stores())

    def test_a_database_of_an_older_version(self, own, stores):
        """It has no table for journals, and no gate: both come when they are needed."""
        fill(stores(), 10)
        with connected(own) as connection:
            connection.run(f"DROP TABLE {JOURNAL}")
            connection.run(f"DELETE FROM {META} WHERE id > 1")
        store = stores()
        assert rounds(store) == {0: 10}

        with writing(store) as session:
            table = session.catalog().tables["event"]
            session.insert(table, [(n, 0, "") for n in range(10, 10 + ROWS)])
        assert rounds(stores()) == {0: 10 + ROWS}
        check_rest(store)

    def test_garbage(self, own, stores):
        """What was never committed goes with the next journal, once it is a day old."""
        store = stores()
        fill(store, 10)
        now = int(time.time())
        old, young = (now - 90_000) << 30, (now - 3_600) << 30
        with store.other() as connection:
            connection.run("; ".join(CREATE_OWN))
            for number in (old, young):
                sql = f"INSERT INTO {JOURNAL} (journal, part, data) VALUES (?, ?, ?)"
                connection.run(sql, (number, 0, b"garbage"))
        with writing(store) as session:
            table = session.catalog().tables["event"]
            session.insert(table, [(n, 0, "") for n in range(10, 10 + ROWS)])
        with store.other() as connection:
            asked = f"SELECT DISTINCT journal FROM {JOURNAL}"
            assert until(lambda: connection.query(asked).rows == [(young,)])
