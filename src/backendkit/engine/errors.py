"""apsw's exceptions in PEP 249's terms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import apsw

from backendkit.stores import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)

# The same division as that of the standard library's sqlite3 module.
_TRANSLATION: dict[type[apsw.Error], type[Error]] = {
    apsw.ConstraintError: IntegrityError,
    apsw.MismatchError: IntegrityError,
    apsw.TooBigError: DataError,
    apsw.RangeError: InterfaceError,
    apsw.MisuseError: InterfaceError,
    apsw.BindingsError: ProgrammingError,
    apsw.CursorClosedError: ProgrammingError,
    apsw.ConnectionClosedError: ProgrammingError,
    apsw.InternalError: InternalError,
    apsw.NotFoundError: InternalError,
    apsw.CorruptError: DatabaseError,
}


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise the contract's exceptions for those of SQLite in this context."""
    try:
        yield
    except apsw.Error as error:
        reraise(error)


def reraise(error: apsw.Error) -> NoReturn:
    """Raise the contract's exception for one of SQLite's."""
    found = (ours for theirs, ours in _TRANSLATION.items() if isinstance(error, theirs))
    raise next(found, OperationalError)(_message(error)) from error


def _message(error: apsw.Error) -> str:
    # apsw writes "SQLError: no such table"; sqlite3 only the text.
    text = str(error)
    name = type(error).__name__
    return text.removeprefix(f"{name}: ")
