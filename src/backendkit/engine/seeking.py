"""What was found by key, for as long as a statement runs: joins ask again and again."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backendkit.stores import Column, FilterShape, Table, ValueType

from .values import TO_SQLITE, row_converter

if TYPE_CHECKING:
    from .vtab import Plan

SQLRow = Sequence[Any]
KeyOf = Callable[[SQLRow], Any]

#: How many rows of a scan take as long as finding a row by a unique key, or the rows
#: of another one by an index.
_UNIQUE, _SEEK = 30, 90
#: Bytes that one use of a table in a statement may remember, about: of keys that an
#: index would find, too, and of others, each of which would take a scan.
_MEMORY, _MUCH = 16 * 1024 * 1024, 256 * 1024 * 1024
#: Bytes that a row takes, but for long text in it, and each of its columns.
_ROW, _VALUE = 200, 50

# Values of these classes SQLite compares with a column, as it gives it to SQLite, in
# the way that Python does: no affinity changes one of them.
_TEXT, _NUMBERS = frozenset({str}), frozenset({int, float})
_CLASSES = {
    ValueType.BOOL: _NUMBERS,
    ValueType.INTEGER: _NUMBERS,
    ValueType.FLOAT: _NUMBERS,
    ValueType.DECIMAL: _NUMBERS,
    ValueType.DURATION: _NUMBERS,
    ValueType.BYTES: frozenset({bytes}),
    ValueType.ANY: frozenset(),
}


@dataclass(frozen=True)
class Lookup:
    """
    How a plan that is used with one key after the other finds rows.

    :param keys: which of the plan's arguments are the key.
    :param classes: of the key's values, if all rows may be read at once.
    :param rest: the shapes of the other filters.
    :param columns: names of the key's columns.
    :param unique: whether a key has one row at most.
    :param indexed: whether a key is found without a scan.
    """

    keys: tuple[int, ...]
    classes: tuple[frozenset[type], ...]
    rest: tuple[FilterShape, ...]
    columns: tuple[str, ...]
    unique: bool
    indexed: bool


def lookup_of(plan: Plan, table: Table) -> Lookup | None:
    """Return how a plan finds rows by key; None if it does something else."""
    access = plan.access
    if plan.offset or any(shape.lookup == "in" for shape in plan.shapes):
        return None
    wanted: Sequence[str] = table.primary_key
    for index in table.indexes:
        if index.name == access.index:
            wanted = index.columns
    if access.equalities:
        wanted = wanted[: access.equalities]
    else:
        # No index helps: SQLite, which would make one, doesn't for virtual tables.
        wanted = [shape.column for shape in plan.shapes]
    numbers: dict[str, int] = {}
    for number, shape in enumerate(plan.shapes):
        if shape.lookup == "exact" and shape.column in wanted:
            numbers.setdefault(shape.column, number)
    if not numbers or (plan.ordering and not access.unique):
        return None
    first = int(plan.handed)
    chosen = set(numbers.values())
    return Lookup(
        keys=tuple(first + number for number in numbers.values()),
        classes=()
        if plan.ordering
        else tuple(_CLASSES.get(table.column(name).type, _TEXT) for name in numbers),
        rest=tuple(s for n, s in enumerate(plan.shapes) if n not in chosen),
        columns=tuple(numbers),
        unique=access.unique,
        indexed=access.equalities > 0,
    )


def key_converter(columns: Sequence[Column]) -> Callable[[Any], Any] | None:
    """
    Return what brings a key into SQLite's terms; None for identity.

    A key of one column is its value.
    """
    convert = row_converter(columns)
    if convert is None or len(columns) > 1:
        return convert if convert is None else lambda key: tuple(convert(key))
    one = TO_SQLITE[columns[0].type]
    return lambda key: None if key is None else one(key)


class Seeks:
    """
    What a plan found in a running statement.

    Rows found by a unique key are remembered. When the keys asked for have taken
    as long as reading the whole table would have, it is read and remembered, if
    it is small. What takes too much memory is forgotten.

    :param lookup: how the plan finds rows.
    :param total: number of rows in the table.
    :param seek: reads the rows for a plan's arguments.
    :param load: reads the rows of all keys, for arguments without them, and says
        what tells a row's key.
    :param weigh: tells how much long text is in a row; None if there is none.
    :param width: number of columns of a row.
    :param generation: a number that changes when something may have been written.
    """

    __slots__ = (
        "_complete",
        "_found",
        "_key",
        "_load",
        "_lookup",
        "_rest",
        "_seek",
        "_size",
        "_spent",
        "_total",
        "_weigh",
        "_weight",
        "generation",
        "get",
    )

    def __init__(
        self,
        lookup: Lookup,
        total: int,
        seek: Callable[[tuple[Any, ...]], Iterator[SQLRow]],
        load: Callable[[tuple[Any, ...]], tuple[Iterator[SQLRow], KeyOf]],
        weigh: Callable[[SQLRow], int] | None,
        width: int,
        generation: int,
    ) -> None:
        self._lookup = lookup
        self._total = total
        self._seek = seek
        self._load = load
        self._weigh = weigh
        self._size = _ROW + _VALUE * width
        keys = lookup.keys
        get = operator.itemgetter(*keys)
        self._key: Callable[[tuple[Any, ...]], tuple[Any, ...]] = (
            get if len(keys) > 1 else lambda arguments: (get(arguments),)
        )
        self.generation = generation
        self._spent = self._weight = 0
        self._complete = False
        self._rest: tuple[Any, ...] = ()
        self._found: dict[tuple[Any, ...], list[SQLRow]] = {}
        #: Given a plan's arguments: the rows, if they are remembered.
        self.get = self._found.get

    def rows(self, arguments: tuple[Any, ...]) -> Iterator[SQLRow]:
        """Return the rows for arguments that :attr:`get` doesn't know."""
        if self._complete:
            if self._covers(arguments):
                return iter(())
            return self._seek(arguments)
        if self._lookup.indexed:
            self._spent += _UNIQUE if self._lookup.unique else _SEEK
        else:
            self._spent += self._total
        if self._spent >= self._total and self._read_all(arguments):
            return iter(self._found.get(arguments, ()))
        if not self._lookup.unique:
            return self._seek(arguments)
        rows = list(self._seek(arguments))
        weight = self._size
        if self._weigh is not None:
            weight += sum(map(self._weigh, rows))
        self._weight += weight
        if self._weight > _MEMORY:
            self._found.clear()
            self._weight = weight
        self._found[arguments] = rows
        return iter(rows)

    def _others(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        keys = self._lookup.keys
        return tuple(one for n, one in enumerate(arguments) if n not in keys)

    def _alike(self, arguments: tuple[Any, ...]) -> bool:
        """Whether the key's values are of the classes of the columns' own."""
        classes = self._lookup.classes
        values = self._key(arguments)
        return bool(classes) and all(
            value.__class__ in one for value, one in zip(values, classes, strict=True)
        )

    def _covers(self, arguments: tuple[Any, ...]) -> bool:
        """Whether all rows for these arguments would be remembered."""
        return self._alike(arguments) and self._others(arguments) == self._rest

    def _read_all(self, arguments: tuple[Any, ...]) -> bool:
        """Read the rows of all keys; return whether they could be remembered."""
        # What doesn't work now is tried again after as many seeks.
        self._spent = 0
        most = _MEMORY if self._lookup.indexed else _MUCH
        if self._total * self._size > most or not self._alike(arguments):
            return False
        rest = self._others(arguments)
        groups: dict[Any, list[SQLRow]] = {}
        rows, key_of = self._load(rest)
        weigh, weight = self._weigh, self._total * self._size
        for row in rows:
            if weigh is not None:
                weight += weigh(row)
                if weight > most:
                    self._total = most  # for good
                    return False
            key = key_of(row)
            group = groups.get(key)
            if group is None:
                groups[key] = [row]
            else:
                group.append(row)
        self._found.clear()
        keys = self._lookup.keys
        whole = list(arguments)
        for key, group in groups.items():
            values = (key,) if len(keys) == 1 else key
            if None in values:
                continue  # equal to nothing
            for number, value in zip(keys, values, strict=True):
                whole[number] = value
            self._found[tuple(whole)] = group
        self._rest, self._complete = rest, True
        return True

    def forget(self, generation: int) -> None:
        """Forget everything: the rows may have changed."""
        self.generation = generation
        self._found.clear()
        self._complete = False
        self._spent = self._weight = 0
