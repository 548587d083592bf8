"""
The SQL in a catalog: what may be run of it.

A database's files may come from somebody else. Its tables, views and indexes are SQL
that is run when it is opened, so it is looked at first: one CREATE statement of the
right kind, for what it is said to make.
"""

from __future__ import annotations

from backendkit.stores import DatabaseError, Table, shown

from .tokens import Token, TokenKind, significant


def check_table(table: Table) -> None:
    """
    Check all SQL of a table or view.

    :raises DatabaseError: a part of it isn't what it has to be.
    """
    if not table.columns:
        tokens = _created(table.sql, "VIEW", table.name)
        _require(tokens[:1], ("AS", "("), "view", table.name, table.sql)
        return
    tokens = _created(table.sql, "TABLE", table.name)
    _require(tokens[:1], ("(",), "table", table.name, table.sql)
    for column in table.columns:
        if column.hidden:
            _tokens(column.declared, "column", column.name)
    for index in table.indexes:
        if index.sql:
            tokens = _created(index.sql, "INDEX", index.name)
            _require(tokens[:1], ("ON",), "index", index.name, index.sql)
            if not tokens[1:] or not _is_called(tokens[1], table.name):
                raise _refused("index", index.name, index.sql)


def _created(sql: str, kind: str, name: str) -> list[Token]:
    """Return the tokens behind the name of what a statement creates."""
    tokens = _tokens(sql, kind.lower(), name)
    place = 2 if kind == "INDEX" and _keyword(tokens, 1) == "UNIQUE" else 1
    if (
        _keyword(tokens, 0) != "CREATE"
        or _keyword(tokens, place) != kind
        or not tokens[place + 1 :]
        or not _is_called(tokens[place + 1], name)
    ):
        raise _refused(kind.lower(), name, sql)
    return tokens[place + 2 :]


def _tokens(sql: str, kind: str, name: str) -> list[Token]:
    """Return the tokens of one statement, or of a part of one."""
    tokens = list(significant(sql))
    if _keyword(tokens, len(tokens) - 1) == ";":
        tokens.pop()
    for token in tokens:
        if token.keyword == ";" or token.kind in _NOWHERE:
            raise _refused(kind, name, sql)
    return tokens


#: A catalog's SQL has no parameters.
_NOWHERE = frozenset({TokenKind.ILLEGAL, TokenKind.PARAMETER})


def _keyword(tokens: list[Token], place: int) -> str:
    return tokens[place].keyword if 0 <= place < len(tokens) else ""


def _is_called(token: Token, name: str) -> bool:
    return (token.name or "").lower() == name.lower()


def _require(
    tokens: list[Token], keywords: tuple[str, ...], kind: str, name: str, sql: str
) -> None:
    if _keyword(tokens, 0) not in keywords:
        raise _refused(kind, name, sql)


def _refused(kind: str, name: str, sql: str) -> DatabaseError:
    return DatabaseError(
        f"The catalog's SQL of the {kind} {shown(name)} isn't the definition of one:"
        f" {shown(sql)}. It isn't run. Was the database written by somebody else?"
    )
