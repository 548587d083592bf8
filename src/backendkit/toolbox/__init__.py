"""
Runs backends that were written for djangotoolbox on today's Django.

The classes have djangotoolbox's names, and you subclass them as its guide describes: a
``base.py`` with a ``DatabaseWrapper``, a ``compiler.py`` with a ``BackendQuery``. An
adapter makes a :class:`backendkit.stores.Store` of them, so that joins, OR, aggregates,
migrations and the admin work.
"""

from .base import (
    NonrelDatabaseClient,
    NonrelDatabaseFeatures,
    NonrelDatabaseIntrospection,
    NonrelDatabaseOperations,
    NonrelDatabaseValidation,
    NonrelDatabaseWrapper,
)
from .basecompiler import (
    NonrelCompiler,
    NonrelDeleteCompiler,
    NonrelInsertCompiler,
    NonrelQuery,
    NonrelUpdateCompiler,
    safe_call,
)
from .creation import NonrelDatabaseCreation

__all__ = [
    "NonrelCompiler",
    "NonrelDatabaseClient",
    "NonrelDatabaseCreation",
    "NonrelDatabaseFeatures",
    "NonrelDatabaseIntrospection",
    "NonrelDatabaseOperations",
    "NonrelDatabaseValidation",
    "NonrelDatabaseWrapper",
    "NonrelDeleteCompiler",
    "NonrelInsertCompiler",
    "NonrelQuery",
    "NonrelUpdateCompiler",
    "safe_call",
]
