"""A store whose mistakes are errors that name it: what is cheap to check, always."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from ._access import Access, FilterShape
from ._query import NonrelQuery
from ._rows import broken, check_values, is_a, kind_of, raised, rows_of, trusted
from ._schema import Catalog, Index, Table
from ._session import Key, Row, Session, Store


def guarded(store: Store) -> Store:
    """Return a store, guarded unless that is done already or it is one of ours."""
    if isinstance(store, GuardedStore) or trusted(store):
        return store
    return GuardedStore(store)


class Guard:
    """
    Calls another object's methods, and says what they do wrong.

    Methods that are called for each statement do what :meth:`ask` does by themselves:
    it costs a microsecond.
    """

    inner: Any

    def broken(self, method: str, what: str, table: Table | None = None) -> NoReturn:
        """
        Say what a method did.

        :raises InternalError: always.
        """
        broken(self.inner, method, table, what)

    def ask(self, method: str, table: Table | None, *args: Any, **kwargs: Any) -> Any:
        """Call a method. Errors of the contract pass, others are translated."""
        try:
            return getattr(self.inner, method)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # whatever a store may raise
            raised(self.inner, method, table, error)


class GuardedStore(Guard, Store):
    """
    A store of somebody else's: its mistakes are errors that name them.

    Checked is what costs next to nothing: the type of what a method returns, the number
    of values in a row, the types of a query's first row. :class:`VerifiedStore` checks
    the rest.

    :raises InternalError: from all methods of its sessions and queries: names store,
        method and table, and what is wrong.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        """Give what isn't of the contract."""
        return getattr(self.inner, name)

    @property
    def capabilities(self) -> Any:  # type: ignore[override]  # that of an instance
        """What the store says that it can do."""
        return self.inner.capabilities

    @property
    def driver_errors(self) -> Any:  # type: ignore[override]  # as above
        """Those of the store."""
        return self.inner.driver_errors

    @property
    def patience(self) -> Any:  # type: ignore[override]  # as above
        """The store's."""
        return self.inner.patience

    def session(self) -> Session:
        """Return a guarded session."""
        return GuardedSession(self, self._opened("session"))

    def reader(self) -> Session:
        """Return a guarded session."""
        return GuardedSession(self, self._opened("reader"))

    def _opened(self, method: str) -> Session:
        session = self.ask(method, None)
        if not isinstance(session, Session):
            self.broken(method, f"it returned {kind_of(session)}, not a Session")
        return session

    def close(self) -> None:
        """Close the store."""
        self.ask("close", None)

    def version(self) -> tuple[int, ...]:
        """Return the version of the store."""
        version: tuple[int, ...] = self.ask("version", None)
        return version


