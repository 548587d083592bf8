"""What a transaction changes in all: the net change of each row and each table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ._schema import Table

if TYPE_CHECKING:
    from ._session import Key, Row


@dataclass(frozen=True, slots=True)
class RowChange:
    """
    The net change of one row: it is inserted, replaced or deleted.

    A row that moves to another primary key is two changes. If
    ``Capabilities.preconditions`` is true, a row that ``select_for_update`` has read
    may have a ``new`` that equals its ``old``. It only has to be compared.

    :param key: the primary key.
    :param old: the committed row, in the columns of ``TableChange.before``, or None if
        there is none. This is the precondition.
    :param new: the new row, in the columns of ``TableChange.after``, or None if it is
        deleted.
    """

    key: Key
    old: Row | None
    new: Row | None


@dataclass(frozen=True, slots=True)
class TableChange:
    """
    The net change of one table: of its definition, its rows and its sequence.

    :param before: the committed table; None for a new one.
    :param after: the new definition; None if the table is dropped with its rows. A
        table that is dropped and created again is two changes, of which the first one
        drops it.
    :param rows: the changed rows, each once, in no particular order. Rows may exchange
        unique values, so uniqueness only has to hold for all of them together.
    :param sources: the name in ``before`` of each column of ``after`` that exists
        there.
    :param fill: the values of the other columns, for the rows that aren't in ``rows``.
    :param number: the last number of the ``auto_increment`` column, or None if it
        doesn't change.
    :param reset: whether the sequence is set to ``number`` even if it was higher.
    """

    before: Table | None
    after: Table | None
    rows: Sequence[RowChange] = ()
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    fill: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    number: int | None = None
    reset: bool = False

    @property
    def redefined(self) -> bool:
        """Whether the definition changes, and not only rows and the sequence."""
        # A column may have been dropped and made anew under its name.
        return (
            self.before != self.after
            or any(name != source for name, source in self.sources.items())
            or bool(self.fill)
        )

    @property
    def filled(self) -> bool:
        """Whether rows that aren't in ``rows`` get another value than NULL."""
        return any(value is not None for value in self.fill.values())

    def convert(self, row: Row) -> Row:
        """Return a committed row in the columns of ``after``."""
        assert self.before is not None
        assert self.after is not None
        at = self.before.positions
        return tuple(
            [
                row[at[self.sources[name]]]
                if name in self.sources
                else self.fill.get(name)
                for name in self.after.positions
            ]
        )

    def claims(
        self,
    ) -> Iterator[tuple[str, tuple[Any, ...], Key | None, Key | None]]:
        """
        Yield the unique values that change hands.

        :returns: the name of the unique index, values in it, the key of the row that
            has them as committed and of the one that will have them, among the
            changed rows; None for nobody. The primary key isn't among them.
        """
        if self.after is None:
            return
        holders: dict[tuple[str, tuple[Any, ...]], list[Key | None]] = {}
        for change in self.rows:
            olds = None if change.old is None else self.convert(change.old)
            for side, row in enumerate((olds, change.new)):
                if row is not None:
                    for pair in self.after.unique_values(row):
                        holders.setdefault(pair, [None, None])[side] = change.key
        for (index, values), (old, new) in holders.items():
            if index and old != new:
                yield index, values, old, new
