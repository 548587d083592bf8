"""
The contract between the record layer and a key-value engine.

An engine stores pairs of bytes, ordered by key as ``memcmp`` orders them. Its
author writes :class:`KeyValueStore` and :class:`KeyValueTransaction`; rows,
indexes, uniqueness, numbering and the catalog come from the record layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import ClassVar

from backendkit.stores import Error, batch

_second = itemgetter(1)


class KeyValueTransaction(ABC):
    """
    One transaction: a snapshot of all committed pairs, and its own writes.

    Not thread-safe. After :meth:`commit` or :meth:`abort` every other method,
    and every iterator it had returned, raises the driver's error for that or
    :class:`~backendkit.stores.InterfaceError`; none may crash the process.
    """

    __slots__ = ()

    @abstractmethod
    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of a key, or None."""

    @abstractmethod
    def range(
        self, start: bytes, stop: bytes, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """
        Iterate over the pairs with ``start <= key < stop``, in order of the keys.

        Pairs are read as they are asked for. When this transaction writes
        between two steps, the iterator goes on from the last key it returned,
        and sees what is there then.

        :param reverse: from the greatest key down.
        """

    def values(
        self, start: bytes, stop: bytes, reverse: bool = False
    ) -> Iterator[bytes]:
        """
        Iterate over the values alone; else as :meth:`range`.

        They may be read ahead: what this transaction writes before the last of them
        was returned may be seen or not.
        """
        return map(_second, self.range(start, stop, reverse))

    def count(self, start: bytes, stop: bytes) -> int:
        """Return how many keys there are with ``start <= key < stop``."""
        return sum(1 for _ in self.range(start, stop))

    def first(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """
        Return the first pairs with ``start <= key < stop``, up to a number.

        Fewer, but at least one, where they have more than ``BATCH_BYTES`` together.
        """
        return batch(self.range(start, stop), limit, lambda pair: len(pair[1]))

    @abstractmethod
    def put(self, key: bytes, value: bytes, /) -> object:
        """Store a pair, in place of the key's present value if it has one."""

    def put_all(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Store pairs, each as :meth:`put` does."""
        for key, value in pairs:
            self.put(key, value)

    def append(self, pairs: Sequence[tuple[bytes, bytes]], stop: bytes) -> None:
        """
        Store pairs in order of their keys, where nothing comes after them yet.

        :param stop: no key is in the store between the first of theirs and this one.
        """
        self.put_all(pairs)

    @abstractmethod
    def delete(self, key: bytes, /) -> bool:
        """Remove a key; return whether it was there."""

    def add(self, key: bytes, value: bytes, /) -> bool:
        """Store a pair unless the key has a value; return whether it hadn't."""
        if self.get(key) is not None:
            return False
        self.put(key, value)
        return True

    def clear(self, start: bytes, stop: bytes) -> None:
        """Remove all keys with ``start <= key < stop``, in bounded memory."""
        while keys := [key for key, _ in islice(self.range(start, stop), 1000)]:
            for key in keys:
                self.delete(key)

    @abstractmethod
    def upgrade(self) -> None:
        """
        Take the right to write, in a transaction begun without it.

        Iterators that are open keep working, on the snapshot.

        :raises ConflictError: another transaction committed since the snapshot.
        :raises OperationalError: another one kept the right for too long.
        """

    @abstractmethod
    def commit(self) -> None:
        """Make all writes durable and visible at once, and end the transaction."""

    @abstractmethod
    def abort(self) -> None:
        """Forget all writes and end the transaction. No effect if it has ended."""


class KeyValueStore(ABC):
    """An ordered key-value engine, opened. Thread-safe."""

    #: The greatest length of a key, in bytes. The record layer names the
    #: column when an indexed value is too long for it.
    max_key_bytes: int
    #: The driver's exceptions and the contract's, most specific first.
    driver_errors: ClassVar[Mapping[type[Exception], type[Error]]] = {}

    @abstractmethod
    def begin(self, write: bool) -> KeyValueTransaction:
        """
        Begin a transaction.

        :param write: whether to take the right to write, which one transaction
            has at a time; False promises not to write before ``upgrade``.
        :raises OperationalError: another one kept the right for too long.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the engine. Transactions have ended before."""
