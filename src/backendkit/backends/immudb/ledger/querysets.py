"""``LedgerQuerySet``: what only a ledger can tell about a model's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import NotSupportedError, models, router
from django.db.models import Model
from django.db.models.expressions import Col
from django.db.models.query import ModelIterable

from .aliases import PastAlias, enter, present_of

if TYPE_CHECKING:
    from .moments import Moment
    from .proofs import Proof
    from .revisions import Change, Revision

QuerySet = TypeVar("QuerySet", bound=models.QuerySet[Any])


class VerifiedIterable(ModelIterable):
    """Objects, each of which was proven before it is handed on."""

    def __iter__(self) -> Iterator[Any]:
        from .log import last_transaction  # noqa: PLC0415  # gRPC is loaded when it is used
        from .proofs import prove_all  # noqa: PLC0415  # the same
        from .rows import Rows  # noqa: PLC0415  # the same

        queryset = self.queryset
        using = queryset.db
        rows = Rows(queryset.model, using)
        until = rows.until
        if until is None:
            # All is read as of one moment: whether a row is the one of then is known.
            with rows.wrapper.wrap_database_errors:
                until = last_transaction(rows.store)
            using = PastAlias.of(using, until)
        queryset = queryset.using(using)
        known, queryset._known_related_objects = queryset._known_related_objects, {}
        read = ModelIterable(queryset, self.chunked_fetch, self.chunk_size)
        for instance in prove_all(read, rows, until):
            _relate(instance, known)
            yield instance


def _relate(instance: Model, known: Mapping[Any, Mapping[Any, Model]]) -> None:
    """Set the objects that a query set was made from, as ModelIterable does."""
    for field, objects in known.items():
        if not field.is_cached(instance):
            key = tuple(
                getattr(instance, one.attname) for one in field.local_related_fields
            )
            related = objects.get(key[0] if len(key) == 1 else key)
            if related is not None:
                setattr(instance, field.name, related)


class LedgerQuerySet(models.QuerySet[Any]):
    """A query set of a model whose rows are in immudb."""

    _verified = False

    @property
    def db(self) -> str:
        """The alias of the database that is used."""
        using: str = super().db
        enter(using)
        return using

    # The past

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

        Without ``pk`` the query set has to be of all rows, or filtered by nothing but
        ``pk`` or ``pk__in``.

        :param pk: the primary key of the one row that is wanted.
        :raises TypeError: the query set is filtered by something else, or sliced.
        """
        from .revisions import revisions  # noqa: PLC0415  # gRPC is loaded when it is used

        pks = _keys(self)
        if pk is not None:
            if pks is not None:
                raise TypeError("history() takes no pk if the query set is filtered")
            pks = [pk]
        return revisions(self.model, pks, using=self.db)

    def changes(self, since: Moment, until: Moment | None = None) -> Iterator[Change]:
        """
        Go through what was inserted, updated or deleted between two moments.

        It is the difference between the table ``as_of(since)`` and ``as_of(until)``:
        one change for each row, in the order of their last transactions. What was
        inserted and deleted in between, or changed and changed back, isn't in it.

        :param since: the first moment; 0 for the empty ledger.
        :param until: the second one; now if not given.
        :raises TypeError: the query set is filtered or sliced.
        :raises ValueError: a moment is in the future, or ``until`` before ``since``.
        """
        from .revisions import changes  # noqa: PLC0415  # gRPC is loaded when it is used

        if _keys(self) is not None:
            raise TypeError(
                "changes() can't be called on a filtered query set: it returns the"
                " changes of a whole table"
            )
        return changes(self.model, since, until, using=self.db)

    # Proofs

    def verified(self) -> LedgerQuerySet:
        """
        Return the query set with objects that are proven.

        Each row, and those that ``select_related`` adds, is proven by the client before
        anything is handed on; a proof that fails is a :class:`TamperedError`, and
        nothing is kept of the result. Whether other rows fit, too, isn't proven. It
        reads what is committed, also in a transaction.

        Not proven, and so a :class:`django.db.NotSupportedError`, are ``values()``,
        annotations, ``defer()``, ``only()``, ``count()``, ``exists()``, ``aggregate()``,
        ``union()`` and prefetches.
        """
        clone: LedgerQuerySet = self._chain()
        clone._verified = True
        clone._iterable_class = VerifiedIterable
        return clone

    def _clone(self) -> LedgerQuerySet:
        clone: LedgerQuerySet = super()._clone()
        clone._verified = self._verified
        return clone

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            self._check_provable()
        super()._fetch_all()

    def _iterator(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self._check_provable()
        found: Iterator[Any] = super()._iterator(*args, **kwargs)
        return found

    def _check_provable(self) -> None:
        if not self._verified:
            return
        query = self.query
        for unproven, what in (
            (self._iterable_class is not VerifiedIterable, "values"),
            (bool(query.annotation_select or query.extra_select), "annotations"),
            (query.deferred_loading != (frozenset(), True), "deferred fields"),
            (bool(query.combinator), "unions"),
            (bool(self._prefetch_related_lookups), "prefetched objects"),
        ):
            if unproven:
                raise NotSupportedError(f"verified() can't prove {what}")

    def _refuse(self, what: str) -> None:
        if self._verified and self._result_cache is None:
            raise NotSupportedError(
                f"verified() can't prove {what}. Use len() or bool(), which evaluate"
                " the proven rows"
            )

    def count(self) -> int:
        """Return how many objects there are."""
        self._refuse("count()")
        return super().count()

    def exists(self) -> bool:
        """Return whether there is an object."""
        self._refuse("exists()")
        return super().exists()

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return aggregates of the objects."""
        self._refuse("aggregate()")
        found: dict[str, Any] = super().aggregate(*args, **kwargs)
        return found


LedgerManager = models.Manager.from_queryset(LedgerQuerySet, "LedgerManager")


def _keys(queryset: models.QuerySet[Any]) -> list[Any] | None:
    """
    Return the primary keys by which a query set is filtered; None if it isn't.

    :raises TypeError: it is filtered by something else, or isn't one of rows.
    """
    query = queryset.query
    error = TypeError(
        "the past of a table can only be filtered by primary keys: use"
        f" {queryset.model.__name__}.objects or .filter(pk=…)"
    )
    if query.is_sliced or query.combinator or query.distinct or query.is_empty():
        raise error
    children = query.where.children
    if not children:
        return None
    if len(children) > 1 or query.where.negated:
        raise error
    lookup = children[0]
    if not (
        isinstance(getattr(lookup, "lhs", None), Col)
        and lookup.lhs.target.primary_key
        and lookup.lhs.target.model is queryset.model._meta.concrete_model
        and lookup.rhs_is_direct_value()
    ):
        raise error
    if lookup.lookup_name == "exact":
        return [lookup.rhs]
    if lookup.lookup_name == "in":
        return list(lookup.rhs)
    raise error


# The same for models with other managers


def as_of(queryset: QuerySet, moment: Moment) -> QuerySet:
    """
    Return a query set on the database as it was; see :meth:`LedgerQuerySet.as_of`.

    One that isn't a ``LedgerQuerySet`` can be used in this thread only.
    """
    from .moments import transaction_of  # noqa: PLC0415  # gRPC is loaded when it is used

    using = present_of(queryset.db)
    alias = PastAlias.of(using, transaction_of(moment, using))
    alias.enter()
    found = queryset.using(alias)
    # What the query set was made from isn't as it was then.
    found._known_related_objects = {}
    return found


def _ledger(model: type[Model], using: str | None) -> LedgerQuerySet:
    return LedgerQuerySet(model, using=using or router.db_for_read(model))


def history(
    model: type[Model], pk: Any = None, *, using: str | None = None
) -> Iterator[Revision]:
    """
    Go through all versions of a model's rows, of deleted ones too, the oldest first.

    :param pk: the primary key of the one row that is wanted; all if not given.
    :param using: the alias of the database; where the model is read if not given.
    """
    return _ledger(model, using).history(pk)


def changes(
    model: type[Model],
    since: Moment,
    until: Moment | None = None,
    *,
    using: str | None = None,
) -> Iterator[Change]:
    """
    Go through what changed between two moments; see :meth:`LedgerQuerySet.changes`.

    :param using: the alias of the database; where the model is read if not given.
    """
    return _ledger(model, using).changes(since, until)


def verified(queryset: models.QuerySet[Any]) -> LedgerQuerySet:
    """Return a query set with objects that are proven; see :meth:`LedgerQuerySet.verified`."""
    found = LedgerQuerySet(queryset.model, queryset.query.chain(), queryset.db)
    found._prefetch_related_lookups = queryset._prefetch_related_lookups
    found._iterable_class = queryset._iterable_class
    if found._iterable_class is not ModelIterable:
        raise NotSupportedError("verified() can't prove values")
    return found.verified()


def verify(instance: Model, *, using: str | None = None) -> Proof:
    """
    Prove that an object is in the ledger, with the values that it has here.

    Fields that are deferred aren't compared. An object that came from ``as_of()`` is
    proven as of then.

    :param using: the alias of the database; where the object came from if not given.
    :raises TamperedError: what the server says isn't proven.
    :raises MismatchError: a field has another value than the row that is proven.
    :raises NotInLedgerError: there is no such row, says the server.
    :raises ValueError: the object was never saved.
    """
    from .proofs import prove  # noqa: PLC0415  # gRPC is loaded when it is used

    alias = using or instance._state.db
    return prove(instance, using=alias or router.db_for_read(type(instance)))
