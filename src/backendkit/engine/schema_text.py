"""Statements that name SQLite's own tables: sqlite_master and PRAGMA functions."""

from __future__ import annotations

from typing import Any

import apsw

from .sqltext import remembered
from .tokens import Token, TokenKind, quote, significant

#: Both names of the table that has the schema.
MASTERS = frozenset({"sqlite_master", "sqlite_schema"})
#: What stands for it where the store's tables are.
SCHEMA_TABLE = "backendkit_schema"
_PREFIXES = ("sqlite_", "pragma_")
_NAMES = frozenset({TokenKind.NAME, TokenKind.STRING, TokenKind.WORD})
_WRITES = frozenset({apsw.SQLITE_DELETE, apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE})


@remembered
def names_schema(sql: str) -> bool:
    """Whether one of SQLite's own tables may be meant, outside of comments."""
    # Long statements are looked at each time, and to search for a word is fast.
    lower = sql.lower()
    return any(prefix in lower for prefix in _PREFIXES) and any(
        (token.name or "").lower().startswith(_PREFIXES) for token in significant(sql)
    )


def reads_only_schema(mirror: apsw.Connection, sql: str) -> bool:
    """
    Whether a statement reads the schema, and no table of the store.

    :param mirror: has the same tables, without rows: SQLite says what it would read.
    """
    found: set[str] = set()

    def note(action: int, table: str | None, *_: Any) -> int:
        if action == apsw.SQLITE_READ:
            found.add((table or "").lower())
        elif action in _WRITES:
            found.add("")
        return apsw.SQLITE_OK

    before, mirror.authorizer = mirror.authorizer, note
    cursor = mirror.cursor()
    cursor.exec_trace = _stop
    try:
        cursor.execute(sql, can_cache=False)
    except (_Stop, apsw.Error):
        pass  # an error is told where the statement is run
    finally:
        mirror.authorizer = before
        cursor.close(True)
    return bool(found) and all(
        name in MASTERS or _is_pragma(mirror, name) for name in found
    )


def _is_pragma(mirror: apsw.Connection, name: str) -> bool:
    """Whether a name is a PRAGMA's function: a project's table may be called alike."""
    return (
        name.startswith("pragma_")
        and not mirror.execute(
            "SELECT 1 FROM sqlite_master WHERE lower(name) = ?", (name,)
        ).get
    )


class _Stop(Exception):  # not an error
    """Ends a statement that was only prepared."""


def _stop(*_: Any) -> bool:
    raise _Stop


def with_schema(sql: str) -> str:
    """
    Let a statement find sqlite_master among the store's tables.

    A common table expression of that name comes before SQLite's table. Nothing else
    of the statement is changed, but for ``main.`` in front of the name.
    """
    tokens = list(significant(sql))
    wanted: dict[str, None] = {}
    dropped: list[tuple[int, int]] = []
    for place, token in enumerate(tokens):
        name = token.name or ""
        if name.lower() not in MASTERS:
            continue
        if _is_own(tokens, place):
            return sql
        wanted[name.lower()] = None
        if (
            place > 1
            and tokens[place - 1].keyword == "."
            and (tokens[place - 2].name or "").lower() == "main"
        ):
            dropped.append((tokens[place - 2].start, token.start))
    if not wanted:
        return sql
    start = _behind_explain(tokens)
    tables = ", ".join(
        f"{name} AS (SELECT type, name, tbl_name, rootpage, sql FROM {SCHEMA_TABLE})"
        for name in wanted
    )
    if tokens[start].keyword == "WITH":
        start += 1 + (tokens[start + 1].keyword == "RECURSIVE")
        at, added = tokens[start].start, f"{tables}, "
    else:
        at, added = tokens[start].start, f"WITH {tables} "
    for begin, end in reversed(dropped):
        sql = sql[:begin] + sql[end:]
    return sql[:at] + added + sql[at:]


def _is_own(tokens: list[Token], place: int) -> bool:
    """Whether a statement has a common table expression of this name itself."""
    before = tokens[place - 1].keyword if place else ""
    behind = [token.keyword for token in tokens[place + 1 : place + 3]]
    return before in ("WITH", "RECURSIVE", ",") and behind == ["AS", "("]


def _behind_explain(tokens: list[Token]) -> int:
    """Return the place of the statement that EXPLAIN explains, if it does."""
    place = 0
    if tokens[0].keyword == "EXPLAIN":
        place = 3 if tokens[1].keyword == "QUERY" else 1
    return min(place, len(tokens) - 1)


def view_with_schema(sql: str) -> str:
    """Do :func:`with_schema` to the SELECT of a CREATE VIEW."""
    if not names_schema(sql):
        return sql
    depth = 0
    for token in significant(sql):
        depth += (token.keyword == "(") - (token.keyword == ")")
        if depth == 0 and token.keyword == "AS":
            return f"{sql[: token.end]} {with_schema(sql[token.end :])}"
    return sql


def pragma_columns(mirror: apsw.Connection, function: str) -> tuple[list[str], int]:
    """Return the columns of a PRAGMA function, and how many its arguments are."""
    rows = list(mirror.execute(f"PRAGMA table_xinfo({quote(function)})"))
    return [row[1] for row in rows], sum(bool(row[6]) for row in rows)
