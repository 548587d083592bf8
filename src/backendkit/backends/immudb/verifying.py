"""Proving tables: what they look like, and each of their rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from backendkit.stores import InternalError, ProgrammingError

from .asking import RowsPast
from .catalog import OWN, introspect, read_schema
from .names import physical, quoted

if TYPE_CHECKING:
    from .driver import Connection

#: No more rows than this come in one message; immudb sends up to 2,500.
_BATCH = 4096


@dataclasses.dataclass(frozen=True)
class Verifiable:
    """
    A table to prove.

    :param name: as Django knows it.
    :param primary_key: immudb's names of its columns, in their order.
    """

    name: str
    primary_key: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Break:
    """
    What isn't as it was written, or can't be shown to be.

    :param table: None if it is about more than one.
    :param primary_key: None if it isn't known which row it is.
    """

    table: str | None
    primary_key: tuple[Any, ...] | None
    problem: str

    def __str__(self) -> str:
        if self.table is None:
            return self.problem
        if self.primary_key is None:
            return f"{self.table}: {self.problem}"
        shown = ", ".join(map(repr, self.primary_key))
        return f"{self.table}: row {shown}: {self.problem}"


class Broken(Exception):
    """It carries the :class:`Break`."""

    def __init__(self, found: Break) -> None:
        super().__init__(str(found))
        self.found = found


def find_tables(reader: Connection) -> dict[str, Verifiable]:
    """Return all tables of a database by name, our own three included."""
    tables = [one.table for one in read_schema(reader).stored.values()]
    there = {name for (name,) in reader.query("SELECT name FROM TABLES()").rows}
    tables += [introspect(reader, name).table for name in there & OWN]
    return {
        table.name: Verifiable(table.name, tuple(map(physical, table.primary_key)))
        for table in sorted(tables, key=lambda table: table.name)
    }


def prove_tables(
    prover: Connection, tables: Iterable[Verifiable], step: Callable[[], None]
) -> None:
    """
    Prove what tables look like.

    :param step: called after each transaction of the database.
    :raises Broken: that isn't proven.
    """
    from .driver import TamperedError  # noqa: PLC0415  # gRPC is loaded when it is used

    try:
        prover.verify_tables([physical(table.name) for table in tables], step)
    except (TamperedError, InternalError) as error:
        raise Broken(Break(None, None, str(error))) from error


def prove_rows(
    reader: Connection,
    prover: Connection,
    table: Verifiable,
    step: Callable[[], None],
) -> int:
    """
    Prove all rows of a table as they are read.

    Rows that are changed or deleted meanwhile are proven as they are then.

    :param reader: whose answers aren't trusted; another connection than ``prover``.
    :param step: called after each row.
    :return: how many rows there are.
    :raises Broken: a row isn't proven, isn't what was read, or can't be read.
    """
    until = reader.state().txId
    source = f"FROM {quoted(table.name)} UNTIL TX {until}"
    done = 0
    key: tuple[Any, ...] | None = None
    try:
        stream = reader.stream(f"SELECT * {source}")
        for batch in stream:
            for values in batch:
                row = dict(zip(stream.names, values, strict=True))
                kinds = dict(zip(stream.names, stream.types, strict=True))
                key = tuple(row[name] for name in table.primary_key)
                problem = _problem(prover, table, key, row, kinds, until)
                if problem is not None:
                    stream.close()
                    raise Broken(Break(table.name, key, problem))
                done += 1
                step()
    except InternalError as error:
        place = _unreadable(reader, table, source, done, key)
        raise Broken(
            Break(table.name, None, f"{place} can't be read: {error}")
        ) from error
    return done


def _problem(
    prover: Connection,
    table: Verifiable,
    key: tuple[Any, ...],
    row: Mapping[str, Any],
    kinds: Mapping[str, str],
    until: int,
) -> str | None:
    """Return what is wrong with a row that was read; None if nothing is."""
    from .driver import TamperedError  # noqa: PLC0415  # gRPC is loaded when it is used

    name = physical(table.name)
    try:
        try:
            found = prover.verified_get(name, key)
        except ProgrammingError:
            # Maybe it is deleted by now: then it was written before.
            values = dict(zip(table.primary_key, key, strict=True))
            tx = RowsPast(prover, table.name, values, kinds).last_write(until)
            if not tx:
                return "the server returned the row, but has no proof of it"
            found = prover.verified_get(name, key, at=tx)
    except (TamperedError, InternalError, ProgrammingError) as error:
        return str(error)
    if found.tx > until:
        return None
    if found.row.keys() != row.keys():
        # Maybe its table has changed by now.
        now = prover.query(f"SELECT * FROM {quoted(table.name)} LIMIT 1").names
        if found.row.keys() != set(now):
            return "the server returned other columns than the table has"
    wrong = [
        name
        for name in row
        if name in found.row
        and _meaning(found.row[name], kinds[name]) != _meaning(row[name], kinds[name])
    ]
    if wrong:
        return (
            f"{', '.join(wrong)}: the server returned other values than transaction"
            f" {found.tx} wrote"
        )
    return None


def _meaning(value: Any, kind: str) -> Any:
    """Return a value to compare: immudb rewrites JSON when it is read."""
    return json.loads(value) if kind == "JSON" and value is not None else value


def _unreadable(
    reader: Connection,
    table: Verifiable,
    source: str,
    done: int,
    key: tuple[Any, ...] | None,
) -> str:
    """Return which row it is that the server stops at: the one before it is known."""
    names = ", ".join(f'"{name}"' for name in table.primary_key)
    good, bad = 0, _BATCH
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            rows = reader.query(
                f"SELECT {names} {source} LIMIT {middle} OFFSET {done}"
            ).rows
        except InternalError:
            bad = middle
        else:
            good = middle
            key = rows[-1] if rows else key
    if key is None:
        return "its first row"
    return f"the row after {', '.join(map(repr, key))}"
