"""What was found by key, for as long as a statement runs: joins ask again and again."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backendkit.stores import FilterShape, Table, ValueType

if TYPE_CHECKING:
    from .vtab import Plan

SQLRow = Sequence[Any]
KeyOf = Callable[[SQLRow], Any]

#: How many rows of a scan take as long as finding one by its key.
_SEEK = 60
#: Bytes that one use of a table in a statement may remember, about.
_MEMORY = 16 * 1024 * 1024
#: Bytes that a row takes, but for long text in it.
_ROW = 400
#: A column of at most so many characters isn't long text.
_SHORT = 255

# A value of these types is the same in SQLite's terms, and equal to another one of
# the same class in SQL as it is in Python.
_CLASSES = {ValueType.INTEGER: int, ValueType.STRING: str}
_LONG = frozenset({ValueType.STRING, ValueType.BYTES, ValueType.JSON})


@dataclass(frozen=True)
class Lookup:
    """
    How a plan that is used with one key after the other finds rows.

    :param keys: which of the plan's arguments are the key.
    :param classes: of the key's values, if all rows may be read at once.
    :param rest: the shapes of the other filters.
    :param columns: names of the key's columns.
    :param unique: whether a key has one row at most.
    """

    keys: tuple[int, ...]
    classes: tuple[type, ...]
    rest: tuple[FilterShape, ...]
    columns: tuple[str, ...]
    unique: bool


def lookup_of(plan: Plan, table: Table) -> Lookup | None:
    """Return how a plan finds rows by key; None if it does something else."""
    access = plan.access
    if (
        not access.equalities
        or plan.offset
        or any(shape.lookup == "in" for shape in plan.shapes)
    ):
        return None
    names = table.primary_key
    for index in table.indexes:
        if index.name == access.index:
            names = index.columns
    wanted = names[: access.equalities]
    numbers: dict[str, int] = {}
    for number, shape in enumerate(plan.shapes):
        if shape.lookup == "exact" and shape.column in wanted:
            numbers.setdefault(shape.column, number)
    if not numbers:
        return None
    classes = [_CLASSES.get(table.column(name).type) for name in numbers]
    alike = None not in classes and not plan.ordering
    if not (alike or access.unique):
        return None
    first = int(plan.handed)
    chosen = set(numbers.values())
    return Lookup(
        keys=tuple(first + number for number in numbers.values()),
        classes=tuple(one for one in classes if one) if alike else (),
        rest=tuple(s for n, s in enumerate(plan.shapes) if n not in chosen),
        columns=tuple(numbers),
        unique=access.unique,
    )


def weigher(table: Table, columns: Sequence[str]) -> Callable[[SQLRow], int] | None:
    """
    Return a function that tells about how many bytes a row takes.

    :returns: None if all rows take about as many.
    """
    places = [
        place
        for place, column in enumerate(map(table.column, columns))
        if column.type in _LONG and not 0 < (column.max_length or 0) <= _SHORT
    ]
    if not places:
        return None
    return lambda row: _ROW + sum(len(row[at]) for at in places if row[at] is not None)


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
    :param weigh: tells how many bytes a row takes; None if all take as many.
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
        generation: int,
    ) -> None:
        self._lookup = lookup
        self._total = total
        self._seek = seek
        self._load = load
        self._weigh = weigh
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
        self._spent += _SEEK
        if self._spent > self._total and self._read_all(arguments):
            return iter(self._found.get(arguments, ()))
        if not self._lookup.unique:
            return self._seek(arguments)
        rows = list(self._seek(arguments))
        weight = _ROW
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
            value.__class__ is one for value, one in zip(values, classes, strict=True)
        )

    def _covers(self, arguments: tuple[Any, ...]) -> bool:
        """Whether all rows for these arguments would be remembered."""
        return self._alike(arguments) and self._others(arguments) == self._rest

    def _read_all(self, arguments: tuple[Any, ...]) -> bool:
        """Read the rows of all keys; return whether they could be remembered."""
        # What doesn't work now is tried again after as many seeks.
        self._spent = 0
        if self._total * _ROW > _MEMORY or not self._alike(arguments):
            return False
        rest = self._others(arguments)
        groups: dict[Any, list[SQLRow]] = {}
        rows, key_of = self._load(rest)
        weigh, weight = self._weigh, 0
        for row in rows:
            if weigh is not None:
                weight += weigh(row)
                if weight > _MEMORY:
                    self._total = _MEMORY  # for good
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
