"""
Checks what the record layer keeps twice, and makes it agree again.

Rows are the truth. Index entries, unique guards, row counts and numberings can
be computed from them, and :class:`Checker` does that, in both directions: what
has to be there, and what must not be. It reads one pair at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from backendkit.stores import Error

from .catalog import TableRecord
from .codec import pack
from .formats import SHORTENED_ENTRIES, raised
from .indexes import (
    DIGESTS,
    IndexMaintainer,
    KeyExpression,
    is_shortened,
    primary_key_of,
)
from .keys import AFTER, decode_int, decode_values
from .layout import (
    CATALOG_PREFIX,
    CATALOG_STOP,
    FORMAT_KEY,
    NEXT_ID_KEY,
    VERSION_KEY,
    catalog_key,
    index_prefix,
    numbers_key,
    rows_prefix,
)
from .numbers import Numbers

if TYPE_CHECKING:
    from .engine import KeyValueTransaction

#: What reading damaged bytes, or encoding what was read from them, may raise.
DAMAGE = (
    Error,
    msgspec.MsgspecError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
#: Entries that were reported with their row are remembered, so that they aren't
#: reported again without it: this many of an index.
_REMEMBERED = 10_000
#: The greatest length of a key or value in a message, in characters.
_SHOWN = 80


class Problem(StrEnum):
    """What is wrong."""

    #: A table's definition can't be read, or contradicts another one.
    CATALOG = "catalog"
    #: A row's bytes can't be read as values of its table's columns.
    UNREADABLE = "unreadable row"
    #: A row is stored under another primary key than it has.
    WRONG_KEY = "wrong key"
    #: A row has no entry in an index.
    MISSING = "missing entry"
    #: An entry of an index leads to no row, or to one with other values.
    WRONG_ENTRY = "wrong entry"
    #: Two rows have the same values in a unique index.
    DUPLICATE = "duplicate"
    #: A table's row count isn't how many rows it has.
    COUNT = "row count"
    #: A table's next number has been given to a row already.
    NUMBERING = "numbering"
    #: Something is stored that belongs to no table.
    STRAY = "stray"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that is wrong.

    :param problem: of what kind it is.
    :param table: name of the table, "" if it belongs to none.
    :param index: name of the index, "" if it isn't about one.
    :param key: the row's primary key or the entry's values, or bytes in
        hexadecimal; "" if it isn't about one key.
    :param message: what is wrong, in words.
    :param repaired: whether it isn't wrong any more.
    """

    problem: Problem
    table: str
    index: str
    key: str
    message: str
    repaired: bool

    def __str__(self) -> str:
        parts = [self.table]
        if self.index:
            parts.append(f"index {self.index}")
        parts += [self.key, self.message]
        return ": ".join(part for part in parts if part)


