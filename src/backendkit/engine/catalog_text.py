"""
The SQL in a catalog: what may be run of it.

A database's files may come from somebody else. Its tables, views and indexes are SQL
that is run when it is opened, so it is looked at first: one CREATE statement of the
right kind, for what it is said to make.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from backendkit.stores import DatabaseError, Index, Table, ValueType, shown

from .tokens import Token, TokenKind, significant

#: What some tables are made of: of each column its name, declared type and place in
#: the primary key, 0 for none.
_COLUMNS = """
    WITH made (name) AS ({}) SELECT made.name, x.name, x.type, x.pk
    FROM made, pragma_table_xinfo(made.name) AS x ORDER BY made.name, x.cid
"""
#: What their indexes are of, but for those of constraints: columns and collations.
_PARTS = """
    WITH made (name) AS ({}) SELECT list.name, x.name, upper(x.coll)
    FROM made, pragma_index_list(made.name) AS list, pragma_index_xinfo(list.name) AS x
    WHERE list.origin = 'c' AND x.key ORDER BY list.name, x.seqno
"""
_EVERY = "SELECT name FROM sqlite_master WHERE type = 'table'"

#: Types with text among their values, which is compared by a collation.
TEXT = frozenset({ValueType.STRING, ValueType.ANY})


def check_names(table: Table) -> None:
    """
    Check that SQL can name a table and its columns.

    :raises DatabaseError: there is a NUL among them, which a store may keep.
    """
    for name in (table.name, *(column.name for column in table.columns)):
        if "\0" in name:
            raise DatabaseError(
                f"SQL can't use the name {shown(name)}, because it contains a NUL"
                " character."
            )


def check_table(table: Table) -> None:
    """
    Check all SQL of a table or view.

    :raises DatabaseError: a part of it isn't what it has to be.
    """
    check_names(table)
    if table.items_of:
        tokens = _created(table.sql, "INDEX", table.name)
        _require(tokens[:1], ("ON",), "index", table.name, table.sql)
        if not tokens[1:] or not _is_called(tokens[1], table.items_of):
            raise _refused("index", table.name, table.sql)
        return
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
            unique = _keyword(list(significant(index.sql)), 1) == "UNIQUE"
            if (
                not tokens[1:]
                or not _is_called(tokens[1], table.name)
                or unique is not index.unique
            ):
                raise _refused("index", index.name, index.sql)


def check_made(sqlite: apsw.Connection, tables: Sequence[Table]) -> None:
    """
    Check that SQLite has made of the SQL of some tables what the catalog says.

    :param sqlite: where it was run.
    :raises DatabaseError: others.
    """
    # One statement for all of them: a statement takes longer than its rows.
    some = [table.name for table in tables]
    columns = defaultdict[str, list[tuple[Any, ...]]](list)
    for name, *column in _made(sqlite, _COLUMNS, some):
        columns[name].append(tuple(column))
    for table in tables:
        check_columns(table, columns[table.name])
    some = [one.name for one in tables if any(index.sql for index in one.indexes)]
    parts = defaultdict[str, list[tuple[str | None, str]]](list)
    for name, column, collation in _made(sqlite, _PARTS, some):
        parts[name].append((column, collation))
    for table in tables:
        for index in table.indexes:
            if index.sql:
                check_parts(table, index, parts[index.name])


def _made(
    sqlite: apsw.Connection, sql: str, names: Sequence[str]
) -> Iterable[tuple[Any, ...]]:
    if not names:
        return ()
    if len(names) > 1:
        return sqlite.execute(sql.format(_EVERY))
    return sqlite.execute(sql.format("SELECT ?"), names)


def check_columns(table: Table, made: Sequence[tuple[Any, ...]]) -> None:
    """
    Check that a table's SQL has made the columns that the catalog says it has.

    :param made: of each: name, declared type, place in the primary key (0: none).
    :raises DatabaseError: others.
    """
    # SQLite spells some types in capitals, whatever was written.
    said = [(one.name, one.declared.upper()) for one in table.columns if not one.hidden]
    rows = sorted((row for row in made if row[2]), key=lambda row: int(row[2]))
    key = tuple(row[0] for row in rows)
    hidden = {one.name for one in table.columns if one.hidden}
    if said != [(row[0], row[1].upper()) for row in made] or (
        table.primary_key != key
        if key
        else len(table.primary_key) != 1 or not hidden.issuperset(table.primary_key)
    ):
        raise _differs("table", table.name)


def check_parts(
    table: Table, index: Index, parts: Sequence[tuple[str | None, str]]
) -> None:
    """
    Check that an index's SQL has made one of the columns that the catalog says it has.

    :param parts: of each: the column's name, None for an expression, and its collation.
    :raises DatabaseError: it is of others.
    """
    hidden = {one.name for one in table.columns if one.hidden}
    names = index.columns
    # A condition is one more hidden column.
    extra = len(names) - len(parts)
    if not (extra == 0 or (extra == 1 and names[-1] in hidden)) or any(
        name not in hidden
        and (
            name != column
            or (collation != "BINARY" and table.column(name).type in TEXT)
        )
        for name, (column, collation) in zip(names, parts, strict=False)
    ):
        raise _differs("index", index.name)


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


def _differs(kind: str, name: str) -> DatabaseError:
    return DatabaseError(
        f"The catalog's SQL of the {kind} {shown(name)} defines other columns than"
        " the catalog. Another program may have written to the database."
    )


def _refused(kind: str, name: str, sql: str) -> DatabaseError:
    return DatabaseError(
        f"The catalog's SQL of the {kind} {shown(name)} isn't the definition of a"
        f" {kind}, and wasn't executed: {shown(sql)}. Another program may have"
        " written to the database."
    )
