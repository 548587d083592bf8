"""INSERT with RETURNING and ON CONFLICT, which virtual tables lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from backendkit.stores import OperationalError, Row, Table

from .compiled import Insert
from .errors import reraise
from .insert_clauses import InsertClauses
from .placeholders import to_qmark
from .running import Running
from .tokens import TokenKind, quote, tokenize
from .values import BINDING_ERRORS, adapt_all, reraise_binding, row_converter
from .writer import TableWriter

_PLAIN = "%s"
#: What Django writes for a key that the database is to number.
_NULL = "NULL"


def run(
    running: Running, insert: Insert, params: Sequence[Any]
) -> tuple[int, list[tuple[Any, ...]]]:
    """
    Carry out an INSERT of the compiler.

    :param params: the values of all plain placeholders, row by row.
    :returns: how many rows it changed, and what it returns.
    """
    writer = _writer(running, insert.table)
    values = _rows(running, insert, params)
    rows = list(_store(running, writer, insert, insert.columns, values))
    return len(rows), _picked(writer, insert.returning, rows)


def run_clauses(
    running: Running, insert: InsertClauses, bindings: Any
) -> tuple[int, list[tuple[Any, ...]], str]:
    """
    Carry out an INSERT that was read from its text; as :func:`run`.

    :param bindings: its parameters, a sequence or a mapping, in SQLite's terms.
    :returns: also a SELECT that returns such rows, to learn the names of the columns.
    """
    writer = _writer(running, insert.table)
    table = writer.table
    names = {column.name.lower() for column in table.columns if not column.hidden}
    columns = insert.columns
    if columns is None:
        generated = running.connection.declarations.expressions(table).generated
        columns = tuple(
            column.name
            for column in table.columns
            if not column.hidden and column.name not in generated
        )
    given: list[tuple[Any, ...]] = [()]
    if insert.source:
        given = _all(running, insert.source, bindings)
        if given and len(given[0]) != len(columns):
            msg = f"{len(given[0])} values for {len(columns)} columns"
            raise OperationalError(msg)
    for name in (*columns, *insert.update_columns, *insert.unique_columns):
        if name.lower() not in names:
            msg = f"table {table.name} has no column named {name}"
            raise OperationalError(msg)
    writer.refuse_generated(map(writer.number, columns), "INSERT into")
    stored = _store(running, writer, insert, columns, given)
    plain = insert.returned
    if plain is not None and names.issuperset(map(str.lower, plain)):
        rows = list(stored)
        select = f"SELECT {', '.join(map(quote, plain))} FROM {quote(table.name)}"
        return len(rows), _picked(writer, plain, rows), select
    count, returned = 0, []
    select = f"SELECT {insert.returning or 'NULL'} FROM {quote(table.name)}"
    if insert.returning:
        _all(running, f"{select} WHERE 0", bindings)  # wrong, it is so without a row
    for row in stored:
        count += 1
        if insert.returning:
            # Each row as it is now: a later one may change it.
            returned += _all(running, f"{select} WHERE {_key(table, row)}", bindings)
    return count, returned, select


def _key(table: Table, row: Row) -> str:
    """Return the condition that a row has its primary key."""
    columns = [table.column(name) for name in table.primary_key]
    convert = row_converter(columns)
    key: Any = table.key_of(row)
    conditions = []
    for column, value in zip(columns, convert(key) if convert else key, strict=True):
        name = "rowid" if column.hidden else quote(column.name)
        conditions.append(f"{name} = {apsw.format_sql_value(value)}")
    return " AND ".join(conditions)


def numbered_bindings(sql: str, bindings: Any) -> Any:
    """Return those of the parameters that a part of a statement has."""
    if isinstance(bindings, Mapping):
        return bindings
    numbers = (
        int(token.text[1:])
        for token in tokenize(sql)
        if token.kind is TokenKind.PARAMETER and token.text[1:].isdigit()
    )
    return tuple(bindings)[: max(numbers, default=0)]


def _all(running: Running, sql: str, bindings: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a SELECT that is a part of the statement."""
    some = numbered_bindings(sql, bindings)
    try:
        rows = running.connection.sqlite.execute(sql, some).fetchall()
    except apsw.Error as error:
        reraise(error)
    except BINDING_ERRORS as error:
        reraise_binding(some, error)
    running.connection.raise_failure()
    return rows


def _writer(running: Running, name: str) -> TableWriter:
    tables = running.connection.tables
    table = tables.named(name, running.session.catalog())
    if not table.columns:
        raise OperationalError(f"cannot modify {table.name} because it is a view")
    return tables.writer(running.session, table)


def _store(
    running: Running,
    writer: TableWriter,
    insert: Insert | InsertClauses,
    columns: Sequence[str],
    values: Iterable[Sequence[Any]],
) -> Iterator[Row]:
    """Store the rows; return each as it is then, those left out aside."""
    numbers = [writer.number(name) for name in columns]
    writer.last_rowid = None
    count = 0
    if insert.on_conflict is None:
        rows = writer.insert(numbers, values)
        count = len(rows)
        yield from rows
    else:
        update = [writer.number(name) for name in insert.update_columns]
        target = [writer.number(name) for name in insert.unique_columns]
        if insert.on_conflict == "update":
            target = writer.find_target(target)
        for given in values:
            row = writer.insert_one(
                numbers,
                given,
                on_conflict=insert.on_conflict,
                update=update,
                target=target,
            )
            if row is not None:
                count += 1
                yield row
    if writer.last_rowid is not None:
        running.connection.sqlite.set_last_insert_rowid(writer.last_rowid)
    if running.trace is not None:
        entry = running.trace_call(writer.table.name, "insert")
        entry["rows"] = count


def _picked(
    writer: TableWriter, names: Sequence[str], rows: Sequence[Row]
) -> list[tuple[Any, ...]]:
    """Return columns of rows, in SQLite's terms."""
    if not names:
        return []
    places = [writer.number(name) for name in names]
    convert = row_converter([writer.table.columns[place] for place in places])
    returned: list[tuple[Any, ...]] = []
    for row in rows:
        picked = tuple(row[place] for place in places)
        returned.append(picked if convert is None else tuple(convert(picked)))
    return returned


def _rows(
    running: Running, insert: Insert, params: Sequence[Any]
) -> Iterator[Sequence[Any]]:
    """Return the values of each row; expressions are SQLite's to compute."""
    width = len(insert.columns)
    if all(text == _PLAIN for row in insert.rows for text in row):
        for start in range(0, len(params), width):
            yield params[start : start + width]
        return
    values = iter(params)
    for row in insert.rows:
        given: list[Any] = [None] * width
        computed = []
        for place, text in enumerate(row):
            if text == _PLAIN:
                given[place] = next(values)
            elif text != _NULL:
                marks = to_qmark(text).count("?")
                computed.append((place, text, [next(values) for _ in range(marks)]))
        if computed:
            sql = "SELECT " + ", ".join(to_qmark(text) for _, text, _ in computed)
            bindings = [value for *_, some in computed for value in some]
            try:
                (results,) = running.connection.sqlite.execute(
                    sql, tuple(adapt_all(bindings))
                ).fetchall()
            except apsw.Error as error:
                reraise(error)
            except BINDING_ERRORS as error:
                reraise_binding(adapt_all(bindings), error)
            for (place, *_), value in zip(computed, results, strict=True):
                given[place] = value
        yield given
