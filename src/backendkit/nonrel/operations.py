"""What the dialect of our SQL has that SQLite's hasn't, and the other way round."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.backends.sqlite3.operations import DatabaseOperations

from backendkit.engine.placeholders import filled
from backendkit.engine.tokens import unquote

#: How many objects bulk_update() writes with one statement.
MOST_UPDATED = 100


@functools.lru_cache(maxsize=2_000)
def _quoted(name: str) -> str:
    inner = name[1:-1]
    if (
        len(name) > 1
        and name[0] == name[-1] == '"'
        and '"' not in inner.replace('""', "")
    ):
        return name
    return '"' + name.replace('"', '""') + '"'


@functools.lru_cache(maxsize=2_000)
def _bare(name: str) -> str:
    return unquote(_quoted(name))


class NonrelDatabaseOperations(DatabaseOperations):
    """Django's SQLite operations, where a store differs from a file."""

    compiler_module = "backendkit.nonrel.compiler"

    def explain_query_prefix(self, format: str | None = None, **options: Any) -> str:  # noqa: A002  # Django's name
        """Return how a statement begins that explains; ``analyze`` also runs it."""
        options.pop("analyze", None)
        return str(super().explain_query_prefix(format, **options))

    def quote_name(self, name: str) -> str:
        """Quote a name once. Quotes within it are doubled."""
        return _quoted(name)

    def bare_name(self, name: str) -> str:
        """Return a name as the database knows it: some are quoted in the model."""
        return _bare(name)

    def bulk_batch_size(self, fields: Sequence[Any], objs: Sequence[Any]) -> int:
        """
        Return how many objects fit into one statement.

        bulk_update() writes a CASE of all objects for each field. SQLite walks
        through it for each row, so that many small statements are much faster.
        """
        # Only bulk_update() names the key twice. It is bound once for each field,
        # and once more.
        if len(fields) > 2 and fields[0] is fields[1]:
            key, _, *updated = fields
            bound = [*updated, *[key] * (len(updated) + 1)]
            return min(int(super().bulk_batch_size(bound, objs)), MOST_UPDATED)
        return int(super().bulk_batch_size(fields, objs))

    def sequence_reset_by_name_sql(
        self, style: Any, sequences: Iterable[dict[str, Any]]
    ) -> list[str]:
        """Return a statement that lets the numbering of tables begin anew."""
        named = [
            {**sequence, "table": self.bare_name(sequence["table"])}
            for sequence in sequences
        ]
        found: list[str] = super().sequence_reset_by_name_sql(style, named)
        return found

    def last_executed_query(
        self, cursor: Any, sql: str, params: Sequence[Any] | Mapping[str, Any] | None
    ) -> str:
        """Return a statement with its parameters, for ``connection.queries``."""
        if not params:
            return sql
        quote = self.connection.connection.quote_values
        if isinstance(params, Mapping):
            return filled(
                sql, dict(zip(params, quote(list(params.values())), strict=True))
            )
        return filled(sql, quote(params))
