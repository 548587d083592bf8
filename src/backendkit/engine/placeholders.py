"""Placeholders of PEP 249's styles, as SQLite writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from .sqltext import remembered
from .tokens import TokenKind, tokenize
from .values import adapt

_FORMAT = re.compile(r"%([%s])")
_NAMED = re.compile(r"%(?:%|\(([^)]*)\)s)")


@remembered
def to_qmark(sql: str) -> str:
    """Convert from PEP 249's "format" style to SQLite's "?"."""
    return _FORMAT.sub(lambda match: "?" if match[1] == "s" else "%", sql)


def to_named(sql: str, params: Mapping[str, Any]) -> str:
    """
    Convert from PEP 249's "pyformat" style to SQLite's ":name".

    :raises KeyError: there is no parameter of a name.
    """
    return filled(sql, {name: f":{name}" for name in params})


def filled(sql: str, values: Sequence[str] | Mapping[str, str]) -> str:
    """
    Return a statement with texts in the place of its placeholders.

    Unlike Python's ``%``, it leaves a percent sign that is no placeholder, as that in a
    column's name.

    :raises KeyError: there is none of a name.
    """
    if isinstance(values, Mapping):
        return _NAMED.sub(lambda match: values[match[1]] if match[1] else "%", sql)
    rest = iter(values)
    return _FORMAT.sub(lambda match: next(rest, "%s") if match[1] == "s" else "%", sql)


def write_out(sql: str, params: Sequence[Any], most: int) -> tuple[str, list[Any]]:
    """
    Write the last parameters out as SQL, where there are too many to bind.

    Each becomes a literal by SQLite's own quoting.

    :param sql: with ``?``.
    :param most: how many may be left.
    """
    rest = iter(params[most:])
    seen = 0
    parts = []
    for token in tokenize(sql):
        text = token.text
        if token.kind is TokenKind.PARAMETER and text == "?":
            seen += 1
            if seen > most:
                text = _literal(adapt(next(rest)))
        parts.append(text)
    return "".join(parts), list(params[:most])


def _literal(value: Any) -> str:
    if not isinstance(value, (int, float, str, bytes)):
        return "NULL"  # as filters handed over: SQLite has them too
    number = int(value) if isinstance(value, bool) else value
    return str(apsw.format_sql_value(number))
