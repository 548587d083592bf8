"""The classes of ``compiler.py``: what the author of a backend subclasses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from backendkit import stores
from backendkit.stores import safe_call

from .described import Field, TableQuery

__all__ = [
    "NonrelCompiler",
    "NonrelDeleteCompiler",
    "NonrelInsertCompiler",
    "NonrelQuery",
    "NonrelUpdateCompiler",
    "safe_call",
]

#: The driver's exceptions for :func:`safe_call`, most specific first.
DriverErrors = Mapping[type[Exception], type[Exception]]


class NonrelQuery:
    """
    A query on one table. Your ``BackendQuery`` derives from this class.

    :param compiler: the author's ``SQLCompiler``.
    :param fields: what :meth:`fetch` has to return; ``field.column`` is the key.

    ``self.connection`` is the ``DatabaseWrapper``. ``self.query.get_meta()`` has
    ``db_table`` and ``pk.column``.

    ``OPERATORS_MAP`` and ``NEGATION_MAP`` may be attributes of the class or, as in
    djangotoolbox's template, of its module. Only lookups that they contain are passed to
    :meth:`add_filter`, and SQLite checks the rows again.
    """

    #: Operators by lookup name: a string, or a callable that is given lookup name and
    #: value and returns operator and value.
    OPERATORS_MAP: ClassVar[Mapping[str, Any]]
    #: The same for negated filters.
    NEGATION_MAP: ClassVar[Mapping[str, Any]]
    driver_errors: ClassVar[DriverErrors] = {}
    #: Lookups that return exactly the rows that SQL would: with NULL matching nothing
    #: but ``isnull``, negated or not. Then limits and counts are handed over with them.
    exact_lookups: ClassVar[frozenset[str]] = frozenset()
    #: Whether :meth:`order_by` has SQL's order for every column: NULL first, strings by
    #: code point. If not, SQLite sorts.
    orders_as_sql: ClassVar[bool] = False

    def __init__(self, compiler: NonrelCompiler, fields: Sequence[Field]) -> None:
        self.compiler = compiler
        self.connection = compiler.connection
        self.query = compiler.query
        self.fields = fields

    def add_filters(self, filters: Iterable[tuple[str, str, bool, str, Any]]) -> None:
        """Add filters, all of which have to hold: arguments of :meth:`add_filter`."""
        for column, lookup_type, negated, db_type, value in filters:
            self.add_filter(column, lookup_type, negated, db_type, value)

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        """
        Add one filter.

        :param db_type: the type of the column in ``DatabaseCreation.data_types``.
        :param value: not converted yet; a list for ``in``, a bool for ``isnull``.
        """
        raise NotImplementedError

    def order_by(self, ordering: Sequence[str]) -> None:
        """Set the order: columns, outermost first, ``-column`` for descending."""
        raise NotImplementedError

    def fetch(self, low_mark: int, high_mark: int | None) -> Iterable[dict[str, Any]]:
        """
        Return the entities: dicts of values as stored, by column.

        :param low_mark: number of entities to leave out at the start.
        :param high_mark: number of the entity to stop before; None for all.
        """
        raise NotImplementedError

    def count(self, limit: int | None = None) -> int:
        """Return how many entities match. Unless overridden, they are fetched."""
        return sum(1 for _ in self.fetch(0, limit))

    def delete(self) -> None:
        """Delete the entities that match."""
        raise NotImplementedError

    def convert_value_for_db(self, db_type: str, value: Any) -> Any:
        """Convert a filter's value by the compiler; of a list, each item."""
        if isinstance(value, (list, tuple)):
            return [self.convert_value_for_db(db_type, item) for item in value]
        return (
            None
            if value is None
            else self.compiler.convert_value_for_db(db_type, value)
        )

    def convert_value_from_db(self, db_type: str, value: Any) -> Any:
        """Convert a stored value by the compiler."""
        return (
            None
            if value is None
            else self.compiler.convert_value_from_db(db_type, value)
        )


class NonrelCompiler:
    """
    The base class of your ``SQLCompiler``: the conversions, and the class of the query.

    Django's own compilers write the SQL, and SQLite runs it. The adapter calls this
    class for one table at a time.
    """

    #: The author's ``BackendQuery``.
    query_class: ClassVar[Callable[..., Any]]
    driver_errors: ClassVar[DriverErrors] = {}

    def __init__(self, query: TableQuery, connection: Any, using: str | None) -> None:
        self.query = query
        self.connection = connection
        self.using = using

    def convert_value_for_db(self, db_type: str, value: Any) -> Any:
        """
        Return a value as it is stored. Called for every value but None.

        :param db_type: the type of the column in ``DatabaseCreation.data_types``.
        """
        return value

    def convert_value_from_db(self, db_type: str, value: Any) -> Any:
        """Return what :meth:`convert_value_for_db` was given for a stored value."""
        return value


class NonrelInsertCompiler:
    """Writes entities. Your subclass has ``SQLCompiler`` as its second base."""

    def insert(self, data: dict[str, Any], return_id: bool = False) -> Any:
        """
        Store an entity, in place of the one with the same primary key, if any.

        :param data: converted values by column, the primary key's among them.
        """
        raise NotImplementedError

    def allocate(self, count: int, above: int) -> int | None:
        """
        Return the first of *count* numbers that no row of this table had or will have.

        Override it where the database has counters. By default numbers are counted in
        the table ``backendkit_tables``, which is safe within one process only.

        :param above: they have to be larger.
        """
        return None


class NonrelUpdateCompiler:
    """Kept for its name: an update is an insert with the primary key."""


class NonrelDeleteCompiler:
    """Kept for its name: rows are deleted by :meth:`NonrelQuery.delete`."""


def operators(query_class: Any, name: str, module: Any) -> Mapping[str, Any]:
    """
    Return a map of operators: an attribute of the class, else of its module.

    :param name: ``OPERATORS_MAP`` or ``NEGATION_MAP``.
    """
    found = getattr(query_class, name, None)
    if found is None:
        found = getattr(module, name, {})
    if not isinstance(found, Mapping):
        raise stores.InterfaceError(f"{name} has to be a dict, not {found!r}")
    return found


def entities(query: NonrelQuery, low: int, high: int | None) -> Iterator[Any]:
    """
    Return what a query fetches.

    :raises DatabaseError: something isn't a dict.
    """
    fetched = query.fetch(low, high)
    name = f"{type(query).__name__}.fetch() for {query.query.get_meta().db_table}"
    if not isinstance(fetched, Iterable):
        raise stores.DatabaseError(f"{name} returned {fetched!r}, not dicts")
    for entity in fetched:
        if not isinstance(entity, Mapping):
            raise stores.DatabaseError(
                f"{name} yielded {stores.shown(entity)}, not a dict"
            )
        yield entity