class Checker:
    """
    Walks over a store in one transaction.

    :param transaction: one that writes, to repair.
    :param max_key_bytes: of the engine.
    :param repair: whether to write what follows from the rows: entries of
        indexes, row counts, numberings, the catalog's next number. Rows and
        definitions of tables are never written. The caller commits.
    """

    def __init__(
        self,
        transaction: KeyValueTransaction,
        max_key_bytes: int,
        *,
        repair: bool = False,
    ) -> None:
        self._transaction = transaction
        self._max_key = max_key_bytes
        self._repair = repair
        self._records: list[TableRecord] = []
        self._table_ids: set[int] = set()
        self._index_ids: set[int] = set()
        #: Whether all of the catalog was read. If not, what seems to belong to
        #: no table may belong to one that wasn't.
        self._complete = True
        #: How many tables and rows were read.
        self.tables = self.rows = 0

    def findings(self) -> Iterator[Finding]:
        """Check everything; yield what is wrong as it is found."""
        yield from self._catalog()
        for record in self._records:
            yield from _Table(self, record).findings()
            self.tables += 1
        yield from self._strays()

    # The catalog

    def _catalog(self) -> Iterator[Finding]:
        names: dict[str, str] = {}
        for key, source in self._transaction.range(CATALOG_PREFIX, CATALOG_STOP):
            try:
                record = TableRecord.from_json(source)
                # Computed when they are first asked for.
                _ = record.primary_key, record.read, record.check
                numbers = [one.id for one in record.maintainers]
            except DAMAGE as error:
                self._complete = False
                message = f"the definition of a table can't be read: {_cause(error)}"
                yield self._found(Problem.CATALOG, "", message, key=_hex(key))
                self._know(key)
                continue
            name = record.table.name
            if key != catalog_key(record.id):
                self._complete = False
                message = (
                    f"its number is {record.id}, but it is stored under another number"
                )
                yield self._found(Problem.CATALOG, name, message, key=_hex(key))
                self._know(key)
                continue
            self._records.append(record)
            self._table_ids.add(record.id)
            if (other := names.setdefault(name.lower(), name)) is not name:
                message = f"there is another table named {other}"
                yield self._found(Problem.CATALOG, name, message)
            if len(record.index_ids) != len(numbers):
                message = "it has numbers of missing indexes"
                yield self._found(Problem.CATALOG, name, message)
            for index, number in record.index_ids.items():
                if number in self._index_ids:
                    message = f"another index has its number {number}, too"
                    yield self._found(Problem.CATALOG, name, message, index=index)
                self._index_ids.add(number)
        yield from self._catalog_keys()

    def _know(self, key: bytes) -> None:
        """Take the number in a catalog key for a table's."""
        number = _number(key, len(CATALOG_PREFIX))
        if number is not None:
            self._table_ids.add(number)

    def _catalog_keys(self) -> Iterator[Finding]:
        """Check the catalog's version, and the number of the next table."""
        transaction = self._transaction
        ids = self._table_ids | self._index_ids
        if not ids:
            return
        if transaction.get(VERSION_KEY) is None:
            if self._repair:
                transaction.put(VERSION_KEY, os.urandom(16))
            message = "the catalog has no version"
            yield self._found(Problem.CATALOG, "", message, repaired=self._repair)
        stored = transaction.get(NEXT_ID_KEY)
        following = int.from_bytes(stored, "big") if stored else 1
        if following <= max(ids):
            repaired = self._repair and self._complete
            if repaired:
                transaction.put(NEXT_ID_KEY, (max(ids) + 1).to_bytes(8, "big"))
            message = (
                f"the next table would get the number {following}, which another"
                " table has"
            )
            yield self._found(Problem.CATALOG, "", message, repaired=repaired)

    # What belongs to no table

    def _strays(self) -> Iterator[Finding]:
        transaction = self._transaction
        end = b"\xff" * (self._max_key + 1)
        position = b"\x00"
        while True:
            pair = next(iter(transaction.range(position, end)), None)
            if pair is None:
                return
            key = pair[0]
            position = key + b"\x00"
            kind = key[:1]
            if key in _OWN_KEYS:
                continue
            if kind == CATALOG_PREFIX:
                position = CATALOG_STOP
                continue
            number = _number(key, 1)
            if number is None or kind not in _PREFIXES:
                message = "a key that this format doesn't allow"
                yield self._found(Problem.STRAY, "", message, key=_hex(key))
                continue
            prefix = _PREFIXES[kind](number)
            stop = prefix + AFTER
            if not key.startswith(prefix) or key >= stop:
                message = "a key that belongs to no row, index entry or number"
                yield self._found(Problem.STRAY, "", message, key=_hex(key))
                continue
            position = stop
            if kind == _INDEX:
                known = not self._complete or number in self._index_ids
            else:
                known = number in self._table_ids
            if not known:
                yield self._stray(kind, number, prefix, stop)

    def _stray(self, kind: bytes, number: int, prefix: bytes, stop: bytes) -> Finding:
        """Return a finding about keys whose table or index isn't in the catalog."""
        count = sum(1 for _ in self._transaction.range(prefix, stop))
        if kind == _ROWS:
            # Somebody may want to read them by hand.
            message = f"{count} rows of table number {number}, which doesn't exist"
            return self._found(Problem.STRAY, "", message)
        if kind == _INDEX:
            message = f"{count} entries of index number {number}, which doesn't exist"
        else:
            message = f"the row count of table number {number}, which doesn't exist"
        repaired = self._repair and self._complete
        if repaired:
            self._transaction.clear(prefix, stop)
        return self._found(Problem.STRAY, "", message, repaired=repaired)

    @staticmethod
    def _found(
        problem: Problem,
        table: str,
        message: str,
        *,
        index: str = "",
        key: str = "",
        repaired: bool = False,
    ) -> Finding:
        return Finding(problem, table, index, key, message, repaired)


