"""The LMDB store: an embedded database for one machine and many processes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lmdb

from backendkit.kv import KeyValueStore, RecordStore
from backendkit.stores import InterfaceError, OperationalError, safe_call

from . import environment as environments
from .errors import DRIVER_ERRORS, DatabaseFullError, TooManyReadersError
from .files import copy_modes, remove
from .options import LMDBOptions, OptionsError
from .transaction import LMDBTransaction

__all__ = [
    "DatabaseFullError",
    "LMDBEngine",
    "LMDBInfo",
    "LMDBOptions",
    "LMDBStore",
    "OptionsError",
    "TooManyReadersError",
]


@dataclass(frozen=True, slots=True)
class LMDBInfo:
    """
    Figures of a database.

    :param path: real path of its directory.
    :param map_size: address space that this process has reserved, in bytes.
    :param used: bytes of the data file in use, pages free for reuse included.
    :param readers: transactions that may be reading, in all processes.
    :param transactions: how many write transactions were committed ever.
    """

    path: str
    map_size: int
    used: int
    readers: int
    transactions: int


class LMDBEngine(KeyValueStore):
    """
    LMDB as a key-value engine.

    After a fork, the child process opens the environment for itself when it
    begins its first transaction.

    :param name: path of the directory.
    """

    driver_errors = DRIVER_ERRORS

    def __init__(self, name: str, options: LMDBOptions) -> None:
        self.name = name
        self.options = options
        self._environment = environments.acquire(name, options)
        self._closed = False
        self.max_key_bytes = self._environment.max_key_bytes

    @property
    def environment(self) -> environments.Environment:
        """The environment, of this process."""
        if self._closed:
            raise InterfaceError("the database is closed")
        if self._environment.pid != os.getpid():
            self._environment = environments.acquire(self.name, self.options)
        return self._environment

    def begin(self, write: bool) -> LMDBTransaction:
        return LMDBTransaction(self.environment, self.options, write)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            environments.release(self._environment)


class LMDBStore(RecordStore):
    """A database in a directory, made by :meth:`open`."""

    driver_errors = DRIVER_ERRORS
    engine: LMDBEngine

    @classmethod
    def open(
        cls,
        name: str | os.PathLike[str],
        options: LMDBOptions | Mapping[str, Any] | None = None,
    ) -> LMDBStore:
        """
        Open the database in a directory; make it if there is none.

        :param name: path of the directory. Its parent has to exist.
        :param options: or a mapping of their names and values.
        :raises OptionsError: an option, or the name, is wrong.
        :raises InterfaceError: there is something else, which is left as it is,
            or it is open in this process with other options.
        :raises OperationalError: it can't be opened or made.
        """
        if options is None:
            options = LMDBOptions()
        elif not isinstance(options, LMDBOptions):
            options = LMDBOptions.from_mapping(options)
        return cls(LMDBEngine(_path(name), options))

    @property
    def options(self) -> LMDBOptions:
        """The options that it was opened with."""
        return self.engine.options

    @staticmethod
    def destroy(name: str | os.PathLike[str]) -> None:
        """
        Remove a database. No effect if there is none.

        :raises InterfaceError: it is open in this process, or something else.
        :raises OperationalError: it isn't a database of ours, or can't be removed.
        """
        path = _path(name)
        if environments.is_open(path):
            raise InterfaceError(f"{path} is open: close it before you destroy it")
        remove(path)

    @safe_call
    def clone(self, name: str | os.PathLike[str]) -> None:
        """
        Copy what is committed to a new directory; others may write meanwhile.

        :param name: path of the directory. It must not exist, its parent has to.
        :raises InterfaceError: it exists.
        :raises OperationalError: it can't be written; nothing is left of it.
        """
        path = os.path.abspath(_path(name))
        if os.path.lexists(path):
            raise InterfaceError(f"{path} already exists")
        parent, base = os.path.split(path)
        try:
            unfinished = tempfile.mkdtemp(prefix=f".{base}.", dir=parent)
        except OSError as error:
            raise OperationalError(
                f"unable to create {path}: {error.strerror}"
            ) from error
        try:
            # Compact: without the free pages.
            with self.engine.environment.using() as opened:
                opened.copy(unfinished, compact=True)
            copy_modes(self.engine.environment.path, unfinished)
            os.rename(unfinished, path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    @safe_call
    def info(self) -> LMDBInfo:
        """Return figures of the database."""
        environment = self.engine.environment
        info = environment.lmdb.info()
        return LMDBInfo(
            path=environment.path,
            map_size=info["map_size"],
            used=(info["last_pgno"] + 1) * environment.lmdb.stat()["psize"],
            readers=info["num_readers"],
            transactions=info["last_txnid"],
        )

    def version(self) -> tuple[int, ...]:
        return tuple(lmdb.version())


def _path(name: object) -> str:
    path = os.fspath(name) if isinstance(name, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise OptionsError(
            "the name of an LMDB database has to be the path of a directory, not"
            f" {name!r}"
        )
    return path
