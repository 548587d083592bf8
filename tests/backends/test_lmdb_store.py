"""LMDB as a store: processes, threads, files, and what goes wrong with them."""

import gc
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import contextmanager

import lmdb
import pytest
from tests.effort import later
from tests.waiting import PATIENCE

from backendkit.backends.lmdb.store import (
    LMDBOptions,
    LMDBStore,
    OptionsError,
)
from backendkit.backends.lmdb.transaction import LMDBTransaction
from backendkit.kv.layout import FORMAT_KEY
from backendkit.stores import (
    Access,
    Column,
    ConflictError,
    DataError,
    FilterShape,
    Index,
    InterfaceError,
    OperationalError,
    Table,
    ValueType,
)
from backendkit.stores.testing import StoreContract

from .lmdb_processes import in_fork

BOOK = Table(
    "book",
    (
        Column("id", ValueType.INTEGER, False, True),
        Column("title", ValueType.STRING),
        Column("pages", ValueType.INTEGER),
    ),
    ("id",),
    (Index("book_title", ("title",)), Index("book_pages", ("pages",))),
)
COLUMNS = ("id", "title", "pages")
FULL = Access()


class TestContract(StoreContract):
    # A key has 511 bytes at most: test_too_long_a_key says what happens else.
    longest_primary_key = 200

    test_update_by_filter = later(StoreContract.test_update_by_filter)

    def make_store(self):
        self.directory = tempfile.TemporaryDirectory()
        return LMDBStore.open(f"{self.directory.name}/db", {"timeout": 0.1})

    def reopen_store(self, store):
        store.close()
        return LMDBStore.open(f"{self.directory.name}/db", {"timeout": 0.1})

    def remove_store(self, store):
        store.close()
        self.directory.cleanup()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


@pytest.fixture
def opened(path):
    """Open stores on the path, and close them at the end."""
    stores = []

    def open_store(**options):
        stores.append(LMDBStore.open(path, {"timeout": 0.1, **options}))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    store = opened()
    with writing(store) as session:
        session.create_table(BOOK)
    return store


@contextmanager
def writing(store):
    session = store.session()
    session.begin(write=True)
    try:
        yield session
        session.commit()
    finally:
        session.close()


@contextmanager
def reading(store):
    session = store.session()
    session.begin(write=False)
    try:
        yield session
    finally:
        session.close()


def rows(store):
    with reading(store) as session:
        return list(session.query(BOOK, COLUMNS, FULL).fetch())


def run(code, *arguments):
    """Run Python code in another process, without waiting."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


# Processes


def test_kill_9_loses_nothing_acknowledged(path):
    """What commit acknowledged is there after the process was killed."""
    code = """
        import sys
        from backendkit.backends.lmdb.store import LMDBStore
        from backendkit.stores import Column, Table, ValueType
        store = LMDBStore.open(sys.argv[1])
        session = store.session()
        session.begin(write=True)
        columns = Column("id", ValueType.INTEGER, False, True), Column("v", "integer")
        columns = columns[0], Column("v", ValueType.INTEGER)
        table = session.catalog().tables.get("t")
        if table is None:
            table = Table("t", columns, ("id",))
            session.create_table(table)
        session.commit()
        while True:
            session.begin(write=True)
            session.insert(table, [(None, n) for n in range(3)])
            last = session.insert(table, [(None, 3)])[0][0]
            session.commit()
            print(last, flush=True)
    """
    for round_ in range(3):
        child = run(code, path)
        lines = [child.stdout.readline() for _ in range(20 + 10 * round_)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
        child.wait()
        # A line that was cut off in the middle isn't known whole.
        last = int([line for line in lines if line.endswith("\n")][-1])
        store = LMDBStore.open(path)
        with reading(store) as session:
            table = session.catalog().tables["t"]
            ids = [row[0] for row in session.query(table, ("id",), FULL).fetch()]
            assert ids == list(range(1, len(ids) + 1))
            assert len(ids) >= last
            assert len(ids) % 4 == 0, "half a transaction"
            assert session.estimated_rows(table) == len(ids)
        with writing(store) as session:  # the dead writer's locks are free
            assert session.insert(table, [(None, 0)] * 4)[0] == (len(ids) + 1,)
        store.close()


def test_two_processes_see_each_other(store, path):
    """Rows, tables and numbers of one are seen by the other's next transaction."""
    code = """
        import sys
        from backendkit.backends.lmdb.store import LMDBStore
        from backendkit.stores import Column, Table, ValueType
        store = LMDBStore.open(sys.argv[1])
        session = store.session()
        for line in sys.stdin:
            session.begin(write=True)
            book = session.catalog().tables["book"]
            print(session.insert(book, [(None, line.strip(), 1)])[0][0])
            name = f"t{line.strip()}"
            session.create_table(Table(name, book.columns, book.primary_key))
            session.commit()
            print("done", flush=True)
    """
    child = run(code, path)
    try:
        for number in (1, 3, 5):
            print(number, file=child.stdin, flush=True)
            assert child.stdout.readline() == f"{number}\n"
            assert child.stdout.readline() == "done\n"
            with writing(store) as session:
                assert f"t{number}" in session.catalog().tables
                assert session.insert(BOOK, [(None, "x", 2)]) == [(number + 1,)]
    finally:
        child.communicate()
    assert [row[0] for row in rows(store)] == [1, 2, 3, 4, 5, 6]


