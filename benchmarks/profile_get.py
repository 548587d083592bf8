"""
Where the time of ``Book.objects.get(pk=…)`` goes, layer by layer, on both engines.

The functions at the borders of the layers are timed, and each layer is charged for
what isn't spent in those that it calls. What the clock itself takes is measured, too,
and taken off. Medians of many calls.
"""

import argparse
import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .engines import ENGINES, NAMES, set_up
from .measuring import ROOT
from .report import list_table

QUERYSET = "QuerySet: manager, get(), copies of the query"
QUERY = "Query: the filter's lookup"
COMPILER = "compiler: execute, take the results"
PLAN = "SQL text; on LMDB: look at the shape, remember the plan"
CURSOR = "cursors, Django's and the driver's or backendkit's"
SQLITE = "sqlite3: prepare, bind, step"
ENGINE = "engine: a read's access path"
TRANSACTION = "a snapshot: begin, look for a new catalog, end"
RECORDS = "record layer: key, filters, columns"
LMDB = "LMDB: the look-up"
CODEC = "the row's codec"
INSTANCE = "the model's instance"
LAYERS = (
    QUERYSET,
    QUERY,
    COMPILER,
    PLAN,
    CURSOR,
    SQLITE,
    ENGINE,
    TRANSACTION,
    RECORDS,
    LMDB,
    CODEC,
    INSTANCE,
)


class Clock:
    """Seconds for each layer, without those of the layers that it calls."""

    def __init__(self):
        self.spent = Counter()
        self._calls = Counter()
        self._called = Counter()
        self._layers = []
        self._mark = 0.0

    def enter(self, layer):
        """Stop the caller's time, begin a layer's."""
        now = time.perf_counter()
        if self._layers:
            caller = self._layers[-1]
            self.spent[caller] += now - self._mark
            self._called[caller] += 1
        self._calls[layer] += 1
        self._layers.append(layer)
        self._mark = time.perf_counter()

    def leave(self):
        """Stop the layer's time, go on with the caller's."""
        now = time.perf_counter()
        self.spent[self._layers.pop()] += now - self._mark
        self._mark = time.perf_counter()

    def take(self, cost):
        """Return the seconds for each layer and begin anew."""
        inside, outside = cost
        found = {
            layer: spent - self._calls[layer] * inside - self._called[layer] * outside
            for layer, spent in self.spent.items()
        }
        for counter in (self.spent, self._calls, self._called):
            counter.clear()
        return found

    def timed(self, layer, function):
        """Return the function, with its time charged to a layer."""

        @functools.wraps(function)
        def run(*args, **kwargs):
            self.enter(layer)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return run

    def timed_rows(self, layer, function):
        """Return the function, with the time of the iterator it returns, too."""
        run = self.timed(layer, function)

        def iterate(*args, **kwargs):
            step = self.timed(layer, run(*args, **kwargs).__next__)
            while True:
                try:
                    row = step()
                except StopIteration:
                    return
                yield row

        return iterate

    def attach(self, layer, owner, *names, rows=False):
        """Time methods of a class."""
        timed = self.timed_rows if rows else self.timed
        for name in names:
            setattr(owner, name, timed(layer, getattr(owner, name)))


def cost_of_clock(calls=20_000):
    """Return what a timed call costs the layer called and the one that calls it."""

    def nothing():
        pass

    def repeat(action):
        for _ in range(calls):
            action()

    def seconds(action):
        started = time.perf_counter()
        action()
        return time.perf_counter() - started

    def once():
        clock = Clock()
        timed = clock.timed("called", nothing)
        clock.timed("caller", lambda: repeat(timed))()
        return clock.spent["called"], clock.spent["caller"]

    loop = min(seconds(lambda: [None for _ in range(calls)]) for _ in range(5))
    call = min(seconds(lambda: repeat(nothing)) for _ in range(5)) - loop
    called, caller = min((once() for _ in range(5)), key=sum)
    return (called - call) / calls, (caller - loop) / calls


def attach_django(clock):
    """Time what both engines share."""
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper
    from django.db.models import Model
    from django.db.models.sql import Query

    clock.attach(QUERY, Query, "add_q")
    clock.attach(CURSOR, BaseDatabaseWrapper, "cursor")
    clock.attach(CURSOR, CursorWrapper, "execute")
    Model.from_db = classmethod(clock.timed(INSTANCE, Model.from_db.__func__))


def attach_sqlite(clock):
    """Time the layers of Django's SQLite backend."""
    from django.db.backends.sqlite3.base import SQLiteCursorWrapper
    from django.db.models.sql.compiler import SQLCompiler

    clock.attach(COMPILER, SQLCompiler, "execute_sql")
    clock.attach(COMPILER, SQLCompiler, "results_iter", rows=True)
    clock.attach(PLAN, SQLCompiler, "as_sql")
    clock.attach(CURSOR, SQLiteCursorWrapper, "convert_query")
    clock.attach(SQLITE, SQLiteCursorWrapper, "execute", "fetchmany", "close")


