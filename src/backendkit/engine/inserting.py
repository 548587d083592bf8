"""INSERT by the compiler: RETURNING and ON CONFLICT, which virtual tables lack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from backendkit.stores import Row

from .compiled import Insert
from .errors import reraise
from .placeholders import to_qmark
from .running import Running
from .values import BINDING_ERRORS, adapt_all, reraise_binding, row_converter

_PLAIN = "%s"
#: What Django writes for a key that the database is to number.
_NULL = "NULL"


def run(
    running: Running, insert: Insert, params: Sequence[Any]
) -> tuple[int, list[tuple[Any, ...]]]:
    """
    Carry out an INSERT; return how many rows it changed, and what it returns.

    :param params: the values of all plain placeholders, row by row.
    """
    connection = running.connection
    table = connection.tables.named(insert.table, running.session.catalog())
    writer = connection.tables.writer(running.session, table)
    numbers = [writer.number(name) for name in insert.columns]
    rows: list[Row]
    values = _rows(running, insert, params)
    if insert.on_conflict is None:
        rows = writer.insert(numbers, values)
    else:
        update = [writer.number(name) for name in insert.update_columns]
        target = [writer.number(name) for name in insert.unique_columns]
        if insert.on_conflict == "update":
            target = writer.find_target(target)
        rows = []
        for given in values:
            row = writer.insert_one(
                numbers,
                given,
                on_conflict=insert.on_conflict,
                update=update,
                target=target,
            )
            if row is not None:
                rows.append(row)
    if running.trace is not None:
        entry = running.trace_call(table.name, "insert")
        entry["rows"] = len(rows)
    if not insert.returning:
        return len(rows), []
    places = [writer.number(name) for name in insert.returning]
    convert = row_converter([table.columns[place] for place in places])
    returned: list[tuple[Any, ...]] = []
    for row in rows:
        picked = tuple(row[place] for place in places)
        returned.append(picked if convert is None else tuple(convert(picked)))
    return len(rows), returned


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
