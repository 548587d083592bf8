"""``NonrelDatabaseWrapper``: subclass it, and a store is a Django ENGINE."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.sqlite3 import base as sqlite3
from django.db.backends.sqlite3._functions import register as register_functions
from django.utils.asyncio import async_unsafe

from backendkit.engine import dbapi
from backendkit.engine.compiled import Insert, Pushed, Select, Statement
from backendkit.engine.placeholders import to_named, to_qmark, write_out
from backendkit.stores import (
    NO_TURNS,
    Store,
    Turns,
    VerifiedStore,
    refuse_taken_names,
    turns,
)

from .client import DatabaseClient
from .creation import NonrelDatabaseCreation
from .debug import CursorDebugWrapper
from .features import NonrelDatabaseFeatures
from .introspection import NonrelDatabaseIntrospection
from .native import Planner
from .operations import NonrelDatabaseOperations
from .scans import SCAN_OPTIONS, Scans
from .schema import NonrelDatabaseSchemaEditor
from .validation import ALLOW_NO_TRANSACTIONS, NonrelDatabaseValidation


class NonrelDatabaseWrapper(sqlite3.DatabaseWrapper):
    """
    A Django database connection to a store.

    A backend's ``base.py`` subclasses it under the name ``DatabaseWrapper``,
    sets ``store_class``, ``display_name`` and ``store_vendor``, and implements
    :meth:`open_store`. ``vendor`` stays ``"sqlite"``: by it Django and other
    packages choose the SQL that they write, and SQLite runs it.
    """

    display_name = "Nonrel"
    #: The store's class: what it can do is known before it is opened.
    store_class: ClassVar[type[Store]]
    #: Name of the store, for code that needs to know it.
    store_vendor = ""
    #: Names of the OPTIONS that the store takes. All backends have
    #: ``transaction_mode`` (as Django's SQLite backend), ``native``,
    #: ``verify``, ``max_scan_rows``, ``warn_scan_rows`` and ``allow_no_transactions``.
    store_options: ClassVar[frozenset[str]] = frozenset()

    # The words before SQLite's own tell the store what the values are.
    data_types: ClassVar[Mapping[str, Any]] = {
        **sqlite3.DatabaseWrapper.data_types,
        "DurationField": "duration bigint",
        "JSONField": "json text",
        "UUIDField": "uuid char(32)",
    }

    Database = dbapi
    SchemaEditorClass = NonrelDatabaseSchemaEditor
    client_class = DatabaseClient
    creation_class = NonrelDatabaseCreation
    features_class = NonrelDatabaseFeatures
    introspection_class = NonrelDatabaseIntrospection
    ops_class = NonrelDatabaseOperations
    validation_class = NonrelDatabaseValidation

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse names that are kept: see :func:`refuse_taken_names`."""
        super().__init_subclass__(**kwargs)
        free = {name for name in vars(NonrelDatabaseWrapper) if name[0] != "_"}
        free.update(dir(BaseDatabaseWrapper), ["transaction_mode"])
        refuse_taken_names(cls, NonrelDatabaseWrapper, free)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Whether simple queries are answered without SQL.
        self.native = bool(self.settings_dict.get("OPTIONS", {}).get("native", True))
        self.planner = Planner(self)
        #: How many statements are being written, each a part of the one before.
        self.compiling = 0
        #: Whose turn it is to read rows: not across a network.
        self.turns: Turns = NO_TURNS if self.store_class.capabilities.remote else turns
        self._scans = Scans()

    @property
    def has_item_indexes(self) -> bool:
        """
        Whether a column may have an index on its items; ``backendkit.fields`` asks.

        It is a table of the store (engine/items.py), and changes together with rows.
        """
        return self.store_class.capabilities.transactions

    # For a backend's author

    def open_store(self, name: str, options: Mapping[str, Any]) -> Store:
        """
        Return the store that the settings name. Called for each connection.

        :param name: ``NAME`` of the settings.
        :param options: ``OPTIONS`` of the settings, known names only.
        """
        raise NotImplementedError

    # Connecting

    def get_connection_params(self) -> dict[str, Any]:
        """Check the settings and return NAME and OPTIONS."""
        # No variable has all settings: pages of errors show variables, and a password is
        # among the settings.
        where = f"settings.DATABASES[{self.alias!r}]"
        if not self.settings_dict["NAME"]:
            msg = f"{where} is improperly configured. Please supply the NAME value."
            raise ImproperlyConfigured(msg)
        options = dict(self.settings_dict["OPTIONS"])
        mode = options.pop("transaction_mode", None)
        if mode is not None and str(mode).upper() not in self.transaction_modes:
            allowed = ", ".join(map(repr, sorted(self.transaction_modes)))
            msg = (
                f"{where}['OPTIONS']['transaction_mode'] is improperly configured to"
                f" {mode!r}. Use one of {allowed}, or None."
            )
            raise ImproperlyConfigured(msg)
        self.transaction_mode = str(mode).upper() if mode else None
        options.pop(ALLOW_NO_TRANSACTIONS, None)
        native = options.pop("native", True)
        if not isinstance(native, bool):
            raise ImproperlyConfigured(
                f"{where}['OPTIONS']['native'] is {native!r}. Use True or False."
            )
        verify = options.pop("verify", False)
        if not isinstance(verify, bool):
            raise ImproperlyConfigured(
                f"{where}['OPTIONS']['verify'] is {verify!r}. Use True or False."
            )
        limits = {name: options.pop(name, n) for name, n in SCAN_OPTIONS.items()}
        for name, number in limits.items():
            if number is not None and (
                not isinstance(number, int) or isinstance(number, bool) or number < 1
            ):
                raise ImproperlyConfigured(
                    f"{where}['OPTIONS'][{name!r}] is {number!r}. Use a number of"
                    " rows, at least 1, or None for any number."
                )
        unknown = sorted(set(options) - self.store_options)
        if unknown:
            known = ", ".join(
                sorted(
                    self.store_options
                    | {"native", "transaction_mode", "verify", ALLOW_NO_TRANSACTIONS}
                    | set(SCAN_OPTIONS)
                )
            )
            msg = (
                f"{where}['OPTIONS'] has unknown options: {', '.join(unknown)}. The"
                f" options are: {known}."
            )
            raise ImproperlyConfigured(msg)
        return {
            "name": str(self.settings_dict["NAME"]),
            "options": options,
            "limits": limits,
            "verify": verify,
        }

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> dbapi.Connection:
        """Open the store and return a connection to it."""
        store = self.open_store(conn_params["name"], conn_params["options"])
        if conn_params.get("verify"):
            store = VerifiedStore(store)
        connection = dbapi.connect(
            store,
            register_functions,
            immediate=self.transaction_mode in ("IMMEDIATE", "EXCLUSIVE"),
            limits=self._scans.limits(**conn_params["limits"]),
        )
        # connect() replaces a connection that is open, and nobody else would close
        # it: see __del__().
        if self.connection is not None:
            self.connection.close()
        return connection

    def refuse_writes(self) -> None:
        """Refuse all that writes on the open connection, for the readonly backend."""
        with self.wrap_database_errors:
            self.connection.refuse_writes()

    def get_database_version(self) -> tuple[int, ...]:
        """Return the version of the SQLite that runs our SQL."""
        return dbapi.sqlite_version_info

    def check_database_version_supported(self) -> None:
        """
        Check that SQLite is as new as our SQL needs.

        :raises NotSupportedError: it is older.
        """
        version = self.get_database_version()
        minimum = self.features.minimum_database_version
        if minimum is not None and version < minimum:
            # Django would name the store.
            msg = (
                f"SQLite {'.'.join(map(str, minimum))} or later is required"
                f" (found {'.'.join(map(str, version))})."
            )
            raise NotSupportedError(msg)

    def get_server_version(self) -> tuple[int, ...] | None:
        """Return the version of the store's server or library; None for neither."""
        return None

    def create_cursor(self, name: str | None = None) -> FormatCursor:
        """Return a cursor that takes ``%s`` and ``%(name)s``."""
        cursor: FormatCursor = self.connection.cursor(FormatCursor)
        return cursor

    def make_debug_cursor(self, cursor: Any) -> CursorDebugWrapper:
        """Return a cursor that logs statements, with their store calls."""
        return CursorDebugWrapper(cursor, self)

    @async_unsafe
    def close(self) -> None:
        """Close the connection; the data stay where they are."""
        BaseDatabaseWrapper.close(self)

    def __del__(self) -> None:
        """Close the connection of a thread that has ended without doing so."""
        # SQLite refers to its virtual tables, and they to the connection: no
        # garbage collector sees that, and a lock of the store may hang on it.
        connection = getattr(self, "connection", None)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def is_usable(self) -> bool:
        """Whether the connection works: an embedded store always does."""
        return not self.connection.closed

    def is_in_memory_db(self) -> bool:
        """Whether closing the connection ends the database: never."""
        return False

    # Transactions

    def _set_autocommit(self, autocommit: bool) -> None:
        with self.wrap_database_errors:
            self.connection.set_autocommit(autocommit)

    # Constraints

    def disable_constraint_checking(self) -> bool:
        """Stop enforcing foreign keys; return whether they were enforced."""
        self.ensure_connection()
        keys = self.connection.foreign_keys
        was, keys.enforced = keys.enforced, False
        return bool(was)

    def enable_constraint_checking(self) -> None:
        """Enforce foreign keys again, from the next write on."""
        self.ensure_connection()
        self.connection.foreign_keys.enforced = True

    def check_constraints(self, table_names: Iterable[str] | None = None) -> None:
        """
        Check the foreign keys of all rows in some tables, or in all.

        :raises IntegrityError: one refers to nothing; names the row.
        """
        self.ensure_connection()
        names = None if table_names is None else list(table_names)
        with self.wrap_database_errors:
            violations = self.connection.check_foreign_keys(names)
        for table, key, row in violations:
            bad = [row[table.positions[name]] for name in key.columns]
            msg = (
                f"The row in table '{table.name}' with primary key"
                f" '{_shown(table.key_of(row))}' has an invalid foreign key:"
                f" {table.name}.{', '.join(key.columns)} contains a value"
                f" '{_shown(bad)}' that does not have a corresponding value in"
                f" {key.table}.{', '.join(key.references)}."
            )
            raise IntegrityError(msg)


