"""LMDB's map: it is large from the start, and made larger where it wasn't."""

import itertools
import os
import resource
import subprocess
import sys
import textwrap
import threading
import time

import lmdb
import pytest
from tests.effort import effort
from tests.waiting import PATIENCE

from backendkit.backends.lmdb import environment as environments
from backendkit.backends.lmdb.store import DatabaseFullError, LMDBStore
from backendkit.stores import (
    ConflictError,
    OperationalError,
)

from .lmdb_processes import BOOK, FULL, add, count

MIB = 1 << 20
#: What the two processes write together.
GROWTH = effort(test=48, soak=500)


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
def small(monkeypatch, opened):
    """A store in a process that can reserve no more than 1 MiB, at first."""
    monkeypatch.setattr(environments, "RESERVE", MIB)
    store = opened()
    add(store, 1, table=True)
    return store


def in_process(path, code, *arguments):
    """Run Python code that has a ``store`` on the database."""
    start = """
        import sys
        from backendkit.backends.lmdb.store import LMDBStore
        store = LMDBStore.open(sys.argv[1], {"map_size": 1 << 20, "sync": False})
        session = store.session()
    """
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(start) + textwrap.dedent(code),
            *map(str, (path, *arguments)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def fill(path, number=5000):
    """Have another process, with a large map, add rows of some 400 bytes."""
    code = """
        session.begin(write=True)
        book = session.catalog().tables["book"]
        session.insert(book, [(None, "y" * 400)] * int(sys.argv[2]))
        session.commit()
    """
    child = in_process(path, code, number)
    child.communicate()
    assert child.returncode == 0


# With all the address space there is


def test_two_processes_in_turn(path, opened):
    """A map of 1 MiB becomes as large as two processes want, none loses anything."""
    add(opened(map_size=MIB), 1, table=True)
    code = """
        book = None
        for line in sys.stdin:
            session.begin(write=True)
            book = book or session.catalog().tables["book"]
            # 4 MiB in one transaction: more than the map that was asked for.
            session.insert(book, [(None, "y" * 400)] * int(line))
            session.commit()
            print("done", flush=True)
    """
    rows = 4 * MIB // 400 // 2
    children = [in_process(path, code) for _ in range(2)]
    rounds = 0
    try:
        while (path / "data.mdb").stat().st_size < GROWTH * MIB:
            child = children[rounds % 2]
            print(rows, file=child.stdin, flush=True)
            assert child.stdout.readline() == "done\n"
            rounds += 1
    finally:
        for child in children:
            child.communicate()
    assert [child.returncode for child in children] == [0, 0]
    assert count(opened(map_size=MIB)) == rounds * rows + 1


def test_it_costs_no_memory_and_no_disk(opened, path):
    """The map is address space alone."""
    before = resident()
    store = opened()
    add(store, 1, table=True)
    assert store.info().map_size >= 1 << 30
    assert resident() - before < 8 * MIB
    assert (path / "data.mdb").stat().st_blocks * 512 < MIB


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_max_size(opened):
    """The limit is kept and named; what was committed is there, and it goes on."""
    store = opened(max_size=MIB)
    add(store, 1, table=True)
    session = store.session()
    session.begin(write=True)
    mark = session.savepoint()
    with pytest.raises(DatabaseFullError, match="max_size"):
        session.insert(BOOK, [(None, "x" * 400)] * 10_000)
    with pytest.raises(OperationalError):
        session.rollback_to(mark)
    with pytest.raises(OperationalError):
        session.commit()
    session.rollback()
    assert count(store) == 1
    add(store, 1)
    assert count(store) == 2
    assert store.info().map_size == MIB


# With too little of it


def test_address_space(path):
    """A process gets as much as it can; what it asks for, or an error."""
    code = """
        import resource, sys
        from backendkit.backends.lmdb.store import LMDBStore
        from backendkit.stores import OperationalError
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        try:
            LMDBStore.open(sys.argv[1], {"map_size": 2 << 30})
        except OperationalError as error:
            print(error)
        store = LMDBStore.open(sys.argv[1])
        print(store.info().map_size)
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), path],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    error, size = child.stdout.splitlines()
    assert "can't map the 2147483648 bytes" in error
    assert 64 * MIB <= int(size) < 1 << 30


def test_a_map_that_was_met_grows(small):
    """Where it must, a transaction fails once; the next one has twice the map."""
    for expected in (2 * MIB, 4 * MIB, 8 * MIB):
        with pytest.raises(DatabaseFullError):
            add(small, 50_000)
        assert count(small) == 1
        add(small, 0)
        assert small.info().map_size == expected
    add(small, 5000)
    assert count(small) == 5001


def test_growth_waits_for_readers(small):
    """A snapshot of this process keeps its map; it grows when that has ended."""
    reader = small.session()
    reader.begin(write=False)
    rows = reader.query(BOOK, ("id",), FULL).fetch()
    with pytest.raises(DatabaseFullError):
        add(small, 10_000)
    add(small, 1)
    assert small.info().map_size == MIB
    assert list(rows) == [(1,)]
    reader.close()
    add(small, 1)
    assert small.info().map_size == 2 * MIB


def test_another_process_grew_it(small, path):
    """What it has written beyond our map is there for the next transaction."""
    fill(path)
    assert count(small) == 5001
    fill(path, 20_000)
    add(small, 1)
    assert count(small) == 25_002


def test_another_process_grew_it_while_we_read(small, path):
    """The snapshot stays; a new one has to wait for its end, or gives up."""
    reader = small.session()
    reader.begin(write=False)
    fill(path)
    started = time.monotonic()
    with pytest.raises(OperationalError, match="End the open transactions"):
        count(small)
    assert time.monotonic() - started < PATIENCE
    assert list(reader.query(BOOK, ("id",), FULL).fetch()) == [(1,)]
    with pytest.raises(ConflictError):
        reader.upgrade()
    assert count(small) == 5001


def test_threads_meet_a_larger_map(small, path, opened):
    """All threads go on while the map is made anew under them."""
    patient = opened(timeout=PATIENCE)
    stop = threading.Event()
    errors, counts = [], set()

    def read():
        session = patient.session()
        try:
            while not stop.is_set():
                session.begin(write=False)
                rows = session.query(BOOK, ("text",), FULL).fetch()
                assert len(list(itertools.islice(rows, 100))) in (1, 100)
                counts.add(session.estimated_rows(BOOK))
                session.rollback()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            errors.append(error)
        finally:
            session.close()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in (5000, 10_000, 20_000):
        fill(path, number)
    add(patient, 1)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert counts <= {1, 5001, 15_001, 35_001, 35_002}
    assert count(small) == 35_002


def test_lmdb_gave_up(opened):
    """After a meta page couldn't be written LMDB wants to be opened again; it is."""
    store = opened()
    add(store, 1, table=True)
    environment = store.engine.environment
    before = environment.lmdb

    class Panicking:
        def begin(self, **options):
            raise lmdb.PanicError("mdb_txn_begin: Update of meta page failed")

        def close(self):
            before.close()

    for work in (lambda: add(store, 1), lambda: count(store)):
        before, environment.lmdb = environment.lmdb, Panicking()
        work()
    assert count(store) == 2