def test_a_writer_waits_for_another_process_and_gives_up(store, path):
    """The message names the process; when it ends, the lock is free."""
    code = """
        import sys
        from backendkit.backends.lmdb.store import LMDBStore
        store = LMDBStore.open(sys.argv[1])
        session = store.session()
        session.begin(write=True)
        print("locked", flush=True)
        sys.stdin.readline()
    """
    child = run(code, path)
    try:
        assert child.stdout.readline() == "locked\n"
        session = store.session()
        started = time.monotonic()
        with pytest.raises(
            OperationalError,
            match=rf"database is locked: .*process {child.pid} \(-c\) has been writing",
        ):
            session.begin(write=True)
        assert 0.09 < time.monotonic() - started < PATIENCE
        assert rows(store) == []  # readers don't wait
    finally:
        child.kill()
        child.communicate()
    session.begin(write=True)
    session.rollback()


def test_a_forked_child_opens_for_itself(store):
    """Parent and child both go on, with the parent's transactions untouched."""
    with writing(store) as session:
        session.insert(BOOK, [(None, "parent", 1)])
    reader = store.session()
    reader.begin(write=False)
    writer = store.session()
    writer.begin(write=False)

    def child():
        with writing(store) as session:
            session.insert(BOOK, [(None, "child", 2)])
        assert len(rows(store)) == 2
        with pytest.raises(InterfaceError):
            reader.get(BOOK, (1,))
        reader.close()
        with pytest.raises(InterfaceError):
            reader.begin(write=False)

    slots = store.engine.environment.lmdb.readers()
    assert in_fork(child) == 0
    # The child left the parent's slots in the table of readers alone.
    assert store.engine.environment.lmdb.readers() == slots
    assert len(list(reader.query(BOOK, COLUMNS, FULL).fetch())) == 1
    with pytest.raises(ConflictError):
        writer.upgrade()
    assert len(rows(store)) == 2
    reader.close()


def test_a_child_cannot_end_its_parents_write_transaction(store):
    session = store.session()
    session.begin(write=True)
    session.insert(BOOK, [(None, "x", 1)])

    def child():
        with pytest.raises(InterfaceError, match="another process"):
            session.commit()

    assert in_fork(child) == 0
    session.commit()
    assert rows(store) == [(1, "x", 1)]


# Threads


def test_the_lock_time_out_names_the_thread(store):
    """A writer of this process is named, and how long it has been writing."""
    session = store.session()
    errors = []

    def other():
        try:
            session.begin(write=True)
        except OperationalError as error:
            errors.append(str(error))

    with writing(store):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert "database is locked" in errors[0]
    assert "'MainThread' of this process has been writing for" in errors[0]


def test_a_second_writer_in_one_thread_fails_at_once(opened):
    """It would wait for itself."""
    store = opened(timeout=60)
    with writing(store), pytest.raises(OperationalError, match="database is locked"):
        store.session().begin(write=True)


