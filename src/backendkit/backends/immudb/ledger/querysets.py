"""``LedgerManager``: what only a ledger can tell about a model's rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models, router
from django.db.models import Model

from .aliases import PastAlias, enter, present_of

if TYPE_CHECKING:
    from .moments import Moment
    from .proofs import Proof
    from .revisions import Revision


class LedgerQuerySet(models.QuerySet[Any]):
    """A query set of a model whose rows are in immudb."""

    @property
    def db(self) -> str:
        """The alias of the database that is used."""
        using: str = super().db
        enter(using)
        return using

    def as_of(self, moment: Moment) -> LedgerQuerySet:
        """
        Return the query set on the database as it was.

        Objects that come from it stay there: what they refer to is read as of the same
        moment, and they can't be saved, but to another database (``save(using=…)``).

        :param moment: the id of a transaction, whose changes are seen, or a time: what
            was committed up to that second, by the server's clock, is seen. One without
            a time zone is in the current one.
        :raises ValueError: it is before the first transaction, or in the future.
        """
        return as_of(self, moment)

    def history(self, pk: Any = None) -> Iterator[Revision]:
        """
        Go through all versions of the rows, of deleted ones too, the oldest first.

        :param pk: the primary key of the one row that is wanted; all if not given.
        """
        return history(self.model, pk, using=self.db)


LedgerManager = models.Manager.from_queryset(LedgerQuerySet, "LedgerManager")


Rows = TypeVar("Rows", bound=models.QuerySet[Any])


def as_of(queryset: Rows, moment: Moment) -> Rows:
    """
    Return a query set on the database as it was; see :meth:`LedgerQuerySet.as_of`.

    One that isn't a ``LedgerQuerySet`` can be used in this thread only.
    """
    from .moments import transaction_of  # noqa: PLC0415  # gRPC is loaded when it is used

    using = present_of(queryset.db)
    alias = PastAlias.of(using, transaction_of(moment, using))
    alias.enter()
    return queryset.using(alias)


def history(
    model: type[Model], pk: Any = None, *, using: str | None = None
) -> Iterator[Revision]:
    """
    Go through all versions of a model's rows, of deleted ones too, the oldest first.

    :param pk: the primary key of the one row that is wanted; all if not given.
    :param using: the alias of the database; where the model is read if not given.
    """
    from .revisions import revisions  # noqa: PLC0415  # gRPC is loaded when it is used

    pks = None if pk is None else [pk]
    return revisions(model, pks, using=using or router.db_for_read(model))


def verify(instance: Model, *, using: str | None = None) -> Proof:
    """
    Prove that an object is in the ledger, with the values that it has here.

    :param using: the alias of the database; where the object came from if not given.
    :raises TamperedError: what the server says isn't proven.
    :raises MismatchError: a field has another value than the row that is proven.
    :raises NotInLedgerError: there is no such row, says the server.
    :raises ValueError: the object was never saved.
    """
    from .proofs import prove  # noqa: PLC0415  # gRPC is loaded when it is used

    alias = using or instance._state.db
    return prove(instance, using=alias or router.db_for_read(type(instance)))
