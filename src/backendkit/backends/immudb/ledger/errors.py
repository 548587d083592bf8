"""What the ledger's exceptions are for Django."""

from __future__ import annotations

from django.db import DatabaseError


class TamperedError(DatabaseError):
    """
    What the server answered isn't proven, or isn't what is proven.

    The state of what was verified before stays as it was, and nothing of the answer is
    kept. It is a :class:`django.db.DatabaseError`, as all errors of a database are, but
    none that ``backendkit.retry`` runs again: asking again doesn't help. The driver's
    error with the broken proof is its ``__cause__``.
    """


class MismatchError(TamperedError):
    """
    An object has other values than the row that was proven.

    Either it was changed here since it was read, or the row was changed by others, or
    what was read wasn't what the server has.

    :param fields: names of the fields that differ.
    """

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class NotInLedgerError(TamperedError):
    """There is no such row, says the server: it was deleted, never saved, or is kept back."""
