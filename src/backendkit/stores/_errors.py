"""
The exceptions of the contract: PEP 249's tree, and some that say more.

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
    """The interface was used incorrectly, for example a closed session."""


class DatabaseError(Error):
    """An error of the database itself."""


class DataError(DatabaseError):
    """A value is out of range, too long, or of the wrong type."""


class OperationalError(DatabaseError):
    """The database couldn't do it: for example disconnected, full, or timed out."""


class IntegrityError(DatabaseError):
    """A constraint would be violated."""


class InternalError(DatabaseError):
    """The store has found that its data are inconsistent."""


class ProgrammingError(DatabaseError):
    """Incorrect SQL, a missing table, or a wrong number of parameters."""


class NotSupportedError(DatabaseError):
    """The store doesn't support this."""


class UniqueViolation(IntegrityError):  # says more than Error would
    """
    A row with the same unique values, or the same primary key, already exists.

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
    Another transaction has committed a change to data that this one has read.

    Nothing of this transaction was kept. You can run it again.
    """


class UnknownOutcomeError(OperationalError):
    """
    No answer came, so that nobody knows whether the transaction was committed.

    Don't run it again without looking what is there.
    """


class ReadOnlyDatabaseError(OperationalError):
    """A database, or a connection to it, was opened for reading only."""

    #: By which other layers recognize it in an error of another class.
    read_only = True


def safe_call(method: Callable[P, R]) -> Callable[P, R]:
    """
    Translate the driver's exceptions into those of this module, with their cause.

    To be used on the methods of a :class:`Store`, :class:`Session` or
    :class:`NonrelQuery` that call the driver. The class names the translation
    in its ``driver_errors`` attribute: a mapping of driver exception classes to
    classes of this module, most specific first. Exceptions of this module aren't
    changed.

    For a generator function, such as a ``fetch`` that yields its rows, this covers the
    whole iteration. It doesn't cover an iterator that another function returns.
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
