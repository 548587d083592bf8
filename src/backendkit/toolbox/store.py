"""The adapter: a store made of the author's compilers."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from backendkit import stores
from backendkit.stores import (
    COMPARISONS,
    Access,
    Capabilities,
    Catalog,
    Column,
    Key,
    Order,
    Precision,
    Row,
    Table,
    TableChange,
    ValueType,
    is_nan,
    matcher,
)

from .basecompiler import NonrelQuery, entities, operators
from .described import (
    SYNTHETIC_KEY,
    Meta,
    TableQuery,
    canonical,
    check_row,
    from_store,
    synthetic_key,
)
from .tables import Tables

if TYPE_CHECKING:
    from .base import NonrelDatabaseWrapper

__all__ = ["Backend", "Tables", "ToolboxStore", "store_class"]

#: A filter as the author's query gets it, but for the type: column, lookup, negated, value.
Given = tuple[str, str, bool, Any]
_RANGES = frozenset({"gt", "gte", "lt", "lte"})
#: How many rows a table is taken to have: counting may be dear.
_GUESS = 1000


class Backend:
    """
    The author's compilers over one connection, called with tables and rows.

    :param prefix: what names of tables begin with in the store.
    """

    def __init__(self, connection: NonrelDatabaseWrapper, prefix: str) -> None:
        # The connection holds the store by SQLite, where no garbage collector looks.
        self._connection = weakref.ref(connection)
        self.compilers = connection.compilers
        self.prefix = prefix

    def compiler(self, name: str, table: Table) -> Any:
        """Return one of the author's compilers for a table."""
        connection = self._connection()
        if connection is None:
            raise stores.InterfaceError("the connection is closed")
        query = TableQuery(Meta(self.prefix + table.name, table))
        return getattr(self.compilers, name)(query, connection, connection.alias)

    def query(
        self,
        table: Table,
        columns: Iterable[str],
        filters: Iterable[Given] = (),
        compiler: str = "SQLCompiler",
    ) -> NonrelQuery:
        """Return the author's query with filters."""
        made = self.compiler(compiler, table)
        meta = made.query.get_meta()
        query: NonrelQuery = made.query_class(made, [*map(meta.field, columns)])
        typed = []
        for column, lookup, negated, value in filters:
            field = meta.pk if column == SYNTHETIC_KEY else meta.field(column)
            db_type = field.db_type(made.connection)
            typed.append((column, lookup, negated, db_type, value))
        query.add_filters(typed)
        return query

    def rows(
        self,
        table: Table,
        query: NonrelQuery,
        columns: Sequence[str],
        low: int = 0,
        high: int | None = None,
    ) -> Iterator[Row]:
        """Return what a query fetches: values of columns, converted."""
        convert, connection = query.compiler.convert_value_from_db, query.connection
        wanted: list[tuple[Column, str]] = [
            (
                table.column(name),
                query.query.get_meta().field(name).db_type(connection),
            )
            for name in columns
        ]
        for entity in entities(query, low, high):
            row = []
            for column, db_type in wanted:
                value = entity.get(column.name)
                if value is not None:
                    value = from_store(table, column, convert(db_type, value))
                row.append(value)
            yield tuple(row)

    def read(self, table: Table, filters: Iterable[Given] = ()) -> Iterator[Row]:
        """Return whole rows."""
        columns = [*table.positions]
        return self.rows(table, self.query(table, columns, filters), columns)

    def insert(self, table: Table, row: Row) -> None:
        """Store a row, in place of the one with its primary key."""
        compiler = self.compiler("SQLInsertCompiler", table)
        meta, connection = compiler.query.get_meta(), compiler.connection
        data = {}
        for field, value in zip(meta.fields, row, strict=True):
            if value is not None:
                value = compiler.convert_value_for_db(field.db_type(connection), value)  # noqa: PLW2901  # as stored
            data[field.column] = value
        if len(table.primary_key) != 1:
            db_type = meta.pk.db_type(connection)
            key = synthetic_key(table.key_of(row))
            data[SYNTHETIC_KEY] = compiler.convert_value_for_db(db_type, key)
        compiler.insert(data, return_id=False)

    def delete(self, table: Table, key: Key) -> None:
        """Delete the row of a primary key."""
        if len(table.primary_key) == 1:
            found = (table.primary_key[0], "exact", False, key[0])
        else:
            found = (SYNTHETIC_KEY, "exact", False, synthetic_key(key))
        self.query(table, (), [found], "SQLDeleteCompiler").delete()

    def clear(self, table: Table) -> None:
        """Delete all rows."""
        self.query(table, (), (), "SQLDeleteCompiler").delete()

    def allocate(self, table: Table, count: int, above: int) -> int | None:
        """Return the first of some numbers from the author; None if that isn't there."""
        compiler = self.compiler("SQLInsertCompiler", table)
        first: int | None = compiler.allocate(count, above)
        return first


