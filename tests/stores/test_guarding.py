"""Whatever a store's method raises is an error of the contract, and names the method."""

import datetime
import inspect
import sqlite3

import pytest

from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.engine import dbapi
from backendkit.stores import (
    Access,
    Column,
    DataError,
    InternalError,
    NonrelQuery,
    NotSupportedError,
    OperationalError,
    ReadOnlyStore,
    Session,
    Store,
    Table,
    UniqueViolation,
    ValueType,
    guarded,
)


class Day(datetime.date):
    """Another kind of date."""


TABLE = Table("t", (Column("id", ValueType.INTEGER, nullable=False),), ("id",))
ARGUMENTS = {
    "begin": {"write": False},
    "rollback_to": (0,),
    "release": (0,),
    "create_table": (TABLE,),
    "drop_table": ("t",),
    "alter_table": ("t", TABLE),
    "create_index": ("t", None),
    "drop_index": ("t", "i"),
    "query": (TABLE, ["id"], Access()),
    "query_for_update": (TABLE, ["id"], Access()),
    "estimated_rows": (TABLE,),
    "access": (TABLE, ()),
    "insert": (TABLE, [(1,)]),
    "update": (TABLE, (1,), (1,)),
    "set_columns": (TABLE, ["id"], {}),
    "delete": (TABLE, [(1,)]),
    "get": (TABLE, (1,)),
    "reset_sequence": (TABLE,),
    "add_filter": ("id", "exact", False, ValueType.INTEGER, 1),
    "add_filters": ([("id", "exact", False, ValueType.INTEGER, 1)],),
    "order_by": ([("id", False)],),
}
#: Of a session, but of no table.
OF_ALL = {
    "begin",
    "catalog",
    "close",
    "commit",
    "lock",
    "release",
    "rollback",
    "rollback_to",
    "savepoint",
    "upgrade",
}
#: Of an author's query, called by the author alone.
OWN = {
    "convert_value_for_db",
    "convert_value_from_db",
    "entity",
    "filter",
    "operator",
    "row",
}


def methods():
    """Return the methods of the contract, each with the class that has it."""
    return [
        (owner, name)
        for owner in (Store, Session, NonrelQuery)
        for name, _ in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") and name not in OWN
    ]


def failing(owner, name, error):
    """Return what has a method that raises an error, guarded."""

    def method(*_, **__):
        raise error

    def query(self, *arguments):
        return changed[MemoryQuery](self, *arguments)

    def session_of(self):
        return changed[MemorySession](self)

    changed = {
        base: type(
            f"My{base.__name__}", (base,), {name: method} if base in wanted else {}
        )
        for base, wanted in (
            (MemoryQuery, {MemoryQuery} if owner is NonrelQuery else ()),
            (MemorySession, {MemorySession} if owner is Session else ()),
            (MemoryStore, {MemoryStore} if owner is Store else ()),
        )
    }
    if owner is not Session or name != "query":
        changed[MemorySession].query = query
    if owner is not Store or name not in {"session", "reader"}:
        changed[MemoryStore].session = session_of
    store = guarded(changed[MemoryStore]())
    if owner is Store:
        return store
    session = store.session()
    if owner is Session:
        if name in {"drop_table", "create_index", "drop_index"}:
            session.begin(write=True)
            session.create_table(TABLE)
        return session
    session.begin(write=False)
    return session.query(TABLE, ["id"], Access())


def call(one, name):
    arguments = ARGUMENTS.get(name, ())
    if name == "update" and isinstance(one, NonrelQuery):
        arguments = ({},)
    if isinstance(arguments, dict):
        return getattr(one, name)(**arguments)
    return getattr(one, name)(*arguments)


@pytest.mark.parametrize(("owner", "name"), methods())
def test_each_method_is_named(owner, name):
    """No method of the contract is left out: one that is added later fails here."""
    error = KeyError("boom")
    one = failing(owner, name, error)
    kind = type(one.inner).__name__
    with pytest.raises(InternalError, match=rf"{kind}\.{name}\(\)") as caught:
        call(one, name)
    text = str(caught.value)
    assert "breaks the contract: it raised KeyError: \"'boom'\", in " in text
    assert "method (test_guarding.py, line" in text
    assert caught.value.__cause__ is error
    assert ("of table 't'" in text) is (owner is not Store and name not in OF_ALL)


