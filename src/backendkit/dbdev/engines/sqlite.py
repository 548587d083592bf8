"""SQLite: a file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backendkit.dbdev import dumps
from backendkit.dbdev.embedded import EmbeddedBackend
from backendkit.dbdev.errors import BackupError, DbdevError
from backendkit.dbdev.files import reason
from backendkit.dbdev.instance import Instance
from backendkit.progress import Progress

DBSETTINGS = {"ENGINE": "django.db.backends.sqlite3", "NAME": ""}

_BACKUP = "backup.sqlite3"
#: What SQLite keeps beside the file.
_COMPANIONS = ("-wal", "-shm", "-journal")
_PAGES = 1000  # copied at a time; others may write in between


class SqliteBackend(EmbeddedBackend):
    """The file that ``NAME`` says."""

    display_name = "SQLite"
    url_scheme = "sqlite"

    @classmethod
    def complete_dbsettings(
        cls, entry: dict[str, Any], instance: Instance
    ) -> dict[str, Any]:
        """Put the file into the data folder, unless it has a name."""
        if not entry["NAME"]:
            instance.create()
            instance.data.mkdir(exist_ok=True)
            entry["NAME"] = str(instance.data / "db.sqlite3")
        return entry

    @property
    def path(self) -> Path:
        """
        The file of the database.

        :raises DbdevError: it is one in memory.
        """
        name = os.fspath(self.dbname)
        if not name or name == ":memory:" or name.startswith("file:"):
            raise DbdevError(
                f"DATABASES[{self.alias!r}]['NAME'] is {name!r}, but has to be the"
                " path of a file"
            )
        return Path(name)

    def version(self) -> str:
        """Return the version of the library."""
        return f"SQLite {sqlite3.sqlite_version}"

    def data_paths(self) -> list[Path]:
        """Return the file, and what SQLite keeps beside it."""
        path = self.path
        beside = [path.with_name(path.name + end) for end in _COMPANIONS]
        return [path, *beside]

    def database_url(self) -> str:
        """Return ``sqlite:///`` and the path."""
        return f"sqlite:///{self.path.absolute()}"

    def init(self) -> None:
        """Make the file."""
        with self.locked():
            path = self.path
            if self.is_initialised():
                self.stdout.write(f"There is a database in {path}.")
                return
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DbdevError(
                    f"{path.parent} can't be created: {reason(error)}"
                ) from error
            with _opened(path, "rwc") as database:
                # SQLite makes the file when there is something to write.
                database.execute("PRAGMA user_version = 1")
                database.execute("PRAGMA user_version = 0")
            self.stdout.write(f"Created {path}.")

    def destroy(self) -> None:
        """
        Remove the file.

        :raises DbdevError: somebody writes to it.
        """
        with self.locked():
            self.quiesce()
            for path in self.data_paths():
                path.unlink(missing_ok=True)
            self.stdout.write(f"Removed {self.path}.")

    def quiesce(self) -> bool:
        """Check that nobody writes, and let nothing be left beside the file."""
        self.close_connection()
        if self.path.exists():
            # A file that is no database is one that nobody writes to.
            with (
                contextlib.suppress(sqlite3.DatabaseError),
                _opened(self.path, "rw", timeout=1) as database,
            ):
                try:
                    database.execute("BEGIN EXCLUSIVE")
                    database.rollback()
                except sqlite3.OperationalError as error:
                    if "locked" in str(error):
                        raise DbdevError(
                            f"another process uses {self.path}: stop it first"
                        ) from error
                    raise
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return False

    def backup(self, directory: Path) -> None:
        """Copy the database, as of one moment, while others use it."""
        with (
            self._explained(directory),
            _opened(self.path, "ro") as source,
            _opened(directory / _BACKUP, "rwc") as target,
        ):
            # It goes to the disk as a whole, later on; nobody uses it before.
            target.execute("PRAGMA synchronous = OFF")
            # It isn't open to more people than the database is.
            (directory / _BACKUP).chmod(self.path.stat().st_mode & 0o777)
            _copy(source, target)
            # A copy is a file for itself, whatever the database's journal mode.
            target.execute("PRAGMA journal_mode = DELETE").fetchall()
            _check(target, directory)

    def verify_backup(self, directory: Path) -> None:
        """Check that it is a database, too."""
        super().verify_backup(directory)
        path = directory / _BACKUP
        try:
            with _opened(path, "ro") as database:
                _check(database, directory)
        except sqlite3.Error as error:
            raise BackupError(f"{path} is damaged: {error}") from error

    def restore(self, directory: Path) -> None:
        """Copy the backup into the new file."""
        with (
            self._explained(self.path),
            _opened(directory / _BACKUP, "ro") as source,
            _opened(self.path, "rw") as target,
        ):
            _copy(source, target)

    def create_dbdump(self, dumpfile: Path) -> None:
        """Write SQL; ``.json`` and ``.jsonl``: Django's own format."""
        if dumps.is_neutral(dumpfile):
            super().create_dbdump(dumpfile)
            return
        with (
            self._explained(self.path),
            _opened(self.path, "ro") as source,
            dumps.written(dumpfile) as unfinished,
            unfinished.open("w", encoding="utf-8") as file,
        ):
            for line in source.iterdump():
                file.write(f"{line}\n")

    def load_dbdump(self, dumpfile: Path) -> None:
        """Load what :meth:`create_dbdump` has written, into an empty database."""
        if dumps.is_neutral(dumpfile):
            super().load_dbdump(dumpfile)
        else:
            self.load_sql_dbdump(dumpfile)

    def load_sql_dbdump(self, dumpfile: Path) -> None:
        """
        Run the SQL statements of a file on a copy, which then takes the place.

        A script may begin and end transactions of its own, so one around it won't do.
        """
        script = dumps.read_sql(dumpfile)
        self.close_connection()
        with (
            self._explained(dumpfile),
            contextlib.closing(sqlite3.connect(":memory:")) as copy,
            _opened(self.path, "rw") as database,
        ):
            _copy(database, copy)
            copy.executescript(script)
            if copy.in_transaction:
                copy.commit()
            _copy(copy, database)

    @contextlib.contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DbdevError(f"{path}: {error}") from error


@contextlib.contextmanager
def _opened(path: Path, mode: str, timeout: float = 5) -> Iterator[sqlite3.Connection]:
    """
    Open a file; ``mode`` is that of SQLite's URIs.

    :param timeout: seconds to wait for others.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    database = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
    try:
        yield database
    finally:
        database.close()


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    size = source.execute("PRAGMA page_size").fetchone()[0]
    with Progress(sys.stderr, "copying") as progress:

        def shown(status: int, remaining: int, total: int) -> None:
            progress.add(_PAGES * size)

        source.backup(target, pages=_PAGES, progress=shown)


def _check(database: sqlite3.Connection, directory: Path) -> None:
    """
    Check that SQLite finds nothing wrong.

    :raises BackupError: it does.
    """
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise BackupError(f"{directory} is damaged: {found}")
