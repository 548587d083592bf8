"""A catalog on disk that somebody else wrote: any leaf of it may be anything."""

import copy
import json
import os
import random

import pytest

from backendkit.backends.lmdb.store import LMDBStore
from backendkit.engine import dbapi
from backendkit.kv.layout import CATALOG_PREFIX, CATALOG_STOP, VERSION_KEY
from backendkit.stores import DatabaseError
from tests.effort import effort

from .test_hostile_catalogs import SCHEMA, attacks

SEED = 13
#: Statements that read, write and change what the catalog says is there.
STATEMENTS = (
    "SELECT * FROM v",
    "SELECT * FROM a WHERE s > 'a' ORDER BY lower(s)",
    "SELECT * FROM a, b WHERE r = a.id",
    "INSERT INTO a (s) VALUES ('new')",
    "INSERT INTO b (r) VALUES (1)",
    "UPDATE a SET s = 'changed' WHERE id = 2",
    "DELETE FROM a WHERE id = 2",
    "ALTER TABLE b ADD COLUMN n integer",
    "ALTER TABLE a RENAME TO renamed",
    "CREATE TABLE c (id integer PRIMARY KEY)",
    "SELECT * FROM sqlite_master",
)
#: What may stand in the place of a name: others, none, SQL, what no text is.
NAMES = (
    *("a", "b", "id", "s", "r", "S", "rowid", "sqlite_master", "", " ", "\0", "\ud800"),
    *("a)", 'a"; ATTACH ""', "x'; --", "a" * 5000, "backendkit_schema", "temp.a"),
    *("integer", "text", "blob", "bool", "CASCADE", "a:where"),
)
OTHERS = (None, True, False, 0, 1, -1, 2**70, 1.5, [], {}, ["id"], [[]], [1], {"a": 1})


def leaves(document, path=()):
    """Return the paths of all that may be replaced, lists and objects as well."""
    if path:
        yield path
    pairs = ()
    if isinstance(document, dict):
        pairs = document.items()
    elif isinstance(document, list):
        pairs = enumerate(document)
    for step, one in pairs:
        yield from leaves(one, (*path, step))


def replaced(document, path, value):
    new = copy.deepcopy(document)
    *way, last = path
    inner = new
    for step in way:
        inner = inner[step]
    inner[last] = value
    return new


def is_said_otherwise(table):
    """Change what a document says of a table's columns, not its SQL."""
    columns = table["columns"]
    columns[0]["name"], columns[1]["name"] = columns[1]["name"], columns[0]["name"]


#: Data that don't match the SQL beside them, of table a.
DIFFERENT = {
    "names changed places": is_said_otherwise,
    "another type": lambda table: table["columns"][1].update(declared="integer"),
    "another key": lambda table: table.update(primary_key=["s"]),
    "an index of another column": lambda table: table["indexes"][0].update(
        columns=["s", table["indexes"][0]["columns"][1]]
    ),
    "an index that is unique": lambda table: table["indexes"][0].update(unique=False),
    "a column too many": lambda table: table["columns"][1].update(hidden=True),
}


@pytest.fixture
def store(tmp_path_factory):
    store = LMDBStore.open(tmp_path_factory.mktemp("hostile") / "db", {"sync": False})
    connection = dbapi.connect(store)
    for sql in SCHEMA:
        connection.execute(sql)
    connection.execute("INSERT INTO a (s) VALUES ('kept'), ('other')")
    yield store
    store.close()


def pairs_of(store, start=b"", stop=b"\xff" * 8):
    transaction = store.engine.begin(False)
    try:
        return list(transaction.range(start, stop))
    finally:
        transaction.abort()


def write(store, pairs):
    transaction = store.engine.begin(True)
    transaction.clear(b"\0", b"\xff" * 8)
    transaction.put_all(pairs)
    transaction.commit()


def use(store):
    """Run statements, each by a new connection; return how many are refused."""
    refused = 0
    for sql in STATEMENTS:
        connection = dbapi.Connection(store)
        store_close, store.close = store.close, lambda: None
        try:
            connection.execute(sql).fetchall()
        except DatabaseError:
            refused += 1
        finally:
            connection.close()
            store.close = store_close
    return refused


def test_any_leaf_of_a_catalog(store, tmp_path, monkeypatch):
    """It is refused by an error of the contract, or does no harm."""
    monkeypatch.chdir(tmp_path)
    before = pairs_of(store)
    write(store, before)
    assert use(store) == 0
    write(store, before)
    documents = dict(pairs_of(store, CATALOG_PREFIX, CATALOG_STOP))
    drawn = random.Random(SEED)
    choices = [
        (key, path)
        for key, source in documents.items()
        for path in leaves(json.loads(source))
    ]
    for number in range(effort(test=250, check=1000, soak=10_000)):
        key, path = drawn.choice(choices)
        document = json.loads(documents[key])
        value = drawn.choice(OTHERS if drawn.random() < 0.3 else NAMES)
        if path[-1] in ("sql", "declared") and drawn.random() < 0.5:
            value = drawn.choice(attacks("x", tmp_path / "victim"))
        new = json.dumps(replaced(document, path, value)).encode()
        changed = {**dict(before), key: new, VERSION_KEY: b"hostile %d" % number}
        write(store, sorted(changed.items()))
        try:
            use(store)
        except BaseException as error:
            error.add_note(f"seed {SEED}, {number}: {path} is {value!r}")
            raise
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
def test_data_that_dont_match_their_sql(store, change):
    """A row would be written to other columns than SQL has computed."""
    before = dict(pairs_of(store))
    for key, source in pairs_of(store, CATALOG_PREFIX, CATALOG_STOP):
        document = json.loads(source)
        if document["table"]["name"] == "a":
            change(document["table"])
            before[key] = json.dumps(document).encode()
    write(store, sorted({**before, VERSION_KEY: b"hostile"}.items()))
    connection = dbapi.Connection(store)
    with pytest.raises(DatabaseError, match="The catalog"):
        connection.execute("INSERT INTO a (id) VALUES (7)")
    with pytest.raises(DatabaseError, match="The catalog"):
        connection.schema()
    assert len(pairs_of(store)) == len(before)
    connection.close()
