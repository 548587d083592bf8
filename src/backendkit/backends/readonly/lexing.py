"""
The words of a statement, in the dialects of SQL that databases speak.

What is a string or a comment depends on the dialect, and in part on the server's
settings: then there are several readings, and a statement is refused if one of them
writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Word(NamedTuple):
    """
    A token that isn't white space or a comment.

    :param keyword: a word in upper case, or a sign; "" for names in quotes and values.
    :param name: the name that it may be, in lower case; "" for signs and values.
    """

    keyword: str
    name: str = ""


#: What is before the first word, and behind the last one.
NOTHING = Word("")

_SPACE = r"\s+|--[^\n]*"
_BLOCK = r"/\*.*?(?:\*/|\Z)"
_STRING = r"'(?:[^']|'')*+'?"
_ESCAPED = r"'(?:[^'\\]|''|\\.)*+'?"
_NAME = r'"(?:[^"]|"")*+"?'


def _pattern(space: str, strings: str, names: str) -> re.Pattern[str]:
    return re.compile(
        rf"""
        (?P<space>{space})
        | (?P<value>{strings}|%(?:\(\w*\))?s|%%|[$:?@]\w+|\d[\w.]*)
        | (?P<name>{names})
        | (?P<word>[^\W\d][\w$]*)
        | (?P<sign>/\*(?:M?!)?|.)
        """,
        re.X | re.S,
    )


_STANDARD = _pattern(
    rf"{_SPACE}|{_BLOCK}", rf"[NnXx]?{_STRING}", rf"{_NAME}|\[[^\]]*\]?"
)
# https://www.postgresql.org/docs/current/sql-syntax-lexical.html: comments nest. One
# within another isn't read as a comment, but as a sign.
_PG_SPACE = rf"{_SPACE}|/\*(?:(?!/\*).)*?(?:\*/|\Z)"
_PG_DOLLAR = r"\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)"
# https://dev.mysql.com/doc/refman/8.4/en/comments.html: what begins with /*! is run,
# and is a sign here.
_MY_SPACE = r"\s+|\#[^\n]*|--(?=\s|\Z)[^\n]*|/\*(?!M?!).*?(?:\*/|\Z)"
_MY_NAME = r"`(?:[^`]|``)*+`?"

#: The ways in which a server may read a statement, by its settings.
_READINGS = {
    # standard_conforming_strings on, and off.
    "postgresql": (
        _pattern(
            _PG_SPACE,
            rf"[Ee]{_ESCAPED}|(?:[Uu]&|[BbXxNn])?{_STRING}|{_PG_DOLLAR}",
            _NAME,
        ),
        _pattern(_PG_SPACE, rf"(?:[Uu]&|[EeBbXxNn])?{_ESCAPED}|{_PG_DOLLAR}", _NAME),
    ),
    # Without and with NO_BACKSLASH_ESCAPES or ANSI_QUOTES in sql_mode.
    "mysql": (
        _pattern(
            _MY_SPACE,
            rf"""[NnXxBb]?{_ESCAPED}|"(?:[^"\\]|""|\\.)*+"?""",
            _MY_NAME,
        ),
        _pattern(_MY_SPACE, rf"[NnXxBb]?{_STRING}|{_NAME}", _MY_NAME),
    ),
    "sqlite": (
        _pattern(
            rf"{_SPACE}|{_BLOCK}",
            rf"[Xx]?{_STRING}",
            rf"{_NAME}|`(?:[^`]|``)*+`?|\[[^\]]*\]?",
        ),
    ),
}
#: Where a driver puts a value, unless the percent sign is doubled.
_PLACEHOLDER = re.compile(r"(?<!%)(?:%%)*%(?:\(\w*\))?s")


def readings(sql: str, vendor: str) -> list[re.Pattern[str]]:
    """Return the ways in which a statement may be read by the server."""
    found = list(_READINGS.get(vendor, (_STANDARD,)))
    # They differ in what a backslash does.
    return found if "\\" in sql else found[:1]


def words(sql: str, reading: re.Pattern[str]) -> Iterator[Word]:
    """
    Return the words, names, signs and values of a statement.

    :param reading: of :func:`readings`.
    """
    for match in reading.finditer(sql):
        text, kind = match[0], match.lastgroup
        if kind == "word":
            yield Word(text.upper(), text.lower())
        elif kind == "name":
            yield Word("", _unquoted(text).lower())
        elif kind == "sign":
            yield Word(text)
        elif kind == "value":
            yield Word("")


def quotes_placeholder(sql: str, reading: re.Pattern[str]) -> bool:
    """Whether ``%s`` is within quotes or a comment, where a value becomes words."""
    return any(
        match[0][0] != "%"
        and match.lastgroup in {"name", "space", "value"}
        and _PLACEHOLDER.search(match[0])
        for match in reading.finditer(sql)
    )


def _unquoted(name: str) -> str:
    quote = "]" if name[0] == "[" else name[0]
    return name[1:].removesuffix(quote).replace(quote * 2, quote)
