"""SQLite's tokens: what in a statement is a word, a name, a value or a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple


class TokenKind(Enum):
    """Kinds of token, by what SQLite takes them for."""

    #: White space or a comment.
    SPACE = "space"
    #: A keyword, or a name without quotes.
    WORD = "word"
    #: A name in one of SQLite's three kinds of quotes.
    NAME = "name"
    STRING = "string"
    BLOB = "blob"
    NUMBER = "number"
    PARAMETER = "parameter"
    #: Operators and punctuation, each character by itself.
    SIGN = "sign"
    #: What SQLite refuses: a string without an end, a control character.
    ILLEGAL = "illegal"


# https://www.sqlite.org/src/file?name=src/tokenize.c: white space is ASCII's (and a byte
# order mark), every other character beyond ASCII is a letter.
_LETTER = r"[A-Za-z_\x80-\U0010FFFF]"
_INNER = r"[A-Za-z0-9_$\x80-\U0010FFFF]"
_TOKEN = re.compile(
    rf"""
    (?P<space>[ \t\n\f\r][ \t-\r]*|\ufeff|--[^\n]*|/\*(?=.)(?:.*?\*/|.*\Z))
    | (?P<blob>[xX]'(?:[0-9A-Fa-f]{{2}})*')
    | (?P<word>(?![xX]'){_LETTER}{_INNER}*)
    | (?P<string>'(?:[^']|'')*+')
    | (?P<name>"(?:[^"]|"")*+"|`(?:[^`]|``)*+`|\[[^\]]*\])
    | (?P<number>(?:0[xX][0-9A-Fa-f][0-9A-Fa-f_]*
        |(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
        (?!{_INNER}))
    | (?P<parameter>\?[0-9]*|[:@\#$](?:{_INNER}|::)+(?:\([^)\s]*\))?)
    | (?P<illegal>[xX]'[^']*'?|["'`\[].*\Z|[0-9]{_INNER}*|[\x00-\x1f\x7f])
    | (?P<sign>.)
    """,
    re.X | re.S,
)
_KINDS = {kind.value: kind for kind in TokenKind}
_QUOTED = frozenset({TokenKind.NAME, TokenKind.STRING})


class Token(NamedTuple):
    """
    A token and where it begins.

    :param keyword: a word in upper case, or a sign; "" for all others.
    """

    kind: TokenKind
    text: str
    start: int
    keyword: str

    @property
    def end(self) -> int:
        """Where the next token begins."""
        return self.start + len(self.text)

    @property
    def name(self) -> str | None:
        """
        The name that it may be, without quotes; None for what is no name.

        SQLite takes a string for a name where it expects one.
        """
        if self.kind is TokenKind.WORD:
            return self.text
        return unquote(self.text) if self.kind in _QUOTED else None


def tokenize(sql: str) -> Iterator[Token]:
    """Return all tokens of a statement; their texts together are the statement."""
    for match in _TOKEN.finditer(sql):
        kind = _KINDS[match.lastgroup or "illegal"]
        text = match[0]
        keyword = ""
        if kind is TokenKind.SIGN:
            keyword = text
        elif kind is TokenKind.WORD and text.isascii():
            keyword = text.upper()
        yield Token(kind, text, match.start(), keyword)


def significant(sql: str) -> Iterator[Token]:
    """Return the tokens of a statement without white space and comments."""
    return (token for token in tokenize(sql) if token.kind is not TokenKind.SPACE)


def has_keyword(sql: str, *keywords: str) -> bool:
    """Whether one of these words, in upper case, is in a statement, outside of quotes."""
    text = sql.upper()
    # Most have none of them, and to search a text is fast.
    return any(word in text for word in keywords) and any(
        token.keyword in keywords for token in significant(sql)
    )


def unquote(name: str) -> str:
    """Return an identifier without its quotes."""
    if name[0] in "\"`'" and name[-1] == name[0]:
        return name[1:-1].replace(name[0] * 2, name[0])
    if name[0] == "[":
        return name[1:-1]
    return name


def quote(name: str) -> str:
    """Quote an identifier for SQL. Any text without NUL is a name."""
    return '"' + name.replace('"', '""') + '"'
