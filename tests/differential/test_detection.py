"""The comparison can fail: databases that are wrong on purpose are found."""

import contextlib
import itertools
import re

import pytest
from django.db import connections
from django.db.backends.sqlite3 import base
from django.db.utils import ConnectionHandler
from hypothesis import Phase, given

from .cases import DifferenceError, check_queries, check_writes
from .examples import asked, cases, examples
from .queries import queries, simple_queries
from .writes import writes

NUMBERS = itertools.count()


class LossyCursor(base.SQLiteCursorWrapper):
    """Loses the seventh row of each result."""

    def fetchmany(self, size=1):
        rows = super().fetchmany(size)
        return rows[:6] + rows[7:]


class NullIsLessCursor(base.SQLiteCursorWrapper):
    """Says that NULL is less than all values, as some stores do."""

    def execute(self, query, params=None):
        wrong = re.sub(r'("\w+"\."[^"]+" <=? %s)', r"IFNULL(\1, 1)", query)
        return super().execute(wrong, params)


class NoBoundaryCursor(base.SQLiteCursorWrapper):
    """Leaves out the end of a range that is closed."""

    def execute(self, query, params=None):
        return super().execute(query.replace('" <= %s', '" < %s'), params)


class CommentedCursor(base.SQLiteCursorWrapper):
    """Does something else if a statement has a comment."""

    def execute(self, query, params=None):
        if "/*" in query:
            query = query.replace('" = %s', '" >= %s')
        return super().execute(query, params)


class MegabyteCursor(base.SQLiteCursorWrapper):
    """Cuts values at a megabyte."""

    def execute(self, query, params=None):
        cut = [p[: 2**20] if isinstance(p, (str, bytes)) else p for p in params or ()]
        return super().execute(query, None if params is None else cut)


class WrongCursorWrapper(base.DatabaseWrapper):
    cursor_class = base.SQLiteCursorWrapper

    def create_cursor(self, name=None):
        return self.connection.cursor(factory=self.cursor_class)


class NoSavepoints(base.DatabaseWrapper):
    """Rolling back to a savepoint does nothing: the mistake of a first prototype."""

    def _savepoint_rollback(self, sid):
        pass


def wrong_cursor(cursor):
    return type(cursor.__name__, (WrongCursorWrapper,), {"cursor_class": cursor})


@contextlib.contextmanager
def wrong_database(wrapper):
    # Each has an alias of its own: schemas remember where their tables are.
    alias = f"differential_wrong_{next(NUMBERS)}"
    databases = {
        "default": {},
        alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    }
    connections.databases[alias] = ConnectionHandler({}).configure_settings(databases)[
        alias
    ]
    connections[alias] = wrapper(connections.databases[alias], alias)
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.databases[alias]


@pytest.mark.check
@pytest.mark.parametrize(
    ("wrapper", "drawn", "check"),
    [
        (wrong_cursor(LossyCursor), cases(asked(simple_queries)), check_queries),
        (wrong_cursor(LossyCursor), cases(asked(queries)), check_queries),
        (wrong_cursor(NullIsLessCursor), cases(asked(simple_queries)), check_queries),
        (wrong_cursor(NoBoundaryCursor), cases(asked(simple_queries)), check_queries),
        (wrong_cursor(CommentedCursor), cases(asked(simple_queries)), check_queries),
        # One example in ten has such values, and needs 900 examples at times.
        (
            wrong_cursor(MegabyteCursor),
            cases(asked(simple_queries), large=2),
            check_queries,
        ),
        (NoSavepoints, cases(writes), check_writes),
    ],
)
def test_wrong_databases_are_found(compared, wrapper, drawn, check):
    """Each of these mistakes is found by about as many examples as CI runs of the kind."""

    # It is enough to find it: nobody needs the smallest example. What is drawn depends on
    # the modules that are loaded, too, so the number is for the worst case.
    @examples(2000, phases=[Phase.generate], report_multiple_bugs=False)
    @given(case=drawn)
    def compare(case):
        check(case, [alias])

    with wrong_database(wrapper) as alias, pytest.raises(DifferenceError):
        compare()


def test_right_database_is_not_found(compared):
    """SQLite beside itself has no difference: what the others find is real."""

    @examples(0.02)
    @given(
        case=cases(asked(queries)),
        writing=cases(writes),
    )
    def compare(case, writing):
        check_queries(case, [alias])
        check_writes(writing, [alias])

    with wrong_database(base.DatabaseWrapper) as alias:
        compare()
