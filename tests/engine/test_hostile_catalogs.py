"""A catalog that somebody else wrote: none of its SQL does anything but define."""

import dataclasses
import os
import stat

import apsw
import pytest

from backendkit.backends.lmdb.store import LMDBStore
from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from backendkit.engine.database import Database
from backendkit.engine.declarations import Declarations
from backendkit.stores import Catalog, DatabaseError, Table, shown

SCHEMA = (
    """CREATE TABLE a (id integer PRIMARY KEY, s text DEFAULT 'x' CHECK (s <> ''),
     g integer GENERATED ALWAYS AS (id + 1) STORED)""",
    "CREATE UNIQUE INDEX a_s ON a (lower(s)) WHERE s > 'a'",
    "CREATE TABLE b (id integer PRIMARY KEY, r integer REFERENCES a (id))",
    "CREATE VIEW v AS SELECT id FROM a",
)


@pytest.fixture
def victim(tmp_path, monkeypatch):
    """A file that isn't there; nothing may make it, or any other beside it."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "victim.db"
    assert os.listdir(tmp_path) == []


def attacks(sql, victim):
    """Return what may stand in the place of a piece of SQL."""
    attach = f"ATTACH DATABASE '{victim}' AS x"
    return (
        f"{sql}; {attach}; CREATE TABLE x.pwned (a)",
        f"{sql} /* */ ; {attach}",
        attach,
        f"VACUUM INTO '{victim}'",
        "DELETE FROM a",
        f"{sql}; DELETE FROM a",
        f"PRAGMA temp_store_directory = '{victim.parent}'",
        "CREATE TEMP TABLE a (id)",
        "CREATE TABLE a AS SELECT load_extension('evil')",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END",
        "CREATE VIRTUAL TABLE a USING fts5(x)",
        f"{sql} '",
        "",
        "\0",
        "?",
    )


def fields(value, path=()):
    """Return the paths of all texts in a table."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, tuple):
        for place, one in enumerate(value):
            yield from fields(one, (*path, place))
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name != "type":
                yield from fields(getattr(value, field.name), (*path, field.name))


def at(value, path):
    for step in path:
        value = value[step] if isinstance(step, int) else getattr(value, step)
    return value


def replaced(value, path, text):
    """Return a table with another text at a path."""
    if not path:
        return text
    step, *rest = path
    if isinstance(step, int):
        new = replaced(value[step], rest, text)
        return (*value[:step], new, *value[step + 1 :])
    new = replaced(getattr(value, step), rest, text)
    return dataclasses.replace(value, **{step: new})


def made():
    store = MemoryStore()
    connection = dbapi.connect(store)
    for sql in SCHEMA:
        connection.execute(sql)
    connection.execute("INSERT INTO a (s) VALUES ('kept')")
    state = dict(store.committed)
    connection.close()
    return state


def use(state, name, table):
    """Open a database whose catalog has another table in the place of one."""
    store = MemoryStore()
    tables = dict(state["", "schema"]["catalog"].tables)
    tables[name] = table
    store.committed = {
        **state,
        ("", "schema"): {"catalog": Catalog(object(), tables)},
    }
    for work in (
        lambda one: one.schema(),
        lambda one: one.execute("SELECT * FROM v").fetchall(),
        lambda one: one.execute("SELECT * FROM a").fetchall(),
        lambda one: one.execute("INSERT INTO a (s) VALUES ('new')"),
        lambda one: one.execute("CREATE TABLE c (id integer PRIMARY KEY)"),
    ):
        connection = dbapi.connect(store)
        try:
            work(connection)
        except DatabaseError:
            pass
        finally:
            connection.close()
    rows = store.committed.get(("a", ""), {})
    assert any("kept" in row for row in rows.values())


def test_any_text_of_a_catalog(victim):
    """Whatever stands in it, nothing else is run, and no file is made."""
    state = made()
    for name, table in state["", "schema"]["catalog"].tables.items():
        for path in fields(table):
            if path[-1] in ("sql", "declared"):
                for text in attacks(at(table, path), victim):
                    use(state, name, replaced(table, path, text))


