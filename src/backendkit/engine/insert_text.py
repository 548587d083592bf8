"""What an INSERT says, read from its text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from backendkit.stores import OperationalError

from .classifying import verb_of
from .sqltext import remembered
from .tokens import Token, has_keyword, significant, unquote


@dataclass(frozen=True)
class InsertHead:
    """What the beginning of an INSERT says: table, given columns, OR clause."""

    table: str
    columns: tuple[str, ...] | None
    conflict: str


@remembered
def insert_head(sql: str) -> InsertHead | None:
    """Read the beginning of an INSERT; None if the statement isn't one."""
    verb = verb_of(sql)
    if verb not in ("INSERT", "REPLACE"):
        return None
    found = _from_verb(significant(sql), verb)
    conflict = "REPLACE" if verb == "REPLACE" else ""
    if _next(found).upper() == "OR":
        conflict = _next(found).upper()
        _next(found)  # INTO
    table, word = _next(found), _next(found)
    if word == ".":
        table, word = _next(found), _next(found)
    if word.upper() == "AS":
        _next(found)
        word = _next(found)
    if not table:
        return None
    columns: tuple[str, ...] | None = None
    if word == "(":
        names = itertools.takewhile(
            lambda name: name != ")", (token.text for token in found)
        )
        columns = tuple(unquote(name).lower() for name in names if name != ",")
    elif word.upper() == "DEFAULT":
        columns = ()
    return InsertHead(unquote(table), columns, conflict)


def _from_verb(tokens: Iterator[Token], verb: str) -> Iterator[Token]:
    """Return the tokens behind the word that :func:`verb_of` found."""
    depth = 0
    for token in tokens:
        depth += (token.keyword == "(") - (token.keyword == ")")
        if depth == 0 and token.keyword == verb:
            break
    return tokens


def _next(tokens: Iterator[Token]) -> str:
    token = next(tokens, None)
    return "" if token is None else token.text


@remembered
def refuse_returning(sql: str) -> None:
    """
    Refuse an INSERT with RETURNING, as SQLite does UPDATE and DELETE.

    SQLite would return what the statement gave, without keys and defaults.

    :raises OperationalError: there is one.
    """
    if not has_keyword(sql, "RETURNING"):
        return
    depth = 0
    for token in significant(sql):
        depth += (token.keyword == "(") - (token.keyword == ")")
        if depth == 0 and token.keyword == "RETURNING":
            raise OperationalError("RETURNING is not available on virtual tables")