class _Table:
    """Walks over one table and its indexes."""

    def __init__(self, checker: Checker, record: TableRecord) -> None:
        self._checker = checker
        self._transaction = checker._transaction
        self._repair = checker._repair
        self._max_key = checker._max_key
        self._record = record
        self._name = record.table.name
        self._auto = record.table.auto_increment
        #: For each index, how many rows have the entry that they have to have …
        self._right = [0] * len(record.maintainers)
        #: … and entries that were reported.
        self._reported: list[set[bytes]] = [set() for _ in record.maintainers]
        self._count = 0
        self._greatest = 0

    def findings(self) -> Iterator[Finding]:
        yield from self._rows()
        for number, maintainer in enumerate(self._record.maintainers):
            prefix = maintainer.prefix
            entries = self._transaction.range(prefix, prefix + AFTER)
            # Right entries of several rows differ: as many entries as right ones
            # are the right ones.
            if sum(1 for _ in entries) != self._right[number]:
                yield from self._entries(number, maintainer)
        yield from self._numbers()

    # Rows, and the entries that they have to have

    def _rows(self) -> Iterator[Finding]:
        record = self._record
        skip = len(record.prefix)
        pairs = self._transaction.range(record.prefix, record.prefix + AFTER)
        for key, data in pairs:
            self._count += 1
            self._checker.rows += 1
            primary_key = key[skip:]
            try:
                row = self._read(data)
                own_key = record.primary_key.key(row)
                entries = [
                    maintainer.entry(row, primary_key, self._max_key)
                    for maintainer in record.maintainers
                ]
            except DAMAGE as error:
                self._count_number(self._number_in(primary_key))
                yield self._found(
                    Problem.UNREADABLE,
                    f"its row can't be read: {_cause(error)}",
                    primary_key,
                )
                continue
            if self._auto is not None:
                self._count_number(row[self._auto])
            if own_key != primary_key:
                other = _shown(record.primary_key, own_key)
                message = (
                    f"the row that is stored under this key has the primary key {other}"
                )
                yield self._found(Problem.WRONG_KEY, message, primary_key)
            for number, entry in enumerate(entries):
                finding = self._entry(number, *entry, primary_key)
                if finding is not None:
                    yield finding

    def _read(self, data: bytes) -> tuple[Any, ...]:
        """Return a row, its values checked."""
        record = self._record
        row = record.read(data)[: record.width]
        record.check(row)
        return row

    def _count_number(self, number: int | None) -> None:
        if number is not None and number > self._greatest:
            self._greatest = number

    def _number_in(self, primary_key: bytes) -> int | None:
        """Return the number in a key whose row can't be read."""
        record = self._record
        if self._auto is None or record.primary_key.positions != (self._auto,):
            return None
        return _number(primary_key, 0)

    def _entry(
        self,
        number: int,
        entry: bytes,
        value: bytes,
        exclusive: bool,
        primary_key: bytes,
    ) -> Finding | None:
        """Check the entry that a row has to have."""
        maintainer = self._record.maintainers[number]
        present = self._transaction.get(entry)
        if present == value:
            self._right[number] += 1
            if exclusive and is_shortened(value):
                return self._equal(maintainer, entry, primary_key)
            return None
        if present is None:
            problem, message = Problem.MISSING, "its entry is missing"
        else:
            other = _shown(self._record.primary_key, primary_key_of(present))
            if len(self._reported[number]) < _REMEMBERED:
                self._reported[number].add(entry)
            if exclusive and self._has(present, maintainer, entry):
                message = f"its entry belongs to {other}"
                return self._found(Problem.DUPLICATE, message, primary_key, maintainer)
            problem, message = Problem.WRONG_ENTRY, f"its entry leads to {other}"
        if self._repair:
            if is_shortened(value):
                marker = raised(self._transaction.get(FORMAT_KEY), SHORTENED_ENTRIES)
                if marker is not None:
                    self._transaction.put(FORMAT_KEY, marker)
            self._transaction.put(entry, value)
            self._right[number] += 1
        return self._found(
            problem, message, primary_key, maintainer, repaired=self._repair
        )

    def _equal(
        self, maintainer: IndexMaintainer, entry: bytes, primary_key: bytes
    ) -> Finding | None:
        """Check that no row before has the values of a shortened entry."""
        stem = entry[: self._max_key - DIGESTS // 2]
        for other, value in self._transaction.range(stem, entry):
            if self._has(value, maintainer, other):
                shown = _shown(self._record.primary_key, primary_key_of(value))
                message = f"{shown} has the same values"
                return self._found(Problem.DUPLICATE, message, primary_key, maintainer)
        return None

    def _has(self, value: bytes, maintainer: IndexMaintainer, entry: bytes) -> bool:
        """Whether there is a row that has to have an entry, or one that may have to."""
        primary_key = primary_key_of(value)
        key = self._record.prefix + primary_key
        data = self._transaction.get(key) if len(key) <= self._max_key else None
        if data is None:
            return False
        try:
            row = self._read(data)
            return maintainer.entry(row, primary_key, self._max_key)[0] == entry
        except DAMAGE:
            return True  # unreadable: nothing is known about it

    # Entries, and the rows that they lead to

    def _entries(self, number: int, maintainer: IndexMaintainer) -> Iterator[Finding]:
        record = self._record
        prefix = maintainer.prefix
        for entry, value in self._transaction.range(prefix, prefix + AFTER):
            if self._has(value, maintainer, entry):
                continue
            if entry in self._reported[number]:
                continue
            if self._repair:
                self._transaction.delete(entry)
            other = _shown(record.primary_key, primary_key_of(value))
            if is_shortened(value):
                values = _hex(entry)
            else:
                values = _shown(maintainer.expression, entry[len(prefix) :])
            yield Finding(
                Problem.WRONG_ENTRY,
                self._name,
                maintainer.index.name,
                values,
                f"leads to {other}, which doesn't exist or has other values",
                self._repair,
            )

    # Numbers

    def _numbers(self) -> Iterator[Finding]:
        table_id = self._record.id
        problems: list[tuple[Problem, str]] = []
        try:
            numbers = Numbers.load(self._transaction, table_id)
        except DAMAGE as error:
            numbers = Numbers(self._count, self._greatest)
            message = (
                "the row count and the last automatic number can't be read:"
                f" {_cause(error)}"
            )
            problems.append((Problem.COUNT, message))
        if numbers.rows != self._count:
            message = (
                f"the row count is {numbers.rows}, but there are {self._count} rows"
            )
            problems.append((Problem.COUNT, message))
        if numbers.last < self._greatest:
            message = (
                f"the next automatic number is {numbers.last + 1}, but there is a row"
                f" with {self._greatest}"
            )
            problems.append((Problem.NUMBERING, message))
        if problems and self._repair:
            last = max(numbers.last, self._greatest)
            key = numbers_key(table_id)
            self._transaction.put(key, pack((self._count, last)))
        for problem, message in problems:
            yield self._found(problem, message, repaired=self._repair)

    def _found(
        self,
        problem: Problem,
        message: str,
        primary_key: bytes | None = None,
        maintainer: IndexMaintainer | None = None,
        *,
        repaired: bool = False,
    ) -> Finding:
        shown = ""
        if primary_key is not None:
            shown = f"row {_shown(self._record.primary_key, primary_key)}"
        index = maintainer.index.name if maintainer is not None else ""
        return Finding(problem, self._name, index, shown, message, repaired)


_ROWS, _INDEX, _NUMBERS = rows_prefix(0)[:1], index_prefix(0)[:1], numbers_key(0)[:1]
_PREFIXES: Final = {_ROWS: rows_prefix, _INDEX: index_prefix, _NUMBERS: numbers_key}
_OWN_KEYS: Final = frozenset({FORMAT_KEY, VERSION_KEY, NEXT_ID_KEY})


def _number(data: bytes, offset: int) -> int | None:
    """Return the number that is encoded at an offset; None if there is none."""
    try:
        return decode_int(data, offset)[0]
    except (IndexError, OverflowError):
        return None


def _cause(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}")


def _hex(key: bytes) -> str:
    return _short(f"0x{key.hex()}")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _shown(expression: KeyExpression, key: bytes) -> str:
    """Return the values in a key, for a message."""
    try:
        values, _ = decode_values(expression.types, key)
    except DAMAGE:
        return _hex(key)
    return _short(repr(values[0]) if len(values) == 1 else repr(values))
