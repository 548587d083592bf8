"""Where everything lies: the keys of the record layer in a key-value engine."""

from __future__ import annotations

from .keys import encode_int

#: Who wrote the store, and in which format: a JSON document.
FORMAT_KEY = b"\x00format"
#: The catalog's version: 16 random bytes, new with every change.
VERSION_KEY = b"\x00version"
#: The number that the next table or index gets: 8 bytes.
NEXT_ID_KEY = b"\x00next_id"

#: Followed by a table's number: its entry in the catalog, a JSON document.
CATALOG_PREFIX = b"\x01"
CATALOG_STOP = b"\x02"

#: Who wrote the store.
FORMAT_NAME = "django-backendkit"


def catalog_key(table_id: int) -> bytes:
    """Return the key of a table's entry in the catalog."""
    return CATALOG_PREFIX + encode_int(table_id)


def numbers_key(table_id: int) -> bytes:
    """Return the key of a table's row count and numbering: a msgpack array."""
    return b"\x02" + encode_int(table_id)


def rows_prefix(table_id: int) -> bytes:
    """Return what the keys of a table's rows begin with; the primary key follows."""
    return b"r" + encode_int(table_id)


def index_prefix(index_id: int) -> bytes:
    """Return what the keys of an index's entries begin with; the values follow."""
    return b"i" + encode_int(index_id)
