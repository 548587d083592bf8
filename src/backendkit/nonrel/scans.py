"""Scans that read more rows than they should: what is said, and where."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.apps import apps

from backendkit.engine.limits import ScanLimits

logger = logging.getLogger("django.db.backends.backendkit")

#: OPTIONS and what they are if not set: numbers of rows, None for any.
SCAN_OPTIONS: dict[str, int | None] = {
    "max_scan_rows": None,
    "warn_scan_rows": 100_000,
}
#: Texts of warnings that are remembered.
_MOST_TEXTS = 1000


class Scans:
    """What a connection's scans are held to. A warning is given once."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def limits(
        self, max_scan_rows: int | None, warn_scan_rows: int | None
    ) -> ScanLimits | None:
        """Return the limits that OPTIONS set; None if there are none."""
        if max_scan_rows is None and warn_scan_rows is None:
            return None
        return ScanLimits(max_scan_rows, warn_scan_rows, self._warn, index_text)

    def _warn(self, text: str) -> None:
        if text in self._warned:
            return
        if len(self._warned) >= _MOST_TEXTS:
            self._warned.clear()
        self._warned.add(text)
        logger.warning(text)


def index_text(table: str, columns: Sequence[str]) -> str:
    """Return what an index of these columns is to the table's model."""
    models = apps.get_models(include_auto_created=True) if apps.models_ready else ()
    for model in models:
        if model._meta.db_table != table:
            continue
        names = {
            field.column: field.name for field in model._meta.local_concrete_fields
        }
        if names.keys() >= set(columns):
            fields = ", ".join(f'"{names[column]}"' for column in columns)
            return f"Index(fields=[{fields}]) in the Meta of {model._meta.label}."
    return f"an index on {table} ({', '.join(columns)})."