def test_a_waiting_writer_gets_its_turn(opened):
    store = opened(timeout=PATIENCE)
    first, second = store.session(), store.session()
    first.begin(write=True)
    done = []

    def other():
        second.begin(write=True)
        done.append(second.rollback())

    thread = threading.Thread(target=other)
    thread.start()
    time.sleep(0.05)
    assert not done
    first.rollback()
    thread.join(PATIENCE)
    assert done


def begun_in_a_thread(store, then=lambda: None):
    """Return a session that another thread began to write in."""
    session = store.session()

    def begin():
        session.begin(write=True)
        session.insert(BOOK, [(None, "x", 1)])
        ready.set()
        then()

    ready = threading.Event()
    thread = threading.Thread(target=begin)
    thread.start()
    ready.wait()
    return session, thread


def test_a_write_transaction_ends_in_its_thread(store):
    """LMDB's mutex belongs to a thread: a clear error, and nothing is lost."""
    go = threading.Event()

    def then():
        go.wait()
        box[0].commit()

    box = []
    session, thread = begun_in_a_thread(store, then)
    box.append(session)
    for call in (session.commit, session.rollback):
        with pytest.raises(InterfaceError, match="thread"):
            call()
    go.set()
    thread.join()
    assert rows(store) == [(1, "x", 1)]


def test_a_dead_threads_transaction_can_be_rolled_back(store):
    session, thread = begun_in_a_thread(store)
    thread.join()
    session.rollback()
    with writing(store) as again:
        assert again.insert(BOOK, [(None, "y", 2)]) == [(1,)]


def test_a_lost_session_leaves_no_lock(store):
    """A session that was never closed is cleaned up with its object."""
    session = store.session()
    session.begin(write=True)
    iterator = session.query(BOOK, COLUMNS, FULL).fetch()
    next(iterator, None)
    del session, iterator
    gc.collect()
    with writing(store) as again:
        again.insert(BOOK, [(None, "y", 2)])


def test_many_readers(opened):
    """One more than max_readers is refused with the name of the option."""
    store = opened(max_readers=3)
    sessions = [store.session() for _ in range(4)]
    for session in sessions[:3]:
        session.begin(write=False)
    with pytest.raises(OperationalError, match="max_readers"):
        sessions[3].begin(write=False)
    for session in sessions:
        session.close()


# Iterators


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
@pytest.mark.parametrize("index", ["", "book_pages"])
def test_an_iterator_does_not_outlive_its_transaction(store, write, end, index):
    with writing(store) as session:
        session.insert(BOOK, [(None, "x", n) for n in range(2000)])
    session = store.session()
    session.begin(write=write)
    open_ones = []
    for read in (0, 1, 10, 1000):
        iterator = session.query(BOOK, COLUMNS, Access(index)).fetch()
        for _ in range(read):
            next(iterator)
        open_ones.append(iterator)
    getattr(session, end)()
    for iterator in open_ones:
        with pytest.raises(InterfaceError, match=r"ended|no transaction"):
            next(iterator)


def test_an_open_iterator_survives_the_upgrade(store):
    """It keeps reading the snapshot; new ones see what is written."""
    with writing(store) as session:
        session.insert(BOOK, [(None, "x", n) for n in range(1000)])
    session = store.session()
    session.begin(write=False)
    access = session.access(BOOK, [FilterShape("pages", "gte")])
    found = {}
    for index in ("", "book_pages"):
        query = session.query(BOOK, COLUMNS, Access(index))
        found[index] = query.fetch()
        next(found[index])
    session.upgrade()
    session.delete(BOOK, [(n,) for n in range(1, 1001)])
    for iterator in found.values():
        assert len(list(iterator)) == 999
    assert list(session.query(BOOK, COLUMNS, access).fetch()) == []
    session.commit()


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_that_move_ahead_are_met_once(store, reverse):
    """A loop that moves each row forward in the index it reads comes to its end."""
    with writing(store) as session:
        session.insert(BOOK, [(None, "x", n) for n in range(100)])
        step = -1000 if reverse else 1000
        query = session.query(BOOK, COLUMNS, Access("book_pages", reverse=reverse))
        seen = []
        for key, title, pages in query.fetch():
            seen.append(key)
            session.update(BOOK, (key,), (key, title, pages + step))
            session.insert(BOOK, [(None, "new", pages + 2 * step)])
        assert sorted(seen) == list(range(1, 101))
        assert session.estimated_rows(BOOK) == 200


