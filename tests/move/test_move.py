"""Rows are the same at both ends, whatever happens on the way."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import override_settings

from tests.effort import chance, effort, examples

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

#: Megabytes that a process needs to move any number of rows, with Django's modules.
PEAK = 200


def move(source, target, *arguments, **options):
    out = io.StringIO()
    call_command(
        "movedata", "--from", source, "--to", target, *arguments, stdout=out, **options
    )
    return out.getvalue()


def assert_moved(source, target):
    from .models import Note, Person, Value
    from .rows import dump

    assert dump(target) == dump(source)
    assert "backendkit_move" not in connections[target].introspection.table_names()
    connections[target].check_constraints()
    assert Note._base_manager.using(target).count() == 0  # hidden, but moved
    from backendkit.move.rows import JSON_NULL, Table

    assert Table(Note).count(target) == 1
    table = Table(Value)
    values = dict(table.batch(target, None, 100))
    assert values == dict(table.batch(source, None, 100))
    assert sum(JSON_NULL in row for row in values.values()) == 1
    # What is written next gets a number of its own.
    before = Person.objects.using(target).order_by("-id").first()
    new = Person(name="new", team_id=before.team_id, changed=before.changed)
    super(Person, new).save(using=target)
    assert new.id > before.id
    new.delete(using=target)


@pytest.fixture
def source(database):
    from .rows import fill

    alias = database("sqlite3")
    fill(alias, effort(test=15, check=40, soak=300))
    return alias


def test_a_move_there_and_back_changes_nothing(source, database):
    """Cycles, inheritance, composite keys, and values at the ends of their ranges."""
    from .rows import dump

    first = source
    before = dump(first)
    for engine in ("lmdb", "memory", "sqlite3"):
        target = database(engine)
        output = move(source, target, "--batch", "7")
        assert "Skipped: moving.View isn't managed by Django." in output
        assert_moved(source, target)
        source = target
    assert dump(source) == before


@pytest.mark.check
@pytest.mark.parametrize("engine", ["immudb", "postgresql", "mariadb"])
def test_a_server_is_a_target_and_a_source(engine, source, database):
    from .models import Place

    if engine == "mariadb":
        # Its collation takes "b" and "B" for one key.
        Place.objects.using(source).filter(code="B").delete()
    server = database(engine)
    back = database("sqlite3")
    move(source, server, "--batch", "16")
    move(server, back)
    assert_moved(source, server)
    assert_moved(source, back)


def run(source, target, *arguments, writes):
    """
    Move in a process of its own; return how it ended, and what it used.

    :param writes: after how many reads and writes of a batch it kills itself; None if
        it doesn't.
    """
    for alias in (source, target):
        connections[alias].close()
    names = ("ENGINE", "NAME", "OPTIONS", "HOST", "PORT", "USER", "PASSWORD")
    databases = {
        alias: {name: connections.databases[alias][name] for name in names}
        for alias in (source, target)
    }
    task = {
        "databases": {"default": databases[source], **databases},
        "arguments": ["--from", source, "--to", target, *arguments],
        "writes": writes,
    }
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
        given.write(json.dumps(task).encode())
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.move.project"],
            cwd=ROOT,
            stdin=given,
            stdout=printed,
            stderr=printed,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read().decode()
    return (
        subprocess.CompletedProcess(process.args, process.returncode, stderr=text),
        usage,
    )


@pytest.mark.parametrize("number", range(examples(test=2, check=6, soak=60)))
def test_a_move_that_is_killed_twice_goes_on_where_it_was(number, source, database):
    """
    Whether a batch's rows were written already or not. Each batch is written once.
    """
    target = database("lmdb" if number % 2 else "sqlite3")
    draw = chance("killed", number)
    for resume in ([], ["--resume"]):
        ended, _ = run(
            source, target, "--batch", "5", *resume, writes=draw.randint(3, 40)
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    with pytest.raises(CommandError, match=r"was interrupted.*--resume.*--restart"):
        move(source, target)
    if number % 3 == 1:
        move(source, target, "--restart", "--noinput")
    else:
        move(source, target, "--resume", "--batch", "11")
    assert_moved(source, target)


@pytest.mark.parametrize("kind", ["many", "large"])
def test_memory_is_bounded(kind, database):
    """Neither rows nor statements, which Django keeps if DEBUG is on, pile up."""
    from .models import Value

    source, target = database("sqlite3"), database("sqlite3")
    if kind == "many":
        count = effort(test=500, check=4_000, soak=20_000)
        rows = (Value(text=f"{n:0>20000}") for n in range(count))
    else:
        count = effort(test=50, soak=400)
        rows = (Value(binary=bytes(1_000_000)) for _ in range(count))
    Value.objects.using(source).bulk_create(rows, batch_size=50)
    with override_settings(DEBUG=kind == "many"):
        tracemalloc.start()
        try:
            move(source, target, "moving.Value", "--batch", "50")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < (9_000_000 if kind == "many" else 36_000_000)
    assert Value.objects.using(target).count() == count


@pytest.mark.soak
def test_many_rows_go_round_and_are_killed_on_the_way(database, record_property):
    """
    200,000 rows with cycles: SQLite, LMDB, immudb, SQLite. Each move is killed twice.

    No process needs more memory than :data:`PEAK`, however many rows there are.
    """
    from .rows import count, dump, fill

    first = source = database("sqlite3")
    fill(source, 120_000)
    rows = count(source)
    assert rows >= 200_000
    for engine in ("lmdb", "immudb", "sqlite3"):
        target = database(engine)
        began, peaks = time.monotonic(), []
        for resume, writes in (([], 70), (["--resume"], 170), (["--resume"], None)):
            ended, usage = run(source, target, *resume, writes=writes)
            assert ended.returncode == (-signal.SIGKILL if writes else 0), ended.stderr
            peaks.append(usage.ru_maxrss / 1024)
        record_property(
            f"{source} to {target}",
            f"{rows} rows, {time.monotonic() - began:.0f} s, {max(peaks):.0f} MB",
        )
        assert max(peaks) < PEAK
        source = target
    assert dump(source) == dump(first)
