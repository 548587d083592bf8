"""
Columns of any declared type, beside SQLite.

What we don't know the words of holds any value, as SQLite's column of that affinity does.
"""

import math

import apsw
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from backendkit.engine import dbapi, dynamic
from backendkit.engine.compiled import Select
from backendkit.engine.dynamic import Affinity
from backendkit.engine.values import value_type
from backendkit.stores import ValueType
from tests.effort import effort

from .conftest import open_store

#: Words of other databases, and no word at all.
UNKNOWN = (
    *("", "jsonb", "JSONB", "STRING", "bytea", "inet", "point", "POINT", "interval"),
    *("vector(3)", "timestamptz", "timestamp with time zone", "citext", "tsvector"),
    *("floatrange", "int4range", "numeric[]", "BLOBS", "money", "hstore", "geometry"),
    *("varchar2(9)", "nationalchar", "double real", "my type (1, 2)", "any"),
)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, 1.5, -1.5, 2.0**51, 2.0**53, 2.0**63, -(2.0**63)]),
    st.sampled_from([2**51, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 10**15, 10**18]),
)
TEXTS = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        [
            *(
                "",
                "1",
                "01",
                "1.0",
                "1.5",
                " 2 ",
                "1e3",
                "-3",
                "+4",
                ".5",
                "5.",
                "1e400",
            ),
            *("0x10", "9223372036854775808", "12345678901234567890.5", "abc", "ABC"),
            *('{"a": 1}', "inf", "nan", "1 2", "!", ":", "\0", "1\0", "é", "٣"),
            *("0.1", "1.10", "9007199254740993", "1000000000000000000000"),
        ]
    ),
)
VALUES = st.one_of(st.none(), NUMBERS, TEXTS, st.binary(max_size=3), st.booleans())


def storage_class(value):
    """SQLite's order of classes, and a value in its class."""
    kinds = {int: 1, float: 1, str: 2, bytes: 3}
    return kinds[type(value)], value


@settings(max_examples=effort(test=100, check=500, soak=50_000), deadline=None)
@given(st.one_of(NUMBERS, TEXTS, st.binary()), st.one_of(NUMBERS, TEXTS, st.binary()))
def test_texts_order_as_values_do(one, other):
    """And come back as what they were."""
    for value in (one, other):
        found = dynamic.decode(dynamic.encode(value))
        assert type(found) is type(value)
        assert found == value
    first, second = (dynamic.encode(value) for value in (one, other))
    a, b = storage_class(one), storage_class(other)
    if a < b:
        assert first < second
    elif a > b:
        assert first > second
    else:
        assert first.removesuffix(".") == second.removesuffix(".") or a[0] == 2


@settings(max_examples=effort(test=100, check=500, soak=50_000), deadline=None)
@given(st.sampled_from(list(Affinity)), VALUES)
@example(Affinity.NUMERIC, -(2.0**63))
def test_affinities_are_sqlites(affinity, value):
    """SQLite keeps the same value, of the same type."""
    database = apsw.Connection(":memory:")
    database.execute(f"CREATE TABLE t (v {affinity.value})")
    database.execute("INSERT INTO t VALUES (?)", (value,))
    ((wanted,),) = database.execute("SELECT v FROM t").fetchall()
    found = dynamic.apply(affinity, value)
    assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize("declared", UNKNOWN)
def test_unknown_words(declared):
    """They are no type of ours, in any case."""
    assert value_type(declared) is ValueType.ANY
    assert value_type(declared.upper()) is ValueType.ANY


COLUMN = st.sampled_from(["v", "w", "n", "s"])
CONDITIONS = st.one_of(
    st.tuples(COLUMN, st.sampled_from(["=", "<", "<=", ">", ">=", "<>", "IS"]), VALUES),
    st.tuples(
        COLUMN, st.sampled_from(["=", "<", "<=", ">", ">=", "<>"]), st.just("column")
    ),
    st.tuples(COLUMN, st.just("IN"), st.lists(VALUES, min_size=1, max_size=4)),
)


def where(condition, other):
    """Return a condition as SQL and parameters."""
    column, operator, value = condition
    if value == "column":
        return f"{column} {operator} {other}", []
    if operator == "IN":
        return f"{column} IN ({', '.join('?' * len(value))})", value
    return f"{column} {operator} ?", [value]


def typed(row):
    return tuple((type(value), value) for value in row)