class GuardedSession(Guard, Session):
    """A session of a :class:`GuardedStore`."""

    def __init__(self, store: Store, inner: Session) -> None:
        super().__init__(store)
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        """Give what isn't of the contract."""
        return getattr(self.inner, name)

    @property
    def alone(self) -> bool:
        """Whether one query is all that will be run."""
        return bool(self.inner.alone)

    @alone.setter
    def alone(self, value: bool) -> None:
        self.inner.alone = value

    # Transactions

    def begin(self, *, write: bool) -> None:
        try:
            self.inner.begin(write=write)
        except Exception as error:  # noqa: BLE001  # as in ask()
            raised(self.inner, "begin", None, error)

    def upgrade(self) -> None:
        self.ask("upgrade", None)

    def commit(self) -> None:
        self.ask("commit", None)

    def rollback(self) -> None:
        try:
            self.inner.rollback()
        except Exception as error:  # noqa: BLE001  # as in ask()
            raised(self.inner, "rollback", None, error)

    def savepoint(self) -> Hashable:
        mark: Hashable = self.ask("savepoint", None)
        return mark

    def rollback_to(self, mark: Hashable) -> None:
        self.ask("rollback_to", None, mark)

    def release(self, mark: Hashable) -> None:
        self.ask("release", None, mark)

    def lock(self) -> None:
        self.ask("lock", None)

    def close(self) -> None:
        self.ask("close", None)

    # Schema

    def catalog(self) -> Catalog:
        try:
            found = self.inner.catalog()
        except Exception as error:  # noqa: BLE001  # as in ask()
            raised(self.inner, "catalog", None, error)
        if found.__class__ is not Catalog and not isinstance(found, Catalog):
            self.broken("catalog", f"it returned {kind_of(found)}, not a Catalog")
        return found

    def create_table(self, table: Table) -> None:
        self.ask("create_table", table, table)

    def drop_table(self, name: str) -> None:
        self.ask("drop_table", self._named(name), name)

    def alter_table(
        self,
        name: str,
        table: Table,
        renames: Mapping[str, str] | None = None,
        fill: Mapping[str, Any] | None = None,
    ) -> None:
        self.ask("alter_table", table, name, table, renames, fill)

    def create_index(self, table: str, index: Index) -> None:
        self.ask("create_index", self._named(table), table, index)

    def drop_index(self, table: str, name: str) -> None:
        self.ask("drop_index", self._named(table), table, name)

    def _named(self, name: str) -> Table | None:
        return self.catalog().tables.get(name)

    # Reading

    def query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> GuardedQuery:
        return GuardedQuery(self, "query", table, columns, access)

    def query_for_update(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> GuardedQuery:
        return GuardedQuery(self, "query_for_update", table, columns, access)

    def estimated_rows(self, table: Table) -> int:
        number = self.ask("estimated_rows", table, table)
        if type(number) is not int or number < 0:
            what = f"it returned {kind_of(number)}, not a number of rows"
            self.broken("estimated_rows", what, table)
        return number

    def access(
        self,
        table: Table,
        filters: Sequence[FilterShape],
        ordering: Sequence[tuple[str, bool]] = (),
        *,
        few: bool = False,
    ) -> Access:
        found = self.ask("access", table, table, filters, ordering, few=few)
        if not isinstance(found, Access):
            self.broken("access", f"it returned {kind_of(found)}, not an Access", table)
        return found

    def get(self, table: Table, key: Key) -> Row | None:
        row = self.ask("get", table, table, key)
        return None if row is None else check_row(self, "get", table, row)

    # Writing

    def insert(self, table: Table, rows: Sequence[Row]) -> list[Key]:
        keys = self.ask("insert", table, table, rows)
        if type(keys) is not list or len(keys) != len(rows):
            what = (
                f"it returned {kind_of(keys)}, not a list of {len(rows)} primary keys"
            )
            self.broken("insert", what, table)
        width = len(table.primary_key)
        for key in keys:
            if type(key) is not tuple or len(key) != width:
                what = f"it returned {kind_of(key)} for a key, not a tuple of {width}"
                self.broken("insert", what, table)
        return keys

    def update(self, table: Table, key: Key, row: Row) -> None:
        self.ask("update", table, table, key, row)

    def set_columns(
        self, table: Table, names: Sequence[str], changes: Mapping[Key, Sequence[Any]]
    ) -> None:
        self.ask("set_columns", table, table, names, changes)

    def delete(self, table: Table, keys: Sequence[Key]) -> int:
        number = self.ask("delete", table, table, keys)
        if type(number) is not int:
            what = f"it returned {kind_of(number)}, not a number of rows"
            self.broken("delete", what, table)
        return number

    def reset_sequence(self, table: Table, value: int = 0) -> None:
        self.ask("reset_sequence", table, table, value)


class GuardedQuery(Guard, NonrelQuery):
    """A query of a :class:`GuardedSession`."""

    session: GuardedSession

    def __init__(
        self,
        session: GuardedSession,
        method: str,
        table: Table,
        columns: Sequence[str],
        access: Access,
    ) -> None:
        super().__init__(session, table, columns, access)
        #: The columns that the store is asked for.
        self.asked = self.columns
        try:
            self.inner = getattr(session.inner, method)(table, columns, access)
        except Exception as error:  # noqa: BLE001  # as in ask()
            raised(session.inner, method, table, error)
        if not is_a(self.inner.__class__, NonrelQuery):
            what = f"it returned {kind_of(self.inner)}, not a NonrelQuery"
            session.broken(method, what, table)

    def add_filters(self, filters: Iterable[tuple[str, str, bool, str, Any]]) -> None:
        try:
            self.inner.add_filters(filters)
        except Exception as error:  # noqa: BLE001  # as in ask()
            raised(self.inner, "add_filters", self.table, error)

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        try:
            self.inner.add_filter(column, lookup_type, negated, db_type, value)
        except Exception as error:  # noqa: BLE001  # as in ask()
            raised(self.inner, "add_filter", self.table, error)

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        self.ask("order_by", self.table, ordering)

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        self._prepare()
        return rows_of(self.inner, self.table, self.asked, low_mark, high_mark)

    def count(self) -> int:
        self._prepare()
        return self._number("count")

    def update(self, changes: Mapping[str, Any]) -> int:
        self._prepare()
        return self._number("update", changes)

    def _prepare(self) -> None:
        self.inner.looked_at, self.inner.at_once = self.looked_at, self.at_once

    def _number(self, method: str, *arguments: Any) -> int:
        number = self.ask(method, self.table, *arguments)
        if type(number) is not int:
            what = f"it returned {kind_of(number)}, not a number of rows"
            self.broken(method, what, self.table)
        return number


def check_row(guard: Guard, method: str, table: Table, row: Any) -> Row:
    """
    Return a whole row that is as the table says.

    :raises InternalError: it isn't.
    """
    if type(row) is not tuple:
        guard.broken(method, f"a row is {kind_of(row)}, not a tuple", table)
    width = len(table.columns)
    if len(row) != width:
        what = f"a row has {len(row)} values, but there are {width} columns"
        guard.broken(method, what, table)
    check_values(guard.inner, method, table, [*table.positions], row)
    return row
