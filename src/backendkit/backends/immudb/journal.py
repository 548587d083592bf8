"""Large transactions: their changes are written to a journal, then applied in parts."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from backendkit import clock
from backendkit.clock import real
from backendkit.stores import (
    PYTHON_TYPES,
    ConflictError,
    Error,
    IntegrityError,
    InternalError,
    OperationalError,
    ProgrammingError,
    Row,
    Table,
)

from . import changes as statements
from .catalog import CREATE_OWN, JOURNAL, META, TABLES, Stored, introspect
from .changes import Statement
from .gate import GATE, PAUSE, PROGRESS, TOTAL, Gate, read_gate
from .names import physical
from .sending import send_all

if TYPE_CHECKING:
    from .driver import Connection

#: The version of what is in a journal. A newer one isn't applied.
FORMAT = 1
#: Rows and bytes of one part, about. It is one row of the journal.
_ROWS, _BYTES = 800, 1_000_000
#: Deletes some parts of a journal; each may be large, so not all at once.
_DELETE = f"DELETE FROM {JOURNAL} WHERE journal = ? LIMIT 400"
#: Bytes of parts that are written at once, about.
_REQUEST = 4_000_000
#: Bits of a journal's number behind the second in which it was begun.
_RANDOM = 30
#: Entries that a part has when it is applied. immudb's indexer reads, for each row that
#: is changed, the transaction that wrote it before, from its beginning: rows that came in
#: large ones are slow to change, by half a millisecond for each 100 of them.
_APPLIED = 128
#: Those of the gate in each of them.
_OWN_ENTRIES = 4
#: Seconds without progress after which another one goes on.
TAKE_OVER = 2.0
#: Seconds after which a journal that was never committed is garbage.
_GARBAGE = 86_400.0


class _Action(msgspec.Struct, array_like=True):
    """Rows of one table that are treated alike; of a deletion, their primary keys."""

    table: str
    verb: str
    rows: msgspec.Raw


class Action(NamedTuple):
    """
    Some rows of a table, and what happens to them.

    :param verb: ``insert``, ``upsert``, ``replace`` or ``delete``.
    :param rows: whole rows; primary keys to delete.
    """

    table: Table
    verb: str
    rows: Sequence[Row]


_pack = msgspec.msgpack.Encoder(uuid_format="bytes", decimal_format="string").encode
_actions = msgspec.msgpack.Decoder(list[_Action]).decode


def _rows_of(table: Table, verb: str, data: msgspec.Raw) -> list[Row]:
    columns = table.columns
    if verb == "delete":
        columns = tuple(map(table.column, table.primary_key))
    # A type built at run time: no type checker can follow.
    fields = tuple(PYTHON_TYPES[column.type] | None for column in columns)
    row_type: Any = tuple.__class_getitem__(fields)
    decoder: Any = msgspec.msgpack.Decoder(list[row_type])
    found: list[Row] = decoder.decode(data)
    return found


# Writing


def new_gate(rows: int = 0, journal: int | None = None) -> Gate:
    """Return the gate for a transaction that is going to be committed."""
    if journal is None:
        journal = new_number()
    return Gate(journal=journal, total=rows << 8 | FORMAT)


def new_number() -> int:
    """Return a number that no journal has: the second of now, and chance."""
    second = int(real.datetime.now().timestamp())
    return second << _RANDOM | secrets.randbits(_RANDOM)


def prepare(connection: Connection) -> bool:
    """
    Make the table for journals, unless it is there; return whether it wasn't.

    If it is there, what is left of the last journal is deleted: who had applied it may
    have been killed before it could do that.

    :param connection: in no transaction.
    """
    try:
        connection.query(f"SELECT part FROM {JOURNAL} LIMIT 1")
    except ProgrammingError as error:
        if "does not exist" not in str(error):
            raise
        connection.run("; ".join(CREATE_OWN))
        return True
    gate = read_gate(connection)
    if not gate.closed:
        _delete(connection, -gate.journal)
    return False


def _delete(connection: Connection, journal: int) -> None:
    """Delete a journal that was applied, or abandoned. If it stays, nobody minds."""
    with contextlib.suppress(Error):
        while (done := connection.run(_DELETE, (journal,))) and done.rows:
            pass


def write(connection: Connection, actions: Iterable[Action]) -> Gate:
    """
    Write a journal, which nobody looks at before the gate names it.

    :param connection: in no transaction.
    :return: the gate that it will have, but for the version.
    """
    journal = new_number()
    waiting: list[Any] = []
    size = rows = 0
    for count, data in _parts(actions):
        if waiting and size + len(data) > _REQUEST:
            _insert(connection, waiting)
            waiting, size = [], 0
        waiting += journal, rows, data
        rows += count
        size += len(data)
    _insert(connection, waiting)
    return new_gate(rows, journal)


def _insert(connection: Connection, values: list[Any]) -> None:
    if not values:
        return
    marks = ", ".join(["(?, ?, ?)"] * (len(values) // 3))
    sql = f"INSERT INTO {JOURNAL} (journal, part, data) VALUES {marks}"
    connection.run(sql, values)


def _parts(actions: Iterable[Action]) -> Iterator[tuple[int, bytes]]:
    """Return how many rows each part has, and what it is as bytes."""
    part: list[_Action] = []
    number = size = 0
    for table, verb, rows in actions:
        start = 0
        while start < len(rows):
            count = _fitting(rows, start, _ROWS - number, _BYTES - size)
            if not count and part:
                yield number, _pack(part)
                part, number, size = [], 0, 0
                continue
            count = count or 1  # which is larger than a part, and goes alone
            data = _pack(rows[start : start + count])
            part.append(_Action(table.name, verb, msgspec.Raw(data)))
            start += count
            number += count
            size += len(data)
    if part:
        yield number, _pack(part)


def _fitting(rows: Sequence[Row], start: int, most: int, room: int) -> int:
    """Return how many of the next rows have so many bytes at most, about."""
    count = 0
    for row in rows[start : start + most]:
        room -= statements.size(row)
        if room < 0:
            break
        count += 1
    return count


def set_gate(gate: Gate) -> Statement:
    """Return what closes or opens the gate, or says how far a journal is applied."""
    sql = f"UPSERT INTO {META} (id, version) VALUES (?, ?), (?, ?), (?, ?)"
    return sql, [GATE, gate.journal, PROGRESS, gate.progress, TOTAL, gate.total]


# Applying


class Applying:
    """
    Apply a journal, as one of those who do it at the same time.

    Each part is a transaction that reads how far the others have come, and says how far
    it has.

    :param connection: in no transaction.
    :param limit: entries that a transaction may have.
    """

    def __init__(self, connection: Connection, journal: int, limit: int) -> None:
        self._connection = connection
        self._journal = journal
        self._limit = min(limit, _APPLIED)
        self._stored: dict[str, Stored] = {}
        #: Whether rows that it inserts may be there.
        self._replaces = False
        self._part: tuple[int, list[Action]] = (0, [])

    def run(self, gate: Gate) -> None:
        """
        Apply what is left, and open the gate.

        :param gate: as it was seen after the pause in which everybody notices it.
        :raises OperationalError: a newer version has written it, or the server refuses
            a part. The gate stays closed, and nothing is lost.
        """
        total, version = divmod(gate.total, 256)
        if version > FORMAT:
            raise OperationalError(
                "A newer version of backendkit has begun a large transaction in this"
                " database and hasn't finished it. Let a process of that version"
                " connect, which does it, or install it here."
            )
        while gate.journal == self._journal:
            done = gate.progress
            actions = list(self._next(done))
            count = sum(len(action.rows) for action in actions)
            if not count and done < total:
                # Somebody else has applied it, and tidied up.
                last, gate = gate, read_gate(self._connection)
                if gate == last:
                    raise InternalError(
                        "A large transaction was committed, and a part of its journal"
                        f" is missing: the rows from {done:,} on. Restore a backup."
                    )
                continue
            moved = self._apply(gate, actions, done + count, total)
            gate = moved if moved is not None else read_gate(self._connection)
        self._tidy()

    def _next(self, done: int) -> Iterator[Action]:
        """Return the actions that come next, as many as go into a transaction."""
        first, actions = self._part
        count = sum(len(action.rows) for action in actions)
        if not first <= done < first + count:
            first, actions = self._read(done)
        # One row at least, whatever it weighs.
        room = max(self._limit - _OWN_ENTRIES, 2)
        at = first
        for action in actions:
            weight = statements.WEIGHTS.get(action.verb, 1)
            rows = action.rows[max(done - at, 0) :][: room // weight]
            at += len(action.rows)
            room -= len(rows) * weight
            if rows:
                yield action._replace(rows=rows)
            if at > done and room < 2:
                return

    def _read(self, done: int) -> tuple[int, list[Action]]:
        asked = f"SELECT part, data FROM {JOURNAL} WHERE journal = ?"
        asked += " AND part <= ? ORDER BY journal DESC, part DESC LIMIT 1"
        rows = self._connection.query(asked, (self._journal, done)).rows
        if not rows:
            return done, []
        first, data = rows[0]
        found = []
        for one in _actions(data):
            table = self._table(one.table).table
            found.append(Action(table, one.verb, _rows_of(table, one.verb, one.rows)))
        self._part = first, found
        return first, found

    def _table(self, name: str) -> Stored:
        known = self._stored.get(name)
        if known is None:
            asked = f"SELECT definition FROM {TABLES} WHERE name = ?"
            rows = self._connection.query(asked, (name,)).rows
            if rows:
                known = Stored.from_json(rows[0][0])
            else:  # another client's
                known = introspect(self._connection, physical(name))
            self._stored[name] = known
        return known

    def _apply(
        self, gate: Gate, actions: list[Action], done: int, total: int
    ) -> Gate | None:
        """Apply one part; return the gate after it, None if it has to be looked at."""
        connection = self._connection
        ends = done >= total
        connection.begin()
        try:
            if read_gate(connection) != gate:
                return None
            journal = -self._journal if ends else self._journal
            moved = gate._replace(journal=journal, progress=done)
            rows = (
                statements.of_action(
                    table,
                    "upsert" if self._replaces and verb == "insert" else verb,
                    some,
                )
                for table, verb, some in actions
            )
            send_all(connection, [*itertools.chain(*rows), set_gate(moved)])
            connection.commit()
        except ConflictError:
            return None
        except IntegrityError as error:
            connection.rollback()
            moved = read_gate(connection)
            if moved != gate:
                # Somebody else has applied the part since the gate was read.
                return moved
            if self._replaces:
                raise OperationalError(
                    f"A large transaction was committed, and can't be applied: {error}"
                ) from error
            # A client that knows no gate has inserted a row that was committed before.
            self._replaces = True
            return None
        except OperationalError as error:
            if "max number of entries" not in str(error) or self._limit <= 8:
                raise
            # The database was made anew with a lower limit, or it isn't known.
            self._limit //= 2
            return None
        finally:
            if connection.in_transaction:
                with contextlib.suppress(Error):
                    connection.rollback()
        return moved

    def _tidy(self) -> None:
        """Delete what was applied, and what was never committed."""
        connection = self._connection
        _delete(connection, self._journal)
        with contextlib.suppress(Error):
            now = real.datetime.now().timestamp()
            found = connection.query(f"SELECT DISTINCT journal FROM {JOURNAL}").rows
            for (journal,) in found:
                if abs(now - (journal >> _RANDOM)) > _GARBAGE:
                    self._discard(journal)

    def _discard(self, journal: int) -> None:
        """Delete a journal that the gate doesn't name, and never will."""
        connection = self._connection
        while connection.query(
            f"SELECT part FROM {JOURNAL} WHERE journal = ? LIMIT 1", (journal,)
        ).rows:
            connection.begin()
            try:
                gate = read_gate(connection)
                if gate.closed:
                    return
                connection.run(_DELETE, (journal,))
                # Whoever is writing it can't commit then: it has read this.
                connection.run(*set_gate(gate))
                connection.commit()
            finally:
                if connection.in_transaction:
                    connection.rollback()


