"""``LedgerQuerySet``: what only a ledger can tell about a model's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import NotSupportedError, models, router
from django.db.models import Model
from django.db.models.expressions import Col
from django.db.models.query import ModelIterable

from .aliases import PastAlias, enter, present_of
from .marks import mark, unmark

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
        queryset._check_provable()
        using = queryset.db
        rows = Rows(queryset.model, using)
        until = rows.until
        if until is None:
            # All is read as of one moment: whether a row is the one of then is known.
            with rows.wrapper.wrap_database_errors:
                until = last_transaction(rows.store)
            using = PastAlias.of(using, until)
        queryset = queryset._unproven().using(using)
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
        self._refuse("history()", "verify() proves the instance of a revision")
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
        self._refuse("changes()", "verify() proves an instance of a change")
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

        What can't be proven raises :class:`django.db.NotSupportedError`: values,
        annotations, deferred fields, counts, prefetched objects, the results of
        ``union()`` and ``raw()``, and which rows ``update()`` and ``delete()`` change.
        ``|``, ``&`` and ``^`` return a verified query set if one of the two is. In
        ``Prefetch()``, a verified query set stays one.
        """
        clone: LedgerQuerySet = self._chain()
        clone._check_evaluated_to_objects()
        clone._verified = True
        clone._iterable_class = VerifiedIterable
        clone._check_provable()
        mark(clone.query)
        return clone

    def _clone(self) -> LedgerQuerySet:
        clone: LedgerQuerySet = super()._clone()
        clone._verified = self._verified
        return clone

    def _unproven(self) -> LedgerQuerySet:
        """Return the query set that isn't verified."""
        clone: LedgerQuerySet = self._chain()
        if clone._verified:
            clone._verified = False
            clone._iterable_class = ModelIterable
            unmark(clone.query)
        return clone

    def _check_evaluated_to_objects(self) -> None:
        if self._iterable_class not in (ModelIterable, VerifiedIterable):
            raise NotSupportedError("verified() can't prove values()")

    def _check_provable(self) -> None:
        query = self.query
        for unproven, what in (
            (self._iterable_class is not VerifiedIterable, "values()"),
            (bool(query.annotation_select or query.extra_select), "annotations"),
            (query.deferred_loading != (frozenset(), True), "deferred fields"),
            (bool(query.combinator), f"{query.combinator}()"),
            (bool(self._prefetch_related_lookups), "prefetch_related()"),
        ):
            if unproven:
                raise NotSupportedError(f"verified() can't prove {what}")

    def _refuse(self, what: str, instead: str) -> None:
        if self._verified:
            raise NotSupportedError(f"verified() can't prove {what}: {instead}")

    # What isn't proven

    def values(self, *fields: Any, **expressions: Any) -> Any:
        """Return dictionaries instead of objects; see :class:`django.db.models.QuerySet`."""
        self._refuse("values()", _OBJECTS)
        return super().values(*fields, **expressions)

    def values_list(self, *fields: Any, **options: Any) -> Any:
        """Return tuples instead of objects; see :class:`django.db.models.QuerySet`."""
        self._refuse("values_list()", _OBJECTS)
        return super().values_list(*fields, **options)

    def dates(self, *args: Any, **kwargs: Any) -> Any:
        """Return the dates that there are; see :class:`django.db.models.QuerySet`."""
        self._refuse("dates()", _OBJECTS)
        return super().dates(*args, **kwargs)

    def datetimes(self, *args: Any, **kwargs: Any) -> Any:
        """Return the times that there are; see :class:`django.db.models.QuerySet`."""
        self._refuse("datetimes()", _OBJECTS)
        return super().datetimes(*args, **kwargs)

    def annotate(self, *args: Any, **kwargs: Any) -> Any:
        """Add values to the objects; see :class:`django.db.models.QuerySet`."""
        self._refuse("annotate()", "compute the values from the proven objects")
        return super().annotate(*args, **kwargs)

    def defer(self, *fields: Any) -> Any:
        """Leave fields out; see :class:`django.db.models.QuerySet`."""
        if fields != (None,):
            self._refuse("defer()", _WHOLE)
        return super().defer(*fields)

    def only(self, *fields: Any) -> Any:
        """Leave all other fields out; see :class:`django.db.models.QuerySet`."""
        self._refuse("only()", _WHOLE)
        return super().only(*fields)

    def prefetch_related(self, *lookups: Any) -> Any:
        """Read related objects, too; see :class:`django.db.models.QuerySet`."""
        if lookups != (None,):
            self._refuse(
                "prefetch_related()",
                "use select_related(), or evaluate the related query set with verified()",
            )
        return super().prefetch_related(*lookups)

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        """Return the objects of an SQL statement; see :class:`django.db.models.QuerySet`."""
        self._refuse("raw()", "call verify() with each of its objects")
        return super().raw(*args, **kwargs)

    def count(self) -> int:
        """Return how many objects there are."""
        if self._result_cache is None:
            self._refuse("count()", _EVALUATED)
        return super().count()

    def exists(self) -> bool:
        """Return whether there is an object."""
        if self._result_cache is None:
            self._refuse("exists()", _EVALUATED)
        return super().exists()

    def contains(self, obj: Model) -> bool:
        """Return whether an object is one of them."""
        if self._result_cache is None:
            self._refuse("contains()", _EVALUATED)
        return super().contains(obj)

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return aggregates of the objects."""
        self._refuse("aggregate()", "compute them from the proven objects")
        found: dict[str, Any] = super().aggregate(*args, **kwargs)
        return found

    def update(self, **kwargs: Any) -> int:
        """Change all rows; see :class:`django.db.models.QuerySet`."""
        self._refuse("which rows update() changes", _WRITTEN)
        return super().update(**kwargs)

    def bulk_update(self, *args: Any, **kwargs: Any) -> int:
        """Save fields of several objects; see :class:`django.db.models.QuerySet`."""
        self._refuse("which rows bulk_update() changes", _WRITTEN)
        return super().bulk_update(*args, **kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete all rows; see :class:`django.db.models.QuerySet`."""
        self._refuse("which rows delete() deletes", _WRITTEN)
        return super().delete()

    # As Django's: managers don't have it, and templates call none of them.
    delete.alters_data = True  # type: ignore[attr-defined]  # a mark of Django's
    delete.queryset_only = True  # type: ignore[attr-defined]  # a mark of Django's
    update.alters_data = True  # type: ignore[attr-defined]  # a mark of Django's
    bulk_update.alters_data = True  # type: ignore[attr-defined]  # a mark of Django's

    def explain(self, **options: Any) -> str:
        """Return how the rows are read, before they are proven."""
        found: str = models.QuerySet.explain(self._unproven(), **options)
        return found

    # Several query sets

    def __and__(self, other: Any) -> Any:
        return self._combined(other, super().__and__)

    def __or__(self, other: Any) -> Any:
        return self._combined(other, super().__or__)

    def __xor__(self, other: Any) -> Any:
        return self._combined(other, super().__xor__)

    def __rand__(self, other: Any) -> Any:
        return self._after(other)

    def __ror__(self, other: Any) -> Any:
        return self._after(other)

    def __rxor__(self, other: Any) -> Any:
        return self._after(other)

    def _combined(self, other: Any, combine: Callable[[Any], Any]) -> Any:
        """Combine two query sets; the result is verified if one of them is."""
        if not isinstance(other, models.QuerySet):
            return NotImplemented
        self._check_moment(other)
        verified = self._verified or getattr(other, "_verified", False)
        if verified and (self.query.is_sliced or other.query.is_sliced):
            raise NotSupportedError(
                "verified() can't prove a combination of slices: use filters"
            )
        found = combine(other)
        if verified and not found._verified:
            return found.verified()
        return found

    def _after(self, other: Any) -> Any:
        """Combine a query set of Django's with this one; Python asks this one first."""
        if not isinstance(other, models.QuerySet):
            return NotImplemented
        self._refuse(
            "it in a query set that isn't a LedgerQuerySet", "put it before the other"
        )
        self._check_moment(other)
        return NotImplemented

    def _check_moment(self, other: models.QuerySet[Any]) -> None:
        """Check that another query set is as of the same moment."""
        mine, others = self._db, other._db
        if mine != others and (
            isinstance(mine, PastAlias) or isinstance(others, PastAlias)
        ):
            raise NotSupportedError(
                "Query sets as of different moments can't be combined: call as_of() on"
                " each of them, or on their combination"
            )

    def _combinator_query(
        self, combinator: str, *other_qs: Any, **options: Any
    ) -> LedgerQuerySet:
        for one in (self, *other_qs):
            if getattr(one, "_verified", False):
                raise NotSupportedError(
                    f"verified() can't prove {combinator}(): combine the query sets"
                    " with | or &"
                )
            self._check_moment(one)
        found: LedgerQuerySet = super()._combinator_query(
            combinator, *other_qs, **options
        )
        return found

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        """Return the query as a part of another one, which Django calls."""
        self._refuse("what another query does with it", "use list()")
        return super().resolve_expression(*args, **kwargs)

    resolve_expression.queryset_only = True  # type: ignore[attr-defined]  # as above


_OBJECTS = "read the fields of the proven objects"
_WHOLE = "a proof is about a whole row"
_EVALUATED = "use len() or bool(), which evaluate the proven rows"
_WRITTEN = "call it on the query set that isn't verified"

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
