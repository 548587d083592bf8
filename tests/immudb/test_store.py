"""The contract, on a real server; and what the store has beyond it."""

import itertools
import threading
from dataclasses import replace
from decimal import Decimal

import pytest

from backendkit.backends.immudb import driver, sending, shared
from backendkit.backends.immudb.names import logical, physical
from backendkit.backends.immudb.store import ImmudbStore
from backendkit.backends.immudb.types import lengths
from backendkit.stores import (
    Column,
    ConflictError,
    DataError,
    Index,
    Table,
    UniqueViolation,
    ValueType,
)
from backendkit.stores.testing._data import NAMES
from tests.stores.variants import Variant

pytest.importorskip("grpc", reason="needs the extra immudb")

#: See the fixture ``_lent``.
LENDS = True

ID = Column("id", ValueType.INTEGER, nullable=False, auto_increment=True)
ITEMS = Table(
    "items",
    (ID, Column("code", ValueType.STRING), Column("size", ValueType.INTEGER)),
    ("id",),
    (Index("items_code", ("code",), unique=True), Index("items_size", ("size",))),
)


_numbers = itertools.count()


class TestContract(Variant):
    # A key of immudb has 1,024 bytes at most, and the primary key is in it twice.
    longest_key = 200
    patience = 60.0

    @pytest.fixture(autouse=True)
    def _server(self, arguments, connection):
        """Have a database of its own: hundreds of columns are made at once."""
        # No database gets the name of one that was deleted.
        name = f"contract_{next(_numbers)}"
        connection.create_database(name, max_tx_entries=8192)
        self.arguments = {**arguments, "database": name}
        self.place = arguments["host"], arguments["port"], name
        shared.forget(self.place)
        yield
        connection.delete_database(name)

    def make_store(self):
        return ImmudbStore(self.arguments)

    def reopen_store(self, store):
        for session in self._sessions:
            session.close()
        self._sessions = []
        store.close()
        shared.forget(self.place)
        return ImmudbStore(self.arguments)


def written(store, *rows, table=ITEMS):
    session = store.session()
    session.begin(write=True)
    if table.name not in session.catalog().tables:
        session.create_table(table)
    if rows:
        session.insert(table, rows)
    session.commit()
    session.close()


def rows_of(session, table=ITEMS, *filters, ordering=()):
    access = session.access(table, [], ordering)
    query = session.query(table, [*table.positions], access)
    query.add_filters(filters)
    if ordering:
        query.order_by(ordering)
    return list(query.fetch())


# Names


@pytest.mark.parametrize(
    "name", [*NAMES, "Name", "_x4e_", "_X4E_", "_rev", "_tx_metadata", "x_x5f_x", "_x_"]
)
def test_names_have_one_form_each(name):
    """Any name becomes one that immudb takes, and is found again."""
    assert logical(physical(name)) == name
    assert physical(name).replace("_", "a").isalnum()
    assert physical(name) == physical(name).lower()


def test_plain_names_stay():
    assert physical("auth_user") == "auth_user"
    assert physical("order_2") == "order_2"
    assert physical("_private") == "_private"


# Other clients


def test_other_clients_read_what_we_write(store, connection):
    """Tables are immudb's, with its types."""
    table = Table(
        "kinds",
        (
            ID,
            Column("name", ValueType.STRING),
            Column("at", ValueType.DATETIME),
            Column("ok", ValueType.BOOL),
            Column("raw", ValueType.BYTES),
            Column("key", ValueType.UUID),
            Column("part", ValueType.FLOAT),
        ),
        ("id",),
    )
    written(store, table=table)
    kinds = {
        row[1]: row[2]
        for row in connection.query("SELECT * FROM COLUMNS('kinds')").rows
    }
    assert kinds == {
        "id": "INTEGER",
        "name": "VARCHAR",
        "at": "TIMESTAMP",
        "ok": "BOOLEAN",
        "raw": "BLOB",
        "key": "UUID",
        "part": "FLOAT",
    }


