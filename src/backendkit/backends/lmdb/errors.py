"""LMDB's exceptions and the contract's."""

from __future__ import annotations

from collections.abc import Mapping

import lmdb

from backendkit.stores import (
    DataError,
    Error,
    InternalError,
    OperationalError,
)

#: Most specific first.
DRIVER_ERRORS: Mapping[type[Exception], type[Error]] = {
    lmdb.BadValsizeError: DataError,
    lmdb.CorruptedError: InternalError,
    lmdb.PageNotFoundError: InternalError,
    lmdb.Error: OperationalError,
    OSError: OperationalError,
}


def translated(error: Exception) -> Error:
    """Return the contract's exception for one of LMDB's."""
    for driver_error, ours in DRIVER_ERRORS.items():
        if isinstance(error, driver_error):
            return ours(str(error))
    raise error
