"""Databases with two aliases: ``default`` writes, ``reports`` only reads."""

import contextlib
import copy
from dataclasses import dataclass, field

from django.db import connections
from django.db.utils import ConnectionHandler

READONLY = "backendkit.backends.readonly"


@dataclass
class Statements:
    """What a kind of database is told beside what all of them are."""

    #: Prepares the database, by the alias that writes.
    prepare: tuple[str, ...] = ()
    #: Statements that have to be refused by whichever line of defence.
    writes: tuple[str, ...] = ()
    #: Statements that read, and have to be run.
    reads: tuple[str, ...] = ()
    #: Writes that the driver is given past Django: only the server can refuse them.
    raw: tuple[str, ...] = field(
        default=("INSERT INTO shop (id, name) VALUES (9, 'x')",)
    )


PREPARE = (
    "CREATE TABLE shop (id integer PRIMARY KEY, name varchar(20))",
    "CREATE TABLE kinds (id integer PRIMARY KEY)",
    "INSERT INTO shop (id, name) VALUES (1, 'one')",
)
# What is tried on each of them.
WRITES = (
    "INSERT INTO shop (id, name) VALUES (9, 'x')",
    "  /* a comment */ insert INTO shop (id, name) VALUES (9, 'x')",
    "-- a comment\nUPDATE shop SET name = 'x'",
    "DELETE FROM shop",
    "(DELETE FROM shop)",
    "CREATE TABLE other (id integer)",
    "CREATE INDEX shop_name ON shop (name)",
    "CREATE VIEW names AS SELECT name FROM shop",
    "ALTER TABLE shop ADD COLUMN price integer",
    "DROP TABLE shop",
    "SELECT 1; DELETE FROM shop",
    "SELECT name INTO other FROM shop",
    "EXPLAIN ANALYZE DELETE FROM shop",
    "EXPLAIN DELETE FROM shop",
    "WITH q AS (SELECT 1) DELETE FROM shop",
    "WITH q AS (SELECT 1) INSERT INTO shop (id, name) SELECT 9, 'x'",
    "WITH q AS (SELECT 1) UPDATE shop SET name = 'x'",
    "SELECT * FROM shop FOR UPDATE",
    "SELECT * FROM shop WHERE id IN (SELECT id FROM shop FOR UPDATE)",
    "TRUNCATE TABLE shop",
    "VACUUM",
    "ANALYZE",
    "GRANT ALL ON shop TO somebody",
)
READS = (
    "SELECT name FROM shop",
    "SELECT name FROM shop;",
    "SELECT 'DELETE FROM shop; INSERT INTO shop'",
    "SELECT name -- DELETE FROM shop\nFROM shop",
    "SELECT /* ; DROP TABLE shop */ name FROM shop",
    "WITH q AS (SELECT name FROM shop) SELECT * FROM q",
    "SELECT replace(name, 'o', 'x') FROM shop",
    "SELECT name FROM shop WHERE name = 'for update'",
)

SQLITE = Statements(
    writes=(
        "REPLACE INTO shop (id, name) VALUES (1, 'x')",
        "PRAGMA query_only = OFF",
        "PRAGMA main.query_only = OFF",
        "PRAGMA query_only(0)",
        'PRAGMA "query_only"(0)',
        "PRAGMA user_version = 7",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA wal_checkpoint",
        "PRAGMA writable_schema = ON",
        "ATTACH DATABASE ':memory:' AS elsewhere",
        "VACUUM INTO '/nowhere/copy.db'",
        "CREATE TEMPORARY TABLE other (id integer)",
        "BEGIN IMMEDIATE",
        "BEGIN EXCLUSIVE",
        "SELECT 'it''s'; DELETE FROM shop",
        "SELECT [a]]; DELETE FROM shop",
        "REINDEX",
    ),
    reads=(
        'SELECT name AS "insert into" FROM shop',
        "SELECT name AS [for update] FROM shop",
        "PRAGMA table_info(shop)",
        "PRAGMA foreign_keys",
        "EXPLAIN QUERY PLAN SELECT name FROM shop",
        "VALUES (1), (2)",
    ),
    raw=(
        "INSERT INTO shop (id, name) VALUES (9, 'x')",
        "CREATE TABLE other (id integer)",
        "DROP TABLE shop",
    ),
)

