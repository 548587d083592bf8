"""What joins find by key is remembered, and is always what the store has."""

import random
import sqlite3

import pytest

from backendkit.backends.memory.store import MemoryQuery, MemorySession, MemoryStore
from backendkit.engine import dbapi, seeking
from backendkit.engine.compiled import Select

from .conftest import open_store

SCHEMA = [
    "CREATE TABLE author (id integer PRIMARY KEY, name varchar(20) UNIQUE, notes text)",
    (
        "CREATE TABLE book (id integer PRIMARY KEY, author integer, name text,"
        " day date, UNIQUE (author, name))"
    ),
    (
        "CREATE TABLE shelf (code char(32) PRIMARY KEY, at uuid, day date,"
        " price decimal(5, 2), weight real)"
    ),
    "CREATE INDEX book_author ON book (author)",
]

QUERIES = [
    "SELECT b.id, s.code FROM book b JOIN shelf s ON s.day = b.day",
    (
        "SELECT s.code, t.code FROM shelf s LEFT JOIN shelf t ON t.at = s.at"
        " AND t.day > s.day"
    ),
    "SELECT b.id, s.code FROM book b LEFT JOIN shelf s ON s.price = b.author",
    "SELECT s.code, t.code FROM shelf s JOIN shelf t ON t.price = s.price + 0.25",
    (
        "SELECT s.code, t.code FROM shelf s JOIN shelf t ON t.weight = s.price"
        " AND t.at = s.at"
    ),
    "SELECT a.id, b.id FROM author a JOIN book b ON b.name = a.id",
    "SELECT b.id, a.name, a.notes FROM book b JOIN author a ON a.id = b.author",
    (
        "SELECT b.id, a.name FROM book b LEFT JOIN author a ON a.id = b.author"
        " AND a.notes > 'n'"
    ),
    (
        "SELECT a.id, count(b.id) FROM author a LEFT JOIN book b ON b.author = a.id"
        " GROUP BY a.id"
    ),
    (
        "SELECT a.id FROM author a WHERE EXISTS (SELECT 1 FROM book b"
        " WHERE b.author = a.id AND b.day > '2020-01-05' LIMIT 1)"
    ),
    (
        "SELECT a.id, (SELECT b.name FROM book b WHERE b.author = a.id"
        " ORDER BY b.day DESC, b.id LIMIT 1) FROM author a"
    ),
    (
        "SELECT a.id, (SELECT b.id FROM book b WHERE b.author = a.id"
        " ORDER BY b.id LIMIT 1 OFFSET 1) FROM author a"
    ),
    (
        "SELECT x.id, y.id FROM book x JOIN book y ON y.author = x.author"
        " AND y.name = x.name"
    ),
    (
        "SELECT x.id, y.id FROM book x LEFT JOIN book y ON y.author = x.author + 1"
        " AND y.name = x.name AND y.day IS NOT NULL"
    ),
    "SELECT b.id, a.id FROM book b JOIN author a ON a.name = b.name",
    "SELECT b.id, a.id FROM book b JOIN author a ON a.name = b.author",
    "SELECT b.id, s.at, s.day FROM book b JOIN shelf s ON s.code = b.name",
    "SELECT s.rowid IS NULL, t.at FROM shelf s JOIN shelf t ON t.at = s.at",
    "SELECT b.id, a.id FROM book b, author a WHERE a.id IN (b.author, b.id)",
    (
        "SELECT b.id FROM book b JOIN author a ON a.id = b.author"
        " WHERE a.id = 3 OR b.id = 4 OR a.name = 'n5'"
    ),
]

#: Nothing is remembered for long; single keys; whole tables, from the second key on.
WAYS = {
    "nothing": {"_MEMORY": 0, "_MUCH": 0},
    "keys": {"_SEEK": 0, "_UNIQUE": 0},
    "tables": {"_SEEK": 10**9, "_UNIQUE": 10**9},
    "as it is": {},
}