# Limits


def test_too_long_a_key(store):
    """The message names table, column, sizes and the remedy; the row isn't stored."""
    table = Table(
        "named", (Column("name", ValueType.STRING, nullable=False),), ("name",)
    )
    with writing(store) as session:
        session.create_table(table)
        with pytest.raises(DataError) as caught:
            session.insert(table, [("x" * 600,)])
        for part in ("named.name", "primary key", "511", "60", "Shorten the value"):
            assert part in str(caught.value)
        session.insert(table, [("x",)])
        with pytest.raises(DataError, match=r"named\.name"):
            session.update(table, ("x",), ("é" * 300,))
        assert list(session.query(table, ["name"], FULL).fetch()) == [("x",)]


def test_a_filter_may_be_longer_than_any_key(store):
    """No row has such a value, and ranges still hold."""
    with writing(store) as session:
        session.insert(BOOK, [(None, text, 1) for text in ("x" * 400, "y", "w", None)])
        for lookup, count in (
            ("exact", 0), ("gt", 1), ("gte", 1), ("lt", 2), ("lte", 2)
        ):  # fmt: skip
            for reverse in (False, True):
                access = Access(
                    "book_title",
                    int(lookup == "exact"),
                    lookup != "exact",
                    reverse=reverse,
                )
                query = session.query(BOOK, COLUMNS, access)
                query.add_filter("title", lookup, False, "string", "x" * 600)
                assert len(list(query.fetch())) == count
                assert query.count() == count


# Directories


def test_the_directory_is_made_but_not_its_parent(path):
    LMDBStore.open(path).close()
    assert sorted(os.listdir(path)) == ["data.mdb", "lock.mdb", "writer.lock"]
    with pytest.raises(OperationalError, match="unable to create"):
        LMDBStore.open(path.parent / "no" / "db")


def test_a_file_is_left_alone(path):
    path.write_text("mine")
    for call in (LMDBStore.open, LMDBStore.destroy):
        with pytest.raises(InterfaceError, match="is a file"):
            call(path)
    assert path.read_text() == "mine"


def test_other_files_are_left_alone(path):
    path.mkdir()
    (path / "letter.txt").write_text("mine")
    for call in (LMDBStore.open, LMDBStore.destroy):
        with pytest.raises(InterfaceError, match="other files"):
            call(path)
    assert os.listdir(path) == ["letter.txt"]


def test_somebody_elses_lmdb_is_left_alone(path):
    theirs = lmdb.open(str(path))
    with theirs.begin(write=True) as transaction:
        transaction.put(b"key", b"value")
    theirs.close()
    (path / "lock.mdb").unlink()
    before = (path / "data.mdb").read_bytes()
    for call in (LMDBStore.open, LMDBStore.destroy):
        with pytest.raises(OperationalError, match="not a database of"):
            call(path)
    assert os.listdir(path) == ["data.mdb"]
    assert (path / "data.mdb").read_bytes() == before


def test_no_lmdb_at_all_is_left_alone(path):
    path.mkdir()
    (path / "data.mdb").write_text("a letter, not a database " * 1000)
    for call in (LMDBStore.open, LMDBStore.destroy):
        with pytest.raises(OperationalError, match="unable to open"):
            call(path)
    assert os.listdir(path) == ["data.mdb"]


def test_a_newer_format_is_refused(path):
    LMDBStore.open(path).close()
    with lmdb.open(str(path)) as raw, raw.begin(write=True) as transaction:
        marker = transaction.get(FORMAT_KEY)
        transaction.put(FORMAT_KEY, marker.replace(b'"format": 1', b'"format": 3'))
    with pytest.raises(OperationalError, match=r"format 3.*Upgrade"):
        LMDBStore.open(path)


def test_an_interrupted_creation_is_finished(path):
    """A process that died between the first file and the last leaves no ruin."""
    path.mkdir()
    (path / "writer.lock").touch()
    LMDBStore.open(path).close()
    for name in ("data.mdb", "lock.mdb"):
        (path / name).unlink()
    lmdb.open(str(path)).close()
    LMDBStore.open(path).close()