POSTGRESQL = Statements(
    prepare=(
        "CREATE SEQUENCE numbers",
        (
            "CREATE FUNCTION writes() RETURNS integer LANGUAGE sql AS"
            " $$INSERT INTO shop (id, name) VALUES (9, 'x') RETURNING id$$"
        ),
        (
            "CREATE FUNCTION opens() RETURNS integer LANGUAGE plpgsql AS $$BEGIN PERFORM"
            " set_config('default_transaction_read_only', 'off', false); RETURN 1; END$$"
        ),
        (
            "CREATE FUNCTION opens_this() RETURNS integer LANGUAGE plpgsql AS $$BEGIN"
            " PERFORM set_config('transaction_read_only', 'off', true); RETURN writes();"
            " END$$"
        ),
        (
            "CREATE PROCEDURE does_all() LANGUAGE plpgsql AS $$BEGIN COMMIT;"
            " SET TRANSACTION READ WRITE; PERFORM writes(); END$$"
        ),
    ),
    writes=(
        (
            "WITH q AS (INSERT INTO shop (id, name) VALUES (9, 'x') RETURNING id)"
            " SELECT * FROM q"
        ),
        "WITH q AS MATERIALIZED (DELETE FROM shop RETURNING id) SELECT * FROM q",
        "SELECT writes()",
        "VALUES (writes())",
        "SELECT nextval('numbers')",
        "SELECT setval('numbers', 7)",
        "SELECT pg_catalog.\"nextval\"('numbers')",
        "SELECT U&\"\\006eextval\"('numbers')",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT pg_notify('channel', 'x')",
        "SET default_transaction_read_only = off",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET transaction_read_only = off",
        "SET TRANSACTION READ WRITE",
        "SET LOCAL transaction_read_only TO off",
        "RESET ALL",
        "DISCARD ALL",
        "BEGIN READ WRITE",
        "START TRANSACTION READ WRITE",
        "COMMIT PREPARED 'x'",
        "DO $$BEGIN PERFORM writes(); END$$",
        "CALL does_all()",
        "COPY shop FROM STDIN",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "PREPARE p AS DELETE FROM shop",
        "EXECUTE p",
        "LOCK TABLE shop",
        "REFRESH MATERIALIZED VIEW shop",
        "NOTIFY channel",
        "EXPLAIN (ANALYZE, COSTS off) DELETE FROM shop",
        "EXPLAIN ANALYZE WITH q AS (DELETE FROM shop RETURNING id) SELECT * FROM q",
        "EXPLAIN ANALYZE SELECT writes()",
        "MERGE INTO shop USING kinds ON shop.id = kinds.id WHEN MATCHED THEN DELETE",
        "SELECT * FROM shop FOR NO KEY UPDATE",
        "SELECT * FROM shop FOR SHARE",
        "SELECT E'\\''; DELETE FROM shop; --'",
        "SELECT $$'$$; DELETE FROM shop",
        "SELECT $x$ $$ $x$, nextval('numbers')",
        # What a server would make of them that is set up otherwise, or not at all.
        "SELECT 1 /* /* */ ' */; COMMIT; BEGIN READ WRITE; DELETE FROM shop; --'",
        "SELECT 1 /* /* */ */",
        "SELECT 'a\\''; COMMIT; BEGIN READ WRITE; DELETE FROM shop; --'",
        "SELECT E'a'\n'b\\''; COMMIT; BEGIN READ WRITE; DELETE FROM shop; --'",
    ),
    reads=(
        "(SELECT name FROM shop)",
        "SELECT $$; DELETE FROM shop$$",
        "SELECT $x$ it's; DELETE FROM shop $$ $x$",
        "SELECT E'\\'; DELETE FROM shop'",
        "SELECT name FROM shop WHERE name LIKE 'o\\%' ESCAPE '\\'",
        'SELECT name AS "insert into" FROM shop',
        "SELECT substring(name FOR 2) FROM shop",
        "SELECT update FROM (SELECT 1 AS update) q",
        "SELECT id::text FROM shop",
        "EXPLAIN ANALYZE SELECT name FROM shop",
        "EXPLAIN (FORMAT JSON) SELECT name FROM shop",
        "SHOW server_version",
        "SET statement_timeout = 60000",
        "TABLE shop",
        "VALUES (1), (2)",
    ),
    raw=(
        "INSERT INTO shop (id, name) VALUES (9, 'x')",
        "SELECT nextval('numbers')",
        "SELECT writes()",
        "SELECT opens_this()",
        "CREATE TABLE other (id integer)",
    ),
)

