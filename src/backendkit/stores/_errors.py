"""
The exceptions of the contract: PEP 249's tree, and two that say more.

Django maps exceptions of these names to its own (``django.db.utils``), so a
store raises the class that fits and never needs to know Django.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Warning(Exception):  # noqa: A001  # PEP 249 prescribes this name
    """An important warning."""


class Error(Exception):
    """The base class of all errors of a store."""


class InterfaceError(Error):
    """The interface was used wrongly, e.g. a closed session."""


class DatabaseError(Error):
    """An error of the database itself."""


class DataError(DatabaseError):
    """A value doesn't fit: out of range, too long, of another type."""


class OperationalError(DatabaseError):
    """The database couldn't do it now: disconnected, full, timed out."""


class IntegrityError(DatabaseError):
    """A constraint would be violated."""


class InternalError(DatabaseError):
    """The store found its own data inconsistent."""


class ProgrammingError(DatabaseError):
    """Wrong SQL, no such table, wrong number of parameters."""


class NotSupportedError(DatabaseError):
    """The store can't do this at all."""


class UniqueViolation(IntegrityError):  # says more than Error would
    """
    A row with the same values of a unique index, or the same primary key, exists.

    :param table: name of the table.
    :param columns: names of the columns that have to be unique together.

    The message has SQLite's wording: ``UNIQUE constraint failed: t.a, t.b``.
    """

    def __init__(self, table: str, columns: tuple[str, ...]) -> None:
        self.table = table
        self.columns = columns
        names = ", ".join(f"{table}.{column}" for column in columns)
        # The message is the only argument: Django hands on nothing else.
        super().__init__(f"UNIQUE constraint failed: {names}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.table, self.columns)


class ConflictError(OperationalError):
    """
    Another transaction committed a change to what this one had read.

    Nothing of this transaction was kept. It is safe to run it again.
    """


class ReadOnlyDatabaseError(OperationalError):
    """A database, or a connection to it, was opened for reading only."""

    #: By which other layers recognize it in an error of another class.
    read_only = True


def safe_call(method: Callable[P, R]) -> Callable[P, R]:
    """
    Translate the driver's exceptions into the contract's, once, with their cause.

    To be used on the methods of a :class:`Store`, :class:`Session` or
    :class:`NonrelQuery` that call the driver. The class names the translation
    in its ``driver_errors`` attribute: a mapping of driver exception classes to
    classes of this module, most specific first. Exceptions of this module pass.

    Of a generator function, such as a ``fetch`` that yields its rows, the whole
    iteration is covered. An iterator returned by any other function isn't.
    """
    if inspect.isgeneratorfunction(method):

        @functools.wraps(method)
        def generator(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                return (yield from method(*args, **kwargs))
            except Exception as error:
                _translate(args[0], error)
                raise

        return generator

    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            _translate(args[0], error)
            raise

    return wrapper


def _translate(owner: Any, error: Exception) -> None:
    """Raise the contract's exception for a driver's, if there is one."""
    if isinstance(error, Error):
        return
    errors: Mapping[type[Exception], type[Error]] = owner.driver_errors
    for driver_error, ours in errors.items():
        if isinstance(error, driver_error):
            raise ours(str(error)) from error


#: Characters of a value that a message shows: it may be secret, and reaches logs.
_SHOWN = 50


def shown(value: object) -> str:
    """Return the beginning of a value for a message: enough to recognise it."""
    cut = value[: _SHOWN + 1] if isinstance(value, (str, bytes)) else value
    if isinstance(cut, Decimal):
        text = str(cut)
    elif isinstance(cut, int) and cut.bit_length() > _SHOWN * 8:
        text = hex(cut)  # Python refuses to write very long ones with decimal digits
    else:
        text = repr(cut)
    if len(text) <= _SHOWN and cut == value:
        return text
    return f"{text[:_SHOWN]}…"
