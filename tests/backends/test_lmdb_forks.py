"""
LMDB and forks: children leave their parent's transactions alone, and work.

``EXAMPLES`` of ``make`` is how many interleavings, ``SEED`` draws others; each failure
names its own, and ``forking.py`` says how to run that again. All that ``make soak``
runs, once: ``BACKENDKIT_TESTS=soak pytest -n0 tests/backends/test_lmdb_forks.py``.
"""

import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from tests.effort import effort, examples, seed

import backendkit
from backendkit.backends.lmdb import environment as environments
from backendkit.backends.lmdb.store import LMDBStore
from backendkit.stores import InterfaceError, OperationalError

from .lmdb_processes import BOOK, FULL, add, count, in_fork

INTERLEAVINGS = examples(test=8, check=50, soak=2000)
GENERATIONS = effort(test=60, check=200, soak=200)

#: What every program finds: a Django with a model, and 300 rows.
START = """
import multiprocessing, os, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from django.conf import settings
settings.configure(DATABASES={"default": {
    "ENGINE": "backendkit.backends." + sys.argv[1], "NAME": sys.argv[2],
}})
import django
django.setup()
from django.db import InterfaceError, connection, models, transaction
from django.db.models import F, Sum

class Row(models.Model):
    number = models.IntegerField(default=0)

    class Meta:
        app_label = "fork"

with connection.schema_editor() as editor:
    editor.create_model(Row)
Row.objects.bulk_create(Row() for _ in range(300))

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def python(arguments):
    source = Path(backendkit.__file__).parent.parent
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=120 + 10 * INTERLEAVINGS,
        check=False,
    )


def program(code, path, engine="lmdb"):
    """Run a program with Django; return what it printed."""
    done = python(["-c", START + textwrap.dedent(code), engine, path])
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


# Many processes


def interleave(path, number, *mutation):
    folder = Path(__file__).with_name("forking.py")
    return python([folder, path, seed(), number, *mutation])


def test_interleavings(tmp_path):
    """Whatever others do: what a process reads is one snapshot, and all of it."""
    done = interleave(tmp_path / "db", INTERLEAVINGS)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    sys.stdout.write(f"{figures}\n")  # shown with -s or -rP
    assert figures["forks"] > INTERLEAVINGS
    assert figures["reads"] > INTERLEAVINGS
    assert figures["writes"] > INTERLEAVINGS
    assert figures["refused"] > 0


@pytest.mark.check
def test_it_would_be_noticed(tmp_path):
    """
    That a child ends its parent's transactions, as it did.

    Whether it shows is a matter of time: a hundred interleavings have been seen to miss
    it on a busy machine, so there are up to ten hundreds.
    """
    for first in range(0, 1000, 100):
        numbers = f"{first}:{first + 100}"
        if interleave(tmp_path / f"db-{first}", numbers, "attached").returncode:
            return
    pytest.fail("nobody has noticed")


@pytest.mark.check
def test_generations(tmp_path):
    """What children can't give back doesn't add up."""
    code = """
        def measured():
            with open("/proc/self/status") as file:
                status = dict(line.split(":", 1) for line in file)
            with open("/proc/self/maps") as file:
                maps = len(file.readlines())
            memory = [int(status[name].split()[0]) for name in ("VmSize", "VmRSS")]
            return [len(os.listdir("/proc/self/fd")), maps, *memory]

        def generation(number):
            opened = Row.objects.iterator(chunk_size=10)
            seen = next(opened).number
            Row.objects.update(number=F("number") + 1)
            if number in {10, GENERATIONS}:
                print(*measured(), flush=True)
            if number < GENERATIONS:
                pid = os.fork()
                if not pid:
                    generation(number + 1)
                    os._exit(0)
                assert ended(pid) == 0
            assert {row.number for row in opened} == {seen}

        generation(1)
    """
    code = f"GENERATIONS = {GENERATIONS}\n" + textwrap.dedent(code)
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    first, last = (
        [int(word) for word in line.split()] for line in program(code, tmp_path / "db")
    )
    descriptors, maps, size, resident = range(4)
    assert last[descriptors] == first[descriptors]
    # Of Python's own: the frames of all those generations.
    assert last[maps] <= first[maps] + 20
    assert last[size] <= first[size] + 20_000  # KiB; the map has a thousand million
    assert last[resident] <= first[resident] + 20_000


@pytest.mark.check
def test_a_pool_in_a_loop(tmp_path):
    """Workers of ``multiprocessing`` write while their parent reads on."""
    code = """
        def save(pk):
            return Row.objects.filter(pk=pk).update(number=pk)

        done, batch, seen, pool = 0, [], set(), None
        for row in Row.objects.order_by("pk").iterator(chunk_size=50):
            batch.append(row.pk)
            seen.add(row.number)
            if len(batch) == 50:
                # Workers are replaced, as Celery's are.
                pool = pool or multiprocessing.get_context("fork").Pool(
                    2, maxtasksperchild=2
                )
                done += sum(pool.map(save, batch, 5))
                batch = []
        pool.close()
        pool.join()
        print(done, seen, Row.objects.filter(number=F("pk")).count())
    """
    assert program(code, tmp_path / "db") == ["300 {0} 300"]


def test_a_server_that_loads_first(tmp_path):
    """
    As gunicorn with ``--preload``: workers inherit a connection, and are replaced.

    They end by the end of the program, with all its clean-up.
    """
    code = """
        def worker(pipe):
            while request := pipe.recv():
                Row.objects.filter(pk=request).update(number=F("number") + 1)
                pipe.send(Row.objects.get(pk=request).number)
            sys.exit(0)

        reading = Row.objects.order_by("pk").iterator(chunk_size=5)
        next(reading)
        answers = []
        for _ in range(2):
            workers = []
            for _ in range(3):
                ours, theirs = multiprocessing.Pipe()
                pid = os.fork()
                if not pid:
                    worker(theirs)
                workers.append((pid, ours))
            for request in range(1, 31):
                _, pipe = workers[request % 3]
                pipe.send(request)
                answers.append(pipe.recv())
            for pid, pipe in workers:
                pipe.send(None)
                assert ended(pid) == 0
        print(sum(answers), Row.objects.aggregate(Sum("number"))["number__sum"])
        print({row.number for row in reading})
    """
    assert program(code, tmp_path / "db") == ["90 60", "{0}"]


# Inherited transactions

INHERITED = """
    def refused(query):
        connection.needs_rollback = False  # of the query before
        try:
            query()
        except InterfaceError as error:
            assert "before a fork" in str(error), error
        else:
            raise AssertionError(query)

    queries = [
        Row.objects.count,
        Row.objects.first,
        Row.objects.exists,
        lambda: list(Row.objects.all()),
        lambda: Row.objects.get(pk=1),
        lambda: Row.objects.aggregate(Sum("number")),
        lambda: list(Row.objects.raw("SELECT * FROM fork_row")),
        Row.objects.create,
        lambda: Row.objects.update(number=9),
        lambda: Row.objects.filter(pk=1).delete(),
        lambda: Row.objects.bulk_create([Row(), Row()]),
        lambda: connection.cursor().execute("SAVEPOINT a"),
        lambda: connection.introspection.table_names(),
        lambda: connection.check_constraints(),
    ]

    def child():
        # As in a server: what failed is rolled back, and the next request works.
        for query in queries:
            refused(query)
        refused(connection._commit)
        assert not connection.connection.in_transaction
        connection.in_atomic_block = False
        connection.needs_rollback = False
        connection.savepoint_ids.clear()
        connection.set_autocommit(True)
        assert Row.objects.count() == 300
        Row.objects.filter(pk=1).update(number=5)

    create = Row.objects.create
    for first in (lambda: None, Row.objects.count, create):
        with transaction.atomic():
            first()
            pid = os.fork()
            if not pid:
                child()
                os._exit(0)
            if engine == "memory" or first != create:
                assert ended(pid) == 0
            assert Row.objects.count() == 300 + (first == create)
            transaction.set_rollback(True)
        if engine != "memory" and first == create:
            assert ended(pid) == 0
        Row.objects.filter(number=5).update(number=0)
    # Within a savepoint, and of a child's child.
    with transaction.atomic(), transaction.atomic():
        Row.objects.count()
        pid = os.fork()
        if not pid:
            pid = os.fork()
            if not pid:
                refused(Row.objects.count)
                os._exit(0)
            status = ended(pid)
            refused(Row.objects.count)
            os._exit(status)
        assert ended(pid) == 0
        assert Row.objects.count() == 300
    # Where there is no transaction, all works.
    pid = os.fork()
    if not pid:
        with transaction.atomic():
            assert Row.objects.count() == 300
            Row.objects.create()
        os._exit(0)
    assert ended(pid) == 0
    print(Row.objects.count())