def attach_lmdb(clock):
    """Time our layers."""
    from backendkit.backends.lmdb.transaction import LMDBTransaction
    from backendkit.engine.cursor import Cursor
    from backendkit.engine.native import Prepared
    from backendkit.engine.transactions import Transactions
    from backendkit.kv.catalog import TableRecord
    from backendkit.kv.query import RecordQuery
    from backendkit.nonrel.compiler import SQLCompiler
    from backendkit.nonrel.native import Planner

    clock.attach(COMPILER, SQLCompiler, "execute_sql")
    clock.attach(COMPILER, SQLCompiler, "results_iter", rows=True)
    clock.attach(PLAN, Planner, "plan")
    clock.attach(CURSOR, Cursor, "execute", "fetchmany", "close")
    clock.attach(ENGINE, Prepared, "run")
    clock.attach(TRANSACTION, Transactions, "start_read", "finish_read")
    clock.attach(RECORDS, RecordQuery, "fetch", rows=True)
    # Functions that are kept by an object, not methods.
    read = TableRecord.__dict__["read"]
    make = read.func
    read.func = lambda self: clock.timed(CODEC, make(self))
    bind = LMDBTransaction._bind

    def timed_bind(self, transaction):
        bind(self, transaction)
        self.get = clock.timed(LMDB, self.get)

    LMDBTransaction._bind = timed_bind


def forget_catalog():
    """Have the tables looked at anew."""
    from backendkit.kv.catalog import TableRecord

    TableRecord.from_json.cache_clear()


def profile(engine, directory, quick):
    """Measure one engine, in a process of its own; return seconds."""
    set_up(engine, directory)
    from django.db import connection

    from .shop.models import Book
    from .shop.rows import Sizes
    from .worker import fill

    sizes = dataclasses.replace(Sizes.of(quick), sales=0)
    calls = 100 if quick else 5_000
    fill(sizes)

    def get(number):
        Book.objects.get(pk=number * 7919 % sizes.books + 1)

    def seconds(number):
        started = time.perf_counter()
        get(number)
        return time.perf_counter() - started

    whole = statistics.median(map(seconds, range(calls)))
    clock = Clock()
    attach_django(clock)
    {"sqlite": attach_sqlite, "lmdb": attach_lmdb}[engine](clock)
    # What the connection and the process keep was made without the clock.
    connection.close()
    {"sqlite": lambda: None, "lmdb": forget_catalog}[engine]()
    timed = clock.timed(QUERYSET, get)
    cost = cost_of_clock()
    timed(0)
    clock.take(cost)
    found = []
    for number in range(calls):
        timed(number)
        found.append(clock.take(cost))
    medians = {
        layer: statistics.median(one[layer] for one in found) for layer in found[0]
    }
    return {"whole": whole, "layers": medians}


def main():
    """Profile both engines, print a table, write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it to docs/")
    parser.add_argument("--quick", action="store_true", help="few calls: a test")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    directory = ROOT / "build"
    directory.mkdir(exist_ok=True)
    if arguments.engine:
        with tempfile.TemporaryDirectory(dir=directory) as path:
            found = profile(arguments.engine, Path(path), arguments.quick)
        json.dump(found, sys.stdout)
        return
    found = {}
    for engine in ENGINES:
        command = [sys.executable, "-m", "benchmarks.profile_get", "--engine", engine]
        command += ["--quick"] if arguments.quick else []
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        found[engine] = json.loads(done.stdout)
    rows = []
    for layer in LAYERS:
        times = [found[engine]["layers"].get(layer) for engine in ENGINES]
        rows.append([layer, *("" if one is None else micro(one) for one in times)])
    for name, total in (
        ("all layers", lambda one: sum(one["layers"].values())),
        ("a call without the clock", lambda one: one["whole"]),
    ):
        rows.append([name, *(micro(total(found[engine])) for engine in ENGINES)])
    head = ["microseconds", *NAMES.values()]
    width = max(len(row[0]) for row in rows)
    for name, *cells in [head, *rows]:
        print(name.ljust(width), *(cell.rjust(8) for cell in cells))
    if arguments.write:
        path = ROOT / "docs/internals/profile-get.txt"
        path.write_text(list_table(head, rows) + "\n", encoding="utf-8")


def micro(seconds):
    """Return microseconds as a text."""
    return f"{seconds * 1e6:.1f}"


if __name__ == "__main__":
    main()
