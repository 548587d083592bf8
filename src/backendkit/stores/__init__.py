"""
The contract between backendkit and a store.

A *store* is a database that backendkit makes usable from Django. Its author
writes three classes, :class:`Store`, :class:`Session` and
:class:`NonrelQuery`, and states in one :class:`Capabilities` object what the
store does exactly, what it does coarsely and what it does not do. Everything
else (joins, aggregates, constraints, SQL) is done by the layers above.

Nothing in this package imports anything but the standard library.
"""

from ._access import Access, FilterShape, choose_access
from ._buffered import BufferedSession
from ._capabilities import COMPARISONS, PATTERNS, Capabilities, Order, Precision
from ._changes import RowChange, TableChange
from ._errors import (
    ConflictError,
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    UniqueViolation,
    Warning,  # noqa: A004  # PEP 249 prescribes this name
    safe_call,
)
from ._locks import WriterLock
from ._matching import Matcher, matcher, sort_key, sort_rows
from ._query import NonrelQuery
from ._schema import Catalog, Column, ForeignKey, Index, Table, ValueType
from ._session import Key, Row, Session, Store

__all__ = [
    "COMPARISONS",
    "PATTERNS",
    "Access",
    "BufferedSession",
    "Capabilities",
    "Catalog",
    "Column",
    "ConflictError",
    "DataError",
    "DatabaseError",
    "Error",
    "FilterShape",
    "ForeignKey",
    "Index",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "Key",
    "Matcher",
    "NonrelQuery",
    "NotSupportedError",
    "OperationalError",
    "Order",
    "Precision",
    "ProgrammingError",
    "Row",
    "RowChange",
    "Session",
    "Store",
    "Table",
    "TableChange",
    "UniqueViolation",
    "ValueType",
    "Warning",
    "WriterLock",
    "choose_access",
    "matcher",
    "safe_call",
    "sort_key",
    "sort_rows",
]
