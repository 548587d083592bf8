"""
What only a ledger has: rows as they were, and rows that are proven.

::

    from backendkit.backends.immudb.ledger import LedgerManager, verify

    class Invoice(models.Model):
        ...
        objects = LedgerManager()

    for revision in Invoice.objects.history(pk=17):
        print(revision.tx, revision.time, revision.instance.total)
    proof = verify(invoice)
"""

from .errors import MismatchError, NotInLedgerError, TamperedError
from .querysets import (
    LedgerManager,
    LedgerQuerySet,
    as_of,
    changes,
    history,
    verified,
    verify,
)

__all__ = [
    "LedgerManager",
    "LedgerQuerySet",
    "MismatchError",
    "NotInLedgerError",
    "TamperedError",
    "as_of",
    "changes",
    "history",
    "verified",
    "verify",
]
