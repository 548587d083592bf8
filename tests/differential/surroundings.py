"""
What real servers have around a query: comments, forks, migrations, new connections.

An example is run in the :class:`Surroundings` that are drawn with it, on the compared
databases only: they may not change an answer.
"""

import contextlib
import os
import signal
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import connections
from hypothesis import strategies as st

from tests.waiting import PATIENCE

from .strangers import migrating_process, migration, run

LMDB = "backendkit.backends.lmdb"
#: Nothing of it is part of the statement.
COMMENT = "' \" ; -- sqlite_master pragma_x( IN (SELECT RETURNING %%s ?"
#: What monitoring makes of a statement, by name.
CHANGES = {
    "behind": lambda sql: f"{sql} /* {COMMENT} */",
    "before": lambda sql: f"/*+ {COMMENT} */ {sql}",
    "lines": lambda sql: f"-- ROLLBACK ' ;\n{sql}\n-- x",
    "unfinished": lambda sql: f"{sql} /* {COMMENT}",
    "copied": "".join,
}


@dataclass(frozen=True)
class Surroundings:
    """What goes on around one example; nothing by itself."""

    #: How each statement is changed on its way: a name of :data:`CHANGES`.
    comment: str = ""
    #: The connection is new. Otherwise it is as old as the run.
    reconnected: bool = False
    #: A child asks, too; where it shares the database, it writes in its parent's place.
    forked: bool = False
    #: Somebody else changes the schema, also of the first table, between the steps.
    migrated: bool = False

    @contextlib.contextmanager
    def around(self, alias):
        """Change the connection, and the statements in this block."""
        connection = connections[alias]
        if self.reconnected:
            connection.close()
        with contextlib.ExitStack() as stack:
            if self.comment:
                change = CHANGES[self.comment]

                def wrapper(execute, sql, params, many, context):
                    return execute(change(sql), params, many, context)

                stack.enter_context(connection.execute_wrapper(wrapper))
            yield

    @contextlib.contextmanager
    def migrating(self, alias, table):
        """Yield a function that has somebody else do the next part of a migration."""
        if not self.migrated or not _common(alias):
            yield lambda: None
            return
        with _migrations(alias, table) as parts:
            try:
                yield lambda: next(parts, None)
            finally:
                # What is left, so that the table is as it was.
                for _ in parts:
                    pass


@st.composite
def surroundings(draw):
    """Surroundings. Hypothesis shrinks to those where nothing goes on."""
    comment = draw(st.sampled_from(["", *CHANGES])) if draw(st.booleans()) else ""
    rarely = st.sampled_from([False] * 9 + [True])
    return Surroundings(comment, draw(rarely), draw(rarely), draw(rarely))


def shared(alias):
    """Whether a child writes to its parent's database."""
    return connections[alias].settings_dict["ENGINE"] == LMDB


def _common(alias):
    """Whether other threads have the database: each has one of SQLite's of its own."""
    return connections[alias].settings_dict["NAME"] != ":memory:"


def in_child(action):
    """Return the text that ``action()`` returns in a forked child."""
    read, written = os.pipe()
    with warnings.catch_warnings():
        # Python warns of what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        # One that waits for a thread that it doesn't have ends the run, not hangs it.
        signal.alarm(round(PATIENCE))
        status = 1
        try:
            with open(written, "wb") as pipe:
                pipe.write(action().encode(errors="backslashreplace"))
            status = 0
        except BaseException:  # noqa: BLE001  # the child ends here, and pytest isn't run on
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(written)
    with open(read, "rb") as pipe:
        told = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return told if status == 0 else f"the child ended with {status}"


@contextlib.contextmanager
def _migrations(alias, table):
    """Yield an iterator over a migration of somebody else, each part as it is done."""
    if shared(alias):
        yield migrating_process(alias).parts(table)
        return
    # Other processes have another database of the name.
    with ThreadPoolExecutor(1) as thread:
        yield (thread.submit(run, alias, part).result() for part in migration(table))
        thread.submit(_close, alias).result()


def _close(alias):
    """Close the connection of the thread that asks."""
    connections[alias].close()
