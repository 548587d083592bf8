"""``ENGINE = "backendkit.backends.lmdb"``: an embedded database in a directory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import lmdb
from django.core.exceptions import ImproperlyConfigured

from backendkit.nonrel.base import NonrelDatabaseWrapper
from backendkit.nonrel.creation import NonrelDatabaseCreation

from .options import LMDBOptions, OptionsError
from .store import LMDBStore


class DatabaseCreation(NonrelDatabaseCreation):
    """Test databases are directories of their own, thrown away afterwards."""

    def _get_test_db_name(self) -> str:
        """
        Return ``TEST["NAME"]``, or a directory for temporary files.

        The default differs for each user, project and alias, so that
        ``--keepdb`` finds its database again and nobody else's.
        """
        settings = self.connection.settings_dict
        name = settings["TEST"]["NAME"]
        if name:
            # pytest-xdist's suffix comes behind "test_" and NAME.
            prefix, own = str(name)[:5], str(name)[5:]
            if not (prefix == "test_" and Path(own).is_absolute()):
                return str(name)
            alias = ""
        else:
            own, alias = str(settings["NAME"]), self.connection.alias
        path = Path(own).absolute()
        digest = hashlib.sha256(f"{path}\0{alias}".encode()).hexdigest()[:12]
        name = f"test_{path.stem}_{digest}{path.suffix}"
        return str(Path(tempfile.gettempdir()) / name)

    def _create_test_db(
        self, verbosity: int, autoclobber: bool, keepdb: bool = False
    ) -> str:
        # Nobody needs a test database after a power failure.
        options = self.connection.settings_dict["OPTIONS"]
        self.connection.settings_dict["OPTIONS"] = {"sync": False, **options}
        return super()._create_test_db(verbosity, autoclobber, keepdb)

    def database_exists(self, name: str) -> bool:
        """Whether there is something at this path."""
        return Path(name).exists()

    def destroy_database(self, name: str) -> None:
        """Delete the directory, if it is a database of ours."""
        LMDBStore.destroy(name)

    def clone_database(self, source: str, target: str) -> None:
        """Copy the database as it is at this moment."""
        with self.connection.wrap_database_errors:
            store = LMDBStore.open(source, {"sync": False})
            try:
                store.clone(target)
            finally:
                store.close()


class DatabaseWrapper(NonrelDatabaseWrapper):
    """``NAME`` is the directory. It is made when there is none."""

    display_name = "LMDB"
    store_class = LMDBStore
    store_vendor = "lmdb"
    store_options = frozenset(field.name for field in fields(LMDBOptions)) - {
        "transaction_mode"
    }
    creation_class = DatabaseCreation

    def get_server_version(self) -> tuple[int, ...]:
        """Return the version of the LMDB library."""
        return lmdb.version()

    def open_store(self, name: str, options: Mapping[str, Any]) -> LMDBStore:
        """Open the database in a directory."""
        try:
            return LMDBStore.open(name, options)
        except OptionsError as error:
            where = f"settings.DATABASES[{self.alias!r}]['OPTIONS']"
            msg = f"{where}: {error}"
            raise ImproperlyConfigured(msg) from error
