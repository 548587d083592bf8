"""Introspection: Django's for SQLite, answered from the store's catalog."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import apsw
from django.db.backends.sqlite3.introspection import (
    DatabaseIntrospection,
    FlexibleFieldLookupDict,
)

from backendkit.engine.tokens import quote

#: The digits of a declared decimal, and how many of them are behind the point.
_DIGITS = re.compile(r"\s*decimal\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*\Z", re.IGNORECASE)


class NonrelFieldLookupDict(FlexibleFieldLookupDict):
    """Maps declared types to Django's fields, our own words included."""

    base_data_types_reverse: ClassVar[dict[str, str]] = {
        **FlexibleFieldLookupDict.base_data_types_reverse,
        "duration bigint": "DurationField",
        "json text": "JSONField",
        "uuid char": "UUIDField",
    }


class NonrelDatabaseIntrospection(DatabaseIntrospection):
    """
    What ``inspectdb`` and migrations ask.

    Its PRAGMAs and queries of ``sqlite_master`` are answered by the engine
    from the catalog that the store keeps.
    """

    data_types_reverse = NonrelFieldLookupDict()

    def get_table_description(self, cursor: Any, table_name: str) -> list[Any]:
        """Return Django's description of a table, with the digits of decimals."""
        described = []
        for one in super().get_table_description(cursor, table_name):
            digits = _DIGITS.match(one.type_code)
            described.append(
                one
                if digits is None
                else one._replace(precision=int(digits[1]), scale=int(digits[2]))
            )
        return described

    def _get_column_collations(self, cursor: Any, table_name: str) -> dict[str, str]:
        """Return the collations of columns: from SQLite, Django reads its SQL."""
        database = self.connection.connection.schema()
        found = {}
        for row in database.execute(f"PRAGMA table_info({quote(table_name)})"):
            try:
                collation = database.column_metadata(None, table_name, row[1])[1]
            except apsw.SQLError:
                return {}  # a view
            if collation and collation.upper() != "BINARY":
                found[row[1]] = collation
        return found

    def get_sequences(
        self, cursor: Any, table_name: str, table_fields: Any = ()
    ) -> list[dict[str, Any]]:
        """Return the table's numbered column, if it has one."""
        key = self.get_primary_key_column(cursor, table_name)
        return [{"table": table_name, "column": key}] if key else []
