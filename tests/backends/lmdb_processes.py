"""Other processes on an LMDB database, for tests."""

import os
import subprocess
import sys
import textwrap
import traceback

from backendkit.stores import Access, Column, Index, Table, ValueType

BOOK = Table(
    "book",
    (Column("id", ValueType.INTEGER, False, True), Column("text", ValueType.STRING)),
    ("id",),
    (Index("book_text", ("text",)),),
)
FULL = Access()

#: What every piece of code finds: a store, a session, a table.
START = """
import os, sys
from backendkit.backends.lmdb.store import LMDBStore
from backendkit.stores import Access, Column, Index, OperationalError, Table, ValueType
BOOK = Table(
    "book",
    (Column("id", ValueType.INTEGER, False, True), Column("text", ValueType.STRING)),
    ("id",),
    (Index("book_text", ("text",)),),
)

def opened(**options):
    return LMDBStore.open(sys.argv[1], {"timeout": 0.2, "sync": False, **options})

def add(store, rows, text="x" * 400, table=False):
    session = store.session()
    session.begin(write=True)
    try:
        if table:
            session.create_table(BOOK)
        session.insert(BOOK, [(None, text)] * rows)
        session.commit()
    finally:
        session.close()

def count(store):
    session = store.session()
    session.begin(write=False)
    try:
        return sum(1 for _ in session.query(BOOK, ("id",), Access()).fetch())
    finally:
        session.close()
"""


def add(store, count, text="x" * 400, table=False):
    session = store.session()
    session.begin(write=True)
    try:
        if table:
            session.create_table(BOOK)
        session.insert(BOOK, [(None, text)] * count)
        session.commit()
    finally:
        session.close()


def count(store):
    session = store.session()
    session.begin(write=False)
    try:
        return sum(1 for _ in session.query(BOOK, ("id",), FULL).fetch())
    finally:
        session.close()


def environment():
    """Return the environment of a process that imports what this one can."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def start(code, *arguments, before=()):
    """
    Run Python code in another process, without waiting.

    :param before: a command that runs the rest of its arguments as a command.
    """
    return subprocess.Popen(
        [
            *before,
            sys.executable,
            "-c",
            START + textwrap.dedent(code),
            *map(str, arguments),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def run(code, *arguments, before=()):
    """Run Python code in another process; return the lines that it printed."""
    child = start(code, *arguments, before=before)
    output, errors = child.communicate()
    assert child.returncode == 0, errors
    return output.splitlines()


def in_fork(call):
    """Call a function in a forked child; return its exit status, 0 if it is well."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            call()
            status = 0
        except BaseException as error:  # noqa: BLE001  # the child ends here
            traceback.print_exception(error)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
