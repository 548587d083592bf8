"""RETURNING and ON CONFLICT of an INSERT, read from its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .classifying import verb_of
from .sqltext import remembered
from .tokens import Token, TokenKind, has_keyword, significant, tokenize


@dataclass(frozen=True)
class InsertClauses:
    """
    An INSERT, clause by clause: virtual tables have neither RETURNING nor ON CONFLICT.

    Parameters are numbered, so that each clause can be run by itself.

    :param table: name of the table.
    :param columns: names of the columns given; None for all.
    :param on_conflict: None, ``ignore``, ``replace`` or ``update``.
    :param update_columns: what ON CONFLICT … DO UPDATE sets, each to what is given.
    :param unique_columns: the target of ON CONFLICT.
    :param source: SELECT or VALUES that give the rows; "" for DEFAULT VALUES.
    :param returning: text behind RETURNING; "" without.
    :param returned: names, where that may be a list of columns; else None.
    """

    table: str
    columns: tuple[str, ...] | None
    on_conflict: str | None
    update_columns: tuple[str, ...]
    unique_columns: tuple[str, ...]
    source: str
    returning: str
    returned: tuple[str, ...] | None


@remembered
def insert_clauses(sql: str) -> InsertClauses | None:
    """Read an INSERT that has these clauses; None if it hasn't, or is too much."""
    if not has_keyword(sql, "RETURNING", "CONFLICT"):
        return None
    if verb_of(sql) not in ("INSERT", "REPLACE"):
        return None
    try:
        return _Reader(_numbered(sql)).read()
    except (IndexError, _UnknownFormError):
        return None


class _UnknownFormError(Exception):
    """SQLite has to be asked, and will refuse it."""


def _numbered(sql: str) -> str:
    """Number the parameters as SQLite does."""
    last = 0
    parts = []
    for token in tokenize(sql):
        text = token.text
        if token.kind is TokenKind.PARAMETER and text[0] == "?":
            number = int(text[1:]) if text[1:] else last + 1
            last = max(last, number)
            text = f"?{number}"
        parts.append(text)
    return "".join(parts)


class _Reader:
    """
    Reads an INSERT from its first token to the last one.

    :raises IndexError: it ends too soon.
    """

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = [one for one in significant(sql) if one.keyword != ";"]
        self._at = 0

    def read(self) -> InsertClauses | None:
        """Return the clauses; None if they are those of virtual tables."""
        tokens = self._tokens
        depth = 0
        while depth or tokens[self._at].keyword not in ("INSERT", "REPLACE"):
            depth += _depth(tokens[self._at])
            self._at += 1
        prefix = self._sql[: tokens[self._at].start]
        conflict = {"REPLACE": "replace"}.get(self._next().keyword)
        if self._took("OR"):
            word = self._next().keyword
            conflict = {"IGNORE": "ignore", "REPLACE": "replace"}.get(word)
        if not self._took("INTO"):
            raise _UnknownFormError
        table = self._name()
        if self._took("."):
            table = self._name()
        if self._took("AS"):
            self._name()  # nothing that RETURNING or SET knows
        columns = self._names() if tokens[self._at].keyword == "(" else None
        start = self._at
        upsert, returning = self._clauses()
        end = min(upsert, returning)
        source = prefix + self._text(start, end)
        if [one.keyword for one in tokens[start:end]] == ["DEFAULT", "VALUES"]:
            source, columns = "", ()
        update: tuple[str, ...] = ()
        target: tuple[str, ...] = ()
        if upsert < returning:
            if conflict is not None:
                raise _UnknownFormError
            self._at = upsert + 2
            conflict, (target, update) = "update", self._upsert(returning)
        items = tokens[returning + 1 :]
        if returning < len(tokens) and not items:
            raise _UnknownFormError
        return InsertClauses(
            table,
            columns,
            conflict,
            update,
            target,
            source,
            self._text(returning + 1, len(tokens)),
            _plain(items, table.lower()),
        )

    def _next(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, keyword: str) -> bool:
        found = self._tokens[self._at].keyword == keyword
        self._at += found
        return found

    def _name(self) -> str:
        name = self._next().name
        if name is None:
            raise _UnknownFormError
        return name

    def _names(self) -> tuple[str, ...]:
        """Read names in parentheses."""
        if not self._took("("):
            raise _UnknownFormError
        names = [self._name()]
        while self._took(","):
            names.append(self._name())
        if not self._took(")"):
            raise _UnknownFormError
        return tuple(names)

    def _clauses(self) -> tuple[int, int]:
        """Return where ON CONFLICT and RETURNING are, or the end."""
        tokens = self._tokens
        upsert = returning = len(tokens)
        depth = 0
        for place in range(self._at, len(tokens)):
            token = tokens[place]
            depth += _depth(token)
            if depth or place + 1 == len(tokens):
                continue
            behind = tokens[place + 1]
            if token.keyword == "ON" and behind.keyword == "CONFLICT":
                upsert = min(upsert, place)
            elif token.keyword == "RETURNING":
                returning = place
        if upsert == returning:
            raise _UnknownFormError
        return upsert, returning

    def _upsert(self, end: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Read the target, and the columns that are set to what is given for them."""
        target = self._names()
        for word in ("DO", "UPDATE", "SET"):
            if not self._took(word):
                raise _UnknownFormError
        names = []
        while True:
            names.append(self._name())
            if not self._took("="):
                raise _UnknownFormError
            if self._name().lower() != "excluded" or not self._took("."):
                raise _UnknownFormError
            if self._name().lower() != names[-1].lower():
                raise _UnknownFormError
            if self._at == end:
                return target, tuple(names)
            if not self._took(","):
                raise _UnknownFormError

    def _text(self, start: int, end: int) -> str:
        """Return the text from one token up to another one."""
        if start >= end:
            return ""
        return self._sql[self._tokens[start].start : self._tokens[end - 1].end]


def _depth(token: Token) -> int:
    return (token.keyword == "(") - (token.keyword == ")")


def _plain(items: Sequence[Token], table: str) -> tuple[str, ...] | None:
    """Return names, if items are nothing but names of columns."""
    names = []
    current: list[Token] = []
    for token in [*items, None]:
        if token is not None and token.keyword != ",":
            current.append(token)
            continue
        if len(current) == 3 and current[1].keyword == ".":
            if (current[0].name or "").lower() != table:
                return None
            current = current[2:]
        if len(current) != 1 or current[0].kind not in (TokenKind.NAME, TokenKind.WORD):
            return None
        names.append(current[0].name or "")
        current = []
    return tuple(names)
