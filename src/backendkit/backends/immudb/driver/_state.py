"""
What a client remembers of the databases that it has verified.

A file has, for each server and database, the last transaction that was verified, with
its hash, and how the tables looked whose rows were read. It is replaced as a whole, so
that a crash leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from backendkit.stores import OperationalError

from ._proofs import State
from ._rows import Column, Table

VERSION = 1

_log = logging.getLogger("backendkit.immudb")


def default_path() -> str:
    """Return where the file is if no path is given: in the user's state folder."""
    folder = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(folder, "django-backendkit", "immudb-states.json")


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """
    A table whose catalog entries are known up to a transaction.

    :param since: that transaction.
    """

    since: int
    table: Table


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """
    What is remembered of a database.

    :param tables: by name.
    """

    state: State
    tables: dict[str, Known]


class States:
    """
    The file. Threads and processes may share it; between two calls it may change.

    :param path: where it is; its folder is made when it is first written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = os.fspath(path) if path is not None else default_path()

    def load(self, name: str) -> Memory | None:
        """
        Return what is remembered of a database; None if nothing is.

        :raises OperationalError: the file can't be read, or isn't one of ours. A broken
            file is never taken for a new one.
        """
        found = self._read().get(name)
        return None if found is None else self._decode(found)

    def save(
        self,
        name: str,
        memory: Memory,
        before: Memory | None,
        *,
        imported: bool = False,
    ) -> bool:
        """
        Remember it, if nothing else has been remembered since.

        That nothing at all was known is said in the log: the server was trusted then.

        :param before: what :meth:`load` had returned.
        :param imported: whether another client had verified it.
        :return: whether it was; if not, it has to be verified against what is there now.
        :raises OperationalError: the file can't be written, or isn't one of ours.
        """
        with self._locked():
            everything = self._read()
            found = everything.get(name)
            if (None if found is None else self._decode(found)) != before:
                return False
            if before is not None and memory.state.tx < before.state.tx:
                raise ValueError("a verified state can't go backwards")
            everything[name] = _encode(memory)
            self._write(everything)
        if before is None and not imported:
            _log.warning(
                "First contact with %s: %s has no verified state of it, so the server's"
                " was trusted: transaction %d, hash %s. If this client has verified the"
                " database before, its states are lost: restore the file from a backup,"
                " or import the state of another client with immudb_state.",
                name,
                self.path,
                memory.state.tx,
                memory.state.hash.hex(),
            )
        return True

    def forget(self, name: str) -> None:
        """Forget a database: what is verified next is trusted as the first was."""
        with self._locked():
            everything = self._read()
            if everything.pop(name, None) is not None:
                self._write(everything)

    def _decode(self, found: dict[str, Any]) -> Memory:
        try:
            return _decode(found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> OperationalError:
        return OperationalError(
            f"{self.path} isn't a file of verified states: {error!r}. Restore it from"
            " a backup, or remove it if you trust the server's current state"
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others out. The lock is another file, since this one is replaced."""
        try:
            os.makedirs(os.path.dirname(self.path) or ".", mode=0o700, exist_ok=True)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OperationalError(f"{self.path} can't be written: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, encoding="utf-8") as file:
                read = json.load(file)
            databases = dict(read["databases"])
            version = read["version"]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise OperationalError(f"{self.path} can't be read: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise self._broken(error) from error
        if version != VERSION:
            raise OperationalError(
                f"{self.path} has format {version}, which only a newer version of"
                " django-backendkit can read"
            )
        return databases

    def _write(self, everything: dict[str, Any]) -> None:
        folder = os.path.dirname(self.path) or "."
        text = json.dumps({"version": VERSION, "databases": everything}, indent=1)
        try:
            descriptor, fresh = tempfile.mkstemp(prefix=".states-", dir=folder)
            try:
                with open(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(fresh, self.path)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(fresh)
                raise
            directory = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise OperationalError(f"{self.path} can't be written: {error}") from error


def _encode(memory: Memory) -> dict[str, Any]:
    return {
        "tx": memory.state.tx,
        "hash": memory.state.hash.hex(),
        "tables": {
            name: {
                "since": known.since,
                "id": known.table.id,
                "key": list(known.table.key),
                "columns": {
                    str(number): [column.name, column.type, column.length]
                    for number, column in known.table.columns.items()
                },
            }
            for name, known in memory.tables.items()
        },
    }


def _decode(found: dict[str, Any]) -> Memory:
    state = State(int(found["tx"]), bytes.fromhex(found["hash"]))
    if state.tx < 1 or len(state.hash) != 32:
        raise ValueError("no state")
    return Memory(
        state,
        {
            name: Known(
                known["since"],
                Table(
                    known["id"],
                    {
                        int(number): Column(*column)
                        for number, column in known["columns"].items()
                    },
                    tuple(known["key"]),
                ),
            )
            for name, known in found["tables"].items()
        },
    )
