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

    A row that moves to another primary key is two changes. One that was read for
    ``select_for_update`` and stays as it is has a ``new`` like its ``old``, where
    ``Capabilities.preconditions`` allows that: it is only compared.

    :param key: the primary key.
    :param old: the row as it is committed, in the columns of ``TableChange.before``,
        None if there is none: the precondition.
    :param new: the row as it will be, in the columns of ``TableChange.after``; None
        if it is deleted.
    """

    key: Key
    old: Row | None
    new: Row | None


@dataclass(frozen=True, slots=True)
class TableChange:
    """
    The net change of one table: of its definition, its rows and its numbering.

    :param before: as it is committed; None for a new table.
    :param after: as it will be; None for a dropped one, whose rows go with it. A table
        that is dropped and made anew is two changes, the first one drops it.
    :param rows: changed rows, each once, in no order. Unique values may pass from
        one of them to another: they hold for all of them together.
    :param sources: for each column of ``after`` that is committed, its name in
        ``before``.
    :param fill: values of the other columns in the rows that aren't in ``rows``.
    :param number: the numbering of the ``auto_increment`` column has to go on above
        it; None if it stays.
    :param reset: whether it goes on right above ``number``, though it was higher.
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
        """Whether there is more to do than to change rows and the numbering."""
        # A column may have been dropped and made anew under its name.
        return (
            self.before != self.after
            or any(name != source for name, source in self.sources.items())
            or bool(self.fill)
        )

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
        Tell which unique values pass from whom to whom.

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