@pytest.mark.parametrize("path", [("sql",), ("indexes", 0, "sql")])
def test_the_error_is_clear(victim, path):
    state = made()
    table = state["", "schema"]["catalog"].tables["a"]
    for text in attacks(at(table, path), victim):
        if path != ("sql",) and not text:
            continue  # an index of the table's own SQL
        store = MemoryStore()
        bad = {"a": replaced(table, path, text)}
        store.committed = {("", "schema"): {"catalog": Catalog(object(), bad)}}
        connection = dbapi.connect(store)
        with pytest.raises(DatabaseError, match="The catalog's SQL of the"):
            connection.schema()
        connection.close()


@pytest.mark.parametrize(
    "sql", ["ATTACH '{}' AS x", "VACUUM INTO '{}'", "SELECT load_extension('{}')"]
)
def test_sqlite_in_memory_has_no_files(victim, sql):
    """The second line of defence."""
    database = Database()
    with pytest.raises(apsw.Error):
        database.execute(sql.format(victim))
    database.execute("PRAGMA writable_schema = 1")
    with pytest.raises(apsw.Error):
        database.execute("DELETE FROM sqlite_master")
    database.close()


@pytest.mark.parametrize(
    "document",
    [
        """{"name": "t", "columns": [], "primary_key": [], "indexes": [],
         "foreign_keys": [], "sql": "", "from_the_future": 1}""",
        '{"name": "t", "columns": [{"name": "a", "type": "quaternion"}]}',
        '{"name": "t"}',
        "[]",
        "{",
    ],
)
def test_a_catalog_of_a_newer_version(document):
    with pytest.raises(DatabaseError, match="newer version"):
        Table.from_json(document)


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_copies_have_the_modes_of_what_they_are_copies_of(tmp_path, mode, umask):
    """A copy is never open to more people, whatever the umask is."""
    before = os.umask(umask)
    try:
        path, copy = tmp_path / "source", tmp_path / "copy"
        store = LMDBStore.open(path)
        os.chmod(path, mode)
        os.chmod(path / "data.mdb", mode & 0o666)
        store.clone(copy)
        store.close()
    finally:
        os.umask(before)
    for one, other in ((copy, path), (copy / "data.mdb", path / "data.mdb")):
        assert stat.S_IMODE(one.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize(
    "value", ["secret" * 1000, b"\xff" * 10**6, 10**400, ("x" * 99,), None, 5]
)
def test_messages_show_the_beginning_of_a_value(value):
    assert len(shown(value)) <= 60
    assert shown(5) == "5"


@pytest.mark.parametrize("kind", ["integer", "date", "uuid", "bool", "decimal(5, 2)"])
def test_errors_dont_quote_values(any_connection, kind):
    """They reach logs."""
    any_connection.execute(f"CREATE TABLE t (v {kind})")
    value = "secret " * 100 + "the end"
    with pytest.raises(dbapi.DataError) as caught:
        any_connection.execute("INSERT INTO t VALUES (?)", (value,))
    assert "the end" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '{}' AS x",
        "DETACH main",
        "PRAGMA writable_schema = 1",
        "PRAGMA temp_store_directory = '{}'",
        "PRAGMA trusted_schema = 1",
        "SELECT load_extension('{}')",
        "CREATE VIEW v AS SELECT load_extension('{}')",
        "CREATE TABLE t (a CHECK (load_extension('{}')))",
        "CREATE TABLE t (a, b AS (load_extension('{}')))",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END",
        "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END",
        "CREATE VIRTUAL TABLE t USING fts5 (x)",
        "CREATE VIRTUAL TABLE temp.t USING rtree (a, b, c)",
        "VACUUM INTO '{}'",
    ],
)
def test_the_mirror_allows_no_more_than_a_schema(victim, sql):
    """What the check of a catalog's text might let through: SQLite refuses it."""
    declarations = Declarations(lambda _: None)
    database = declarations.sqlite
    database.execute("CREATE TABLE a (b)")
    # An ALTER TABLE with a check looks at the rows by a PRAGMA of its own.
    database.execute("ALTER TABLE a ADD COLUMN c CHECK (c > 0)")
    for run in (database.execute, lambda one: declarations.execute(one, ())):
        with pytest.raises(apsw.Error):
            run(sql.format(victim))
            run("SELECT * FROM v")
    declarations.close()
