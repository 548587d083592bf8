"""
The record layer: rows, indexes, uniqueness and numbering on ordered keys.

An author of a key-value engine writes :class:`KeyValueStore` and
:class:`KeyValueTransaction`, five methods on keys and the ends of transactions;
:class:`RecordStore` makes a complete :class:`backendkit.stores.Store` of it.
"""

from .engine import KeyValueStore, KeyValueTransaction
from .formats import check_format, initialize
from .query import RecordQuery
from .session import RecordSession
from .store import RecordStore

__all__ = [
    "KeyValueStore",
    "KeyValueTransaction",
    "RecordQuery",
    "RecordSession",
    "RecordStore",
    "check_format",
    "initialize",
]
