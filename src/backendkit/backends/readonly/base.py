"""``ENGINE = "backendkit.backends.readonly"``: any other ENGINE, for reading only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, cast

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend
from django.utils.functional import cached_property

from . import orm, servers
from .cursors import ReadOnlyCursor
from .errors import ReadOnlyError, ReadOnlyErrorWrapper

#: The option that names the ENGINE; all others are that one's.
ENGINE = "engine"


class ReadOnlyDatabaseWrapper:
    """
    What makes a backend's ``DatabaseWrapper`` read-only: the base class before it.

    ``connection.vendor``, ``isinstance()`` and all that reads are the backend's.
    """

    #: For code that has to know whether a connection may write.
    read_only = True

    alias: str
    connection: Any
    ensure_connection: Callable[[], None]
    settings_dict: dict[str, Any]
    vendor: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Whether Django or the server is being set up, so that any statement is run.
        self.is_setting_up = False
        super().__init__(*args, **kwargs)
        itself = cast("BaseDatabaseWrapper", self)
        self._server = servers.server_of(itself)
        #: Whose SQL its statements are, by Django's names of vendors.
        self.sql_family = servers.family_of(itself)
        for name, mixin in _PARTS.items():
            # Some backends make theirs in __init__(), not by their classes' names.
            part: Any = getattr(self, name)
            part.__class__ = orm.combined(mixin, part.__class__)

    # Connecting

    def get_connection_params(self) -> Any:
        """Return the backend's parameters, those that make the server refuse included."""
        with self._settings_of_engine():
            params = super().get_connection_params()  # type: ignore[misc]  # a mixin
        return self._server.params(params)

    @contextlib.contextmanager
    def _settings_of_engine(self) -> Iterator[None]:
        """
        Show the backend its own OPTIONS for a while.

        Otherwise it has the project's entry of DATABASES itself: tests change its NAME
        for all threads.
        """
        whole = self.settings_dict
        options = {k: v for k, v in whole["OPTIONS"].items() if k != ENGINE}
        self.settings_dict = {**whole, "OPTIONS": self._server.options(options)}
        try:
            yield
        finally:
            self.settings_dict = whole

    def init_connection_state(self) -> None:
        """Make the session read-only, and set it up as the backend does."""
        with self.wrap_database_errors:
            self._server.begin()
        self.is_setting_up = True
        try:
            super().init_connection_state()  # type: ignore[misc]  # a mixin
            with self.wrap_database_errors:
                self._server.set_up()
        finally:
            self.is_setting_up = False

    def ask_server(self, *, ends_transaction: bool) -> None:
        """
        Ask the server again to refuse, where something has made it do otherwise.

        :param ends_transaction: whether the statement that follows begins or ends one.
        """
        self._server.ask()
        if ends_transaction:
            self._server.forget()

    @cached_property
    def wrap_database_errors(self) -> ReadOnlyErrorWrapper:
        """Raise Django's exceptions, and :class:`ReadOnlyError` where it fits."""
        return ReadOnlyErrorWrapper(self)

    # What would write

    def create_cursor(self, name: str | None = None) -> ReadOnlyCursor:
        """Return a cursor that refuses statements that write."""
        return ReadOnlyCursor(super().create_cursor(name), self)  # type: ignore[misc]  # a mixin

    def schema_editor(self, *args: Any, **kwargs: Any) -> Any:
        """
        Return the backend's schema editor for ``sqlmigrate``, which only collects SQL.

        :raises ReadOnlyError: it would execute it.
        """
        editor = super().schema_editor(*args, **kwargs)  # type: ignore[misc]  # a mixin
        if not getattr(editor, "collect_sql", False):
            raise ReadOnlyError(self.alias, "to change its tables (migrations)")
        return editor

    def disable_constraint_checking(self) -> bool:
        """Do no more than connect: nothing is written that could violate one."""
        self.ensure_connection()
        return True

    def enable_constraint_checking(self) -> None:
        """Do nothing: see :meth:`disable_constraint_checking`."""

    def set_autocommit(self, *args: Any, **kwargs: Any) -> None:
        """Begin or end a transaction, as the backend does."""
        super().set_autocommit(*args, **kwargs)  # type: ignore[misc]  # a mixin
        self._server.forget()

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]  # a mixin
        self._server.forget()

    def _rollback(self) -> None:
        super()._rollback()  # type: ignore[misc]  # a mixin
        self._server.forget()


_PARTS = {
    "client": orm.ReadOnlyClient,
    "creation": orm.ReadOnlyCreation,
    "features": orm.ReadOnlyFeatures,
    "ops": orm.ReadOnlyOperations,
}


class DatabaseWrapper:
    """
    What Django finds by our name; it makes connections of the wrapped ENGINE's class.

    :raises ImproperlyConfigured: ``OPTIONS["engine"]`` isn't one.
    """

    def __new__(  # one of the backend's class, not of this one
        cls, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS
    ) -> BaseDatabaseWrapper:
        """Return a new connection."""
        engine: Any = _engine(settings_dict, alias)
        connection: BaseDatabaseWrapper = orm.combined(ReadOnlyDatabaseWrapper, engine)(
            settings_dict, alias
        )
        return connection


def _engine(settings_dict: Mapping[str, Any], alias: str) -> type[BaseDatabaseWrapper]:
    """Return the class of the wrapped ENGINE."""
    options = settings_dict.get("OPTIONS") or {}
    where = f"settings.DATABASES[{alias!r}]['OPTIONS'][{ENGINE!r}]"

    def wrong(why: str) -> NoReturn:
        raise ImproperlyConfigured(
            f"{where} {why}. Set it to the ENGINE to read from, such as"
            " 'django.db.backends.postgresql'."
        )

    if ENGINE not in options:
        wrong("is missing")
    engine = options[ENGINE]
    if not isinstance(engine, str) or not engine:
        wrong(f"is {engine!r}, which isn't an ENGINE")
    found: type[BaseDatabaseWrapper] = load_backend(engine).DatabaseWrapper
    if issubclass(found, (DatabaseWrapper, ReadOnlyDatabaseWrapper)):
        wrong(f"is {engine!r}, which is read-only itself")
    return found