"""


@pytest.mark.parametrize(("engine", "rows"), [("lmdb", 301), ("memory", 300)])
def test_a_child_in_a_transaction(tmp_path, engine, rows):
    """All that it tries is an InterfaceError, and nothing has changed."""
    code = f"engine = {engine!r}\n" + textwrap.dedent(INHERITED)
    assert program(code, tmp_path / "db", engine) == [str(rows)]


@pytest.mark.parametrize("engine", ["lmdb", "memory"])
def test_a_child_forked_while_a_thread_writes(tmp_path, engine):
    """It neither waits for that thread nor sees what it hasn't committed."""
    code = """
        started, go = threading.Event(), threading.Event()

        def write():
            with transaction.atomic():
                Row.objects.create()
                started.set()
                go.wait()
            connection.close()

        thread = threading.Thread(target=write)
        thread.start()
        started.wait()
        receiver, sender = os.pipe()
        pid = os.fork()
        if not pid:
            assert Row.objects.count() == 300
            os.write(sender, b"read")
            Row.objects.update(number=1)  # waits for the parent's thread, on LMDB
            os._exit(0)
        assert os.read(receiver, 9) == b"read"
        go.set()
        thread.join()
        assert ended(pid) == 0
        print(Row.objects.count())
    """
    assert program(code, tmp_path / "db", engine) == ["301"]


