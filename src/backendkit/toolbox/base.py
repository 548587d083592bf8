"""The classes of ``base.py``: what the author of a backend subclasses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import Any

from django.core import checks

from backendkit.nonrel import base, compiler
from backendkit.nonrel.client import DatabaseClient
from backendkit.nonrel.features import NonrelDatabaseFeatures as _Features
from backendkit.nonrel.introspection import (
    NonrelDatabaseIntrospection as _Introspection,
)
from backendkit.nonrel.operations import NonrelDatabaseOperations as _Operations
from backendkit.nonrel.validation import (
    ALLOW_NO_TRANSACTIONS,
)
from backendkit.nonrel.validation import (
    NonrelDatabaseValidation as _Validation,
)

from .creation import TABLE_PREFIX, NonrelDatabaseCreation
from .store import Backend, Tables, ToolboxStore, store_class


class NonrelDatabaseFeatures(_Features):
    """What the backend can do."""


class NonrelDatabaseOperations(_Operations):
    """
    What Django asks about SQL.

    ``compiler_module`` names the author's ``compiler.py``, if it isn't beside
    ``base.py``.
    """

    compiler_module = ""

    def compiler(self, compiler_name: str) -> Any:
        """Return the compiler that writes SQL: the author's ones are the adapter's."""
        return getattr(compiler, compiler_name)


class NonrelDatabaseClient(DatabaseClient):
    """``dbshell``: an SQL prompt."""


class NonrelDatabaseIntrospection(_Introspection):
    """What ``inspectdb`` and migrations ask."""


class NonrelDatabaseValidation(_Validation):
    """Warns that a commit isn't all or nothing."""

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Return a warning, unless the project has accepted what it says."""
        found = super().check(**kwargs)
        connection = self.connection
        if not connection.settings_dict["OPTIONS"].get(ALLOW_NO_TRANSACTIONS):
            warning = checks.Warning(
                f"The database {connection.alias!r} ({connection.display_name})"
                " commits row by row. atomic() undoes everything if your code fails,"
                " but not if the process or the server fails during the commit.",
                hint=f"Accept that with OPTIONS[{ALLOW_NO_TRANSACTIONS!r}] = True.",
                id="backendkit.W001",
            )
            found = [*found, warning]
        return found


class NonrelDatabaseWrapper(base.NonrelDatabaseWrapper):
    """
    A Django database connection to a backend in djangotoolbox's shape.

    The author's subclass is called ``DatabaseWrapper``. It opens what it needs in
    ``__init__``, e.g. as ``self.db_connection``; the name is the author's affair.
    """

    display_name = "djangotoolbox"
    client_class = NonrelDatabaseClient
    creation_class = NonrelDatabaseCreation
    features_class = NonrelDatabaseFeatures
    introspection_class = NonrelDatabaseIntrospection
    ops_class = NonrelDatabaseOperations
    validation_class = NonrelDatabaseValidation

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.store_options = cls.store_options | {TABLE_PREFIX}

    @cached_property
    def compilers(self) -> Any:
        """The author's module ``compiler``."""
        name = self.ops_class.compiler_module
        return import_module(
            name or type(self).__module__.rpartition(".")[0] + ".compiler"
        )

    @cached_property
    def store_class(self) -> type[ToolboxStore]:  # type: ignore[override]  # made of the author's module
        """The adapter, with the capabilities that the author's maps have."""
        return store_class(self.compilers)

    def open_store(self, name: str, options: Mapping[str, Any]) -> ToolboxStore:
        """Return the adapter, over this connection."""
        return self.store_class(self.tables(options.get(TABLE_PREFIX, "")))

    def tables(self, prefix: str) -> Tables:
        """Return the tables whose names begin so in the store."""
        return Tables(Backend(self, prefix))
