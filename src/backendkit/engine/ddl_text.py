"""What statements that change the schema say, read from their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .tokens import Token, TokenKind, significant


def created_as(sql: str) -> tuple[str, str] | None:
    """Return name and SELECT of a CREATE TABLE … AS; None if it isn't one."""
    tokens = _start(sql)
    if [token.keyword for token in tokens[:2]] != ["CREATE", "TABLE"]:
        return None
    place = _behind_schema(tokens, _behind_if(tokens, 2))
    if place + 1 >= len(tokens) or tokens[place + 1].keyword != "AS":
        return None
    name = tokens[place].name
    return None if name is None else (name, sql[tokens[place + 1].end :])


def temporary_ddl(sql: str) -> bool:
    """Whether a statement makes a temporary table, view or index."""
    tokens = _start(sql)
    keywords = [token.keyword for token in tokens]
    if keywords[:1] != ["CREATE"]:
        return False
    if keywords[1:2] in (["TEMP"], ["TEMPORARY"]):
        return keywords[2:3] in (["TABLE"], ["VIEW"])
    place = 2 if keywords[1:2] == ["UNIQUE"] else 1
    if keywords[place : place + 1] not in (["TABLE"], ["VIEW"], ["INDEX"]):
        return False
    place = _behind_if(tokens, place + 1)
    return _behind_schema(tokens, place) > place and (
        (tokens[place].name or "").lower() == "temp"
    )


def ddl_name(sql: str) -> str | None:
    """Return the name of what a statement drops, alters or indexes."""
    return _target(sql)[1]


def may_be_temporary(sql: str) -> str | None:
    """Return that name, if the statement doesn't say that it's in another schema."""
    schema, name = _target(sql)
    return name if schema in (None, "temp") else None


def _target(sql: str) -> tuple[str | None, str | None]:
    """Return schema and name of what a statement drops, alters or indexes."""
    tokens = _start(sql)
    keywords = [token.keyword for token in tokens]
    if keywords[:1] == ["DROP"] or keywords[:2] == ["ALTER", "TABLE"]:
        place = _behind_if(tokens, 2)
    elif keywords[:2] == ["CREATE", "INDEX"] or keywords[1:3] == ["UNIQUE", "INDEX"]:
        if "ON" not in keywords:
            return None, None
        place = keywords.index("ON") + 1
    else:
        return None, None
    behind = _behind_schema(tokens, place)
    schema = (tokens[place].name or "").lower() if behind > place else None
    return schema, tokens[behind].name if behind < len(tokens) else None


def _start(sql: str) -> list[Token]:
    """Return the tokens that names are among: CREATE INDEX has the most of them."""
    return [token for token, _ in zip(significant(sql), range(20), strict=False)]


def _behind_if(tokens: Sequence[Token], place: int) -> int:
    """Return the place behind IF EXISTS or IF NOT EXISTS, if one is there."""
    keywords = [token.keyword for token in tokens[place : place + 3]]
    if keywords == ["IF", "NOT", "EXISTS"]:
        return place + 3
    return place + 2 if keywords[:2] == ["IF", "EXISTS"] else place


def _behind_schema(tokens: Sequence[Token], place: int) -> int:
    """Return the place behind a schema's name, if one is there."""
    if place + 1 < len(tokens) and tokens[place + 1].keyword == ".":
        return place + 2
    return place


def index_parts(sql: str) -> tuple[list[str], str | None]:
    """
    Split a CREATE INDEX statement.

    :returns: the texts of its keys, without ASC, DESC and COLLATE, and that of
        its WHERE condition or None.
    """
    depth = 0
    parts: list[str] = []
    start = 0
    where: int | None = None
    for token in significant(sql):
        if where is not None:
            break
        if token.keyword == "(":
            depth += 1
            if depth == 1 and not parts:
                start = token.end
        elif token.keyword == ")":
            depth -= 1
            if depth == 0:
                parts.append(_bare(sql[start : token.start]))
        elif token.keyword == "," and depth == 1:
            parts.append(_bare(sql[start : token.start]))
            start = token.end
        elif token.keyword == "WHERE" and parts and not depth:
            where = token.end
    return parts, None if where is None else trimmed(sql[where:])


def _bare(part: str) -> str:
    """Drop what stands behind a key's expression."""
    tokens = list(significant(part))
    if tokens and tokens[-1].keyword in ("ASC", "DESC"):
        tokens.pop()
    if len(tokens) > 2 and tokens[-2].keyword == "COLLATE":
        tokens = tokens[:-2]
    return _text(part, tokens)


def trimmed(part: str) -> str:
    """Return a text without the comments before and behind it."""
    return _text(part, list(significant(part)))


def _text(part: str, tokens: Sequence[Token]) -> str:
    """Return a text from its first token to the last one: no comment is left open."""
    return part[tokens[0].start : tokens[-1].end] if tokens else ""


class TableExpressions(NamedTuple):
    """
    The expressions in a CREATE TABLE statement.

    :param checks: those of its CHECK constraints.
    :param generated: those of its generated columns, by the column's name.
    :param strict: whether the table is STRICT.
    """

    checks: list[str]
    generated: dict[str, str]
    strict: bool


def table_expressions(sql: str) -> TableExpressions:
    """Read the expressions in a CREATE TABLE statement."""
    found = TableExpressions([], {}, strict=False)
    depth = start = 0
    column: str | None = None
    # The keyword that the parenthesis is behind whose text is wanted.
    before = wanted = ""
    strict = False
    for token in significant(sql):
        keyword = token.keyword
        if keyword == "(":
            depth += 1
            if depth == 2 and before in {"CHECK", "AS"}:
                wanted, start = before, token.end
        elif keyword == ")":
            depth -= 1
            if depth == 1 and wanted == "CHECK":
                found.checks.append(sql[start : token.start])
            elif depth == 1 and wanted:
                found.generated[column or ""] = sql[start : token.start]
            if depth == 1:
                wanted = ""
        elif depth == 1 and keyword == ",":
            column = None
        elif depth == 1 and column is None:
            column = token.name or ""
        elif depth == 0 and keyword == "STRICT":
            strict = True
        before = keyword
    return found._replace(strict=strict)


def names_in(sql: str) -> set[str]:
    """Return the names in an expression, in lower case, and words that look like one."""
    return {
        (token.name or "").lower()
        for token in significant(sql)
        if token.kind in (TokenKind.WORD, TokenKind.NAME)
    }
