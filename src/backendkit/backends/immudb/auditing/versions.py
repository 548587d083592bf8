"""The last version of each row, as the proven transactions have it: a file of SQLite."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from backendkit.stores import OperationalError

#: Versions that are written together.
_BATCH = 10_000
#: KiB of the file that SQLite keeps in memory.
_CACHE = 16_384

_SCHEMA = """
CREATE TABLE version (
    owner INTEGER, key BLOB, tx INTEGER, digest BLOB, PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT);
"""


class Version(NamedTuple):
    """
    What a transaction last did to a row.

    :param key: the row's, without what the keys of its table begin with.
    :param digest: of the row's value, 32 bytes; None if the row was deleted.
    """

    key: bytes
    tx: int
    digest: bytes | None


class Versions:
    """
    The last version of each row.

    The file goes with the object. Memory doesn't grow with the rows. One thread at a time
    may use it.

    :param folder: where the file is; that of temporary files if not given.
    :param content: what the file has at the beginning.
    :raises OperationalError: there is no room for it.
    """

    def __init__(
        self, folder: str | None = None, content: Iterable[bytes] = ()
    ) -> None:
        self.folder = folder or tempfile.gettempdir()
        self._waiting: list[tuple[int, bytes, int, bytes | None]] = []
        with self._errors():
            descriptor, self.path = tempfile.mkstemp(prefix=".audit-", dir=folder)
        try:
            with self._errors(), open(descriptor, "wb") as file:
                file.writelines(content)
            self._file = self._open()
        except BaseException:
            self._unlink()
            raise

    def _open(self) -> sqlite3.Connection:
        with self._errors():
            file = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False
            )
            # It is never recovered: whoever fails begins anew.
            for pragma in (
                "journal_mode = OFF",
                "synchronous = OFF",
                "locking_mode = EXCLUSIVE",
                f"cache_size = -{_CACHE}",
            ):
                file.execute(f"PRAGMA {pragma}")
            if not os.path.getsize(self.path):
                file.executescript(_SCHEMA)
            file.execute("BEGIN")
            return file

    def __enter__(self) -> Versions:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
        self._unlink()

    def _unlink(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise OperationalError(
                f"The versions of rows can't be kept in {self.folder}: {error}. They"
                " need about 100 bytes for each row that the database has had; make"
                " room, or set TMPDIR to a folder that has it"
            ) from error

    def add(self, owner: int, key: bytes, tx: int, digest: bytes | None) -> None:
        """
        Note a version, which is the last one now.

        :param owner: the id of the table.
        :raises OperationalError: there is no room.
        """
        self._waiting.append((owner, key, tx, digest))
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        if self._waiting:
            with self._errors():
                self._file.executemany(
                    "INSERT OR REPLACE INTO version VALUES (?, ?, ?, ?)", self._waiting
                )
            self._waiting.clear()

    def drop(self, owner: int) -> None:
        """Forget the rows of a table."""
        self.flush()
        with self._errors():
            self._file.execute("DELETE FROM version WHERE owner = ?", (owner,))

    def of(self, owner: int) -> Iterator[Version]:
        """Go through the rows of a table in the order of their keys."""
        self.flush()
        with self._errors():
            sql = "SELECT key, tx, digest FROM version WHERE owner = ? ORDER BY key"
            cursor = self._file.execute(sql, (owner,))
        while True:
            with self._errors():
                found = cursor.fetchmany(1_000)
            if not found:
                return
            yield from map(Version._make, found)

    def note(self, **about: str) -> None:
        """Keep texts with the versions."""
        with self._errors():
            self._file.executemany(
                "INSERT OR REPLACE INTO about VALUES (?, ?)", about.items()
            )

    def notes(self) -> dict[str, str]:
        """Return the texts that are kept with the versions."""
        with self._errors():
            return dict(self._file.execute("SELECT name, value FROM about"))

    def settle(self) -> None:
        """Write all to the file, so that it can be copied."""
        self.flush()
        with self._errors():
            self._file.execute("COMMIT")
            self._file.execute("BEGIN")
