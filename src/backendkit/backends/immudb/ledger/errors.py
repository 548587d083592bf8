"""What the ledger's exceptions are for Django."""

from __future__ import annotations

from django.db import DatabaseError


class TamperedError(DatabaseError):
    """
    The server's answer isn't proven, or differs from what is proven.

    The verified state doesn't change, and nothing of the answer is kept. It is a
    :class:`django.db.DatabaseError`, as all errors of a database are, but none that
    ``backendkit.retry`` runs again: asking again doesn't help. The driver's error with
    the broken proof is its ``__cause__``.
    """


class MismatchError(TamperedError):
    """
    An object has other values than the row that was proven.

    The object was changed since it was read, or others have changed the row, or the
    server returned altered values.

    :param fields: names of the fields that differ.
    """

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class NotInLedgerError(TamperedError):
    """The server has no such row: it was deleted, never saved, or the server hides it."""