def test_tables_of_other_clients(store, connection):
    """They are in the catalog, and rows of them are read and written."""
    written(store)
    connection.run(
        "CREATE TABLE city (id INTEGER AUTO_INCREMENT, name VARCHAR[30], size INTEGER,"
        " PRIMARY KEY (id)); CREATE UNIQUE INDEX ON city(name)"
    )
    connection.run("INSERT INTO city (name, size) VALUES ('Oslo', 5), ('Rome', 7)")
    shared.forget(store.place)
    store = ImmudbStore(store._options)
    session = store.session()
    session.begin(write=True)
    table = session.catalog().tables["city"]
    assert [column.name for column in table.columns] == ["id", "name", "size"]
    assert table.columns[0].auto_increment
    assert [index.columns for index in table.indexes if index.unique] == [("name",)]
    assert session.insert(table, [(None, "Bern", 1)]) == [(3,)]
    session.update(table, (1,), (1, "Oslo", 6))
    session.delete(table, [(2,)])
    session.commit()
    # The other client's numbering goes on above ours.
    connection.run("INSERT INTO city (name, size) VALUES ('Graz', 2)")
    rows = connection.query("SELECT id, name, size FROM city").rows
    assert rows == [(1, "Oslo", 6), (3, "Bern", 1), (4, "Graz", 2)]
    session.begin(write=True)
    assert session.insert(table, [(None, "Lyon", 1)]) == [(5,)]
    session.rollback()
    store.close()


# Consistency


def test_a_reader_sees_one_moment(store):
    """Of all tables and indexes, though a snapshot of immudb is of one index."""
    other = replace(ITEMS, name="others", indexes=())
    written(store, (1, "a", 1))
    written(store, (1, "a", 1), table=other)
    reader = store.reader()
    reader.begin(write=False)
    assert rows_of(reader, other) == [(1, "a", 1)]
    session = store.session()
    session.begin(write=True)
    session.update(ITEMS, (1,), (1, "b", 2))
    session.delete(other, [(1,)])
    session.insert(ITEMS, [(2, "c", 3)])
    session.commit()
    assert rows_of(reader) == [(1, "a", 1)]
    assert rows_of(reader, ITEMS, ("code", "exact", False, "string", "b")) == []
    assert reader.get(ITEMS, (2,)) is None
    assert rows_of(reader, other) == [(1, "a", 1)]
    reader.rollback()
    reader.begin(write=False)
    assert rows_of(reader) == [(1, "b", 2), (2, "c", 3)]
    reader.rollback()


def test_a_unique_value_is_taken_once(store):
    """Two transactions found it free; the second to commit is told so."""
    written(store)
    one, two = store.session(), store.session()
    for session in (one, two):
        session.begin(write=True)
        session.insert(ITEMS, [(None, "same", 1)])
    one.commit()
    with pytest.raises(UniqueViolation) as caught:
        two.commit()
    assert isinstance(caught.value.__cause__, ConflictError)
    two.begin(write=True)
    assert len(rows_of(two)) == 1
    two.rollback()


def test_a_parent_is_not_deleted_meanwhile(store):
    """One looked for it and wrote a child, the other one deletes it."""
    child = Table("children", (ID, Column("parent", ValueType.INTEGER)), ("id",))
    written(store, (1, "a", 1))
    written(store, table=child)
    one, two = store.session(), store.session()
    one.begin(write=True)
    two.begin(write=True)
    assert one.get(ITEMS, (1,)) == (1, "a", 1)
    one.insert(child, [(None, 1)])
    two.delete(ITEMS, [(1,)])
    filters = ("parent", "exact", False, "integer", 1)
    assert rows_of(two, child, filters) == []
    two.commit()
    with pytest.raises(ConflictError):
        one.commit()


def test_writers_of_different_rows_do_not_conflict(store):
    written(store)
    sessions = [store.session() for _ in range(3)]
    for number, session in enumerate(sessions):
        session.begin(write=True)
        session.insert(ITEMS, [(None, f"code {number}", number)])
    for session in sessions:
        session.commit()
    sessions[0].begin(write=False)
    assert len({row[0] for row in rows_of(sessions[0])}) == 3
    sessions[0].rollback()


