"""How statements of a transaction are sent: many at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .changes import Statement, size

if TYPE_CHECKING:
    from .driver import Connection

#: Bytes and statements of one request, about. While the server runs it, we make the next.
_REQUEST, _STATEMENTS = 128_000, 500


def send_all(connection: Connection, waiting: Iterable[Statement]) -> None:
    """
    Send statements, as many at a time as a request takes.

    :param connection: in a transaction.
    """
    texts: list[str] = []
    bound: list[Any] = []
    length = 0
    for sql, parameters in waiting:
        more = len(sql) + size(parameters)
        if texts and (length + more > _REQUEST or len(texts) >= _STATEMENTS):
            connection.send("; ".join(texts), bound)
            texts, bound, length = [], [], 0
        texts.append(sql)
        bound += parameters
        length += more
    if texts:
        connection.run("; ".join(texts), bound)
