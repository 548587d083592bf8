"""What a server answers for a table, compared with the proven transactions."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from backendkit.backends.immudb.driver._encoding import UNFIT, RowEncoder, decode_key
from backendkit.backends.immudb.driver._proofs import ProofError, require, sha256
from backendkit.backends.immudb.driver._rows import Table
from backendkit.backends.immudb.driver._values import _from_microseconds
from backendkit.backends.immudb.names import logical
from backendkit.stores import DatabaseError, DataError, InternalError, ProgrammingError

from .history import History, row_key
from .versions import Version

if TYPE_CHECKING:
    from backendkit.backends.immudb.driver import Connection

#: Differences of a table that are kept, each with its row; the others are counted.
MOST = 100
#: Bytes of values that are kept, and the most transactions that they are of.
_VALUES, _TRANSACTIONS = 16_000_000, 64
#: No more rows than this come in one message; immudb sends up to 2,500.
_ROWS = 4_096


@dataclasses.dataclass(frozen=True)
class Difference:
    """
    What the server answers otherwise than the proven transactions have it.

    :param kind: ``stale``, ``hidden``, ``added``, ``altered`` or ``repeated`` of a row;
        ``table`` of a table or its columns; ``unreadable``; ``history`` if the
        transactions themselves aren't proven.
    :param table: as Django knows it; None if it is about all of them.
    :param primary_key: None if it is about the whole table.
    :param tx: the transaction that wrote or deleted the row last; None if none did.
    """

    kind: str
    table: str | None
    primary_key: tuple[Any, ...] | None
    tx: int | None
    problem: str

    def __str__(self) -> str:
        if self.table is None:
            return self.problem
        if self.primary_key is None:
            return f"{self.table}: {self.problem}"
        shown = ", ".join(map(repr, self.primary_key))
        return f"{self.table}: row {shown}: {self.problem}"


@dataclasses.dataclass
class Compared:
    """
    A table that was compared.

    :param name: as Django knows it.
    :param rows: that the server answered.
    :param as_of: the transaction as of which it was read.
    :param differences: the first :data:`MOST` of them.
    :param count: how many differences there are.
    :param unread: whether rows at the end weren't compared, because the server can't
        read them.
    :param too_deep: how many rows weren't compared, because JSON in them is nested too
        deeply.
    :param unsettled: whether nothing can be said of it, because its definition changed
        each time that it was read.
    """

    name: str
    as_of: int
    rows: int = 0
    differences: list[Difference] = dataclasses.field(default_factory=list)
    count: int = 0
    unread: bool = False
    too_deep: int = 0
    unsettled: bool = False

    def add(self, difference: Difference) -> None:
        """Note a difference."""
        self.count += 1
        if len(self.differences) < MOST:
            self.differences.append(difference)


class Comparer:
    """
    Compares one table as of the last transaction of a history.

    :param reader: whose answers aren't trusted.
    :param step: called after each row.
    """

    def __init__(
        self,
        reader: Connection,
        history: History,
        name: str,
        step: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._history = history
        self.name = name
        self._step = step
        self._table: Table = history.tables[name]
        self._values = _Values(reader)
        self.found = Compared(logical(name), history.tx)
        #: Digests of the rows that aren't as they were written last, by key.
        self.suspects: dict[bytes, bytes] = {}

    def run(self) -> None:
        """
        Compare it; what is found is in ``found``.

        :raises DatabaseError: the server can't answer.
        """
        found = self.found
        source = f'FROM "{self.name}" UNTIL TX {found.as_of}'
        try:
            stream = self._reader.stream(f"SELECT * {source}", raw=True)
        except ProgrammingError as error:
            self._note(
                "table", None, None, f"the server denies that it exists: {error}"
            )
            return
        except InternalError as error:
            self._unreadable(source, None, error)
            return
        columns = {one.name: one.type for one in self._table.columns.values()}
        answered = dict(zip(stream.names, stream.types, strict=True))
        if columns != answered or len(answered) != len(stream.names):
            stream.close()
            wrong = sorted(
                name
                for name in columns.keys() | answered.keys()
                if columns.get(name) != answered.get(name)
            )
            names = ", ".join(map(logical, wrong))
            self._note(
                "table",
                None,
                None,
                f"the server returned other columns than the table has: {names}",
            )
            return
        self._merge(stream, source)

    def _merge(self, stream: Any, source: str) -> None:
        """Go through the rows that are answered and those that were written, by key."""
        encoder = RowEncoder(self._table, stream.names)
        written = self._history.versions.of(self._table.id)
        proven = next(written, None)
        last: bytes | None = None
        try:
            for row in _rows(stream):
                self.found.rows += 1
                self._step()
                try:
                    key = encoder.key(row)
                except UNFIT:
                    self._note(
                        "altered",
                        None,
                        None,
                        f"its row {self.found.rows:,} has a primary key of other types",
                    )
                    continue
                if last is not None and key <= last:
                    self._note(
                        "repeated",
                        key,
                        None,
                        "the server returned the row twice, or not in its place",
                    )
                    continue
                while proven is not None and proven.key < key:
                    self._missing(proven)
                    proven = next(written, None)
                last = key
                if proven is None or proven.key != key:
                    self._note(
                        "added",
                        key,
                        None,
                        "the server returned a row that no transaction wrote",
                    )
                    continue
                self._same(encoder, row, proven)
                proven = next(written, None)
        except InternalError as error:
            # The next one that is there is the one that can't be read, or one behind it.
            self._unreadable(source, last, error)
            return
        while proven is not None:
            self._missing(proven)
            proven = next(written, None)

    def _missing(self, proven: Version) -> None:
        if proven.digest is not None:
            self._note(
                "hidden",
                proven.key,
                proven.tx,
                f"the server left out the row that transaction {proven.tx} wrote",
            )

    def _same(self, encoder: RowEncoder, row: Sequence[Any], proven: Version) -> None:
        if proven.digest is None:
            self._note(
                "stale",
                proven.key,
                proven.tx,
                f"the server returned a row that transaction {proven.tx} deleted",
            )
            return
        try:
            digest = sha256(encoder.value(row))
        except UNFIT:
            self._note(
                "altered",
                proven.key,
                proven.tx,
                "the server returned values of other types than its columns have",
            )
            return
        if digest == proven.digest:
            return
        try:
            # An older row may be written in another way, but for its values.
            stored = self._values.get(proven.tx, row_key(self._table, proven.key))
            require(sha256(stored) == proven.digest, "another value of the entry")
            wrong = encoder.differing(row, stored)
        except RecursionError:
            self.found.too_deep += 1
            return
        except (DatabaseError, ProofError, *UNFIT) as error:
            wrong = None
            problem = (
                f"the server returned another row than transaction {proven.tx} wrote, and"
                f" not what it wrote: {error}"
            )
        if wrong is not None:
            if not wrong:
                return
            problem = (
                f"{', '.join(map(logical, wrong))}: the server returned other values than"
                f" transaction {proven.tx} wrote"
            )
        if len(self.suspects) < MOST:
            self.suspects[proven.key] = digest
        self._note("altered", proven.key, proven.tx, problem)

    def _note(self, kind: str, key: bytes | None, tx: int | None, problem: str) -> None:
        shown = None if key is None else self.primary_key(key)
        self.found.add(Difference(kind, self.found.name, shown, tx, problem))

    def primary_key(self, key: bytes) -> tuple[Any, ...]:
        """Return the values of a primary key, as Python has them."""
        try:
            values = decode_key(key, self._table)
        except UNFIT:
            return (key,)
        return tuple(
            _shown(value, self._table.columns[number].type)
            for value, number in zip(values, self._table.key, strict=True)
        )

    def _unreadable(self, source: str, last: bytes | None, error: Exception) -> None:
        """Note the row that the server stops at: how many come before it is found out."""
        names = ", ".join(
            f'"{self._table.columns[number].name}"' for number in self._table.key
        )
        good, bad = 0, _ROWS
        while bad - good > 1:
            middle = (good + bad) // 2
            sql = f"SELECT {names} {source} LIMIT {middle} OFFSET {self.found.rows}"
            try:
                self._reader.query(sql)
            except InternalError:
                bad = middle
            else:
                good = middle
        left = (
            one
            for one in self._history.versions.of(self._table.id)
            if one.digest is not None and (last is None or one.key > last)
        )
        here = next((one for number, one in enumerate(left) if number == good), None)
        self.found.unread = True
        self._note(
            "unreadable",
            None if here is None else here.key,
            None if here is None else here.tx,
            f"the server can't read it: {error}",
        )


def _rows(stream: Any) -> Iterator[tuple[Any, ...]]:
    for batch in stream:
        yield from batch


def _shown(value: Any, kind: str) -> Any:
    if kind == "UUID":
        return uuid.UUID(value)
    if kind == "TIMESTAMP":
        try:
            found: datetime.datetime = _from_microseconds(value)
        except DataError:
            return value
        return found
    return value


class _Values:
    """The values that transactions have written, as the server tells them: unproven."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader
        self._kept: OrderedDict[int, dict[bytes, bytes]] = OrderedDict()
        self._size = 0

    def get(self, tx: int, key: bytes) -> bytes:
        """
        Return the value of an entry.

        :raises KeyError: there is none.
        """
        found = self._kept.get(tx)
        if found is None:
            (one,) = self._reader.transactions(tx, 1, values=True)
            found = {entry.key: entry.value for entry in one.entries}
            self._size += _size(found)
            self._kept[tx] = found
            while len(self._kept) > 1 and (
                self._size > _VALUES or len(self._kept) > _TRANSACTIONS
            ):
                _, dropped = self._kept.popitem(last=False)
                self._size -= _size(dropped)
        else:
            self._kept.move_to_end(tx)
        return found[key]


def _size(values: dict[bytes, bytes]) -> int:
    return sum(len(key) + len(value) for key, value in values.items())
