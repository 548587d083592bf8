# pytest is no dependency, and -O takes asserts away
"""What the tests of a store write: hard values, hostile names, tables."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from backendkit.stores import (
    Column,
    Index,
    Table,
    ValueType,
)

#: Column, lookup, negated, value.
Filter = tuple[str, str, bool, Any]

MICROSECOND = dt.timedelta(microseconds=1)

#: For each type values that stores get wrong; no two of a type are equal.
VALUES: Mapping[ValueType, Sequence[Any]] = {
    ValueType.BOOL: [False, True],
    ValueType.INTEGER: [
        *(-(2**63), -(2**53) - 1, -(2**31), -256, -255, -1, 0, 1, 127, 128, 255),
        *(256, 2**31, 2**53, 2**53 + 1, 2**63 - 1),
    ],
    ValueType.FLOAT: [
        *(-math.inf, -1.7976931348623157e308, -1.5, -1.0, -5e-324, -0.0, 5e-324),
        *(0.1, 0.30000000000000004, 1.0, 2.0**53, 1.7976931348623157e308, math.inf),
    ],
    ValueType.DECIMAL: [
        *(Decimal("-" + "9" * 38), Decimal("-12345678901234567890.123456789012345678")),
        *(Decimal(-10), Decimal("-9.9"), Decimal("-1." + "0" * 36 + "1")),
        *(Decimal(-1), Decimal("-0." + "0" * 37 + "1"), Decimal(0)),
        *(Decimal("0." + "0" * 37 + "1"), Decimal("0.1"), Decimal("1.10")),
        *(Decimal("9.9"), Decimal(10), Decimal("1E+20"), Decimal("9" * 38)),
    ],
    ValueType.STRING: [
        *("", "\0", "\0\0", "a", "A", "a\0", "a\0b", "a ", " a", "ab", "b", "Ab%_\\"),
        *("%", "_", "\\", "'", '"', "'; DROP TABLE things; --", "\r\n", "null", "1"),
        *(
            "\x7f",
            "\x80",
            "é",
            "e\N{COMBINING ACUTE ACCENT}",
            "É",
            "ß",
            "\u0130",
            "\uffff",
        ),
        *(
            "\N{GRINNING FACE}",
            "a\N{GRINNING FACE}b",
            "\U0010ffff",
            "x" * 9999,
            "x" * 10000,
            "x" * 9999 + "y",
            "漢" * 300,
            "漢" * 299 + "字",
            "漢" * 170 + "\0" + "漢" * 130,
        ),
    ],
    ValueType.BYTES: [
        *(b"", b"\0", b"\0\0", b"\0\xff", b"a", b"a\0", b"a\0b", b"\x80", b"\xff"),
        *(b"\xff\0", b"\xff\xff", bytes(range(256)) * 40),
        *(bytes(range(256)) * 39, bytes(range(256)) * 3 + b"\0", b"\0" * 300),
    ],
    ValueType.DATE: [
        *(dt.date.min, dt.date(999, 12, 31), dt.date(1969, 12, 31)),
        *(dt.date(1970, 1, 1), dt.date(2024, 2, 29), dt.date.max),
    ],
    ValueType.TIME: [
        *(dt.time.min, dt.time(0, 0, 0, 1), dt.time(12), dt.time(12, 0, 0, 500000)),
        dt.time.max,
    ],
    ValueType.DATETIME: [
        *(
            dt.datetime.min,
            dt.datetime(999, 1, 1),
            dt.datetime(1970, 1, 1) - MICROSECOND,
        ),
        *(dt.datetime(1970, 1, 1), dt.datetime(1970, 1, 1) + MICROSECOND),
        *(dt.datetime(2024, 2, 29, 12), dt.datetime(2024, 2, 29, 12, 0, 0, 500000)),
        *(dt.datetime(9999, 12, 31), dt.datetime.max),
    ],
    ValueType.DURATION: [
        *(
            -(2**63) * MICROSECOND,
            dt.timedelta(days=-1),
            -MICROSECOND,
            0 * MICROSECOND,
        ),
        *(MICROSECOND, dt.timedelta(1, 1, 1), (2**63 - 1) * MICROSECOND),
    ],
    ValueType.UUID: [
        *(
            uuid.UUID(int=0),
            uuid.UUID(int=1),
            uuid.UUID(int=2**63),
            uuid.UUID(int=2**127),
        ),
        *(uuid.UUID("0190a6f0-2c2d-7c3e-a2f1-0e5f5e3d2c1b"), uuid.UUID(int=2**128 - 1)),
    ],
    ValueType.JSON: [
        *("null", "true", "0", '""', '"null"', "[]", "{}", '"\\u0000"'),
        '{"a": [1, 2.5, null, {"é": "😀"}], "b": "\'"}',
    ],
    ValueType.ANY: [
        *("n1498:", "n2", "n35001", "n35001.", "n350015.", "t", "t\0", "tA", "ta"),
        *("ta\0b", "té", "t😀", "x", "x00", "xff"),
    ],
}

#: Numbers that a column of numbers of any type can be compared with.
NUMBERS: Sequence[Any] = [
    *(False, True, -1, 0, 1, 2, 2**53 + 1, -(2**53) - 1, 2**63, -(2**63) - 1, 2**70),
    *(10**400, -(10**400), 0.0, -0.0, 0.5, -0.5, 1.0, 1.5, 5e-324, 2.0**53, 2.0**63),
    *(1e300, -1e300, math.inf, -math.inf, 0.1, Decimal(1), Decimal("1.00"), Decimal(0)),
    *(Decimal("-0.0"), Decimal("0.5"), Decimal("-0.5"), Decimal("1.1"), Decimal("0.1")),
    *(Decimal("1E+2"), Decimal("1E-30"), Decimal("-1E-30"), Decimal("1E+6000")),
    *(Decimal("-1E+6000"), Decimal("9" * 40), Decimal(2**53 + 1), Decimal(2**63)),
    Decimal("9007199254740992.5"),
]

#: Names that break what is put together as text.
NAMES = (
    *("a", "ab", "a\0", "a\0b", "\0", " ", "a b", "a.b", "a/b", "a:b", "a,b", "a;--"),
    *(
        '"',
        '""',
        'a"b',
        "'",
        "a'b",
        "`",
        "[a]",
        "\\",
        "%",
        "%s",
        "?",
        "{0}",
        "$1",
        ":a",
    ),
    *("select", "rowid", "_id", "__class__", "tab\t", "line\n", "é", "表", "😀"),
    *("x" * 200, "é" * 200),
)


def equals(column: str, value: object) -> Filter:
    return (column, "exact", False, value)


def unique(name: str, *columns: str) -> Index:
    return Index(name, columns, unique=True)


#: What most tests use: numbered, a unique and a plain index, columns with NULL.
THINGS = Table(
    "things",
    (
        Column("id", ValueType.INTEGER, nullable=False, auto_increment=True),
        Column("code", ValueType.STRING),
        Column("kind", ValueType.STRING),
        Column("size", ValueType.INTEGER),
    ),
    ("id",),
    (unique("things_code", "code"), Index("things_kind", ("kind", "size"))),
)
#: Unique together, and a primary key of two columns that aren't the first ones.
PAIRS = Table(
    "pairs",
    (
        Column("note", ValueType.STRING),
        Column("left", ValueType.INTEGER, nullable=False),
        Column("right", ValueType.STRING, nullable=False),
        Column("a", ValueType.INTEGER),
        Column("b", ValueType.INTEGER),
    ),
    ("right", "left"),
    (unique("pairs_a_b", "a", "b"),),
)
ID = Column("id", ValueType.INTEGER, nullable=False, auto_increment=True)
