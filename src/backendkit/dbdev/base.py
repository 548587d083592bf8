"""What a development backend is, and what all of them share."""

from __future__ import annotations

import abc
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from django.db import DEFAULT_DB_ALIAS

from backendkit.dbdev import (
    backendregistry,
    backups,
    describing,
    dumps,
    keeping,
    serving,
)
from backendkit.dbdev.describing import Finding
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import readable_size, size_of
from backendkit.dbdev.project import Command, ProjectDatabase, Writer, entry_of_alias

__all__ = ["BaseDbdevBackend", "Command", "Finding", "Writer", "backend_of"]


class BaseDbdevBackend(ProjectDatabase, abc.ABC):
    """
    Manages the development database of one alias.

    The module of a subclass has a dictionary ``DBSETTINGS``: the entry of
    ``DATABASES`` that :func:`backendkit.dbdev.dbsettings` starts from.

    :param command: the management command, for its ``stdout`` and ``stderr``.
    :param alias: as in ``DATABASES``.
    :param database: its entry, if it differs from the one in ``DATABASES``.
    :raises DbdevError: there is no such alias, or its entry was created for another
        one.
    """

    #: What the database is called in texts; by default from the name of the class.
    display_name: ClassVar[str]
    #: Scheme of a DATABASE_URL; by default the last word of the ENGINE.
    url_scheme: ClassVar[str] = ""
    #: Whether ``restore`` wants a database that ``init`` has made.
    restores_into_new: ClassVar[bool] = True
    _named_by_default: ClassVar[bool]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        named = (vars(base) for base in cls.__mro__ if "display_name" in vars(base))
        if all("_named_by_default" in own for own in named):
            cls._named_by_default = True
            cls.display_name = cls.__name__.removesuffix("Backend") or cls.__name__

    # What a backend implements

    @abc.abstractmethod
    def init(self) -> None:
        """
        Create the database, and grant its user the necessary privileges.

        An existing database doesn't change. Afterwards, the server is running.
        """

    @abc.abstractmethod
    def destroy(self) -> None:
        """Stop the server, and remove the database's files, but not the backups."""

    @abc.abstractmethod
    def run_database_server_in_foreground(self) -> None:
        """Run the server until it ends or Ctrl-C stops it."""

    @abc.abstractmethod
    def start_database_server(self) -> None:
        """Start the server in the background, unless it is running."""

    @abc.abstractmethod
    def stop_database_server(self) -> None:
        """Stop the server if it is running."""

    @abc.abstractmethod
    def backup(self, directory: Path) -> None:
        """
        Write a backup to an existing, empty directory.

        The caller adds checksums and a manifest.
        """

    @abc.abstractmethod
    def restore(self, directory: Path) -> None:
        """
        Fill the database from a backup that :meth:`backup` has written.

        The backup was checked before, and the present data were set aside. They come
        back if this raises an error. :meth:`init` has run, unless
        :attr:`restores_into_new` is False.
        """

    # What a backend may override

    @contextlib.contextmanager
    def backing_up(self, directory: Path) -> Iterator[None]:
        """
        Write a backup, as :meth:`backup` does.

        All files are there when the block begins. What a backend has to do then, such
        as starting its server again, may go on while the block checks them.
        """
        self.backup(directory)
        yield

    def version(self) -> str:
        """Return the version of the server or library, for people."""
        return "unknown version"

    def data_paths(self) -> list[Path]:
        """Return the files and directories that make up the data."""
        return [self.instance.data]

    def is_initialised(self) -> bool:
        """Return whether there is a database."""
        path = self.data_paths()[0]
        return any(path.iterdir()) if path.is_dir() else path.exists()

    def is_running(self) -> bool:
        """Return whether the server runs. False if the engine has no server."""
        return False

    def quiesce(self) -> bool:
        """Stop what uses the data; return whether a server ran. Says nothing."""
        self.close_connection()
        return False

    def resume(self) -> None:
        """Start the server again that :meth:`quiesce` stopped. Says nothing."""

    def backend_names(self) -> set[str]:
        """Return the class names of backends whose backups it can restore."""
        return {type(self).__name__}

    def info(self) -> dict[str, Any]:
        """Return the information that ``dbdev_serverinfo`` shows."""
        found = backups.listed(self.root_backupdir)
        return {
            "alias": self.alias,
            "engine": self.dbsettings["ENGINE"],
            "name": str(self.dbname),
            "initialised": self.is_initialised(),
            "data": str(self.data_paths()[0]),
            "size": sum(size_of(path) for path in self.data_paths()),
            "backups": len(found),
            "version": self._version_or_reason(),
        }

    def _version_or_reason(self) -> str:
        try:
            return self.version()
        except DbdevError as error:
            return str(error)

    def findings(self) -> Iterator[Finding]:
        """Yield the findings that ``dbdev_doctor`` shows."""
        yield from describing.findings(self)

    # One command at a time

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """
        Lock the database against other commands.

        What a killed command left is put in order first.

        :raises DbdevError: another one has it for longer than ``DBDEV_TIMEOUT``.
        """
        self.instance.create()
        with self.instance.lock.held(self.timeout) as first:
            if first:
                self.recover()
            yield

    def recover(self) -> None:
        """Put in order what a killed command left; nobody else works on the database."""
        keeping.recover(self)

    @contextlib.contextmanager
    def replaced_data(self) -> Iterator[None]:
        """
        Set the data aside; they come back if the block raises an error.

        A server that ran is stopped, and runs again if they come back.
        """
        with keeping.replaced_data(self):
            yield

    # Backups

    def reinit(self) -> None:
        """Destroy the database, and create a new one."""
        self.destroy()
        self.init()

    def create_timestamped_backupdir(self, name: str | None = None) -> Path:
        """
        Make the directory of a backup, and return its path.

        Its name says that the backup isn't finished; :meth:`create_backup` renames it.

        :raises DbdevError: the name is no good one, or another backup has it.
        """
        return keeping.make_directory(self, name)

    def get_backupdirs(self) -> list[Path]:
        """Return the directories of all backups, the oldest first."""
        return backups.listed(self.root_backupdir)

    def get_last_backupdir(self) -> Path | None:
        """Return the directory of the newest backup; None if there is none."""
        found = self.get_backupdirs()
        return found[-1] if found else None

    def find_named_backupdir(self, name: str) -> Path | None:
        """Return the directory of the backup with this very name."""
        for path in self.get_backupdirs():
            if backups.name_of(path) == name:
                return path
        return None

    def create_backup(self, name: str | None = None) -> Path:
        """
        Make a backup, all or nothing, and return its directory.

        :raises DbdevError: it can't be made. Nothing is left of it.
        """
        return keeping.create(self, name)

    def verify_backup(self, directory: Path) -> None:
        """
        Check a backup before anything is done with it.

        :raises BackupError: it is damaged, or another kind of thing.
        """
        backups.verify(directory, self.backend_names(), sys.stderr)

    def restore_backup(self, directory: Path) -> None:
        """
        Put a backup in the place of the data, all or nothing.

        :raises DbdevError: it can't be done. The data are unchanged.
        """
        keeping.restore(self, directory)

    # Dumps

    def create_dbdump(self, dumpfile: Path) -> None:
        """
        Write all rows to a file.

        ``.json`` and ``.jsonl``: Django's own format, which any engine loads. What
        other endings mean is the backend's matter.

        :raises DbdevError: it can't be written; a file that was there is as it was.
        """
        if not dumps.is_neutral(dumpfile):
            raise DbdevError(
                f"{self.display_name} has no dump format of its own: use a file name that"
                " ends with .json or .jsonl"
            )
        dumps.create(self.alias, dumpfile)

    def load_dbdump(self, dumpfile: Path) -> None:
        """
        Load what :meth:`create_dbdump` has written, all or nothing.

        ``.json`` and ``.jsonl`` need tables: ``migrate`` first.

        :raises DbdevError: it can't be loaded.
        """
        if not dumps.is_neutral(dumpfile):
            raise DbdevError(
                f"{self.display_name} has no dump format of its own: only files whose"
                " name ends with .json or .jsonl can be loaded"
            )
        dumps.load(self.alias, dumpfile)

    def overwritten_by(self, dumpfile: Path) -> str | None:
        """
        Return what of the database a dump may change, for a question; None: nothing.

        :raises DbdevError: the dump or the database can't be read.
        """
        return dumps.overwritten_in(self, dumpfile)

    def load_sql_dbdump(self, dumpfile: Path) -> None:
        """
        Run the SQL statements of a file, all or nothing.

        :raises DbdevError: one fails.
        """
        dumps.run_sql(self.alias, dumpfile)

    def replace_by_sql_dbdump(self, dumpfile: Path) -> None:
        """
        Make the database anew from the SQL statements of a file, all or nothing.

        :raises DbdevError: it can't be done. The data are unchanged.
        """
        with self.replaced_data():
            self.init()
            self.load_sql_dbdump(dumpfile)
        serving.renewed(self.instance)

    # For people

    def serverinfo(self) -> None:
        """Write information about the server, and whether it runs."""
        info = self.info()
        if "size" in info:
            info["size"] = readable_size(info["size"])
        for key, value in info.items():
            shown = {"True": "yes", "False": "no", "None": "-"}.get(f"{value}", value)
            self.stdout.write(f"{key + ':':<15}{shown}")

    def guide(self) -> None:
        """
        Write useful commands and addresses for this database.

        The template is ``dbdev/<class name in lower case>.rst``, or the same in
        ``django_dbdev/``, of this class or else of one that it inherits from; that of
        this base class fits any engine. It gets ``backend``, ``dbsettings`` and ``info``.
        """
        self.stdout.write(describing.guide(self))

    def database_url(self) -> str:
        """Return the URL of the database, including its password."""
        return describing.database_url(self)


def backend_of(command: Command, alias: str = DEFAULT_DB_ALIAS) -> BaseDbdevBackend:
    """
    Return the backend of a database of the project.

    :param command: for what it writes.
    :raises DbdevError: there is no such alias, or its engine has no working backend.
    """
    return backendregistry.for_database(entry_of_alias(alias), alias)(command, alias)
