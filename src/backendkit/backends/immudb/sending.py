"""How statements of a transaction are sent: many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .changes import Statement, size

if TYPE_CHECKING:
    from .driver import Connection
    from .driver._results import Committed

_Request = tuple[str, list[Any]]

#: Bytes and statements of one request, about. While the server runs it, we make the next.
_REQUEST, _STATEMENTS = 128_000, 500


def send_all(connection: Connection, waiting: Iterable[Statement]) -> None:
    """
    Send statements, as many at a time as a request takes.

    :param connection: in a transaction.
    """
    last: _Request | None = None
    for request in _requests(waiting):
        if last is not None:
            connection.send(*last)
        last = request
    if last is not None:
        connection.run(*last)


def commit_all(
    connection: Connection, waiting: Iterable[Statement]
) -> Committed | None:
    """
    Send statements, and commit them with the last call; it may be the only one.

    :param connection: in a transaction, or in none.
    :param waiting: one statement at least.
    :return: what was committed, if immudb tells: for a single call without a
        transaction.
    """
    requests = _requests(waiting)
    last = next(requests)
    for request in requests:
        if not connection.in_transaction:
            connection.begin()
        connection.send(*last)
        last = request
    return connection.run(*last, commit=True)


def _requests(waiting: Iterable[Statement]) -> Iterator[_Request]:
    """Put statements together, as many as a request takes."""
    texts: list[str] = []
    bound: list[Any] = []
    length = 0
    for sql, parameters in waiting:
        more = len(sql) + size(parameters)
        if texts and (length + more > _REQUEST or len(texts) >= _STATEMENTS):
            yield "; ".join(texts), bound
            texts, bound, length = [], [], 0
        texts.append(sql)
        bound += parameters
        length += more
    if texts:
        yield "; ".join(texts), bound
