"""What is sent to commit changes: statements of immudb's SQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from backendkit.stores import Column, Row, RowChange, Table, TableChange

from .catalog import Stored
from .names import quoted
from .types import declaration, encode, indexed_columns, is_sized, lengths

#: A statement and what is bound.
Statement = tuple[str, Sequence[Any]]

#: Entries of a row, where it isn't one. A row that leaves its place in an index has two
#: there, and immudb 1.11 doesn't count the second: with more of them than a transaction
#: may have, it ends with an index out of range, and so does each start after it.
WEIGHTS = {"replace": 2}

#: Rows and bytes of one INSERT, about; a row that has more goes alone.
_ROWS, _BYTES = 500, 1_000_000


def create(table: Table) -> tuple[Stored, list[Statement]]:
    """Return how a new table is kept, and what makes it and its indexes."""
    if not table.columns:  # a view, which is the engine's
        return Stored(table, {}, frozenset()), []
    sizes = lengths(table)
    columns = [_column(column, sizes) for column in table.columns]
    key = ", ".join(map(quoted, table.primary_key))
    name = quoted(table.name)
    statements: list[Statement] = [
        (f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({key}))", ())
    ]
    indexes = indexed_columns(table)
    statements += [create_index(table.name, columns) for columns in indexes]
    return Stored(table, sizes, frozenset(indexes)), statements


def _column(column: Column, sizes: Any) -> str:
    # NOT NULL, CHECK and AUTO_INCREMENT are ours: immudb's differ from SQL's.
    return f"{quoted(column.name)} {declaration(column, sizes.get(column.name))}"


def create_index(table: str, columns: Sequence[str]) -> Statement:
    return f"CREATE INDEX ON {quoted(table)}({', '.join(map(quoted, columns))})", ()


def drop_index(table: str, columns: Sequence[str]) -> Statement:
    return f"DROP INDEX ON {quoted(table)}({', '.join(map(quoted, columns))})", ()


def rename(table: str, to: str) -> Statement:
    return f"ALTER TABLE {quoted(table)} RENAME TO {quoted(to)}", ()


def needs_copy(stored: Stored, change: TableChange) -> bool:
    """Whether a table has to be copied: a text in a new index has no length yet."""
    after = change.after
    assert after is not None
    if change.filled and change.rows:
        # A row can be written once: by filling all rows, or by itself.
        return True
    sizes = _moved(stored.lengths, change)
    known = {
        tuple(map(change.sources.get, columns)) for columns in indexed_columns(after)
    }
    if known <= stored.indexes:
        return False
    wanted = lengths(after)
    return any(
        name in change.sources
        and is_sized(after.column(name).type)
        and sizes.get(name, 2**31) > length
        for name, length in wanted.items()
    )


def _moved(sizes: Any, change: TableChange) -> dict[str, int]:
    """Return lengths by the new names of columns."""
    return {
        name: sizes[source]
        for name, source in change.sources.items()
        if source in sizes
    }


def alter(
    stored: Stored, change: TableChange, mark: str
) -> tuple[Stored, list[Statement], list[Statement]]:
    """
    Return how a changed table is kept then, what changes it, and what tidies up later.

    The table has its new name already. A column whose index is dropped can't be dropped
    in the same transaction: it gets a name that nobody knows, and goes after it.

    :param mark: what no other change has, for such names.
    """
    before, after = change.before, change.after
    assert before is not None
    assert after is not None
    name = quoted(after.name)
    former = {source: new for new, source in change.sources.items()}
    wanted = indexed_columns(after)
    statements: list[Statement] = []
    kept: list[tuple[str, ...]] = []
    for columns in sorted(stored.indexes):
        moved = tuple(former.get(column, "") for column in columns)
        if moved in wanted:
            kept.append(moved)
        else:
            statements.append(drop_index(after.name, columns))
    later: list[Statement] = []
    indexed = {column for columns in stored.indexes for column in columns}
    gone = [column.name for column in before.columns if column.name not in former]
    for number, old in enumerate(gone):
        last = quoted(old)
        if old in indexed:
            last = quoted(f"backendkit_gone_{mark}_{number}")
            sql = f"ALTER TABLE {name} RENAME COLUMN {quoted(old)} TO {last}"
            statements.append((sql, ()))
        drop: Statement = (f"ALTER TABLE {name} DROP COLUMN {last}", ())
        (later if old in indexed else statements).append(drop)
    statements += _rename_columns(name, former)
    sizes = _moved(stored.lengths, change)
    fresh = lengths(after)
    added = [column for column in after.columns if column.name not in change.sources]
    for column in added:
        if column.name in fresh:
            sizes[column.name] = fresh[column.name]
        statements.append(
            (f"ALTER TABLE {name} ADD COLUMN {_column(column, sizes)}", ())
        )
    filled = [
        (column, change.fill[column.name])
        for column in added
        if change.fill.get(column.name) is not None
    ]
    if filled:
        parts = ", ".join(f"{quoted(column.name)} = ?" for column, _ in filled)
        values = [encode(column.type, value) for column, value in filled]
        statements.append((f"UPDATE {name} SET {parts}", values))
    statements += [
        create_index(after.name, columns) for columns in wanted if columns not in kept
    ]
    kept_as = dataclasses.replace(
        stored, table=after, lengths=sizes, indexes=frozenset(wanted)
    )
    return kept_as, statements, later


def _rename_columns(table: str, former: dict[str, str]) -> Iterator[Statement]:
    """Rename columns, also where they exchange their names."""
    renames = {old: new for old, new in former.items() if quoted(old) != quoted(new)}
    taken = {quoted(old) for old in former}
    sql = f"ALTER TABLE {table} RENAME COLUMN"
    for number, old in enumerate(renames):
        if quoted(renames[old]) in taken:
            yield f'{sql} {quoted(old)} TO "backendkit_{number}"', ()
    for number, (old, new) in enumerate(renames.items()):
        source = f'"backendkit_{number}"' if quoted(new) in taken else quoted(old)
        yield f"{sql} {source} TO {quoted(new)}", ()


# Rows


def insert(
    table: Table, rows: Iterable[Row], verb: str = "INSERT"
) -> Iterator[Statement]:
    """Return statements that write whole rows: UPSERT replaces those that are there."""
    names = ", ".join(quoted(column.name) for column in table.columns)
    kinds = [column.type for column in table.columns]
    one = f"({', '.join('?' * len(kinds))})"
    head = f"{verb} INTO {quoted(table.name)} ({names}) VALUES "
    every = list(rows)
    waiting = [every[n : n + _ROWS] for n in reversed(range(0, len(every), _ROWS))]
    while waiting:
        part = waiting.pop()
        values = [
            encode(kind, value)
            for row in part
            for kind, value in zip(kinds, row, strict=True)
        ]
        half = len(part) // 2
        if half and size(values) > _BYTES:
            waiting += part[half:], part[:half]
            continue
        yield head + ", ".join([one] * len(part)), values


def size(values: Iterable[Any]) -> int:
    """Return how many bytes a request has of values, about."""
    return sum(
        [len(value) if isinstance(value, str | bytes) else 10 for value in values]
    )


def replace(table: Table, row: Row) -> Statement:
    """
    Return a statement that replaces a row whose place in an index changes.

    An UPDATE or UPSERT would write a mark at the old place, with a key that a row has
    which comes there in the same transaction, and immudb refuses one of them. This one
    leaves the index to the indexer.
    """
    names = [quoted(column.name) for column in table.columns]
    values = [
        encode(column.type, value)
        for column, value in zip(table.columns, row, strict=True)
    ]
    marks = ", ".join("?" * len(names))
    rest = [
        (name, value)
        for column, name, value in zip(table.columns, names, values, strict=True)
        if column.name not in table.primary_key
    ]
    parts = ", ".join(f"{name} = ?" for name, _ in rest)
    sql = (
        f"INSERT INTO {quoted(table.name)} ({', '.join(names)}) VALUES ({marks})"
        f" ON CONFLICT DO UPDATE SET {parts}"
    )
    return sql, [*values, *(value for _, value in rest)]


def delete(table: Table, key: Sequence[Any]) -> Statement:
    """Return a statement that deletes the row of a primary key."""
    kinds = [table.column(name).type for name in table.primary_key]
    parts = [
        f"{quoted(name)} = {'CAST(? AS UUID)' if kind == 'uuid' else '?'}"
        for name, kind in zip(table.primary_key, kinds, strict=True)
    ]
    values = [encode(kind, value) for kind, value in zip(kinds, key, strict=True)]
    return f"DELETE FROM {quoted(table.name)} WHERE {' AND '.join(parts)}", values


def row_actions(
    stored: Stored, changes: Sequence[RowChange], *, same: bool
) -> Iterator[tuple[str, Sequence[Row]]]:
    """
    Return what happens to the changed rows of a table: see :func:`of_action`.

    :param same: whether the committed rows have the columns of the table.
    """
    at = stored.table.positions
    places = [[at[name] for name in columns] for columns in stored.indexes]
    found: dict[str, list[Row]] = {
        verb: [] for verb in ("delete", "upsert", "replace", "insert")
    }
    for change in changes:
        old, new = change.old, change.new
        if new is None:
            found["delete"].append(change.key)
        elif old is None:
            found["insert"].append(new)
        else:
            stays = same and all(
                old[place] == new[place] for columns in places for place in columns
            )
            found["upsert" if stays or not places else "replace"].append(new)
    yield from found.items()


def weight(stored: Stored, changes: Sequence[RowChange]) -> int:
    """Return how many entries changed rows have, as :func:`row_actions` writes them."""
    if not stored.indexes:
        return len(changes)
    found = row_actions(stored, changes, same=True)
    return sum(len(rows) * WEIGHTS.get(verb, 1) for verb, rows in found)


def of_action(table: Table, verb: str, rows: Sequence[Row]) -> Iterator[Statement]:
    """
    Return statements that change rows.

    :param verb: ``insert`` them; ``upsert`` those that keep their places in indexes,
        ``replace`` those that don't; ``delete`` those of primary keys.
    """
    if verb == "delete":
        for key in rows:
            yield delete(table, key)
    elif verb == "replace":
        for row in rows:
            yield replace(table, row)
    else:
        yield from insert(table, rows, verb.upper())


def write_rows(
    stored: Stored, changes: Sequence[RowChange], *, same: bool
) -> Iterator[Statement]:
    """
    Return statements for the changed rows of a table.

    :param same: whether the committed rows have the columns of the table.
    """
    for verb, rows in row_actions(stored, changes, same=same):
        yield from of_action(stored.table, verb, rows)
