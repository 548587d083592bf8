"""A definition in the database that somebody else wrote; no server is needed."""

import json
import random

import pytest

pytest.importorskip("grpc", reason="needs the extra immudb")

from backendkit.backends.immudb.catalog import Stored
from backendkit.backends.immudb.changes import create
from backendkit.stores import (
    Column,
    DatabaseError,
    ForeignKey,
    Index,
    Table,
    ValueType,
)
from tests.effort import effort
from tests.engine.test_hostile_documents import NAMES, OTHERS, leaves, replaced

SEED = 17
TABLE = Table(
    "book",
    (
        Column("id", ValueType.INTEGER, nullable=False, auto_increment=True),
        Column("title", ValueType.STRING, max_length=40),
        Column("price", ValueType.DECIMAL, max_digits=9, decimal_places=2),
        Column("book:0", ValueType.STRING, hidden=True),
    ),
    ("id",),
    (Index("t", ("title", "price"), unique=True), Index("i", ("book:0",))),
    (ForeignKey(("id",), "book", ("id",)),),
    "CREATE TABLE book (id integer PRIMARY KEY, title varchar(40), price decimal)",
)


def test_what_it_writes_it_reads():
    """A definition of ours is read as it was."""
    stored, _ = create(TABLE)
    assert Stored.from_json(stored.to_json()) == stored


def test_any_leaf_of_a_definition():
    """It is refused by an error of the contract, or is of the right types."""
    document = json.loads(create(TABLE)[0].to_json())
    drawn, paths = random.Random(SEED), list(leaves(document))
    refused = 0
    for number in range(effort(test=1000, check=4000, soak=100_000)):
        path = drawn.choice(paths)
        value = drawn.choice(OTHERS if drawn.random() < 0.5 else NAMES)
        text = json.dumps(replaced(document, path, value))
        try:
            stored = Stored.from_json(text)
        except DatabaseError:
            refused += 1
            continue
        except BaseException as error:
            error.add_note(f"seed {SEED}, {number}: {path} is {value!r}")
            raise
        known = set(stored.table.positions)
        assert {type(stored.ours), type(stored.is_copy)} == {bool}
        assert {*stored.lengths} <= known
        assert {name for columns in stored.indexes for name in columns} <= known
    assert refused > 100


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{}", "7", "NaN", '"x"', '{"table": 1}'),
        "[" * 200_000,
        '{"table":' * 200_000,
    ],
    ids=lambda text: text[:12],
)
def test_no_definition(text):
    """However deep it goes."""
    with pytest.raises(DatabaseError, match="The catalog has a table"):
        Stored.from_json(text)
    with pytest.raises(DatabaseError, match="The catalog has a table"):
        Table.from_json(text)
