"""``connection.queries`` with the store calls of each statement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db.backends.utils import CursorDebugWrapper as BaseCursorDebugWrapper


class LoggedQuery(dict[str, str]):
    """
    An entry of ``connection.queries``: Django's keys, and the store's calls.

    :param entry: what Django logs, ``sql`` and ``time``.
    :param store: the calls of the store, each a dict: ``table``, ``call`` (how it
        was read or written), ``rows``, and ``time`` in seconds.
    """

    def __init__(self, entry: Mapping[str, str], store: list[dict[str, Any]]) -> None:
        super().__init__(entry)
        #: No key: Django documents which ones there are.
        self.store = store


class CursorDebugWrapper(BaseCursorDebugWrapper):
    """
    Logs statements as Django does, and the store's calls: :class:`LoggedQuery`.

    Calls of rows that are fetched later are counted on as they are made.
    """

    @contextmanager
    def debug_sql(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Note the store calls while a statement runs."""
        connection = self.db.connection
        calls: list[dict[str, Any]] = []
        log = self.db.queries_log
        before, connection.trace = connection.trace, calls
        try:
            with super().debug_sql(*args, **kwargs):
                yield
        finally:
            connection.trace = before
            if log and self.db.queries_logged:
                log[-1] = LoggedQuery(log[-1], calls)