class ToolboxStore(stores.Store):
    """A backend in djangotoolbox's shape, as a store. One for each connection."""

    capabilities: ClassVar[Capabilities]
    #: What is taken to commit, and to number rows, within this process.
    committing: ClassVar[stores.Mutex]

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def session(self) -> ToolboxSession:
        """Return a new session."""
        return ToolboxSession(self)


@functools.cache
def store_class(module: Any) -> type[ToolboxStore]:
    """
    Return the store's class for the author's module ``compiler``.

    :raises NotSupportedError: rows couldn't be found by their primary key.
    """
    query_class = module.SQLCompiler.query_class
    exact = frozenset(query_class.exact_lookups)
    known = COMPARISONS | exact  # patterns ignore the case of ASCII letters, in SQL
    positive = known.intersection(operators(query_class, "OPERATORS_MAP", module))
    negative = known.intersection(operators(query_class, "NEGATION_MAP", module))
    if "exact" not in positive:
        raise stores.NotSupportedError(
            f"{module.__name__}: the OPERATORS_MAP has no operator for 'exact', which"
            " is needed to find rows to delete"
        )
    capabilities = Capabilities(
        filters={
            lookup: Precision.EXACT if lookup in exact else Precision.COARSE
            for lookup in positive
        },
        negations=negative & positive,
        order=Order.ANY if query_class.orders_as_sql else Order.NONE,
        limit=True,
        count=query_class.count is not NonrelQuery.count,
        snapshots=False,
        multiple_processes=True,
        remote=True,
    )
    members = {
        "__doc__": ToolboxStore.__doc__,
        "__module__": __name__,
        "capabilities": capabilities,
        "committing": stores.Mutex(),
    }
    return type("ToolboxStore", (ToolboxStore,), members)


