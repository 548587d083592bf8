"""Numbers as SQLite has them, and the texts that it takes for numbers."""

from __future__ import annotations

import functools
import re

from .database import Database

INT64 = range(-(2**63), 2**63)
# What SQLite takes for a number when it applies a numeric affinity to text.
NUMBER = re.compile(
    r"\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?)\s*\Z", re.A
)
#: Decimals of so many digits all differ as floats.
FLOAT_DIGITS = 15

_INTEGER = re.compile(r"[+-]?\d+\Z", re.A)
_DIGITS = re.compile(r"\d", re.A)


def text_as_number(text: str) -> int | float | None:
    """Return the number that SQLite takes a text for; None if it doesn't."""
    if "\0" in text:
        return _ask_sqlite(text)  # its versions differ
    if not NUMBER.match(text):
        return None
    text = text.strip()
    if _INTEGER.match(text) and int(text) in INT64:
        return int(text)
    if len(_DIGITS.findall(text.lower().partition("e")[0])) <= FLOAT_DIGITS:
        return float(text)
    return _ask_sqlite(text)  # it rounds in its own way


@functools.lru_cache(maxsize=1000)
def _ask_sqlite(text: str) -> int | float | None:
    database = Database(few=True)
    try:
        database.execute("CREATE TABLE t (number NUMERIC)")
        database.execute("INSERT INTO t VALUES (?)", (text,))
        ((number,),) = database.execute("SELECT number FROM t").fetchall()
    finally:
        database.close()
    return number if isinstance(number, (int, float)) else None


@functools.lru_cache(maxsize=1000)
def float_as_text(number: float) -> str:
    """Return a float as SQLite writes it."""
    database = Database(few=True)
    try:
        ((text,),) = database.execute("SELECT CAST(? AS TEXT)", (number,)).fetchall()
    finally:
        database.close()
    return str(text)
