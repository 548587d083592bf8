"""immudb's log: transactions in their order, as the server tells them, unproven."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from backendkit.stores import InternalError

if TYPE_CHECKING:
    from backendkit.backends.immudb.store import ImmudbStore

#: Bytes that an answer should have, and the most transactions that immudb puts in one.
_ANSWER, _MOST = 1_000_000, 2_500
#: Transactions of the first answer: nobody knows how large they are.
_FIRST = 50


def last_transaction(store: ImmudbStore) -> int:
    """Return the id of the last transaction; 0 if there is none."""
    with store.other() as connection:
        return int(connection.state().txId)


def transactions(
    store: ImmudbStore, first: int, last: int, *, values: bool
) -> Iterator[Any]:
    """
    Go through transactions, some at a time.

    :param first: id of the first one.
    :param last: id of the last one, which has to exist; if it is less than the first
        one, they come backwards.
    :param values: whether entries come with their values.
    :raises InternalError: the server leaves some out.
    """
    step = 1 if first <= last else -1
    limit = _FIRST
    while (last - first) * step >= 0:
        count = min(limit, abs(last - first) + 1)
        with store.other() as connection:
            found = connection.transactions(
                first, count, backwards=step < 0, values=values
            )
        wanted = range(first, first + count * step, step)
        if [one.header.id for one in found] != [*wanted[: len(found)]] or not found:
            raise InternalError(
                f"immudb has left out transaction {first} or a later one"
            )
        yield from found
        first += len(found) * step
        size = sum(one.ByteSize() for one in found)
        limit = max(1, min(_MOST, limit * 4, limit * _ANSWER // max(size, 1)))
