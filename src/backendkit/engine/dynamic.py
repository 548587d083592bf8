"""
Columns of types that nobody knows: they hold any value of SQLite's.

SQLite takes any words for a type, makes an affinity of them, and keeps a value that the
affinity doesn't fit as it is (https://www.sqlite.org/datatype3.html#type_affinity). So
``jsonb``, ``point`` or no type at all hold numbers, text and blobs side by side. A
store's columns have one type, so it gets text, ``ValueType.ANY``: a letter and what the
value is. Texts order as the values do, numbers before text before blobs:

========== ================================================================
``n…``     a number: its sign, exponent and digits; a point ends a float
``t…``     the text
``x…``     a blob, in hexadecimal digits
========== ================================================================
"""

from __future__ import annotations

import functools
import math
from decimal import Decimal
from enum import Enum

from .numbers import INT64, float_as_text, text_as_number

SQLiteValue = None | int | float | str | bytes

#: Behind the digits of a float, and in an index behind the same number as an integer.
FLOAT_MARK = "."
#: Ends the digits of a negative number: those with more of them are less.
_END = ":"
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
#: Exponents are written with three digits, none of them negative.
_BIAS = 500
#: Up to here, SQLite makes an integer of any whole float in a numeric column.
_SURELY_WHOLE = 2**51


class Affinity(Enum):
    """SQLite's affinities; the value declares a column of each."""

    BLOB = ""
    TEXT = "text"
    REAL = "real"
    INTEGER = "integer"
    NUMERIC = "numeric"

    @property
    def is_numeric(self) -> bool:
        """Whether text that looks like a number becomes one."""
        return self not in (Affinity.BLOB, Affinity.TEXT)


@functools.lru_cache(maxsize=1000)
def affinity_of(declared: str) -> Affinity:
    """Return the affinity of a declared type, by SQLite's rules in their order."""
    text = declared.lower()
    if "int" in text:
        return Affinity.INTEGER
    if any(word in text for word in ("char", "clob", "text")):
        return Affinity.TEXT
    if not text or "blob" in text:
        return Affinity.BLOB
    if any(word in text for word in ("real", "floa", "doub")):
        return Affinity.REAL
    return Affinity.NUMERIC


def apply(affinity: Affinity, value: SQLiteValue) -> SQLiteValue:
    """
    Return a value as a column of this affinity holds it.

    :raises OverflowError: an integer of more than 64 bits.
    """
    if isinstance(value, int):
        value = int(value)  # True is 1, and no subclass is left
        if value not in INT64:
            raise OverflowError("it is out of the range of 64 bits")
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None:
        return None
    if isinstance(value, bytes):
        return bytes(value)
    if affinity is Affinity.BLOB:
        return str.__str__(value) if isinstance(value, str) else value
    if affinity is Affinity.TEXT:
        if isinstance(value, float):
            return float_as_text(value)
        return str.__str__(value) if isinstance(value, str) else str(value)
    if isinstance(value, str):
        number = text_as_number(value)
        if number is None:
            return str.__str__(value)
        value = number
    if affinity is Affinity.REAL:
        return float(value)
    if isinstance(value, float) and value.is_integer() and -(2**63) < value < 2**63:
        return int(value)
    return value


def encode(value: SQLiteValue) -> str | None:
    """
    Return what the store gets for a value.

    :raises UnicodeEncodeError: text with surrogates.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value.encode()
        return f"t{value}"
    if isinstance(value, bytes):
        return f"x{value.hex()}"
    mark = FLOAT_MARK if isinstance(value, float) else ""
    return f"n{_sortable(value)}{mark}"


def _sortable(value: float) -> str:
    """Write a number so that texts order as numbers do."""
    if math.isinf(value):
        return "4" if value > 0 else "0"
    if value == 0:
        return "2"
    near = int(value)
    whole = near in INT64 and near == value
    # A float with a fraction is less than 2 ** 53: its shortest digits are enough.
    sign, digits, _ = (number := Decimal(near if whole else repr(value))).as_tuple()
    written = "".join(map(str, digits)).rstrip("0")
    text = f"{number.adjusted() + _BIAS:03d}{written}"
    return f"1{text.translate(_COMPLEMENT)}{_END}" if sign else f"3{text}"


def decode(text: str) -> SQLiteValue:
    """Return the value of what :func:`encode` wrote."""
    kind, rest = text[0], text[1:]
    if kind == "t":
        return rest
    if kind == "x":
        return bytes.fromhex(rest)
    is_float = rest.endswith(FLOAT_MARK)
    rest = rest.removesuffix(FLOAT_MARK)
    if rest in ("0", "4"):
        return math.inf if rest == "4" else -math.inf
    if rest == "2":
        return 0.0 if is_float else 0
    sign = ""
    if rest[0] == "1":
        sign, rest = "-", rest.removesuffix(_END).translate(_COMPLEMENT)
    digits = rest[4:]
    exponent = int(rest[1:4]) - _BIAS - len(digits) + 1
    if is_float:
        return float(f"{sign}{digits}e{exponent}")
    return int(f"{sign}{digits}{'0' * exponent}")


def is_unique(affinity: Affinity, value: SQLiteValue) -> bool:
    """
    Whether all that equals a value is written in the same way.

    :param value: as :func:`apply` returns it.
    """
    if not isinstance(value, (int, float)):
        return True
    return affinity is not Affinity.BLOB and abs(value) < _SURELY_WHOLE


def bounds(value: float) -> tuple[str, str]:
    """Return the least and the greatest text of what equals a number."""
    least = f"n{_sortable(value)}"
    return least, least + FLOAT_MARK
