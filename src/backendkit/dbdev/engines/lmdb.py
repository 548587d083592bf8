"""LMDB: a directory."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

from backendkit import stores
from backendkit.dbdev.embedded import EmbeddedBackend
from backendkit.dbdev.errors import BackupError, DbdevError
from backendkit.dbdev.files import copy_tree, reason, size_of
from backendkit.dbdev.instance import Instance
from backendkit.progress import Progress

if TYPE_CHECKING:
    from backendkit.backends.lmdb.store import LMDBStore

DBSETTINGS = {"ENGINE": "backendkit.backends.lmdb", "NAME": ""}

_BACKUP = "database"


class LmdbBackend(EmbeddedBackend):
    """The directory that ``NAME`` says."""

    display_name = "LMDB"
    url_scheme = "lmdb"
    restores_into_new = False

    @classmethod
    def complete_dbsettings(
        cls, entry: dict[str, Any], instance: Instance
    ) -> dict[str, Any]:
        """Put the directory into the data folder, unless it has a name."""
        if not entry["NAME"]:
            instance.create()
            instance.data.mkdir(exist_ok=True)
            entry["NAME"] = str(instance.data / "lmdb")
        return entry

    @property
    def path(self) -> Path:
        """The directory of the database."""
        return Path(os.fspath(self.dbname))

    def version(self) -> str:
        """Return the version of the library."""
        return "LMDB " + ".".join(map(str, _driver("lmdb").version()))

    def data_paths(self) -> list[Path]:
        """Return the directory."""
        return [self.path]

    def database_url(self) -> str:
        """Return ``lmdb:///`` and the path."""
        return f"lmdb:///{self.path.absolute()}"

    def init(self) -> None:
        """Make the directory, with an empty database."""
        with self.locked(), _explained():
            if self.is_initialised():
                self.stdout.write(f"There is a database in {self.path}.")
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._open():
                pass
            self.stdout.write(f"Created {self.path}.")

    def destroy(self) -> None:
        """
        Remove the directory.

        :raises DbdevError: another process has it open, or it is no database of ours.
        """
        with self.locked(), _explained():
            self.quiesce()
            _ours("store").LMDBStore.destroy(self.path)
            self.stdout.write(f"Removed {self.path}.")

    def quiesce(self) -> bool:
        """Check that no other process has the database open."""
        self.close_connection()
        if self.is_initialised():
            with _explained():
                _ours("management.compacting").prepare(os.path.realpath(self.path))
        return False

    def backup(self, directory: Path) -> None:
        """Copy the database, as of one moment, while others use it."""
        with _explained(), self._open() as store:
            store.clone(directory / _BACKUP)
            _ours("files").check_directory(str(directory / _BACKUP))

    def verify_backup(self, directory: Path) -> None:
        """Check that it is a database, too."""
        super().verify_backup(directory)
        try:
            _ours("files").check_directory(str(directory / _BACKUP))
        except stores.Error as error:
            raise BackupError(f"{directory} is damaged: {error}") from error

    def restore(self, directory: Path) -> None:
        """Copy the backup to the place of the database, and open it."""
        source = directory / _BACKUP
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with Progress(sys.stderr, "copying", size_of(source)) as shown:
            copy_tree(source, self.path, shown)
        with _explained(), self._open():
            pass

    @contextlib.contextmanager
    def _open(self) -> Iterator[LMDBStore]:
        """Open the database apart from Django's connection, which test suites guard."""
        connection = connections[self.alias]
        with connection.wrap_database_errors:
            database = connection.get_new_connection(connection.get_connection_params())
        try:
            yield database.store
        finally:
            database.close()


def _driver(name: str) -> Any:
    """
    Return a module that needs the driver; settings and other commands do without.

    :raises DbdevError: a package isn't installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DbdevError(
            f"LMDB needs a Python package that isn't installed: {error}. To install it:"
            " pip install 'django-backendkit[lmdb]'"
        ) from error


def _ours(name: str) -> Any:
    return _driver(f"backendkit.backends.lmdb.{name}")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Make errors of the database those of a command."""
    try:
        yield
    except OSError as error:
        raise DbdevError(reason(error)) from error
    except (
        Error,
        ImproperlyConfigured,
        stores.Error,
        _driver("lmdb").Error,
    ) as error:
        raise DbdevError(str(error)) from error