@pytest.mark.skipif(os.geteuid() == 0 and not hasattr(os, "seteuid"), reason="root")
def test_permissions(store, path):
    """Without permission the message says so, and nothing breaks."""
    store.close()
    for name in os.listdir(path):
        (path / name).chmod(stat.S_IRUSR)
    path.parent.chmod(0o755)
    root = os.geteuid() == 0

    def child():
        if root:
            os.seteuid(65534)
        with pytest.raises(OperationalError, match=r"(?i)permission denied"):
            LMDBStore.open(path)
        with pytest.raises(OperationalError, match=r"(?i)permission denied"):
            LMDBStore.open(path.parent / "new" if root else "/new")

    assert in_fork(child) == 0


def test_readonly(store, opened, path):
    """Reads are served, writes refused; a missing database isn't made."""
    with writing(store) as session:
        session.insert(BOOK, [(None, "x", 1)])
    beside = opened(readonly=True)
    assert rows(beside) == [(1, "x", 1)]
    session = beside.session()
    with pytest.raises(OperationalError, match="readonly"):
        session.begin(write=True)
    session.begin(write=False)
    with pytest.raises(OperationalError, match="readonly"):
        session.upgrade()
    session.close()
    beside.close()
    store.close()
    alone = opened(readonly=True)
    assert rows(alone) == [(1, "x", 1)]
    with pytest.raises(OperationalError, match="contains none"):
        LMDBStore.open(path.parent / "other", {"readonly": True})
    assert not (path.parent / "other").exists()


def test_readonly_and_then_for_writing(store, opened):
    """The environment is opened again for who writes; who reads still may not."""
    with writing(store) as session:
        session.insert(BOOK, [(None, "x", 1)])
    store.close()
    alone = opened(readonly=True)
    reading = alone.session()
    reading.begin(write=False)
    with pytest.raises(OperationalError, match=r"for reading only\. End the open"):
        opened(timeout=0)
    reading.rollback()
    writes = opened()
    with writing(writes) as session:
        session.insert(BOOK, [(None, "y", 2)])
    assert rows(alone) == rows(writes) == [(1, "x", 1), (2, "y", 2)]
    with pytest.raises(OperationalError, match="attempt to write a readonly database"):
        reading.begin(write=True)
    assert alone.engine.environment is writes.engine.environment


def test_stores_share_an_environment(opened, path):
    """LMDB forbids to open one twice in a process; paths may differ."""
    first, second = opened(), opened()
    link = path.parent / "link"
    link.symlink_to(path)
    third = LMDBStore.open(link, {"timeout": 7})
    environments = {id(one.engine.environment) for one in (first, second, third)}
    assert len(environments) == 1
    with pytest.raises(InterfaceError, match="other options"):
        opened(map_size=1 << 25)
    for one in (first, first, second):
        one.close()
    with writing(third) as session:
        session.create_table(BOOK)
    third.close()
    with pytest.raises(InterfaceError, match="closed"):
        third.session().begin(write=False)
    assert rows(opened(map_size=1 << 25)) == []


def test_clone_and_destroy(store, path):
    with writing(store) as session:
        session.insert(BOOK, [(None, "x", 1)])
    target = path.parent / "clone"
    store.clone(target)
    with writing(store) as session:
        session.insert(BOOK, [(None, "later", 1)])
    with pytest.raises(InterfaceError, match="exists"):
        store.clone(target)
    with pytest.raises(OperationalError, match="unable to create"):
        store.clone(path.parent / "no" / "clone")
    copy = LMDBStore.open(target)
    assert rows(copy) == [(1, "x", 1)]
    with pytest.raises(InterfaceError, match="open"):
        LMDBStore.destroy(target)
    copy.close()
    LMDBStore.destroy(target)
    LMDBStore.destroy(target)
    assert sorted(os.listdir(path.parent)) == ["db"]


