"""Row counts and numberings: two numbers for each table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from .codec import pack
from .layout import numbers_key

if TYPE_CHECKING:
    from .engine import KeyValueTransaction

_unpack = msgspec.msgpack.Decoder(tuple[int, int]).decode


class Numbers:
    """
    Row count and numbering of one table, as one transaction sees them.

    :param rows: how many rows there are.
    :param last: the greatest number that was ever given to a row.
    """

    __slots__ = ("changed", "last", "rows")

    def __init__(self, rows: int, last: int) -> None:
        self.rows = rows
        self.last = last
        self.changed = False

    @classmethod
    def load(cls, transaction: KeyValueTransaction, table_id: int) -> Numbers:
        """Read them; a new table's are zero."""
        data = transaction.get(numbers_key(table_id))
        return cls(0, 0) if data is None else cls(*_unpack(data))

    def save(self, transaction: KeyValueTransaction, table_id: int) -> None:
        """Write them."""
        transaction.put(numbers_key(table_id), pack((self.rows, self.last)))

    def restorer(self) -> Callable[[], None]:
        """Return a function that brings back the present numbers."""
        rows, last = self.rows, self.last

        def restore() -> None:
            self.rows = rows
            self.last = last

        return restore
