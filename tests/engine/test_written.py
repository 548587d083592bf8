"""Tables of a store that leaves out their SQL."""

import pytest

from backendkit.backends.memory.store import MemoryStore
from backendkit.engine import dbapi
from backendkit.stores import (
    Column,
    DatabaseError,
    ForeignKey,
    Index,
    Table,
    ValueType,
)

PARENT = Table(
    "the 'parent'",
    (
        Column("id", ValueType.INTEGER, nullable=False, auto_increment=True),
        *(Column(f"a {one}", one) for one in ValueType if one is not ValueType.ANY),
        Column("short", ValueType.STRING, max_length=7),
        Column("money", ValueType.DECIMAL, max_digits=9, decimal_places=2),
        Column("point", ValueType.FLOAT, declared="double precision"),
    ),
    ("id",),
    (Index("by short", ("short", "money"), unique=True), Index("i", ("point",))),
)
CHILD = Table(
    "child",
    (
        Column("x", ValueType.STRING, nullable=False),
        Column("y", ValueType.INTEGER, nullable=False),
        Column("parent", ValueType.INTEGER),
    ),
    ("y", "x"),
    foreign_keys=(ForeignKey(("parent",), PARENT.name, ("id",), "CASCADE"),),
)


def opened(*tables):
    """Return a connection to a store that has tables without SQL."""
    store = MemoryStore()
    session = store.session()
    session.begin(write=True)
    for table in tables:
        session.create_table(table)
    session.commit()
    session.close()
    return dbapi.connect(store)


def test_it_can_be_asked_for():
    """By SQL, rows and schema, as one that was created by SQL."""
    connection = opened(PARENT, CHILD)
    cursor = connection.cursor()
    cursor.execute("""INSERT INTO "the 'parent'" (short) VALUES ('a'), ('b')""")
    cursor.execute("INSERT INTO child VALUES ('k', 1, 2)")
    cursor.execute("""
        SELECT p.short, count(c.y) FROM "the 'parent'" p
        LEFT JOIN child c ON c.parent = p.id GROUP BY p.id ORDER BY p.id
    """)
    assert cursor.fetchall() == [("a", 0), ("b", 1)]
    cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
    assert cursor.fetchall() == [
        ("child",),
        ("sqlite_sequence",),
        ("the 'parent'",),
    ]
    cursor.execute("PRAGMA table_info(\"the 'parent'\")")
    found = {name: (kind, pk) for _, name, kind, _, _, pk in cursor.fetchall()}
    assert found["id"] == ("INTEGER", 1)
    assert found["a uuid"] == ("uuid char(32)", 0)
    assert found["short"] == ("varchar(7)", 0)
    assert found["money"] == ("decimal(9, 2)", 0)
    assert found["point"] == ("double precision", 0)
    cursor.execute("PRAGMA foreign_key_list('child')")
    assert [row[2:7] for row in cursor.fetchall()] == [
        ("the 'parent'", "parent", "id", "NO ACTION", "CASCADE")
    ]
    cursor.execute("PRAGMA index_list(\"the 'parent'\")")
    assert {(row[1], row[2]) for row in cursor.fetchall()} == {
        ("by short", 1),
        ("i", 0),
    }
    connection.close()


def test_its_constraints_hold():
    """NOT NULL, the primary key, unique indexes and foreign keys."""
    connection = opened(PARENT, CHILD)
    cursor = connection.cursor()
    for sql in (
        "INSERT INTO child VALUES (NULL, 1, NULL)",
        "INSERT INTO child VALUES ('k', 1, NULL), ('k', 1, NULL)",
        "INSERT INTO child VALUES ('k', 1, 7)",
        """INSERT INTO "the 'parent'" (short, money) VALUES ('a', 1), ('a', 1)""",
    ):
        with pytest.raises(dbapi.IntegrityError):
            cursor.execute(sql)
    connection.close()


@pytest.mark.parametrize(
    "table",
    [
        Table("t", (Column("a", ValueType.STRING, declared="text); DROP"),), ("a",)),
        Table("t", (Column("a", ValueType.STRING, declared="text; x"),), ("a",)),
        Table("t", (Column("a", ValueType.STRING, hidden=True),), ("a",)),
        Table(
            "t",
            (Column("a", ValueType.STRING),),
            ("a",),
            foreign_keys=(ForeignKey(("a",), "t", ("a",), "CASCADE); ATTACH 'x"),),
        ),
    ],
)
def test_it_is_no_way_in(table):
    """What is written into the SQL is looked at, like SQL of the catalog."""
    connection = opened(table)
    with pytest.raises(DatabaseError, match="isn't the definition of a"):
        connection.cursor().execute("SELECT name FROM sqlite_master")
    connection.close()
