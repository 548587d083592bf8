"""
The contract between backendkit and a store.

A *store* is a database that backendkit makes usable from Django. Its author writes
three classes, :class:`Store`, :class:`Session` and :class:`NonrelQuery`, and declares
in one :class:`Capabilities` object what the store does exactly, what it does coarsely
and what it doesn't do. The layers above do everything else: joins, aggregates,
constraints, SQL.

This package imports only the standard library.
"""

from typing import TYPE_CHECKING, Any

from ._access import Access, FilterShape, choose_access
from ._batches import BATCH_BYTES, batch, batches, weigher, weight
from ._capabilities import COMPARISONS, PATTERNS, Capabilities, Order, Precision
from ._direct import DirectSession
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
    ReadOnlyDatabaseError,
    UniqueViolation,
    UnknownOutcomeError,
    Warning,  # noqa: A004  # PEP 249 prescribes this name
    safe_call,
    shown,
)
from ._forks import Mutex, NativeCalls, tell_children
from ._guarding import guarded
from ._json import key_to_text, row_from_json, row_to_json
from ._locks import WriterLock
from ._matched import MATCHED, MatchedQuery
from ._matching import (
    Matcher,
    is_nan,
    matcher,
    row_getter,
    sort_by,
    sort_key,
    sort_rows,
)
from ._query import NonrelQuery
from ._reserved import refuse_taken_names
from ._schema import (
    PYTHON_TYPES,
    UNREADABLE,
    Catalog,
    Column,
    ForeignKey,
    Index,
    Table,
    ValueType,
)
from ._session import Key, Row, Session, Store
from ._turns import NO_TURNS, Turns, turns

if TYPE_CHECKING:
    from ._buffered import BufferedSession
    from ._changes import RowChange, TableChange
    from ._readonly import ReadOnlyStore
    from ._verifying import VerifiedStore

__all__ = [
    "BATCH_BYTES",
    "COMPARISONS",
    "MATCHED",
    "NO_TURNS",
    "PATTERNS",
    "PYTHON_TYPES",
    "UNREADABLE",
    "Access",
    "BufferedSession",
    "Capabilities",
    "Catalog",
    "Column",
    "ConflictError",
    "DataError",
    "DatabaseError",
    "DirectSession",
    "Error",
    "FilterShape",
    "ForeignKey",
    "Index",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "Key",
    "MatchedQuery",
    "Matcher",
    "Mutex",
    "NativeCalls",
    "NonrelQuery",
    "NotSupportedError",
    "OperationalError",
    "Order",
    "Precision",
    "ProgrammingError",
    "ReadOnlyDatabaseError",
    "ReadOnlyStore",
    "Row",
    "RowChange",
    "Session",
    "Store",
    "Table",
    "TableChange",
    "Turns",
    "UniqueViolation",
    "UnknownOutcomeError",
    "ValueType",
    "VerifiedStore",
    "Warning",
    "WriterLock",
    "batch",
    "batches",
    "choose_access",
    "guarded",
    "is_nan",
    "key_to_text",
    "matcher",
    "refuse_taken_names",
    "row_from_json",
    "row_getter",
    "row_to_json",
    "safe_call",
    "shown",
    "sort_by",
    "sort_key",
    "sort_rows",
    "tell_children",
    "turns",
    "weigher",
    "weight",
]


def __getattr__(name: str) -> Any:
    """Load what only some stores need when it is asked for."""
    if name in {"BufferedSession", "RowChange", "TableChange"}:
        from . import _buffered, _changes  # noqa: PLC0415  # not before it is used

        for one in (
            _buffered.BufferedSession,
            _changes.RowChange,
            _changes.TableChange,
        ):
            globals()[one.__name__] = one
        return globals()[name]
    if name == "ReadOnlyStore":
        from ._readonly import ReadOnlyStore  # noqa: PLC0415  # as above

        return ReadOnlyStore
    if name == "VerifiedStore":
        from ._verifying import VerifiedStore  # noqa: PLC0415  # as above

        return VerifiedStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