# Locks of other threads


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


@pytest.fixture
def store(path):
    store = LMDBStore.open(path, {"timeout": 0.2, "sync": False})
    add(store, 1000, table=True)
    yield store
    store.close()


class Holding:
    """A thread that holds a lock until the end of the context."""

    def __init__(self, lock):
        self._lock = lock
        self._held, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        with self._lock:
            self._held.set()
            assert self._done.wait(60)

    def __enter__(self):
        self._thread.start()
        assert self._held.wait(60)

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


@pytest.mark.parametrize("which", ["registry", "opening", "catalog"])
def test_a_lock_of_another_thread_is_free_in_a_child(store, path, which):
    lock = {
        "registry": environments._registry.lock,
        "opening": store.engine.environment._opening,
        "catalog": store._lock,
    }[which]

    def child():
        assert count(store) == 1000
        add(store, 1)
        other = LMDBStore.open(path, {"timeout": 0.2, "sync": False})
        assert count(other) == 1001
        other.close()
        store.close()

    with Holding(lock):
        assert in_fork(child) == 0
    assert count(store) == 1001


class Slow(dict):
    """A registry that takes its time before it changes or after it has."""

    def __init__(self, present, *, before):
        super().__init__(present)
        self._before = before
        self.begun = threading.Event()

    def _wait(self):
        self.begun.set()
        time.sleep(0.2)

    def __setitem__(self, path, environment):
        if self._before:
            self._wait()
        super().__setitem__(path, environment)

    def pop(self, *arguments):
        environment = super().pop(*arguments)
        if not self._before:
            self._wait()
        return environment


