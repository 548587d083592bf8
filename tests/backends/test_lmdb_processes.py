"""LMDB and processes that fork, are killed, or open the database twice."""

import gc
import os
import signal

import lmdb
import pytest

from backendkit.backends.lmdb import environment as environments
from backendkit.backends.lmdb.store import LMDBStore, TooManyReadersError
from backendkit.stores import (
    Access,
    Index,
    InterfaceError,
    OperationalError,
)

from .lmdb_processes import BOOK, FULL, in_fork, run, start

COLUMNS = ("id", "text")
FORKED = "another process began this transaction, before a fork"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


@pytest.fixture
def opened(path):
    stores = []

    def open_store(**options):
        stores.append(LMDBStore.open(path, {"timeout": 0.2, "sync": False, **options}))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    store = opened()
    session = store.session()
    session.begin(write=True)
    session.create_table(BOOK)
    session.insert(BOOK, [(None, str(number)) for number in range(3000)])
    session.commit()
    return store


def begun(store, write):
    session = store.session()
    session.begin(write=write)
    return session


def texts(session):
    return [row[0] for row in session.query(BOOK, ("text",), FULL).fetch()]


# Forks


@pytest.mark.parametrize("how", ["read", "write", "upgraded"])
def test_a_child_in_its_parents_transaction(store, how):
    """Whatever it tries is a clear error; the parent never notices."""
    session = begun(store, how == "write")
    before = session.query(BOOK, COLUMNS, FULL).fetch()
    next(before)
    if how == "upgraded":
        session.upgrade()
    if how != "read":
        session.insert(BOOK, [(None, "parent")])
    open_ones = [before]
    for index in ("", "book_text"):
        for read in (1, 20, 2500, 2995):
            rows = session.query(BOOK, COLUMNS, Access(index)).fetch()
            for _ in range(read):
                next(rows)
            open_ones.append(rows)

    def child():
        attempts = [
            lambda: session.get(BOOK, (1,)),
            lambda: texts(session),
            lambda: session.update(BOOK, (1,), (1, "child")),
            lambda: session.delete(BOOK, [(1,)]),
            lambda: session.insert(BOOK, [(None, "child")]),
            lambda: session.create_index("book", Index("i", ("id", "text"))),
            session.commit,
        ]
        if how == "read":
            attempts[2:7] = [session.upgrade]
        attempts += [lambda rows=rows: list(rows) for rows in open_ones]
        for attempt in attempts:
            with pytest.raises(InterfaceError, match=FORKED):
                attempt()
        # What every program does when something failed.
        session.rollback()
        own = begun(store, write=False)
        assert len(texts(own)) == 3000
        own.close()
        session.close()
        gc.collect()

    assert in_fork(child) == 0
    assert len(list(before)) == 2999
    if how == "read":
        session.upgrade()
        session.insert(BOOK, [(None, "parent")])
    session.commit()
    session.begin(write=False)
    assert texts(session)[3000:] == ["parent"]
    session.close()


def test_a_childs_end_leaves_the_parents_lock(store, path):
    """While the parent writes, no other process gets in, whatever its child does."""
    session = begun(store, write=True)
    session.insert(BOOK, [(None, "x" * 400)] * 1000)

    def child():
        with pytest.raises(OperationalError, match=f"process {os.getppid()} "):
            begun(store, write=True)
        session.close()
        store.close()

    for _ in range(3):
        assert in_fork(child) == 0
    code = """
        store = opened()
        try:
            add(store, 1)
        except OperationalError as error:
            print(error)
    """
    (message,) = run(code, path)
    assert f"process {os.getpid()} (" in message
    session.commit()
    assert run(code, path) == []
    session.begin(write=False)
    assert len(texts(session)) == 4001
    session.close()


def test_a_child_of_a_child(store):
    """Each opens the database for itself."""
    session = begun(store, write=False)

    def grandchild():
        with pytest.raises(InterfaceError, match=FORKED):
            session.get(BOOK, (1,))
        own = begun(store, write=True)
        own.insert(BOOK, [(None, "grandchild")])
        own.commit()

    def child():
        own = begun(store, write=True)
        own.insert(BOOK, [(None, "child")])
        own.commit()
        own.begin(write=False)
        assert in_fork(grandchild) == 0
        assert len(texts(own)) == 3001
        own.close()

    assert in_fork(child) == 0
    assert len(texts(session)) == 3000
    session.close()
    session = begun(store, write=False)
    assert texts(session)[3000:] == ["child", "grandchild"]
    session.close()


# Killed readers

READ = """
    store = opened()
    sessions = [store.session() for _ in range(int(sys.argv[2]))]
    for session in sessions:
        session.begin(write=False)
    print("reading", flush=True)
    sys.stdin.readline()
"""


def kill_readers(path, number):
    """Have a process begin to read in so many transactions, and kill it."""
    child = start(READ, path, number)
    assert child.stdout.readline() == "reading\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_places_of_killed_readers(opened, path):
    """When all places are taken, those of dead processes are given out again."""
    store = opened(max_readers=4)
    run("add(opened(max_readers=4), 3, table=True)", path)
    kill_readers(path, 3)
    sessions = [begun(store, write=False) for _ in range(4)]
    with pytest.raises(TooManyReadersError):
        begun(store, write=False)
    for session in sessions:
        session.close()


def test_killed_readers_are_gone_after_opening(store, opened, path):
    store.close()
    kill_readers(path, 5)
    store = opened()
    assert store.engine.environment.lmdb.reader_check() == 0


@pytest.mark.check
def test_the_file_stops_growing_after_a_reader_was_killed(store, path, monkeypatch):
    """Its snapshot is given up by the next writer that looks."""

    def write(rounds):
        session = store.session()
        for number in range(rounds):
            session.begin(write=True)
            for key in range(1, 500):
                session.update(BOOK, (key,), (key, f"{number} {key}"))
            session.commit()

    write(5)
    kill_readers(path, 1)
    write(20)
    grown = store.info().used
    write(20)
    # The test of this test: a dead reader does hold on to the pages.
    assert store.info().used > 1.2 * grown
    monkeypatch.setattr(environments, "_READER_CHECK_INTERVAL", 0)
    write(2)
    used = store.info().used
    write(40)
    assert store.info().used <= used


# Twice in one process


def test_lmdb_itself_has_it_open(path):
    """A clear error; the other one's transactions and locks stay as they are."""
    LMDBStore.open(path).close()
    theirs = lmdb.open(str(path), map_size=1 << 24)
    try:
        with theirs.begin() as transaction:
            for _ in range(2):
                with pytest.raises(OperationalError, match="already open in this"):
                    LMDBStore.open(path)
            assert transaction.stat()["entries"] == 1
            # Another process still sees that it is being read.
            code = """
                import lmdb
                with lmdb.open(sys.argv[1]) as other:
                    print(other.reader_check())
            """
            assert run(code, path) == ["0"]
    finally:
        theirs.close()
    LMDBStore.open(path).close()