def test_info_and_version(store, path):
    info = store.info()
    assert info.path == str(path)
    assert info.map_size >= LMDBOptions().map_size
    assert 0 < info.used < 1 << 20
    assert info.transactions >= 2
    assert store.version() >= (0, 9)


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapsize": 1 << 30}, "'mapsize'.*Did you mean 'map_size'"),
        ({"init_command": "x"}, "The options are: map_size, max_size, sync"),
        ({"map_size": "16 GiB"}, "'map_size'.*an integer, in bytes, not '16 GiB'"),
        ({"map_size": True}, "'map_size'"),
        ({"map_size": 1000}, "'map_size'.*at least"),
        ({"map_size": 1 << 80}, "'map_size'.*at most"),
        ({"max_size": 1000}, "'max_size'.*at least"),
        ({"max_size": 1 << 20, "map_size": 1 << 21}, "'max_size'.*at least 2097152"),
        ({"max_size": "1 GiB"}, "'max_size'.*an integer, in bytes"),
        ({"max_readers": 0}, "'max_readers'"),
        ({"sync": "sometimes"}, "'sync'.*\"meta\""),
        ({"sync": []}, "'sync'"),
        ({"readonly": 1}, "'readonly'.*True or False"),
        ({"timeout": "5"}, "'timeout'.*seconds"),
        ({"timeout": -1}, "'timeout'"),
        ({"timeout": float("nan")}, "'timeout'"),
        ({"transaction_mode": "EXCLUSIVE"}, "'transaction_mode'.*DEFERRED"),
        ({"transaction_mode": None}, "'transaction_mode'.*DEFERRED"),
    ],
)
def test_wrong_options(path, options, message):
    with pytest.raises(OptionsError, match=message):
        LMDBStore.open(path, options)
    assert not path.exists()


@pytest.mark.parametrize("name", ["", None, 3, b"db", "a\0b"])
def test_wrong_names(name):
    with pytest.raises(OptionsError, match="path of a directory"):
        LMDBStore.open(name)


@pytest.mark.parametrize("sync", [True, False, "full", "meta", "none"])
def test_sync(opened, sync):
    store = opened(sync=sync)
    flags = store.engine.environment.lmdb.flags()
    word = store.options.durability
    assert (flags["sync"], flags["metasync"]) == (word != "none", word == "full")


class TestAppending:
    """Rows go behind those of their table, though other tables' lie behind them."""

    others = Table("shelf", BOOK.columns, ("id",))

    @pytest.fixture
    def store(self, store):
        with writing(store) as session:
            session.create_table(self.others)
            rows = [(None, f"shelf {n}", n) for n in range(300)]
            session.insert(self.others, rows)
        return store

    def behind(self, session):
        return list(session.query(self.others, COLUMNS, FULL).fetch())

    def test_pages_are_filled(self, store):
        with writing(store) as session:
            session.drop_index("book", "book_title")
            session.drop_index("book", "book_pages")
        before = store.engine.environment.lmdb.stat()["leaf_pages"]
        with writing(store) as session:
            book = session.catalog().tables["book"]
            rows = [(None, "x" * 30, 1)] * 500
            for _ in range(40):
                session.insert(book, rows)
        pages = store.engine.environment.lmdb.stat()["leaf_pages"] - before
        # With its key and what a page notes of it, a row has some 60 bytes.
        assert pages < 20_000 * 60 / 4096 * 1.15
        with reading(store) as session:
            assert len(self.behind(session)) == 300

    def test_what_steps_aside_comes_back(self, store, monkeypatch):
        put_all = LMDBTransaction.put_all
        calls = []

        def interrupted(self, pairs):
            calls.append(len(pairs))
            if len(calls) == 1:
                raise KeyboardInterrupt
            put_all(self, pairs)

        with writing(store) as session:
            wanted = self.behind(session)
            walk = session.query(self.others, COLUMNS, FULL).fetch()
            seen = [next(walk)]
            monkeypatch.setattr(LMDBTransaction, "put_all", interrupted)
            mark = session.savepoint()
            # A query that is being read keeps rows from being inserted many at once.
            session.scans.clear()
            with pytest.raises(KeyboardInterrupt):
                session.insert(BOOK, [(None, "a", 1)] * 9)
            session.rollback_to(mark)
            assert calls[0] == 9
            assert calls[1] > 1
            assert self.behind(session) == wanted
            assert session.insert(BOOK, [(None, "a", 1)] * 9)[-1] == (9,)
            assert self.behind(session) == wanted == seen + list(walk)