@pytest.mark.parametrize("opening", [True, False])
def test_a_child_forked_while_a_thread_opens_or_closes(path, monkeypatch, opening):
    """It finds what is open, or that nothing is."""
    store = LMDBStore.open(path, {"sync": False})
    add(store, 10, table=True)
    if opening:
        store.close()
    registry = environments._registry
    slow = Slow(registry.environments, before=opening)
    monkeypatch.setattr(registry, "environments", slow)

    def work():
        if opening:
            LMDBStore.open(path, {"sync": False}).close()
        else:
            store.close()

    def child():
        own = LMDBStore.open(path, {"sync": False})
        assert count(own) == 10
        own.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert slow.begun.wait(60)
    assert in_fork(child) == 0
    thread.join()


def test_a_query_that_nobody_has_asked_for_a_row(store):
    """A child doesn't begin to read it either."""
    session = store.session()
    session.begin(write=False)
    queries = [
        session.query(BOOK, ("text",), FULL).fetch(),
        session.query(BOOK, ("id", "text"), FULL).fetch(),
        session.active().range(b"", b"\xff"),
        session.active().values(b"", b"\xff"),
    ]

    def child():
        for query in queries:
            with pytest.raises(InterfaceError, match="before a fork"):
                next(query)
        assert count(store) == 1000

    assert in_fork(child) == 0
    assert len(list(queries[0])) == 1000
    session.close()


def test_a_child_forked_in_a_call_of_lmdb(store, monkeypatch):
    """One that doesn't end: an error says so, and the parent goes on."""
    monkeypatch.setattr("backendkit.stores._forks.PATIENCE", 0.05)
    session = store.session()
    session.begin(write=False)

    def child():
        with pytest.raises(OperationalError, match="another thread was calling LMDB"):
            count(store)

    with Holding(environments.calls):
        assert in_fork(child) == 0
    assert in_fork(lambda: count(store)) == 0
    assert len(list(session.query(BOOK, ("text",), FULL).fetch())) == 1000
    session.close()


# Write transactions that are lost


class Lost:
    """A thread whose write transaction is lost in another thread."""

    def __init__(self, store):
        self._sessions = []
        self._begun, self.go = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, args=(store,))
        self.thread.start()
        assert self._begun.wait(60)
        self._sessions.clear()
        gc.collect()

    def _run(self, store):
        session = store.session()
        session.begin(write=True)
        session.insert(BOOK, [(None, "lost")])
        self._sessions.append(session)
        del session
        self._begun.set()
        assert self.go.wait(60)
        count(store)


def test_a_lost_write_ends_with_its_thread(path):
    """Who waits for the right to write gets it then, and what was lost is."""
    store = LMDBStore.open(path, {"timeout": 60, "sync": False})
    add(store, 5, table=True)
    lost = Lost(store)
    waiting = threading.Thread(target=add, args=(store, 1))
    waiting.start()
    lost.go.set()
    waiting.join()
    lost.thread.join()
    add(store, 1)
    assert count(store) == 7
    store.close()


def test_a_lost_write_of_a_thread_that_has_ended(store):
    lost = Lost(store)
    with pytest.raises(OperationalError, match="locked"):
        add(store, 1)
    lost.go.set()
    lost.thread.join()
    for _ in range(3):
        add(store, 1)
        thread = threading.Thread(target=add, args=(store, 1))
        thread.start()
        thread.join()
    assert count(store) == 1006


def test_a_lost_write_in_a_child(store):
    """A child has nothing to do with it."""
    lost = Lost(store)

    def child():
        with pytest.raises(OperationalError, match="locked"):
            add(store, 1)
        assert count(store) == 1000

    assert in_fork(child) == 0
    lost.go.set()
    lost.thread.join()
    assert in_fork(lambda: add(store, 1)) == 0
    assert count(store) == 1001