def _shown(values: Sequence[Any]) -> str:
    return str(values[0]) if len(values) == 1 else str(tuple(values))


#: How many parameters are bound: as many as SQLite takes if it isn't built with
#: another limit (https://www.sqlite.org/limits.html#max_variable_number).
MOST_BOUND = 32_766


class FormatCursor(dbapi.Cursor):
    """A cursor with the parameter styles that Django writes."""

    def execute(self, sql: str, params: Any = None) -> FormatCursor:
        """Execute a statement with ``%s`` or ``%(name)s``; None: as it is."""
        if isinstance(sql, Statement):
            if (
                isinstance(sql, Insert)
                or params is sql.parameters
                or tuple(params or ()) == tuple(sql.parameters)
            ):
                # To ask whether they are empty would write the statement.
                return super().execute(sql, () if params is None else params)
            sql = str(sql)  # with other parameters it means something else
        if params is None:
            return super().execute(sql)
        if isinstance(params, Mapping):
            return super().execute(to_named(sql, params), params)
        select = isinstance(sql, Select)
        if isinstance(sql, Pushed):
            sql, params = sql.with_filters(params)
        converted = to_qmark(sql)
        if len(params) > MOST_BOUND:
            converted, params = write_out(converted, params, MOST_BOUND)
        if select:
            converted = Select(converted)
        return super().execute(converted, params)

    def executemany(self, sql: str, param_list: Iterable[Any]) -> FormatCursor:
        """Execute a statement for each set of parameters."""
        return super().executemany(sql, param_list)