MARIADB = Statements(
    prepare=(
        "CREATE TABLE flat (id integer) ENGINE=MyISAM",
        "CREATE SEQUENCE numbers",
        (
            "CREATE FUNCTION writes() RETURNS integer BEGIN"
            " INSERT INTO shop (id, name) VALUES (9, 'x'); RETURN 9; END"
        ),
        (
            "CREATE FUNCTION writes_flat() RETURNS integer BEGIN"
            " INSERT INTO flat (id) VALUES (9); RETURN 9; END"
        ),
        (
            "CREATE FUNCTION opens() RETURNS integer BEGIN"
            " SET SESSION TRANSACTION READ WRITE; RETURN 1; END"
        ),
        (
            "CREATE PROCEDURE does_all() BEGIN SET SESSION TRANSACTION READ WRITE; COMMIT;"
            " DELETE FROM shop; END"
        ),
    ),
    writes=(
        "REPLACE INTO shop (id, name) VALUES (1, 'x')",
        "SELECT writes()",
        "SELECT writes_flat()",
        "INSERT INTO flat (id) VALUES (9)",
        "SELECT nextval(numbers)",
        "SELECT NEXT VALUE FOR numbers",
        "SELECT setval(numbers, 7)",
        "SELECT name INTO OUTFILE '/nowhere/x' FROM shop",
        "SELECT 1 /*! INTO OUTFILE '/nowhere/x' */",
        "SELECT 1 /*M!100000 INTO OUTFILE '/nowhere/x' */",
        "/*! DELETE FROM shop */",
        "SET SESSION TRANSACTION READ WRITE",
        "SET tx_read_only = 0",
        "SET @@session.tx_read_only = 0",
        "SET time_zone = 'SYSTEM', tx_read_only = 0",
        "SET STATEMENT tx_read_only = 0 FOR SELECT 1",
        "START TRANSACTION READ WRITE",
        "BEGIN NOT ATOMIC DELETE FROM shop; END",
        "START SLAVE",
        "CALL does_all()",
        "LOAD DATA INFILE '/nowhere/x' INTO TABLE shop",
        "LOCK TABLES shop WRITE",
        "ANALYZE TABLE shop",
        "OPTIMIZE TABLE shop",
        "RENAME TABLE shop TO other",
        "USE mysql",
        "KILL 1",
        "FLUSH TABLES",
        "PREPARE p FROM 'DELETE FROM shop'",
        "DO writes()",
        "SELECT * FROM shop LOCK IN SHARE MODE",
        "EXPLAIN FORMAT=JSON DELETE FROM shop",
        "ANALYZE FORMAT=JSON DELETE FROM shop",
        "SELECT 'a\\'; # ' ; DELETE FROM shop",
        'SELECT "a\\""; DELETE FROM shop',
        "SELECT 1 --1; DELETE FROM shop",
        # With NO_BACKSLASH_ESCAPES the string ends before.
        "SELECT 'a\\'; DELETE FROM shop; -- '",
    ),
    reads=(
        "(SELECT name FROM shop)",
        "SELECT 'it\\'s'",
        'SELECT "; DELETE FROM shop"',
        "SELECT name AS `insert into` FROM shop",
        "SELECT name # ; DELETE FROM shop\nFROM shop",
        "SELECT INSERT(name, 1, 1, 'x') FROM shop",
        "SELECT m.id FROM shop m WHERE m.id != 3",
        "SHOW TABLES",
        "DESCRIBE shop",
        "EXPLAIN SELECT name FROM shop",
        "ANALYZE FORMAT=JSON SELECT name FROM shop",
    ),
    raw=(
        "INSERT INTO shop (id, name) VALUES (9, 'x')",
        "INSERT INTO flat (id) VALUES (9)",
        "SELECT writes()",
        "SELECT nextval(numbers)",
        "CREATE TABLE other (id integer)",
    ),
)

STATEMENTS = {
    "sqlite": SQLITE,
    "lmdb": SQLITE,
    "memory": SQLITE,
    "immudb": SQLITE,
    "postgresql": POSTGRESQL,
    "mariadb": MARIADB,
}


def wrapped(entry, **options):
    """Return an entry of DATABASES that reads from what another one writes to."""
    return {
        **entry,
        "ENGINE": READONLY,
        "OPTIONS": {
            **entry.get("OPTIONS", {}),
            "engine": entry["ENGINE"],
            **options,
        },
    }


def complete(entry):
    """Return an entry with what Django adds to it."""
    entry = copy.deepcopy(entry)
    return ConnectionHandler({}).configure_settings({"default": entry})["default"]


@contextlib.contextmanager
def aliases(**entries):
    """Let entries be those of DATABASES for a while."""
    before = {alias: connections.databases.get(alias) for alias in entries}
    for alias in entries:
        _close(alias)
    connections.databases.update(
        {alias: complete(entry) for alias, entry in entries.items()}
    )
    try:
        yield
    finally:
        for alias, entry in before.items():
            _close(alias)
            if entry is None:
                del connections.databases[alias]
            else:
                connections.databases[alias] = entry


def _close(alias):
    if alias in connections.databases and hasattr(connections._connections, alias):
        connection = connections[alias]
        connection.close()
        if getattr(connection, "pool", None):
            connection.close_pool()
        delattr(connections._connections, alias)


def run(alias, sql, params=None):
    """Execute a statement and return its rows."""
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def everything(alias="default"):
    """Return all rows of all tables, by the alias that writes."""
    connection = connections[alias]
    names = sorted(connection.introspection.table_names())
    quote = connection.ops.quote_name
    return {
        name: sorted(run(alias, f"SELECT * FROM {quote(name)}"), key=repr)
        for name in names
    }
