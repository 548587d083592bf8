"""``connection.queries`` with the store calls of each statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.utils import CursorDebugWrapper as BaseCursorDebugWrapper


class CursorDebugWrapper(BaseCursorDebugWrapper):
    """
    Logs statements as Django does, and adds ``store`` to each entry.

    ``store`` is a list of dicts, a call of the store each: ``table``, ``call``
    (how it was read or written), ``rows``, and ``time`` in seconds. Calls of
    rows that are fetched later are counted on as they are made.
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
                log[-1]["store"] = calls