def test_numbers_are_given_once(store, arguments):
    """Also by processes that know nothing of each other."""
    written(store)
    stores = [ImmudbStore(arguments) for _ in range(3)]
    for one in stores:
        one.shared = shared.Shared()
    found = []

    def insert(one):
        session = one.session()
        for _ in range(10):
            session.begin(write=True)
            found.extend(session.insert(ITEMS, [(None, None, None)]))
            session.commit()

    threads = [threading.Thread(target=insert, args=(one,)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 30
    for one in stores:
        one.close()


def test_numbers_of_a_transaction_that_is_rolled_back(store):
    """They are given again, so that tests see the same ones each time."""
    written(store)
    session = store.session()
    for _ in range(3):
        session.begin(write=True)
        rows = [(None, None, None)] * 2
        assert session.insert(ITEMS, rows) == [(1,), (2,)]
        assert session.insert(ITEMS, rows[:1]) == [(3,)]
        session.rollback()
    session.begin(write=True)
    session.insert(ITEMS, [(None, None, None)])
    session.commit()
    session.begin(write=True)
    assert session.insert(ITEMS, [(None, None, None)]) == [(2,)]
    session.rollback()


def test_a_changed_table_is_noticed_by_a_writer(store, arguments):
    """Whose process had another idea of it: nothing is written, it may try again."""
    written(store)
    other = ImmudbStore(arguments)
    other.shared = shared.Shared()
    session = other.session()
    session.begin(write=True)
    session.insert(ITEMS, [(None, "a", 1)])
    changer = store.session()
    changer.begin(write=True)
    changer.alter_table("items", replace(ITEMS, name="things"))
    changer.commit()
    with pytest.raises(ConflictError, match="tables have changed"):
        session.commit()
    session.begin(write=True)
    assert list(session.catalog().tables) == ["things"]
    session.rollback()
    other.close()


# Limits


def test_more_changes_than_the_database_takes_at_a_time(store):
    written(store)
    session = store.session()
    session.begin(write=True)
    session.insert(ITEMS, [(None, str(number), 0) for number in range(1200)])
    session.commit()
    session.begin(write=True)
    assert len(rows_of(session)) == 1200
    session.rollback()


@pytest.mark.parametrize(
    "size",
    [5_000, *(pytest.param(n, marks=pytest.mark.check) for n in (1, 128_000))],
)
def test_changes_are_sent_in_parts(store, arguments, monkeypatch, size):
    """What was changed is there, or nothing, however often it is sent."""
    monkeypatch.setattr(sending, "_REQUEST", size)
    written(store, *[(n, str(n), n) for n in range(1, 801)])
    session = store.session()
    session.begin(write=True)
    session.delete(ITEMS, [(n,) for n in range(1, 20)])
    changed = [(n, f"changed {n}", n % 7) for n in range(20, 40)]
    for row in changed:
        session.update(ITEMS, (row[0],), row)
    added = [(n, "é" * 40 + str(n), None) for n in range(801, 1_701)]
    session.insert(ITEMS, added)
    session.commit()
    session.begin(write=False)
    kept = [(n, str(n), n) for n in range(40, 801)]
    assert rows_of(session, ordering=[("id", False)]) == [*changed, *kept, *added]
    session.rollback()
    # The first part meets a row of another client, while the next one is made.
    session.begin(write=True)
    session.insert(ITEMS, [(n, f"more {n}", n) for n in range(2_000, 3_000)])
    with driver.connect(**arguments, autocommit=True) as other:
        other.run("INSERT INTO items (id, code) VALUES (2000, 'theirs')")
    with pytest.raises(UniqueViolation):
        session.commit()
    session.begin(write=False)
    assert [row[0] for row in rows_of(session)][-2:] == [1_700, 2_000]
    session.rollback()
    session.close()


@pytest.mark.check
def test_rows_that_are_more_than_a_message_takes(store):
    """The server takes 32 MiB at a time, and each of the rows is far below that."""
    data = Column("data", ValueType.BYTES), Column("text", ValueType.STRING)
    table = Table("large", (ID, *data), ("id",))
    rows = [(n, bytes([n]) * 1_000_000, "é" * 50_000) for n in range(1, 36)]
    written(store, *rows, table=table)
    session = store.session()
    session.begin(write=True)
    assert sorted(rows_of(session, table)) == rows
    for row in rows:
        session.update(table, (row[0],), (row[0], row[1] + b"!", None))
    session.commit()
    session.begin(write=False)
    assert sorted(rows_of(session, table)) == [
        (n, one + b"!", None) for n, one, _ in rows
    ]
    session.rollback()
    session.close()


def test_a_text_too_long_for_a_key(store):
    """Bytes count; what isn't indexed may have any length."""
    written(store)
    session = store.session()
    session.begin(write=True)
    size = lengths(ITEMS)["code"]
    session.insert(ITEMS, [(None, "é" * (size // 2), None)])
    with pytest.raises(DataError, match=r"items\.code: .* bytes"):
        session.insert(ITEMS, [(None, "é" * (size // 2 + 1), None)])
    session.commit()
    session.begin(write=True)
    assert len(rows_of(session)) == 1
    # A longer one is just not there.
    wanted = "é" * size
    for lookup in ("exact", "gt", "gte"):
        assert rows_of(session, ITEMS, ("code", lookup, False, "string", wanted)) == []
    for lookup in ("lt", "lte"):
        found = rows_of(session, ITEMS, ("code", lookup, False, "string", wanted))
        assert len(found) == 1
    session.rollback()


@pytest.mark.parametrize(
    "kinds", [("string",), ("string",) * 3, ("bytes", "string", "decimal")]
)
def test_the_longest_key_of_an_index_can_be_indexed(store, kinds):
    """immudb takes a longer one, and then it never answers again."""
    names = [f"c{number}" for number in range(len(kinds))]
    columns = [Column(n, ValueType(k)) for n, k in zip(names, kinds, strict=True)]
    key = Column("key", ValueType.STRING, nullable=False)
    table = Table("longest", (key, *columns), ("key",), (Index("all", tuple(names)),))
    sizes = lengths(table)
    # As many letters as keys of text usually have at most.
    assert sizes["key"] >= 255
    row = ["x" * sizes["key"]]
    for name, kind in zip(names, kinds, strict=True):
        value = "9" * sizes[name]
        made = {"bytes": value.encode(), "decimal": Decimal(value)}
        row.append(made.get(kind, value))
    written(store, tuple(row), table=table)
    session = store.session()
    session.begin(write=False)
    assert len(rows_of(session, table)) == 1
    session.rollback()


def test_an_index_on_a_text_without_a_length(store):
    """The table is copied: immudb can't give a column a length later."""
    plain = replace(ITEMS, indexes=())
    written(store, (1, "a", 1), (2, "b", 2), table=plain)
    session = store.session()
    session.begin(write=True)
    session.create_index("items", Index("items_code", ("code",), unique=True))
    table = session.catalog().tables["items"]
    session.insert(table, [(None, "c", 3)])
    session.commit()
    session.begin(write=True)
    filters = ("code", "in", False, "string", ["a", "c"])
    assert [row[1] for row in rows_of(session, table, filters)] == ["a", "c"]
    session.rollback()


def test_rows_come_in_batches(store):
    """A table larger than one answer of the server, in order and in part."""
    written(store)
    session = store.session()
    for start in range(0, 4000, 800):
        session.begin(write=True)
        rows = [(n + 1, str(n), -n) for n in range(start, start + 800)]
        session.insert(ITEMS, rows)
        session.commit()
    for make in (store.session, store.reader):
        session = make()
        session.begin(write=False)
        assert len(rows_of(session)) == 4000
        ordered = rows_of(session, ITEMS, ordering=[("size", False)])
        assert [row[2] for row in ordered] == list(range(-3999, 1))
        many = ("id", "in", False, "integer", list(range(1, 4001, 7)))
        assert len(rows_of(session, ITEMS, many)) == 572
        session.rollback()
        session.close()
