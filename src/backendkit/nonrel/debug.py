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
        was read or written), ``rows``, ``time`` in seconds, and ``looked``, if
        known: how many rows were looked at to find those.
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
        log = self.db.queries_log
        before = connection.trace
        # Somebody else may want the calls of this one statement, too.
        calls: list[dict[str, Any]] = [] if before is None else before
        connection.trace = calls
        try:
            with super().debug_sql(*args, **kwargs):
                yield
        finally:
            connection.trace = before
            if log and self.db.queries_logged:
                log[-1] = LoggedQuery(log[-1], calls)