class ToolboxSession(stores.BufferedSession):
    """
    Reads what is committed, and commits changes row by row.

    A commit isn't all or nothing: the author's API knows single rows. It compares each
    row with what was read first, so that in one process no update is lost; another
    process may write between the comparison and the commit.
    """

    store: ToolboxStore

    read_catalog: Catalog | None = None

    def _begin(self, *, write: bool) -> None:
        self.read_catalog = None

    def _end(self) -> None:
        self.read_catalog = None

    def _catalog(self) -> Catalog:
        if self.read_catalog is None:
            self.read_catalog = self.store.tables.catalog()
        return self.read_catalog

    def _query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> ToolboxQuery:
        return ToolboxQuery(self, table, columns, access)

    def _estimated_rows(self, table: Table) -> int:
        return _GUESS

    def _check(self, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
        return [check_row(table, row) for row in rows]

    def _allocate(self, table: Table, count: int, above: int) -> int:
        tables = self.store.tables
        with self.store.committing:
            first = tables.backend.allocate(table, count, above)
            if first is None:
                first = max(tables.number(table.name), above) + 1
                if first + count <= 2**63:
                    tables.set_number(table.name, first + count - 1)
            if first + count > 2**63:
                raise stores.OperationalError(f"{table.name} has no numbers left")
            return first

    def _apply(self, changes: Sequence[TableChange]) -> None:
        with self.store.committing:
            self.read_catalog = None
            for change in changes:
                self._compare(change, changes)
            self.store.tables.apply(changes)

    def _compare(self, change: TableChange, changes: Sequence[TableChange]) -> None:
        """Compare a table and its changed rows with what they were."""
        tables, before = self._catalog().tables, change.before
        if before is None:
            assert change.after is not None
            name = change.after.name
            gone = {one.before.name for one in changes if one.before is not None}
            if name in tables and name not in gone:
                raise stores.ConflictError(
                    f"another connection has created {name} meanwhile"
                )
            return
        if tables.get(before.name) != before:
            raise stores.ConflictError(
                f"another connection has changed {before.name} meanwhile"
            )
        keys = [row.key for row in change.rows]
        found = {before.key_of(row): row for row in self._find(before, "", keys)}
        if any(found.get(row.key) != row.old for row in change.rows):
            raise stores.ConflictError(
                f"another connection has changed a row of {before.name} meanwhile"
            )
        if not change.redefined:
            self._compare_unique(before, change, set(keys))

    def _compare_unique(
        self, table: Table, change: TableChange, keys: set[Key]
    ) -> None:
        taken: dict[str, list[tuple[Any, ...]]] = {}
        for index, values, _, holder in change.claims():
            if holder is not None:
                taken.setdefault(index, []).append(values)
        for index, wanted in taken.items():
            rows = self._find(table, index, wanted)
            if any(table.key_of(row) not in keys for row in rows):
                raise stores.ConflictError(
                    f"another connection has used a unique value of {table.name}"
                    " meanwhile"
                )


class ToolboxQuery(stores.NonrelQuery):
    """
    A query on a table, by the author's.

    A filter that the author's query might take for another one is applied here: a value
    of another type than the column's, and a range of values that are stored otherwise.
    """

    session: ToolboxSession
    _ordering: Sequence[tuple[str, bool]] = ()

    def __init__(
        self,
        session: ToolboxSession,
        table: Table,
        columns: Sequence[str],
        access: Access,
    ) -> None:
        super().__init__(session, table, columns, access)
        self._given: list[Given] = []
        self._rest: list[tuple[str, stores.Matcher]] = []

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        """Hand a filter to the author's query, or keep it."""
        try:
            plain = self._plain(self.table.column(column), lookup_type, value)
        except ValueError:
            test = matcher(lookup_type, value, negated)
            self._rest.append((column, test))
        else:
            self._given.append((column, lookup_type, negated, plain))

    def _plain(self, column: Column, lookup: str, value: Any) -> Any:
        """
        Return a filter's value in the column's type.

        :raises ValueError: the author's query can't be given that.
        """
        if lookup == "isnull":
            return bool(value)
        values = [*value] if lookup == "in" else [value]
        if any(one is None or is_nan(one) for one in values):
            raise ValueError(value)
        values = [canonical(column, one) for one in values]
        if column.type is ValueType.FLOAT and 0.0 in values:
            raise ValueError(value)  # there are two of them, which are equal
        if lookup in _RANGES and not self._stored_alike(column, values[0]):
            raise ValueError(value)
        return values if lookup == "in" else values[0]

    def _stored_alike(self, column: Column, value: Any) -> bool:
        """Whether a value is stored as it is: then others compare as in Python."""
        compiler = self.session.store.tables.backend.compiler("SQLCompiler", self.table)
        field = compiler.query.get_meta().field(column.name)
        stored = compiler.convert_value_for_db(
            field.db_type(compiler.connection), value
        )
        return type(stored) is type(value) and bool(stored == value)

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        """Set the order."""
        self._ordering = ordering

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        """Return the rows that match."""
        table, backend = self.table, self.session.store.tables.backend
        rest = [name for name, _ in self._rest]
        columns = [*dict.fromkeys([*self.columns, *rest])]
        query = backend.query(table, columns, self._given)
        if self._ordering:
            query.order_by(
                [f"-{name}" if down else name for name, down in self._ordering]
            )
        if not self._rest and self.looked_at is None:
            return backend.rows(table, query, columns, low_mark, high_mark)
        rows: Iterator[Row] = backend.rows(table, query, columns)
        if self.looked_at is not None:
            rows = self.looked_at(rows)
        for name, test in self._rest:
            rows = _matching(rows, columns.index(name), test)
        width = len(self.columns)
        return (row[:width] for row in itertools.islice(rows, low_mark, high_mark))

    def count(self) -> int:
        """Return how many rows match."""
        if self._rest or self.looked_at is not None:
            return super().count()
        backend = self.session.store.tables.backend
        return int(backend.query(self.table, (), self._given).count())


def _matching(rows: Iterable[Row], at: int, test: stores.Matcher) -> Iterator[Row]:
    return (row for row in rows if test(row[at]))
