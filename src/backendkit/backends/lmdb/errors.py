"""LMDB's exceptions and the contract's."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

import lmdb

from backendkit.stores import (
    DataError,
    Error,
    InternalError,
    OperationalError,
)


class DatabaseFullError(OperationalError):
    """The data file can't grow any more. The transaction can't go on."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(
            "database is full: it has reached the option max_size, or the limit of"
            f" this process's address space. ({cause})"
        )


class DiskFullError(OperationalError):
    """There is no more room on the disk. The transaction can't go on."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(
            "the disk is full: free some space and run the transaction again."
            f" Everything that was committed before is kept. ({cause})"
        )


class TooManyReadersError(OperationalError):
    """More transactions read at the same time than ``max_readers``."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(
            "too many transactions at the same time: raise the option max_readers,"
            f" and restart all processes that use the database. ({cause})"
        )


class LMDBError(OperationalError):
    """Any other error of LMDB, in its own words."""

    def __init__(self, cause: str = "") -> None:
        if os.strerror(errno.EIO) in cause:
            # LMDB has no other code for a write that was cut short.
            cause += ": the disk is defective, or it is full"
        super().__init__(cause)


#: Most specific first.
DRIVER_ERRORS: Mapping[type[Exception], type[Error]] = {
    lmdb.MapFullError: DatabaseFullError,
    lmdb.DiskError: DiskFullError,
    lmdb.ReadersFullError: TooManyReadersError,
    lmdb.BadValsizeError: DataError,
    lmdb.CorruptedError: InternalError,
    lmdb.PageNotFoundError: InternalError,
    lmdb.Error: LMDBError,
    OSError: OperationalError,
}


def translated(error: Exception) -> Error:
    """Return the contract's exception for one of LMDB's."""
    for driver_error, ours in DRIVER_ERRORS.items():
        if isinstance(error, driver_error):
            return ours(str(error))
    raise error
