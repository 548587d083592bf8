"""What no SQL may do to the mirror of the schema, whoever wrote it."""

from __future__ import annotations

import apsw

from .pragmas import MIRRORED_PRAGMAS

#: Databases of others, code of others, and what runs by itself later:
#: https://www.sqlite.org/c3ref/c_alter_table.html
_NEVER = frozenset(
    {
        apsw.SQLITE_ATTACH,
        apsw.SQLITE_DETACH,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_CREATE_TEMP_TRIGGER,
        apsw.SQLITE_CREATE_VTABLE,
        apsw.SQLITE_DROP_VTABLE,
    }
)
#: Functions that load code, or hand out pointers.
_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer"})
#: PRAGMAs whose argument isn't a value to set.
_PRAGMAS = MIRRORED_PRAGMAS | {
    "foreign_key_check",
    "integrity_check",
    "query_only",  # set while a statement reads the schema
    "quick_check",  # ALTER TABLE … ADD COLUMN runs it
}


def allows(
    action: int,
    first: str | None,
    second: str | None,
    _database: str | None = None,
    _within: str | None = None,
) -> int:
    """
    Say whether SQLite may do something, as an authorizer of apsw.

    The SQL of a catalog is checked before it is run. This is what stops it if that
    check has let something through.
    """
    if action in _NEVER:
        return apsw.SQLITE_DENY
    if action == apsw.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return apsw.SQLITE_DENY
    if action == apsw.SQLITE_PRAGMA and second is not None:
        known = (first or "").lower() in _PRAGMAS
        return apsw.SQLITE_OK if known else apsw.SQLITE_DENY
    return apsw.SQLITE_OK