@pytest.mark.parametrize(
    ("error", "wanted", "message"),
    [
        (
            sqlite3.OperationalError("locked"),
            OperationalError,
            r"get\(\) .*'t': locked",
        ),
        (sqlite3.DataError("too long"), DataError, "too long"),
        (NotImplementedError(), NotSupportedError, "isn't implemented"),
        (ConnectionRefusedError("no"), OperationalError, r"get\(\) .*Refused.*: 'no'"),
        (MemoryError("full"), MemoryError, "^full$"),
        (UniqueViolation("t", ("id",)), UniqueViolation, "^UNIQUE constraint failed"),
        (OperationalError("full"), OperationalError, "^full$"),
    ],
)
def test_errors_keep_their_kind(error, wanted, message):
    """A driver's errors are the contract's of that name; the contract's pass."""
    session = failing(Session, "get", error)
    with pytest.raises(wanted, match=message) as caught:
        session.get(TABLE, (1,))
    assert type(caught.value) is wanted


@pytest.mark.parametrize(
    ("name", "result", "message"),
    [
        ("catalog", {}, "type dict, not a Catalog"),
        ("query", None, "None, not a NonrelQuery"),
        ("estimated_rows", -1, "type int, not a number of rows"),
        ("access", None, "None, not an Access"),
        ("insert", [1], "type int for a key, not a tuple of 1"),
        ("insert", None, "None, not a list of 1 primary keys"),
        ("delete", None, "None, not a number of rows"),
        ("get", {"id": 1}, "a row is a value of type dict, not a tuple"),
        ("get", (1, 2), "a row has 2 values, but there are 1 columns"),
        ("get", ("1",), "column 'id': a value of type str, but its type is integer"),
    ],
)
def test_what_is_returned(name, result, message):
    """What isn't of the type that the contract has is named."""
    session = failing(Session, name, None)
    setattr(type(session.inner), name, lambda *_, **__: result)
    with pytest.raises(InternalError, match=message) as caught:
        call(session, name)
    assert f"MyMemorySession.{name}()" in str(caught.value)


class Files(ReadOnlyStore):
    """A store whose author writes one method."""

    def __init__(self, read):
        self.does = read

    def read(self):
        return self.does()

    def convert_value_from_db(self, db_type, value):
        return int(value)


def fails():
    raise KeyError("boom")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: None, "it returned None, not a dict"),
        (
            lambda: {"t": [(1,)]},
            "the value of 't' isn't a pair of a Table and its rows",
        ),
        (lambda: {"t": (TABLE, [(1,), (2, 3)])}, "of table 't' .* a row has 2 values"),
        (lambda: {"t": (TABLE, [[1]])}, "of table 't' .* type list, neither a tuple"),
        (lambda: {"t": (TABLE, [("1",)])}, "of table 't' .* 'id': a value of type str"),
        (lambda: {"t": (TABLE, [{"id": "x"}])}, "of table 't' .* ValueError: .invalid"),
        (fails, "it raised KeyError: .*boom.* in fails"),
    ],
)
def test_what_a_read_only_store_reads(read, message):
    """The author's class and method are named, not those that call it."""
    with pytest.raises(InternalError, match=message) as caught:
        dbapi.connect(Files(read)).execute("SELECT * FROM t").fetchall()
    assert str(caught.value).startswith(f"{Files.__module__}.Files.read()")


def test_a_read_only_store_of_dicts():
    connection = dbapi.connect(Files(lambda: {"t": (TABLE, [{"id": "1"}, (2,)])}))
    assert connection.execute("SELECT * FROM t").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("value", [Day(2010, 4, 1), datetime.date(2010, 4, 1)])
def test_values_of_subclasses(value):
    """As tests that stop the clock have them; a datetime isn't a date, though."""
    table = Table("t", (*TABLE.columns, Column("day", ValueType.DATE)), ("id",))

    def connect(day):
        return dbapi.connect(Files(lambda: {"t": (table, [(1, day)])}))

    assert connect(value).execute("SELECT day FROM t").fetchall() == [(value,)]
    with pytest.raises(InternalError, match="type datetime, but its type is date"):
        connect(datetime.datetime(2010, 4, 1)).execute("SELECT day FROM t").fetchall()


def test_ours_are_left_alone():
    """Stores that come with backendkit aren't slowed down; others are guarded once."""
    ours = MemoryStore()
    assert guarded(ours) is ours
    theirs = guarded(type("Theirs", (MemoryStore,), {"__module__": "theirs"})())
    assert guarded(theirs) is theirs is not ours
    assert dbapi.connect(theirs).store is theirs
