"""Several processes on one LMDB database."""

import os
import signal

import pytest
from django.db import OperationalError, connection
from django.db.models import F, Sum

from backendkit.retry import retry
from tests.effort import chance, examples
from tests.waiting import PATIENCE

from .databases import run, settings_of
from .models import Item
from .projects import Project


@pytest.fixture
def project(lmdb, tmp_path):
    """A project on the same database as this process."""
    lmdb.create(Item)
    project = Project(tmp_path / "project", settings_of("lmdb", tmp_path), apps=())
    project.write(
        "helpers.py",
        """
        from django.db import connection, transaction
        def run(sql, params=None):
            with connection.cursor() as cursor:
                cursor.execute(sql, params)
                return cursor.fetchall() if cursor.description else []
        """,
    )
    return project


def codes():
    return sorted(Item.objects.values_list("code", flat=True))


def told(process):
    """Return the next line that a process prints."""
    line = process.stdout.readline().strip()
    assert line, process.stderr.read()
    return line


def tell(process, line):
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def test_rows(project):
    """What another process committed is there for the next statement."""
    assert codes() == []
    project.script(
        """
        from helpers import *
        run("INSERT INTO nonrel_item (code, number) VALUES ('a', 1)")
        """
    )
    assert codes() == ["a"]
    Item.objects.create(code="b")
    assert (
        project.script(
            """
        from helpers import *
        print(run("SELECT id, code FROM nonrel_item ORDER BY 1"))
        """
        ).strip()
        == "[(1, 'a'), (2, 'b')]"
    )


def test_changed_catalog(project):
    """A schema that another process changes is noticed by the next transaction."""
    Item.objects.create(code="a")
    child = project.start_script(
        """
        from helpers import *
        run("SELECT count(*) FROM nonrel_item")
        with transaction.atomic():
            print(run("SELECT * FROM nonrel_item"), flush=True)
            input()
            print(run("SELECT * FROM nonrel_item"), flush=True)
        print(run("SELECT * FROM nonrel_item"), flush=True)
        input()
        try:
            run("SELECT * FROM nonrel_item")
        except Exception as error:
            print(error, flush=True)
        print(run("SELECT * FROM other"), flush=True)
        run("CREATE TABLE mine (n integer)")
        run("INSERT INTO mine VALUES (5)")
        print("made", flush=True)
        """
    )
    try:
        before = told(child)
        assert before == "[(1, 'a', 0, None)]"
        run("ALTER TABLE nonrel_item ADD COLUMN more integer DEFAULT 7")
        tell(child, "go")
        assert told(child) == before
        assert told(child) == "[(1, 'a', 0, None, 7)]"
        run("ALTER TABLE nonrel_item RENAME TO other")
        tell(child, "go")
        assert told(child) == "no such table: nonrel_item"
        assert told(child) == "[(1, 'a', 0, None, 7)]"
        assert told(child) == "made"
        assert run("SELECT n FROM mine") == [(5,)]
        assert child.wait(timeout=PATIENCE) == 0
    finally:
        child.kill()
        child.communicate()


def test_lock(project, lmdb):
    """While another process writes, a writer waits, and is told who it is."""
    lmdb.set_options(timeout=0.05)
    child = project.start_script(
        """
        from helpers import *
        with transaction.atomic():
            run("INSERT INTO nonrel_item (code, number) VALUES ('child', 1)")
            print("writing", flush=True)
            input()
        print("done", flush=True)
        """
    )
    try:
        assert told(child) == "writing"
        assert codes() == []
        with pytest.raises(OperationalError, match=rf"locked.*process {child.pid} "):
            Item.objects.create(code="a")
        tell(child, "go")
        assert told(child) == "done"
        Item.objects.create(code="a")
        assert codes() == ["a", "child"]
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("how", ["closing", "as it is"])
def test_fork(project, how):
    """A child that is forked while connected has a connection that works."""
    project.script(
        f"""
        import os
        from helpers import *
        add = "INSERT INTO nonrel_item (code, number) VALUES (%s, 0)"
        ask = "SELECT code FROM nonrel_item ORDER BY id"
        run(add, ["before"])
        open_cursor = connection.cursor()
        open_cursor.execute(ask)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                if {how == "closing"}:
                    connection.close()
                assert run(ask) == [("before",)]
                with transaction.atomic():
                    run(add, ["child"])
                assert run(ask) == [("before",), ("child",)]
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert open_cursor.fetchall() == [("before",)]
        assert run(ask) == [("before",), ("child",)]
        run(add, ["after"])
        """
    )
    assert codes() == ["after", "before", "child"]