def finish(connection: Connection, journal: int, limit: int) -> None:
    """
    Apply a journal that the gate names, and of which this process has just learned.

    :param connection: in no transaction.
    :param limit: entries that a transaction may have.
    """
    time.sleep(PAUSE)
    gate = read_gate(connection)
    if gate.journal == journal and not gate.undecided:
        Applying(connection, journal, limit).run(gate)


def abandon(connection: Connection, gate: Gate) -> None:
    """
    Open the gate of a transaction that isn't committed yet, unless it has been since.

    :param connection: in no transaction.
    """
    connection.begin()
    try:
        if read_gate(connection) == gate:
            last = gate._replace(journal=-gate.journal, progress=0)
            connection.run(*set_gate(last))
            connection.commit()
    except ConflictError:
        pass  # somebody was faster: it is committed, or abandoned
    finally:
        if connection.in_transaction:
            connection.rollback()


def wait(connection: Connection, limit: int, timeout: float | None) -> Gate:
    """
    Wait until the gate is open; without progress, apply the journal.

    :param connection: in no transaction.
    :param timeout: seconds to wait at most.
    :raises OperationalError: it isn't open by then.
    """
    begun = moved = clock.monotonic()
    last = read_gate(connection)
    while last.closed:
        time.sleep(0.02)
        gate = read_gate(connection)
        now = clock.monotonic()
        if gate != last:
            last, moved = gate, now
        elif now - moved > TAKE_OVER:
            if gate.undecided:
                abandon(connection, gate)
            else:
                finish(connection, gate.journal, limit)
            last = read_gate(connection)
        if last.closed and timeout is not None and now - begun > timeout:
            raise OperationalError(
                f"A large transaction is being applied ({last.progress:,} rows so far),"
                f" and wasn't done within {timeout:g} s. Try again later, or raise the"
                " option timeout."
            )
    return last
