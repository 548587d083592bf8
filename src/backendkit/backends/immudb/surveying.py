"""What ``migrate`` finds out of tables that an older version made: their far times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from backendkit.stores import ConflictError

from .catalog import META, TABLES, Stored, read_schema, read_version
from .names import quoted
from .times import FIRST, LAST, time_columns

if TYPE_CHECKING:
    from .driver import Connection
    from .store import ImmudbStore

#: How often it is tried, while others change the catalog.
_TRIES = 5


def survey(store: ImmudbStore) -> None:
    """
    Note which columns have times that an index has in the wrong place.

    Only of tables of which that isn't known: each of them is read once as a whole.

    :raises ConflictError: the catalog was changed again and again meanwhile.
    """
    for _ in range(_TRIES):
        with store.other() as connection:
            unknown = {
                name: stored
                for name, stored in read_schema(connection).stored.items()
                if stored.ours and stored.far_times is None and stored.table.columns
            }
            if not unknown:
                return
            # Who commits a far time from here on notes it, and changes the catalog.
            until = connection.state().txId
            found = {
                name: dataclasses.replace(
                    stored, far_times=_far_times(connection, stored, until)
                )
                for name, stored in unknown.items()
            }
            try:
                if _note(connection, unknown, found):
                    return
            except ConflictError:
                continue
            finally:
                if connection.in_transaction:
                    connection.rollback()
                store.shared.forget_schema()
    raise ConflictError("others change the tables all the time")


def _far_times(connection: Connection, stored: Stored, until: int) -> frozenset[str]:
    table = stored.table
    source = (
        f"SELECT {quoted(table.primary_key[0])} FROM {quoted(table.name)}"
        f" UNTIL TX {until}"
        f" USE INDEX ON ({', '.join(map(quoted, table.primary_key))})"
    )
    found = set()
    for name in time_columns(table):
        column = quoted(name)
        for test, bound in (("<", FIRST), (">", LAST)):
            # What is behind NOT is no range of an index.
            inverse = ">=" if test == "<" else "<="
            sql = (
                f"{source} WHERE NOT ({column} {inverse} ?) AND {column} IS NOT NULL"
                " LIMIT 1"
            )
            # As a stream, it may take any time.
            if any(connection.stream(sql, (bound,))):
                found.add(name)
                break
    return frozenset(found)


def _note(
    connection: Connection, before: Mapping[str, Stored], after: Mapping[str, Stored]
) -> bool:
    """Write definitions, if they are still those; return whether they are."""
    connection.begin()
    version = read_version(connection)
    for name, stored in before.items():
        asked = f"SELECT definition FROM {TABLES} WHERE name = ?"
        rows = connection.query(asked, (name,)).rows
        if [Stored.from_json(document) for (document,) in rows] != [stored]:
            return False
    for name, stored in after.items():
        sql = f"UPSERT INTO {TABLES} (name, definition) VALUES (?, ?)"
        connection.run(sql, (name, stored.to_json()))
    connection.run(f"UPSERT INTO {META} (id, version) VALUES (1, ?)", (version + 1,))
    connection.commit()
    return True