def test_multiprocessing(project):
    """Workers of a pool that forks write and read, each with its connection."""
    project.script(
        """
        import multiprocessing
        from helpers import *
        def work(number):
            run("INSERT INTO nonrel_item (code, number) VALUES (%s, 0)", [str(number)])
            return run("SELECT count(*) FROM nonrel_item")[0][0]
        run("SELECT 1")
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            counts = pool.map(work, range(20), chunksize=1)
        assert max(counts) == 20 and len(set(counts)) > 1
        """
    )
    assert len(codes()) == 20


@pytest.mark.parametrize(
    "acknowledged",
    [20, *(pytest.param(n, marks=pytest.mark.check) for n in (1, 57))],
)
def test_killed(project, acknowledged):
    """After kill -9 all that was acknowledged is there, and no half transaction."""
    child = project.start_script(
        """
        from helpers import *
        number = 0
        while True:
            with transaction.atomic():
                for part in "abc":
                    run("INSERT INTO nonrel_item (code, number) VALUES (%s, %s)",
                        [f"{number}{part}", number])
                run("UPDATE nonrel_item SET note = %s WHERE id = 1", [str(number)])
            print(number, flush=True)
            number += 1
        """
    )
    last = -1
    try:
        while last < acknowledged:
            last = int(told(child))
    finally:
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read()
        child.communicate()
    complete = [line for line in rest.split("\n")[:-1] if line]
    last = int(complete[-1]) if complete else last
    kept = sorted(set(Item.objects.values_list("number", flat=True)))
    # One more may have been committed, but not told of yet.
    assert kept in (list(range(last + 1)), list(range(last + 2)))
    assert Item.objects.count() == 3 * len(kept)
    assert Item.objects.get(pk=1).note == str(kept[-1])
    for number in kept:
        assert Item.objects.filter(code__startswith=f"{number}a").exists()
    # The lock went with the process; numbers go on.
    assert Item.objects.create(code="next", number=-1).pk == 3 * len(kept) + 1


def test_killed_while_migrating(project):
    """A process that is killed while it changes the schema leaves it as it was."""
    for code in "abc":
        Item.objects.create(code=code)
    child = project.start_script(
        """
        from helpers import *
        with transaction.atomic():
            run("ALTER TABLE nonrel_item ADD COLUMN more integer DEFAULT 7")
            run("CREATE UNIQUE INDEX i ON nonrel_item (code, number)")
            run("DELETE FROM nonrel_item WHERE code = 'a'")
            print("working", flush=True)
            input()
        """
    )
    assert told(child) == "working"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=PATIENCE)
    assert codes() == ["a", "b", "c"]
    with connection.cursor() as cursor:
        assert "i" not in connection.introspection.get_constraints(
            cursor, "nonrel_item"
        )
    run("ALTER TABLE nonrel_item ADD COLUMN more integer DEFAULT 8")
    assert run("SELECT DISTINCT more FROM nonrel_item") == [(8,)]