@pytest.mark.parametrize("store", ["memory", "lmdb", "coarse"])
@pytest.mark.parametrize("indexed", [False, True])
def test_as_on_sqlite(tmp_path, store, indexed):
    """Random types and values: the same rows by any filter, order and group."""
    engine = dbapi.connect(open_store(store, tmp_path))

    @settings(
        max_examples=effort(test=15, check=60, soak=3000),
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.tuples(st.sampled_from(UNKNOWN), st.sampled_from(UNKNOWN)),
        st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8),
        st.lists(st.tuples(CONDITIONS, COLUMN), min_size=2, max_size=6),
    )
    def check(types, rows, conditions):
        plain = apsw.Connection(":memory:")
        engine.execute("DROP TABLE IF EXISTS t")
        declared = ", ".join(
            f"{name} {kind}" for name, kind in zip("vw", types, strict=True)
        )
        sql = f"CREATE TABLE t (id integer PRIMARY KEY, {declared}, n integer, s text)"
        made = [sql]
        if indexed:
            made += ["CREATE INDEX t_v ON t (v)", "CREATE INDEX t_w ON t (w, v)"]
        for statement in made:
            plain.execute(statement)
            engine.execute(statement)
        for number, (v, w) in enumerate(rows):
            row = (v, w, number % 3, str(number % 3))
            for one in (plain, engine):
                one.execute("INSERT INTO t (v, w, n, s) VALUES (?, ?, ?, ?)", row)
        queries = [("SELECT v, w FROM t ORDER BY id", [])]
        queries += [
            ("SELECT v, w, id FROM t ORDER BY v, id", []),
            ("SELECT w, id FROM t ORDER BY w DESC, id", []),
            ("SELECT count(*), min(id) FROM t GROUP BY v ORDER BY 2", []),
            ("SELECT count(DISTINCT w), max(v) IS NULL FROM t", []),
            ("SELECT a.id, b.id FROM t a JOIN t b ON a.v = b.w ORDER BY 1, 2", []),
            ("SELECT a.id, b.id FROM t a JOIN t b ON a.v = b.v ORDER BY 1, 2", []),
            ("SELECT a.id, b.id FROM t a JOIN t b ON a.v = b.n ORDER BY 1, 2", []),
            ("SELECT a.id, b.id FROM t a JOIN t b ON a.w < b.s ORDER BY 1, 2", []),
        ]
        for condition, other in conditions:
            test, params = where(condition, other)
            queries.append((f"SELECT id FROM t WHERE {test} ORDER BY id", params))
            queries.append((f"SELECT id FROM t WHERE NOT ({test}) ORDER BY id", params))
        for query, params in queries:
            wanted = [typed(row) for row in plain.execute(query, params)]
            found = [typed(row) for row in engine.execute(Select(query), params)]
            assert found == wanted, (query, params, types)
        for statement in (
            "UPDATE t SET n = n + 1",
            "UPDATE t SET w = v",
            "UPDATE t SET v = coalesce(w, n, 'x')",
            "DELETE FROM t WHERE v = w",
        ):
            plain.execute(statement)
            engine.execute(statement)
            query = "SELECT * FROM t ORDER BY id"
            wanted = [typed(row) for row in plain.execute(query)]
            found = [typed(row) for row in engine.execute(Select(query))]
            assert found == wanted, (statement, types)

    check()
    engine.close()


def test_unique_and_keys(any_connection):
    """Values of any class are keys; equal ones are refused."""
    execute = any_connection.execute
    execute("CREATE TABLE t (k inet PRIMARY KEY, u jsonb UNIQUE)")
    for row in [("10.0.0.1", "1"), (5, "a"), (b"5", b"a"), (2.5, None), ("x", None)]:
        execute("INSERT INTO t VALUES (?, ?)", row)
    for key, other in [("5", "z"), (5.0, "z"), ("y", 1.0), ("y", "a"), (2.5, "z")]:
        with pytest.raises(dbapi.IntegrityError):
            execute("INSERT INTO t VALUES (?, ?)", (key, other))
    execute("CREATE TABLE c (id integer PRIMARY KEY, r inet REFERENCES t (k))")
    execute("INSERT INTO c (r) VALUES ('5'), ('10.0.0.1'), (NULL)")
    with pytest.raises(dbapi.IntegrityError):
        execute("INSERT INTO c (r) VALUES ('10.0.0.2')")
    found = execute("SELECT k, typeof(k) FROM t ORDER BY k").fetchall()
    assert found == [
        (2.5, "real"),
        (5, "integer"),
        ("10.0.0.1", "text"),
        ("x", "text"),
        (b"5", "blob"),
    ]
    assert execute("SELECT u FROM t WHERE k = '5'").fetchall() == [("a",)]


def test_rows_with_checks_and_defaults(any_connection):
    """What SQLite computes and what stays is what it was."""
    execute = any_connection.execute
    execute(
        "CREATE TABLE t (id integer PRIMARY KEY, v point DEFAULT 1.5,"
        " w jsonb CHECK (w <> 'no'), g money GENERATED ALWAYS AS (v) STORED)"
    )
    execute("INSERT INTO t (w) VALUES ('t1')")
    execute("UPDATE t SET w = w || 'x'")
    execute("ALTER TABLE t ADD COLUMN extra inet DEFAULT '::1'")
    execute("UPDATE t SET v = 'n2'")
    with pytest.raises(dbapi.IntegrityError):
        execute("UPDATE t SET w = 'no'")
    found = execute("SELECT v, w, g, extra FROM t").fetchall()
    assert found == [("n2", "t1x", "n2", "::1")]


@pytest.mark.parametrize("value", [math.nan, 2**63, "\ud800"])
def test_what_nothing_can_hold(any_connection, value):
    any_connection.execute("CREATE TABLE t (v jsonb)")
    if value == value:  # noqa: PLR0124  # NaN is NULL
        with pytest.raises(dbapi.DataError):
            any_connection.execute("INSERT INTO t VALUES (?)", (value,))
    else:
        any_connection.execute("INSERT INTO t VALUES (?)", (value,))
        assert any_connection.execute("SELECT v FROM t").fetchall() == [(None,)]
