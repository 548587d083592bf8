"""What SQL makes of a schema is read again: suspicion of catalogs refuses none of it."""

import contextlib

import apsw
import pytest

from backendkit.engine import dbapi
from backendkit.engine.declarations import Declarations
from backendkit.stores import Catalog, Table
from tests.effort import chance, examples

SCHEMAS = [
    ["CREATE TABLE b (id integer PRIMARY KEY, r integer REFERENCES missing)"],
    ["CREATE TABLE b (id integer PRIMARY KEY, r integer REFERENCES missing (x))"],
    ["CREATE TABLE p (a)", "CREATE TABLE b (r integer REFERENCES p)"],
    [
        "CREATE TABLE p (a integer PRIMARY KEY)",
        "CREATE TABLE b (r integer REFERENCES p)",
        "DROP TABLE p",
    ],
    ["CREATE TABLE p (a, b, PRIMARY KEY (a, b))", "CREATE TABLE b (r REFERENCES p)"],
    ["CREATE TABLE t (a, b, FOREIGN KEY (A, B) REFERENCES T (B, A))"],
    ["CREATE TABLE t (a, b AS (a + 1), c int GENERATED ALWAYS AS (a * 2) STORED, d)"],
    ["CREATE TABLE t (a text AS (b) VIRTUAL, b)", "CREATE INDEX i ON t (a)"],
    [
        'CREATE TABLE "a""b" ("c""d" text, [e f] int, `g``h` blob, "" int)',
        'CREATE INDEX "i""j" ON "a""b" ("c""d" COLLATE NOCASE)',
    ],
    [
        "CREATE TABLE T (Id INTEGER PRIMARY KEY, Ab text)",
        "CREATE INDEX IX ON t (AB, id)",
        "create unique index iY on T(ab) where aB > 'x'",
    ],
    ["CREATE TABLE t (a, b, PRIMARY KEY (B, A)) WITHOUT ROWID"],
    ["CREATE TABLE t (a text COLLATE nocase PRIMARY KEY, b text COLLATE rtrim UNIQUE)"],
    ["CREATE TABLE t (a int, b text) STRICT"],
    [
        "CREATE TABLE t (a)",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE u RENAME COLUMN a TO Z",
        "ALTER TABLE u ADD COLUMN q point DEFAULT 3",
    ],
    ["CREATE TABLE t (a, b, c)", "ALTER TABLE t DROP COLUMN b"],
    ["CREATE TABLE t (a vector(3), b unsigned big int, c 'odd type', d timestamptz)"],
    ["CREATE TABLE t (e decimal(10,2), f decimal ( 10 , 2 ))"],
    ["CREATE TABLE t AS SELECT 1 AS a, 'x' AS b, 2.5 AS \"c d\""],
    ["CREATE TABLE t (a UNIQUE, b UNIQUE ON CONFLICT IGNORE, UNIQUE (a, b))"],
    ["CREATE TABLE t (a integer PRIMARY KEY DESC, b)"],
    ["CREATE TABLE t (a integer PRIMARY KEY AUTOINCREMENT, b)"],
    [
        "CREATE TABLE t (a text)",
        "CREATE INDEX i ON t (a COLLATE NOCASE DESC, lower(a), a || 'x') WHERE a > ''",
    ],
    ["CREATE TABLE t (a int)", "CREATE INDEX i ON t (a COLLATE NOCASE, a)"],
    ["CREATE TABLE t (a int)", "CREATE INDEX i ON t ('a')"],
    [
        "CREATE TABLE t (a text COLLATE NOCASE)",
        "CREATE INDEX i ON t (a, a COLLATE NOCASE)",
    ],
    ["CREATE TABLE t (a int, rowid text)", "CREATE INDEX i ON t (rowid)"],
    [
        "CREATE TABLE t (a int)",
        "CREATE VIEW v (x) AS SELECT a FROM t",
        "CREATE VIEW w AS SELECT * FROM v",
    ],
    [
        "CREATE TABLE t (a int)",
        "CREATE VIEW v AS SELECT a FROM t",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE u RENAME COLUMN a TO b",
    ],
    [
        "CREATE TABLE IF NOT EXISTS main.t (a)",
        "CREATE INDEX IF NOT EXISTS main.i ON t (a)",
    ],
    ["CREATE TABLE t (a int -- z\n) /* c */", "CREATE INDEX i ON t /* d */ (a) -- c"],
    ["CREATE TABLE 't' (a int)", "CREATE INDEX 'i' ON 't' (a)"],
    [
        "CREATE TABLE \u00e9t\u00e9 (\u00c9 text, \u00e9)",
        "CREATE INDEX \u00fc ON \u00e9t\u00e9 (\u00c9)",
    ],
    ["CREATE TABLE t (a DEFAULT (hex(randomblob(3))), b DEFAULT 'x;y', c DEFAULT ';')"],
    [
        "CREATE TABLE t (a integer)",
        "CREATE INDEX i ON t (a) WHERE a",
        'ALTER TABLE t RENAME COLUMN a TO "b c"',
    ],
    [
        "CREATE TABLE t (a text COLLATE NOCASE UNIQUE, b text)",
        "CREATE INDEX a ON t (a, b COLLATE RTRIM)",
        "ALTER TABLE t RENAME COLUMN a TO B1",
        "ALTER TABLE t RENAME COLUMN b to a",
    ],
]