#: What a process does to a table that another one reads and writes: columns come, go and
#: are renamed, indexes too, the table is copied and replaced as Django's SQLite does it,
#: and there are ever more tables.
MIGRATING = """
import random
from helpers import *

chance, steps = random.Random({seed!r}), {steps}
added, indexes, others = [], set(), 0

def step(number):
    global others
    kind = chance.choice(["add", "add", "drop", "rename", "index", "copy", "other"])
    if kind == "add":
        run(f"ALTER TABLE nonrel_item ADD COLUMN c{{number}} integer DEFAULT {{number}}")
        added.append(f"c{{number}}")
    elif kind == "drop" and added:
        run(f"ALTER TABLE nonrel_item DROP COLUMN {{added.pop(0)}}")
    elif kind == "rename" and added:
        name = added.pop()
        run(f"ALTER TABLE nonrel_item RENAME COLUMN {{name}} TO r{{number}}")
        added.append(f"r{{number}}")
    elif kind == "index" and "number" in indexes:
        run("DROP INDEX item_number")
        indexes.clear()
    elif kind == "index":
        run("CREATE INDEX item_number ON nonrel_item (number)")
        indexes.add("number")
    elif kind == "copy":
        columns = ", ".join(["id", "code", "number", "note", *added])
        more = "".join(f", {{name}} integer" for name in added)
        run(
            "CREATE TABLE new__item (id integer NOT NULL PRIMARY KEY AUTOINCREMENT,"
            " code varchar(40) NOT NULL UNIQUE, number integer NOT NULL, note text"
            + more + ")"
        )
        run(f"INSERT INTO new__item ({{columns}}) SELECT {{columns}} FROM nonrel_item")
        run("DROP TABLE nonrel_item")
        run("ALTER TABLE new__item RENAME TO nonrel_item")
        indexes.clear()
    else:
        for _ in range(10):
            run(f"CREATE TABLE other{{others}} (id integer PRIMARY KEY, n integer)")
            others += 1

for number in range(steps):
    with transaction.atomic():
        run("UPDATE nonrel_item SET note = 'migrated' WHERE id = 1")
        step(number)
print(others, flush=True)
"""


@pytest.mark.parametrize("number", range(examples(test=1, check=3, soak=100)))
def test_a_process_that_migrates(project, number):
    """Others read and write on: no row is wrong, no write is lost, nothing is refused."""
    random = chance("a process that migrates", number)
    amounts = dict.fromkeys(range(1, 21), 100)
    Item.objects.bulk_create(
        Item(pk=pk, code=str(pk), number=amount) for pk, amount in amounts.items()
    )

    @retry(attempts=20)
    def transfer(source, target, amount):
        assert Item.objects.get(pk=source).number == amounts[source]
        Item.objects.filter(pk=source).update(number=F("number") - amount)
        there = Item.objects.get(code=str(target))
        there.number += amount
        there.save(update_fields=["number"])

    child = project.start_script(
        MIGRATING.format(seed=random.getrandbits(32), steps=40)
    )
    held, rounds = [], 0
    try:
        while child.poll() is None or rounds < 20:
            rounds += 1
            source, target = random.sample(sorted(amounts), 2)
            transfer(source, target, 1 + rounds % 3)
            amounts[source] -= 1 + rounds % 3
            amounts[target] += 1 + rounds % 3
            assert dict(Item.objects.values_list("pk", "number")) == amounts
            total = Item.objects.annotate(twice=F("number") * 2).aggregate(Sum("twice"))
            assert total == {"twice__sum": 2 * 20 * 100}
            low = [pk for pk, amount in amounts.items() if amount < 100]
            assert set(
                Item.objects.filter(number__lt=100).values_list("pk", flat=True)
            ) == set(low)
            # An iterator keeps its snapshot, whatever becomes of the table.
            for rows, expected in held:
                row = next(rows, None)
                if row is not None:
                    assert row.number == expected[row.pk]
            rows = Item.objects.iterator(chunk_size=1)
            next(rows)
            held = [*held[-3:], (rows, dict(amounts))]
        stdout, stderr = child.communicate()
        assert child.returncode == 0, stderr
        assert int(stdout) == len(
            [name for name in connection.introspection.table_names() if "other" in name]
        )
    finally:
        child.kill()
        child.communicate()
