"""Values come back as they were bound, whatever they look like."""

import datetime
import enum
import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)

COLUMNS = {
    "n": "INTEGER",
    "f": "FLOAT",
    "b": "BOOLEAN",
    "s": "VARCHAR",
    "bs": "BLOB",
    "ts": "TIMESTAMP",
    "u": "UUID",
    "j": "JSON",
}

HOSTILE = [
    "",
    "'",
    "''",
    '"',
    "\\",
    "a\0b",
    "?",
    "@name",
    "$1",
    "; DROP TABLE t; --",
    "/* */",
    "%s",
    "NULL",
    "äöü€😀",
    "\x7f\x80\u2028",
    "pg_user",
    "x" * 70_000,
]


@pytest.fixture
def table(connection):
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.run(
        f"CREATE TABLE t (id INTEGER AUTO_INCREMENT, {columns}, PRIMARY KEY id)"
    )
    return connection


def there_and_back(connection, column, value):
    """The value as a column of one row, and of the many that are read otherwise."""
    key = connection.run(f"INSERT INTO t ({column}) VALUES (?)", (value,)).last_ids["t"]
    connection.run(f"INSERT INTO t ({column}) VALUES (?)", (None,))
    ((one,),) = connection.query(f"SELECT {column} FROM t WHERE id = ?", (key,)).rows
    same = connection.query(
        f"SELECT {column} FROM t WHERE id >= ? AND id <= ?", (key, key + 1)
    )
    # As text, because NaN isn't equal to itself.
    assert repr(same.rows) == repr([(one,), (None,)])
    assert same.types == (COLUMNS[column],)
    return one


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("n", n) for n in (0, 1, -1, 127, 128, 2**63 - 1, -(2**63))),
        *(("f", f) for f in (0.0, 1.5, -1e300, 5e-324, math.inf)),
        ("b", True),
        ("b", False),
        *(("bs", b) for b in (b"", b"\0\xff", bytes(range(256)) * 400)),
        ("ts", datetime.datetime(1, 1, 1)),
        ("ts", datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999)),
        ("ts", datetime.datetime(2024, 2, 29, 12, 30, 15, 1)),
        ("ts", datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)),
        ("u", uuid.UUID(int=0)),
        ("u", uuid.UUID("f4a05632-9de8-4c80-84d7-66cdb548cd68")),
        *((column, None) for column in COLUMNS),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_value_comes_back(table, column, value):
    back = there_and_back(table, column, value)
    assert back == value
    assert type(back) is type(value)


def test_not_a_number_comes_back(table):
    assert math.isnan(there_and_back(table, "f", math.nan))


def test_minus_zero_keeps_its_sign(table):
    assert math.copysign(1, there_and_back(table, "f", -0.0)) == -1


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text)[:30])
def test_a_text_is_never_sql(table, text):
    assert there_and_back(table, "s", text) == text
    found = table.query("SELECT id FROM t WHERE s = ?", (text,))
    assert len(found.rows) == 1
    named = table.query("SELECT id FROM t WHERE s = @Text", {"text": text})
    assert named == found


class Colour(enum.IntEnum):
    RED = 3


class Marked(str):
    """As Django's SafeString."""


@pytest.mark.parametrize(
    ("column", "value", "back"),
    [
        ("n", Colour.RED, 3),
        ("s", Marked("m"), "m"),
        ("bs", bytearray(b"a"), b"a"),
        ("bs", memoryview(b"b"), b"b"),
        ("ts", datetime.date(2024, 5, 6), datetime.datetime(2024, 5, 6)),
        (
            "ts",
            datetime.datetime(
                2024, 5, 6, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2))
            ),
            datetime.datetime(2024, 5, 5, 23),
        ),
        ("u", "F4A05632-9DE8-4C80-84D7-66CDB548CD68", None),
        ("j", {"b": [1, None, "ä"], "a": "x"}, '{"a":"x","b":[1,null,"ä"]}'),
        ("j", [], "[]"),
        ("j", '"text of JSON"', '"text of JSON"'),
        ("f", 5, 5.0),
    ],
)
def test_a_value_becomes_another(table, column, value, back):
    if column == "u":
        back = uuid.UUID(value)
    assert there_and_back(table, column, value) == back


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        "\ud800",
        datetime.datetime.min.replace(
            tzinfo=datetime.timezone(datetime.timedelta(hours=1))
        ),
        datetime.time(1),
        datetime.timedelta(1),
        1j,
        object(),
        {"a": math.nan},
        [object()],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_immudb_has_no_type_for_is_an_error_before_it_is_sent(
    table, value
):
    with pytest.raises(driver.DataError):
        table.run("INSERT INTO t (s) VALUES (?)", (value,))
    assert table.query("SELECT id FROM t").rows == []


@pytest.mark.parametrize(
    ("column", "value"),
    [("b", 1), ("ts", 1), ("bs", "text"), ("u", "no uuid"), ("j", "no json")],
)
def test_a_value_of_another_type_is_a_data_error(table, column, value):
    with pytest.raises(driver.DataError):
        table.run(f"INSERT INTO t ({column}) VALUES (?)", (value,))


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.text(st.characters(codec="utf-8"), max_size=20),
            st.none() | st.booleans(),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.binary(max_size=20),
            st.none() | st.datetimes(),
            st.none() | st.uuids(),
        ),
        max_size=40,
    )
)
def test_answers_are_decoded_as_they_were_sent(rows):
    """immudb isn't needed: the decoder meets what Go would send."""
    kinds = ("INTEGER", "VARCHAR", "BOOLEAN", "FLOAT", "BLOB", "TIMESTAMP", "UUID")
    columns, decoded = answered(kinds, rows)
    assert columns == tuple((kind.lower(), kind) for kind in kinds)
    assert decoded == rows


def answered(kinds, rows):
    """Return columns and rows of an answer that has these; values or SQLValues."""
    from backendkit.backends.immudb.driver import _values
    from backendkit.backends.immudb.driver import immudb_pb2 as pb

    def encoded(value):
        bound = value if isinstance(value, pb.SQLValue) else _values.bind_value(value)
        return bound.SerializeToString()

    columns = [pb.Column(name=f"(t.{kind.lower()})", type=kind) for kind in kinds]
    answer = pb.SQLQueryResult(
        columns=[column.SerializeToString() for column in columns],
        rows=[pb.Row(values=map(encoded, row)).SerializeToString() for row in rows],
    )
    decoder, found = _values.parse(answer.SerializeToString())
    return tuple(zip(decoder.names, decoder.types, strict=True)), found


def test_a_time_of_another_client_may_be_out_of_range(table):
    with pytest.raises(driver.DataError, match="out of Python's range"):
        table.query("SELECT CAST(? AS TIMESTAMP)", (2**62 // 1_000_000,))


def test_an_expression_may_have_another_type_than_it_says():
    from backendkit.backends.immudb.driver import immudb_pb2 as pb

    values = [pb.SQLValue(n=1), pb.SQLValue(f=1.5), pb.SQLValue(s="x"), pb.SQLValue()]
    _, rows = answered(("INTEGER", "ANY"), [(value, value) for value in values])
    assert rows == [(1, 1), (1.5, 1.5), ("x", "x"), (None, None)]