def rows_of(seed):
    """Return random rows, many of them with the same keys, or with none."""
    r = random.Random(seed)
    authors = [
        (n, r.choice([f"n{n}", str(n), None]), r.choice("mno")) for n in range(9)
    ]
    books = {
        (author, name): (author, name, r.choice([f"2020-01-{n % 28 + 1:02}", None]))
        for n in range(60)
        for author in [r.choice([*range(12), None])]
        for name in [r.choice(["n1", "n5", "3", "n", None])]
    }
    shelves = [
        (f"n{n}", f"{r.randrange(4):032x}", f"2020-01-0{n + 1}", n / 4, n * 0.5)
        for n in range(7)
    ]
    return {
        "INSERT INTO author VALUES (?, ?, ?)": authors,
        "INSERT INTO book (author, name, day) VALUES (?, ?, ?)": list(books.values()),
        "INSERT INTO shelf VALUES (?, ?, ?, ?, ?)": shelves,
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("store", ["memory", "lmdb", "coarse", "keys", "nothing"])
def test_joins_are_those_of_sqlite(store, way, tmp_path, monkeypatch):
    """However much is remembered, the rows are the same."""
    for name, value in WAYS[way].items():
        monkeypatch.setattr(seeking, name, value)
    plain = sqlite3.connect(":memory:")
    connection = dbapi.connect(open_store(store, tmp_path))
    try:
        for sql in SCHEMA:
            # Numbers as text stay text there: a type that it doesn't know is numeric.
            plain.execute(sql.replace("uuid", "char(32)"))
            connection.execute(sql)
        for sql, rows in rows_of(len(store) + len(way)).items():
            for row in rows:
                plain.execute(sql, row)
                connection.execute(sql, row)
        for sql in QUERIES:
            wanted = sorted(map(repr, plain.execute(sql)))
            found = connection.execute(Select(sql)).fetchall()
            assert sorted(map(repr, found)) == wanted, sql
    finally:
        connection.close()
        plain.close()


@pytest.fixture
def library():
    """A connection to 200 books by four authors."""
    connection = dbapi.connect(MemoryStore())
    for sql in SCHEMA:
        connection.execute(sql)
    connection.execute("BEGIN")
    for n in range(4):
        connection.execute("INSERT INTO author VALUES (?, ?, 'x')", (n, f"n{n}"))
    for n in range(200):
        connection.execute("INSERT INTO book VALUES (?, ?, ?, NULL)", (n, n % 4, n))
    connection.execute("COMMIT")
    yield connection
    connection.close()


JOIN = "SELECT b.id, a.name FROM book b JOIN author a ON a.id = b.author ORDER BY b.id"


def test_a_key_is_looked_up_once(library, monkeypatch):
    """An inner table is not read for each row of the outer one."""
    read = []
    query = MemorySession.query

    def counting(self, table, columns, access):
        read.append(table.name)
        return query(self, table, columns, access)

    monkeypatch.setattr(MemorySession, "query", counting)
    monkeypatch.setattr(seeking, "_UNIQUE", 0)
    assert len(library.execute(JOIN).fetchall()) == 200
    assert 4 <= read.count("author") <= 5
    del read[:]
    monkeypatch.setattr(seeking, "_UNIQUE", 10**9)
    assert len(library.execute(JOIN).fetchall()) == 200
    assert read.count("author") == 2


@pytest.mark.parametrize("seek", [0, 10**9])
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK TO s"])
def test_what_was_written_meanwhile_is_seen(library, monkeypatch, seek, end):
    """In a transaction, an open cursor doesn't go on with what it remembers."""
    monkeypatch.setattr(seeking, "_UNIQUE", seek)
    library.execute("BEGIN")
    library.execute("SAVEPOINT s")
    library.execute("UPDATE author SET name = 'old'||id")
    cursor = library.execute(JOIN)
    assert cursor.fetchmany(20)[-1] == (19, "old3")
    library.execute("UPDATE author SET name = 'new'||id")
    assert cursor.fetchmany(20)[-1] == (39, "new3")
    if end != "COMMIT":
        library.execute(end)
        assert cursor.fetchmany(20)[-1] == (59, "n3")
        end = "COMMIT"
    library.execute(end)
    assert library.execute(JOIN).fetchall()[-1][1] in ("new3", "n3")


def test_memory_is_bounded(library, monkeypatch):
    """Long texts that take too much memory together aren't kept."""
    library.execute("UPDATE author SET notes = ?", ("x" * 1_000_000,))
    kept = []
    monkeypatch.setattr(seeking, "_MEMORY", 2_500_000)
    rows = seeking.Seeks.rows

    def watched(self, arguments):
        result = rows(self, arguments)
        kept.append(
            sum(len(row[-1]) for found in self._found.values() for row in found)
        )
        return result

    monkeypatch.setattr(seeking.Seeks, "rows", watched)
    sql = "SELECT length(a.notes) FROM book b CROSS JOIN author a ON a.id = b.author"
    assert library.execute(sql).fetchall() == [(1_000_000,)] * 200
    assert kept
    assert max(kept) < 2_500_000


def test_a_join_without_an_index_reads_each_table_once(library, monkeypatch):
    """What SQLite does with an automatic index, which virtual tables don't get."""
    scans = []
    fetch = MemoryQuery.fetch

    def counting(self, *marks):
        scans.append(self.table.name)
        return fetch(self, *marks)

    monkeypatch.setattr(MemoryQuery, "fetch", counting)
    sql = "SELECT count(*) FROM book x JOIN book y ON y.name = x.name"
    assert library.execute(sql).fetchall() == [(200,)]
    assert len(scans) == 3  # the outer table, the first key, all keys
