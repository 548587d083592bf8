"""``ReadOnlyStore``: a store by one method, which reads the tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from ._access import Access
from ._buffered import BufferedSession
from ._capabilities import Capabilities
from ._changes import TableChange
from ._errors import NotSupportedError, shown
from ._query import NonrelQuery
from ._rows import broken, checked, kind_of, raised
from ._schema import Catalog, Table
from ._session import Row, Store


class ReadOnlyStore(Store):
    """
    A read-only store for data that fit into memory, such as files or a small service.

    A subclass implements :meth:`read`. Each transaction calls it once, and sees the
    returned data until it ends. SQLite applies filters, orders and joins. All writes
    raise :exc:`NotSupportedError`.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(multiple_processes=True)

    @abstractmethod
    def read(self) -> Mapping[str, tuple[Table, Sequence[Row]]]:
        """
        Return the tables with their rows, by name.

        All threads call this. If a table hasn't changed since the last call, return the
        same objects again. Decorate the method with :func:`safe_call`, and name the
        driver's errors in ``driver_errors``.
        """

    def session(self) -> BufferedSession:
        """Return a new, read-only session."""
        return _ReadOnlySession(self)


class _ReadOnlySession(BufferedSession):
    store: ReadOnlyStore
    _tables: Mapping[str, tuple[Table, Sequence[Row]]]

    def _begin(self, *, write: bool) -> None:
        if write:
            self._refuse()
        self._tables = self._reading()
        tables = {name: table for name, (table, _) in self._tables.items()}
        self._read_catalog = Catalog(tuple(tables.values()), tables)

    def _reading(self) -> Mapping[str, tuple[Table, Sequence[Row]]]:
        """Return what the store reads. Its mistakes are named."""
        read: Any
        try:
            read = self.store.read()
        except Exception as error:  # noqa: BLE001  # whatever an author's code may raise
            raised(self.store, "read", None, error)
        if not isinstance(read, Mapping):
            broken(self.store, "read", None, f"it returned {kind_of(read)}, not a dict")
        for name, found in read.items():
            if not (
                isinstance(found, tuple)
                and len(found) == 2
                and isinstance(found[0], Table)
                and isinstance(found[1], Sequence)
            ):
                what = (
                    f"the value of {shown(str(name))} isn't a pair of a Table and its"
                    " rows"
                )
                broken(self.store, "read", None, what)
        return read

    def _end(self) -> None:
        self._tables = {}

    def _refuse(self) -> NoReturn:
        raise NotSupportedError(f"{type(self.store).__name__} is read-only")

    def _upgrade(self) -> None:
        self._refuse()

    def _allocate(self, table: Table, count: int, above: int) -> int:
        self._refuse()

    def _apply(self, changes: Sequence[TableChange]) -> None:
        self._refuse()

    def _catalog(self) -> Catalog:
        return self._read_catalog

    def _query(
        self, table: Table, columns: Sequence[str], access: Access
    ) -> NonrelQuery:
        return _ReadOnlyQuery(self, table, columns, access)

    def _estimated_rows(self, table: Table) -> int:
        return len(self._tables[table.name][1])


class _ReadOnlyQuery(NonrelQuery):
    session: _ReadOnlySession

    def add_filter(
        self, column: str, lookup_type: str, negated: bool, db_type: str, value: Any
    ) -> None:
        raise NotSupportedError(f"this store has no filter {lookup_type}")

    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        at = [self.table.positions[name] for name in self.columns]
        table, rows = self.session._tables[self.table.name]
        store, names = self.session.store, [*table.positions]
        convert = store.convert_value_from_db
        whole = checked(rows, table, names, store, "read", convert)
        return (tuple([row[place] for place in at]) for row in whole)
