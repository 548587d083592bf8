"""What all connections of the process to one database know together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from backendkit import clock
from backendkit.stores import (
    ConflictError,
    Error,
    Mutex,
    OperationalError,
    ProgrammingError,
    Table,
    tell_children,
)

from . import journal
from .catalog import NUMBERS, Reader, Schema, read_names, read_schema
from .gate import LEASE, Gate, read_gate, read_gate_and_names
from .names import quoted

if TYPE_CHECKING:
    from .driver import Connection
    from .driver._results import Committed
    from .ledger.tables import Followed

#: Seconds after which it is looked whether other clients have made tables or dropped
#: some; what we change is noticed as the gate is.
CATALOG_AGE = 1.0
#: Seconds after which the database's last transaction is asked for, at the latest.
_STATE_AGE = 10.0
#: The fewest and the most numbers that are taken at once.
_FEWEST, _MOST = 16, 1024
#: How often numbers are asked for, if others do at the same time.
_TRIES = 50
#: With more rows than this nobody counts them to estimate.
_COUNTED = 10_000
#: Entries of a transaction that every database takes: few are set lower.
SAFE_ENTRIES = 900

Place = tuple[str, int, str]


class Shared:
    """
    Tables, numbers and sizes of one database. Thread-safe.

    Nothing of it has to be right for the data to be: what is old is noticed when it is
    written, in the transaction.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._schema: Schema | None = None
        self._checked = self._named = self._stated = 0.0
        #: The database's last transaction when it was looked at last.
        self._state: int | None = None
        #: The journal that was applied last, as the gate has it: another one is there
        #: after each large transaction.
        self.generation = 0
        #: The moment of the last look at the gate, which was open, by our clock; and a
        #: transaction after which it was.
        self.looked, self.opened = 0.0, 0
        #: The numbers that were taken, by table, and how many were taken last.
        self._blocks: dict[str, tuple[range, int]] = {}
        self._numbering = threading.Lock()
        #: About how many rows tables have.
        self._sizes: dict[str, int] = {}
        #: Exactly how many, by table: as of a transaction of the database.
        self._counts: dict[str, tuple[int, int]] = {}
        self._limit: int | None = None
        #: Of the server; None if nobody has asked.
        self.version: tuple[int, ...] | None = None
        self._followed: Followed | None = None
        tell_children(self)

    def forked(self) -> None:
        """Take numbers anew, in a child process: the parent gives those that it took."""
        self._lock = threading.RLock()
        self._numbering = threading.Lock()
        self._blocks = {}

    def followed(self) -> Followed:
        """Return the tables as the log has them."""
        from .ledger.tables import Followed  # noqa: PLC0415  # only the ledger needs it

        with self._lock:
            if self._followed is None:
                self._followed = Followed()
            return self._followed

    # Tables

    def schema(
        self, connection: Connection, age: float = LEASE
    ) -> tuple[Schema, int | None]:
        """
        Return the tables, and the database's last transaction if it was asked for.

        No large transaction is half applied as of that transaction, and none is for the
        next :data:`LEASE` seconds. If one is being applied, this waits for it.

        :param connection: in no transaction.
        :param age: seconds for which nobody has to look whether they are the same.
        """
        schema = self._schema
        now = clock.monotonic()
        # With no age, that another thread has looked meanwhile doesn't help.
        if age and schema is not None and now - self._checked < age:
            return schema, None
        # First: a change after it is noticed later.
        now, state, gate = self._look(connection)
        if schema is None or not self._is_same(schema, connection, gate, now):
            schema = self._read(connection)
        self._state = state
        self._checked = self._stated = now
        return schema, state

    def current(self, connection: Connection) -> Schema:
        """
        Return the tables, for a transaction that makes sure of them when it commits.

        As :meth:`schema`, but in one call most times.

        :param connection: in no transaction.
        """
        schema, now = self._schema, clock.monotonic()
        if schema is None or now - self._stated >= _STATE_AGE:
            return self.schema(connection)[0]
        if now - self._checked < LEASE:
            return schema
        if not schema.version:
            return self.schema(connection)[0]
        try:
            if now - self._named < CATALOG_AGE:
                gate, names = read_gate(connection), None
            else:
                gate, names = read_gate_and_names(connection)
        except ProgrammingError:  # the tables were dropped
            return self.schema(connection, age=0)[0]
        if gate.closed or gate.version != schema.version:
            return self.schema(connection, age=0)[0]
        if names is not None:
            if not self._has(schema, names):
                return self.schema(connection, age=0)[0]
            self._named = now
        self._note(gate, None, now)
        self._checked = now
        return schema

    def _look(self, connection: Connection) -> tuple[float, int, Gate | None]:
        """
        Wait until no large transaction is being applied.

        :return: the moment of the look, by our clock; the last transaction then; the
            gate as of it, None if nothing has been committed since the last look.
        """
        begun = clock.monotonic()
        while True:
            now = clock.monotonic()
            state = connection.state().txId
            if state == self._state and self._schema is not None:
                self.opened, self.looked = state, now
                return now, state, None
            gate = read_gate(connection, state)
            if not gate.closed:
                self._note(gate, state, now)
                return now, state, gate
            limit = self.limit(connection) or SAFE_ENTRIES
            left = connection.timeout
            if left is not None:
                left = max(left - (clock.monotonic() - begun), 0.0)
            journal.wait(connection, limit, left)

    def _note(self, gate: Gate, state: int | None, now: float) -> None:
        """
        Note a look at the gate, unless another thread has looked since.

        :param state: a transaction as of which it was; None if that isn't known.
        """
        with self._lock:
            if state is None:
                if now >= self.looked:
                    self.generation, self.looked = gate.journal, now
            elif state >= self.opened:
                # In this order: who sees the last sees the first.
                self.generation, self.opened, self.looked = gate.journal, state, now

    def note(self, committed: Committed | None) -> None:
        """Note a commit of ours: the gate was open then."""
        if committed is not None:
            self.opened = max(self.opened, committed.tx)

    def watch(self, connection: Connection) -> float:
        """
        Return the moment of the last look at the gate; look again if that is long ago.

        :param connection: may be in a transaction: it isn't asked in it.
        :raises ConflictError: a large transaction is being applied.
        """
        now, looked = clock.monotonic(), self.looked
        if now - looked < LEASE:
            return looked
        gate = read_gate(connection.beside())
        if gate.closed:
            raise ConflictError("a large transaction is being applied")
        self._note(gate, None, now)
        return now

    def _is_same(
        self, schema: Schema, connection: Connection, gate: Gate | None, now: float
    ) -> bool:
        """Return whether the tables are still these."""
        if gate is None:
            return True  # nothing at all has been committed
        if schema.version != gate.version:
            return False
        if now - self._named < CATALOG_AGE:
            return True
        self._named = now
        return self._has(schema, read_names(connection))

    def _has(self, schema: Schema, names: frozenset[str]) -> bool:
        """Whether these are the tables of a catalog, those of other clients included."""
        return schema.catalog.version[1] <= names and not names - self._known(schema)

    def _read(self, connection: Connection) -> Schema:
        schema = read_schema(connection)
        with self._lock:
            if self._schema is not None and self._schema.catalog == schema.catalog:
                # The same objects: what was made for them is good still.
                schema = self._schema
            self._schema = schema
        return schema

    @staticmethod
    def _known(schema: Schema) -> frozenset[str]:
        return frozenset(map(_physical, schema.stored))

    def forget_schema(self) -> None:
        """Read the tables anew next time."""
        with self._lock:
            self._schema = None

    def set_schema(self, schema: Schema) -> None:
        """Note what has just been committed."""
        with self._lock:
            # Not the moment of the last look: the answer may have taken long.
            self._schema = schema

    # Sizes

    def size(self, reader: Callable[[], Reader], table: Table) -> int:
        """Return about how many rows a table has."""
        size = self._sizes.get(table.name) if table.columns else 0
        if size is None:
            key = quoted(table.primary_key[0])
            name = quoted(table.name)
            found = reader().query(
                f"SELECT {key} FROM {name} LIMIT 1 OFFSET {_COUNTED}"
            )
            if found.rows:
                size = _COUNTED * 10
            else:
                size = reader().query(f"SELECT COUNT(*) FROM {name}").rows[0][0]
            self._sizes[table.name] = size
        return size

    def resize(self, name: str, more: int, *, new: bool = False) -> None:
        """Note that a table has so many rows more."""
        with self._lock:
            if new or name in self._sizes:
                self._sizes[name] = max(self._sizes.get(name, 0) + more, 0)

    def counted(self, table: Table, tx: int) -> int | None:
        """Return exactly how many rows a table has as of a transaction; None if unknown."""
        then, number = self._counts.get(table.name, (None, 0))
        return number if then == tx else None

    def note_count(self, table: Table, tx: int, number: int) -> None:
        """Note exactly how many rows a table has as of a transaction."""
        with self._lock:
            self._counts[table.name] = tx, number
            self._sizes[table.name] = number

    def forget_table(self, name: str) -> None:
        """Forget size and numbers of a table."""
        with self._lock:
            self._sizes.pop(name, None)
            self._blocks.pop(name, None)

    def limit(self, connection: Connection) -> int | None:
        """Return how many entries a transaction may have; None if nobody tells."""
        if self._limit is None:
            try:
                found = connection.databases()
            except Error:
                return None
            for one in found:
                if one.name == connection.database:
                    self._limit = one.max_tx_entries or None
        return self._limit

    # Numbers

    def allocate(
        self,
        connect: Callable[[], Connection],
        table: Table,
        count: int,
        above: int,
        *,
        ours: bool,
    ) -> int:
        """
        Take numbers, see ``BufferedSession._allocate``.

        Several are taken at once: taking them is a commit.

        :param connect: returns a connection that is in no transaction.
        :param ours: whether no other client numbers rows of this table.
        """
        with self._numbering:
            block, last = self._blocks.get(table.name, (range(0), _FEWEST // 2))
            if block.start <= above:
                block = range(above + 1, max(block.stop, above + 1))
            if len(block) < count:
                wanted = max(count, min(last * 2, _MOST)) if ours else count
                if ours:
                    first = self._take(connect(), table, wanted, above)
                else:
                    # Not noted: the database may have none of our tables.
                    first = _first(table, wanted, above, _largest(connect(), table))
                block, last = range(first, first + wanted), wanted
            if ours:
                self._blocks[table.name] = block[count:], last
            return block.start

    def give_back(self, name: str, first: int, count: int) -> None:
        """Give numbers again that a transaction had taken and no row has, if it can."""
        with self._numbering:
            block, last = self._blocks.get(name, (range(0), 0))
            if last and block.start == first + count:
                self._blocks[name] = range(first, block.stop), last

    def _take(
        self, connection: Connection, table: Table, count: int, above: int
    ) -> int:
        for _ in range(_TRIES):
            # Outside of the transaction: other rows are no conflict.
            largest = _largest(connection, table)
            connection.begin()
            try:
                asked = f"SELECT given FROM {NUMBERS} WHERE name = ?"
                given = connection.query(asked, (table.name,)).rows
                last = max(largest, *(n for (n,) in given if n is not None), 0)
                first = _first(table, count, above, last)
                sql = f"UPSERT INTO {NUMBERS} (name, given) VALUES (?, ?)"
                connection.run(sql, (table.name, first + count - 1), commit=True)
            except ConflictError:
                continue
            finally:
                if connection.in_transaction:
                    connection.rollback()
            return first
        raise ConflictError(
            f"other clients assign numbers for {table.name} all the time"
        )

    def forget_numbers(self, name: str) -> None:
        """Give no more of the numbers that were taken."""
        with self._lock:
            self._blocks.pop(name, None)

    def numbered(self, name: str, number: int) -> bool:
        """Whether a number is below those that this process gives next."""
        block = self._blocks.get(name)
        return block is not None and len(block[0]) > 0 and number < block[0].start


def _largest(connection: Connection, table: Table) -> int:
    """Return the largest number that a row has; 0 if none has one above that."""
    at = table.auto_increment
    assert at is not None
    column, name = quoted(table.columns[at].name), quoted(table.name)
    query = f"SELECT {column} FROM {name} ORDER BY {column} DESC LIMIT 1"
    return max((n for (n,) in connection.query(query).rows if n), default=0)


def _first(table: Table, count: int, above: int, largest: int) -> int:
    """Return the first of so many numbers above those. :raises OperationalError: none."""
    first = max(above, largest) + 1
    if first + count > 2**63:
        raise OperationalError(f"{table.name} has no numbers left")
    return first


def _physical(name: str) -> str:
    return quoted(name)[1:-1]


_known: dict[Place, Shared] = {}
_lock = Mutex()


def shared(place: Place) -> Shared:
    """Return what is known of the database in a place: host, port and name."""
    with _lock:
        return _known.setdefault(place, Shared())


def forget(place: Place) -> None:
    """Forget all of a database: it is gone, or another one now."""
    with _lock:
        _known.pop(place, None)
