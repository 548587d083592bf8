"""``ENGINE = "backendkit.backends.immudb"``: a database of an immudb server."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import NO_DB_ALIAS

from backendkit.nonrel.base import NonrelDatabaseWrapper
from backendkit.stores import InterfaceError

from . import server_tables
from .arguments import complaint, hidden
from .client import DatabaseClient
from .creation import DEFAULT, DatabaseCreation
from .features import DatabaseFeatures
from .store import ImmudbStore
from .surveying import survey

#: The versions whose behaviour is known: others may differ where it matters.
KNOWN_VERSIONS = ((1, 11),)


def _decimal(field: Mapping[str, Any]) -> str:
    """Return a column's type with its digits, so that they are looked at."""
    digits, places = field["max_digits"], field["decimal_places"]
    return "decimal" if digits is None else f"decimal({digits}, {places or 0})"


class DatabaseWrapper(NonrelDatabaseWrapper):
    """USER, PASSWORD, HOST and PORT are the server's, ``NAME`` is a database of it."""

    display_name = "immudb"
    store_class = ImmudbStore
    store_vendor = "immudb"
    #: Those of the driver, and ``max_tx_entries`` of test databases.
    store_options = frozenset(
        {
            "ca",
            "cert",
            "connect_timeout",
            "identity",
            "keepalive",
            "key",
            "max_tx_entries",
            "require_state",
            "server_name",
            "server_public_key",
            "state",
            "timeout",
            "tls",
        }
    )
    data_types: ClassVar[Mapping[str, Any]] = {
        **NonrelDatabaseWrapper.data_types,
        "DecimalField": _decimal,
    }
    client_class = DatabaseClient
    creation_class = DatabaseCreation
    features_class = DatabaseFeatures

    def open_store(self, name: str, options: Mapping[str, Any]) -> ImmudbStore:
        """Return the store of a database; it is connected to when it is used."""
        return ImmudbStore({**self.driver_options(options), "database": name})

    def driver_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the driver connects with, but for the database."""
        # No variable of a frame has the settings, or the password: pages of errors show
        # them all.
        found = {
            key: value for key, value in options.items() if key != "max_tx_entries"
        }
        for ours, drivers in (("state", "states"), ("server_public_key", "public_key")):
            if ours in found:
                found[drivers] = self._path(ours, found.pop(ours))
        host, port, user = map(self.settings_dict.get, ("HOST", "PORT", "USER"))
        main = {
            "host": host or "127.0.0.1",
            "port": 3322 if port in (None, "") else port,
            "user": user or "immudb",
            "password": hidden(self.settings_dict.get("PASSWORD") or ""),
        }
        most = {"max_tx_entries": options.get("max_tx_entries")}
        wrong = complaint({**found, **main, **most})
        if wrong is not None:
            name, why = wrong
            place = f"[{name.upper()!r}]" if name in main else f"['OPTIONS'][{name!r}]"
            msg = f"settings.DATABASES[{self.alias!r}]{place} {why}."
            raise ImproperlyConfigured(msg)
        return {**found, **main, "port": int(main["port"])}

    def _path(self, name: str, value: Any) -> str | None:
        """Return a file's path. :raises ImproperlyConfigured: it is none."""
        where = f"settings.DATABASES[{self.alias!r}]['OPTIONS'][{name!r}]"
        if value is None:
            return None
        if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
            raise ImproperlyConfigured(f"{where} has to be a path, not {value!r}")
        path = str(os.fspath(value))
        if name == "state" and os.path.isdir(path):
            raise ImproperlyConfigured(f"{where} is a directory: {path}")
        if name == "server_public_key":
            from .driver._signatures import PublicKey  # noqa: PLC0415  # only with a key

            try:
                PublicKey(path)
            except InterfaceError as error:
                raise ImproperlyConfigured(f"{where}: {error}") from error
        return path

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """
        Connect to the server; warn if we don't know its version.

        A connection that can't be made isn't kept: settings may be others next time.
        """
        connection = super().get_new_connection(conn_params)
        try:
            version = connection.store.version()
        except ModuleNotFoundError as error:
            connection.close()
            raise ImproperlyConfigured(
                f"{self.settings_dict['ENGINE']} needs {error.name}: pip install"
                " 'django-backendkit[immudb]'"
            ) from error
        except BaseException:
            connection.close()
            raise
        if version and version[:2] not in KNOWN_VERSIONS:
            shown = ".".join(map(str, version))
            known = ", ".join(".".join(map(str, one)) for one in KNOWN_VERSIONS)
            warnings.warn(
                f"The server at {self.settings_dict['HOST']} is immudb {shown}, but"
                f" this backend was tested with {known}. Run its tests before you"
                " rely on it.",
                RuntimeWarning,
                stacklevel=2,
            )
        server_tables.register(connection)
        return connection

    def prepare_database(self) -> None:
        """Find out what the catalog of an older version doesn't say; for ``migrate``."""
        super().prepare_database()
        self.ensure_connection()
        with self.wrap_database_errors:
            survey(self.connection.store)

    def get_server_version(self) -> tuple[int, ...] | None:
        """Return the server's version; None if it doesn't tell."""
        self.ensure_connection()
        with self.wrap_database_errors:
            version: tuple[int, ...] = self.connection.store.version()
        return version or None

    @contextlib.contextmanager
    def _nodb_cursor(self) -> Iterator[Any]:
        """Lend a cursor of the database that every server has."""
        # As in driver_options(): no variable has the settings.
        other = type(self)({**self.settings_dict, "NAME": DEFAULT}, alias=NO_DB_ALIAS)
        try:
            with other.cursor() as cursor:
                yield cursor
        finally:
            other.close()

    def is_usable(self) -> bool:
        """Whether the server answers."""
        if self.connection.closed:
            return False
        try:
            with self.connection.store.other() as other:
                other.ping()
        except self.Database.Error:
            return False
        return True