def read_again(connection):
    """Read the catalog from its documents, and make everything that it says."""
    tables = connection.catalog().tables
    again = {name: Table.from_json(table.to_json()) for name, table in tables.items()}
    assert again == tables
    Declarations(lambda _: None).sync(Catalog(object(), again))
    for table in again.values():
        Declarations(lambda _: None).need(table)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema[-1])
def test_what_is_legal_in_sqlite(connection, schema):
    """Names, types, keys and indexes of all kinds, as they are after changes too."""
    plain = apsw.Connection(":memory:")
    for sql in schema:
        plain.execute(sql)
        connection.execute(sql)
    read_again(connection)


TYPES = ("", "integer", "text", "varchar(3)", "bool", "decimal(5, 2)", "point", "'a b'")
LIMITS = (
    "",
    "NOT NULL",
    "UNIQUE",
    "DEFAULT 'x'",
    "CHECK ({0} <> 'z')",
    "COLLATE NOCASE",
)
NAMES = ("a", "B", '"c d"', "[select]", '"q""q"', "\u00fc", '"a:0"', "'l'")
CHANGES = (
    "ALTER TABLE {t} ADD COLUMN {new} text COLLATE NOCASE",
    "ALTER TABLE {t} RENAME COLUMN {a} TO {new}",
    "ALTER TABLE {t} DROP COLUMN {a}",
    "ALTER TABLE {t} RENAME TO {new}",
    "CREATE INDEX {new} ON {t} ({a}, {b} COLLATE NOCASE)",
    "CREATE UNIQUE INDEX {new} ON {t} (lower({a})) WHERE {b} > 'm'",
    "CREATE VIEW {new} AS SELECT * FROM {t}",
    "DROP INDEX {new}",
)


def test_random_schemas(connection):
    """Whatever is made, changed and renamed at random is read again."""
    random = chance("legal catalogs")
    made = 0
    for number in range(examples(test=60, check=300, soak=5000)):
        names = random.sample(NAMES, 3)
        columns = [
            f"{name} {random.choice(TYPES)} {random.choice(LIMITS).format(name)}"
            for name in names
        ]
        if random.random() < 0.5:
            columns.append(f"PRIMARY KEY ({', '.join(names[:2])})")
        statements = [f'CREATE TABLE "t{number}" ({", ".join(columns)})']
        for _ in range(4):
            a, b, new = random.choices(NAMES, k=3)
            sql = random.choice(CHANGES)
            statements.append(sql.format(t=f'"t{number}"', a=a, b=b, new=new))
        connection.execute("BEGIN")
        for sql in statements:
            # What SQLite refuses, or a store can't do, changes nothing.
            with contextlib.suppress(dbapi.DatabaseError):
                connection.execute(sql)
                made += 1
        try:
            read_again(connection)
        except BaseException as error:
            error.add_note("; ".join(statements))
            raise
        connection.execute("ROLLBACK")
    assert made > number


@pytest.mark.parametrize(
    "schema",
    [
        ['CREATE TABLE t (x, "i:where" text)', "CREATE INDEX i ON t (x) WHERE x > 1"],
        ['CREATE TABLE t (x, "i:0" text)', "CREATE INDEX i ON t (lower(x))"],
        [
            'CREATE TABLE t (x text, "x:nocase")',
            "CREATE INDEX i ON t (x COLLATE NOCASE)",
        ],
        [
            "CREATE TABLE t (x)",
            "CREATE INDEX i ON t (lower(x))",
            'ALTER TABLE t ADD "i:0"',
        ],
        ["CREATE TABLE t (x)", 'CREATE INDEX "" ON t (x)'],
    ],
)
def test_names_of_what_is_computed_for_an_index(any_connection, schema):
    """A column of that name would have its values overwritten: it is refused."""
    *before, last = schema
    for sql in before:
        any_connection.execute(sql)
    any_connection.execute("INSERT INTO t (x) VALUES ('A')")
    with pytest.raises(dbapi.NotSupportedError, match="'t'"):
        any_connection.execute(last)
    any_connection.execute("INSERT INTO t (x) VALUES ('B')")
    rows = any_connection.execute("SELECT x FROM t ORDER BY x").fetchall()
    assert rows == [("A",), ("B",)]
