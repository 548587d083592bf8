"""The LMDB store: an embedded database for one machine and many processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import lmdb

from backendkit.kv import KeyValueStore, RecordStore
from . import environment as environments
from .errors import DRIVER_ERRORS
from .options import LMDBOptions, OptionsError
from .transaction import LMDBTransaction

__all__ = ["LMDBEngine", "LMDBOptions", "LMDBStore", "OptionsError"]


class LMDBEngine(KeyValueStore):
    """LMDB as a key-value engine. :param name: of the directory."""

    driver_errors = DRIVER_ERRORS

    def __init__(self, name: str, options: LMDBOptions) -> None:
        self.name = name
        self.options = options
        self._environment = environments.acquire(name, options)
        self.max_key_bytes = self._environment.max_key_bytes

    def begin(self, write: bool) -> LMDBTransaction:
        return LMDBTransaction(self._environment, write)

    def close(self) -> None:
        environments.release(self._environment)


class LMDBStore(RecordStore):
    """A database in a directory. See :meth:`open`."""

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
        :raises OptionsError: an option is wrong.
        :raises InterfaceError: the directory holds something else.
        :raises OperationalError: it can't be opened or made.
        """
        if options is None:
            options = LMDBOptions()
        elif not isinstance(options, LMDBOptions):
            options = LMDBOptions.from_mapping(options)
        return cls(LMDBEngine(os.fspath(name), options))

    def version(self) -> tuple[int, ...]:
        return tuple(lmdb.version())
