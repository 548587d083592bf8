"""
The catalog: what the record layer knows about each table, and keeps in the store.

Columns have numbers of their own. A *layout* is the list of the columns that a
row was written with; adding and dropping columns starts a new one and leaves
the rows as they are.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any

from backendkit.stores import (
    UNREADABLE,
    Catalog,
    Column,
    DatabaseError,
    Index,
    ProgrammingError,
    Row,
    Table,
    ValueType,
)

from .codec import (
    DamagedRowError,
    Holder,
    RowChecker,
    Unpack,
    UnpackPart,
    pack,
    part_unpacker,
    unpacker,
    value_unpacker,
)
from .indexes import IndexMaintainer, PrimaryKeyExpression
from .layout import catalog_key, rows_prefix

#: Choices of columns that a table remembers how to read.
_PARTS = 200
#: Tables that the process remembers, whatever stores they are in.
_RECORDS = 2000
#: Given a row's bytes: its values in the table's column order, and then others.
Read = Callable[[bytes], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """
    A column that rows were written with, maybe dropped since.

    :param type: what it holds; never changes.
    :param fill: its value in rows of layouts without it, as a msgpack array
        of one value and a 0.
    """

    type: ValueType
    fill: bytes


@dataclass(frozen=True)
class TableRecord:
    """
    A table as the record layer keeps it. Immutable.

    :param id: number of the table in this store; never given to another one.
    :param table: its definition.
    :param columns: by number, dropped ones included.
    :param layouts: the columns' numbers that rows were written with; None where
        no row of that layout is left.
    :param layout: position in ``layouts`` of the one that rows are written with.
    :param index_ids: numbers of the indexes in this store, by their name.
    """

    id: int
    table: Table
    columns: Mapping[int, StoredColumn]
    layouts: tuple[tuple[int, ...], ...]
    layout: int
    index_ids: Mapping[str, int]

    @classmethod
    def new(
        cls, table_id: int, table: Table, index_ids: Mapping[str, int]
    ) -> TableRecord:
        """Return the record of a new table."""
        nothing = pack((None, 0))
        columns = {
            number: StoredColumn(column.type, nothing)
            for number, column in enumerate(table.columns, 1)
        }
        return cls(table_id, table, columns, (tuple(columns),), 0, dict(index_ids))

    # Stored as JSON: any tool can read it.

    def to_json(self) -> bytes:
        """Return the record as a JSON document."""
        document = {
            "id": self.id,
            "table": self.table.document(),
            "columns": {
                number: [column.type, base64.b64encode(column.fill).decode()]
                for number, column in self.columns.items()
            },
            "layouts": self.layouts,
            "layout": self.layout,
            "indexes": self.index_ids,
        }
        return json.dumps(document, ensure_ascii=False).encode()

    @classmethod
    @lru_cache(maxsize=_RECORDS)
    def from_json(cls, document: bytes) -> TableRecord:
        """
        Read what :meth:`to_json` wrote.

        Remembered: where connections live as long as a request, each would read
        the whole catalog.

        :raises DatabaseError: it isn't that, or contradicts itself.
        """
        try:
            data = json.loads(document)
            record = cls(
                data["id"],
                Table.from_json(json.dumps(data["table"])),
                {
                    int(number): StoredColumn(ValueType(kind), base64.b64decode(fill))
                    for number, (kind, fill) in data["columns"].items()
                },
                tuple(tuple(layout) for layout in data["layouts"]),
                data["layout"],
                data["indexes"],
            )
            record._check()
        except UNREADABLE as error:
            raise DatabaseError(
                f"The catalog has a table that can't be read ({error!r})."
            ) from error
        return record

    def _check(self) -> None:
        """Raise ValueError or another error if its parts don't fit each other."""
        table, known = self.table, self.columns
        numbers = [self.id, self.layout, *self.index_ids.values()]
        if any(number.__class__ is not int or number < 0 for number in numbers):
            raise ValueError("a number has the wrong type")
        if not all(known.keys() >= set(layout) for layout in self.layouts):
            raise ValueError("the layout of the rows refers to missing columns")
        if [known[number].type for number in self.layouts[self.layout]] != [
            column.type for column in table.columns
        ]:
            raise ValueError("the layout of the rows has other columns than the table")
        ids = {self.index_ids[index.name] for index in table.indexes}
        if len(ids) != len(table.indexes):
            raise ValueError("two indexes have the same number")

    # What is needed to read and write rows, computed once.

    @cached_property
    def prefix(self) -> bytes:
        """What the keys of the rows begin with."""
        return rows_prefix(self.id)

    @cached_property
    def primary_key(self) -> PrimaryKeyExpression:
        """How the keys of the rows are computed."""
        return PrimaryKeyExpression(self.table)

    @cached_property
    def maintainers(self) -> tuple[IndexMaintainer, ...]:
        """One for each index."""
        return tuple(
            IndexMaintainer.of(self.index_ids[index.name], index, self.table)
            for index in self.table.indexes
        )

    @cached_property
    def maintainer(self) -> dict[str, IndexMaintainer]:
        """The index maintainers by name of the index."""
        return {one.index.name: one for one in self.maintainers}

    @cached_property
    def check(self) -> RowChecker:
        """What rows go through before they are written."""
        return RowChecker(self.table.name, self.table.columns)

    @cached_property
    def width(self) -> int:
        """Number of columns. Rows are read with their layout's number behind."""
        return len(self.table.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.table.columns)

    @cached_property
    def whole(self) -> Callable[[tuple[Any, ...]], Row]:
        """A function that cuts what was read to the columns."""
        return itemgetter(slice(self.width))

    @cached_property
    def read(self) -> Read:
        """A function that reads a row's bytes; more than the columns may come."""
        if len(self.layouts) == 1:
            return self._reader(0)
        readers = [self._reader(number) for number in range(len(self.layouts))]

        def read(data: bytes) -> tuple[Any, ...]:
            try:
                reader = readers[data[-1]]
            except IndexError:
                raise DamagedRowError(
                    "the table has no such layout", self.table.name
                ) from None
            return reader(data)

        return read

    def plain(self, positions: Collection[int]) -> bool:
        """Whether changing these columns changes the row alone, and in its place."""
        return len(self.layouts) == 1 and not any(
            set(maintainer.expression.positions).intersection(positions)
            for maintainer in self.maintainers
        )

    def part(self, places: tuple[int, ...]) -> UnpackPart:
        """Return a function that reads some columns; see :func:`part_unpacker`."""
        unpack = self._parts.get(places)
        if unpack is None:
            if len(self._parts) >= _PARTS:
                self._parts.clear()
            unpack = self._parts[places] = self._part(places)
        return unpack

    @cached_property
    def _parts(self) -> dict[tuple[int, ...], UnpackPart]:
        return {}

    def _part(self, places: tuple[int, ...]) -> UnpackPart:
        # Making a type for a few columns pays only if much is left out.
        if len(self.layouts) == 1 and 3 * len(places) <= 2 * self.width:
            layout = self.layouts[0]
            types = [self.columns[column].type for column in layout]
            return part_unpacker(types, places)
        read, get = self.read, itemgetter(*places)
        return lambda datas: map(get, map(read, datas))

    def holder(self, place: int) -> Callable[[bytes], Holder] | None:
        """Return a function that reads one column, if all rows are of one layout."""
        if len(self.layouts) > 1:
            return None
        unpack = self._holders.get(place)
        if unpack is None:
            types = [self.columns[column].type for column in self.layouts[0]]
            unpack = self._holders[place] = value_unpacker(types, place)
        return unpack

    @cached_property
    def _holders(self) -> dict[int, Callable[[bytes], Holder]]:
        return {}

    def _reader(self, number: int) -> Read:
        layout = self.layouts[number]
        unpack: Unpack = unpacker([self.columns[column].type for column in layout])
        wanted = self.layouts[self.layout]
        if layout == wanted:
            return unpack
        fills: list[Any] = []
        positions: list[int] = []
        for column in wanted:
            if column in layout:
                positions.append(layout.index(column))
            else:
                stored = self.columns[column]
                # Behind the row's values and its layout's number.
                positions.append(len(layout) + 1 + len(fills))
                fills.append(unpacker([stored.type])(stored.fill)[0])
        more = tuple(fills)
        # A second position makes a tuple out of one column, too.
        get = itemgetter(*positions, len(layout))
        return lambda data: get(unpack(data) + more)

    # Changed definitions

    def altered(
        self, table: Table, renames: Mapping[str, str], fill: Mapping[str, Any]
    ) -> TableRecord:
        """
        Return the record with another definition; see ``Session.alter_table``.

        :raises ProgrammingError: something else differs than what may.
        """
        old_names = {new: old for old, new in renames.items()}
        numbers = dict(
            zip(
                (column.name for column in self.table.columns),
                self.layouts[self.layout],
                strict=True,
            )
        )
        columns = dict(self.columns)
        check = RowChecker(table.name, table.columns)
        layout: list[int] = []
        for column in table.columns:
            if column.name in renames and column.name not in old_names:
                number = None  # the column of this name has another one now
            else:
                number = numbers.get(old_names.get(column.name, column.name))
            if number is None:
                number = max(columns) + 1
                columns[number] = self._added(column, fill, check)
            elif columns[number].type is not column.type:
                raise ProgrammingError(
                    f"{table.name}.{column.name}: the type of a column can't be"
                    f" changed from {columns[number].type} to {column.type}"
                )
            layout.append(number)
        self._check_alteration(table, renames)
        layouts = self.layouts
        if tuple(layout) not in layouts:
            layouts = (*layouts, tuple(layout))
        return replace(
            self,
            table=table,
            columns=columns,
            layouts=layouts,
            layout=layouts.index(tuple(layout)),
        )

    @staticmethod
    def _added(
        column: Column, fill: Mapping[str, Any], check: RowChecker
    ) -> StoredColumn:
        value = fill.get(column.name)
        if value is not None:
            value = check.convert(column, value)
        return StoredColumn(column.type, pack((value, 0)))

    def _check_alteration(self, table: Table, renames: Mapping[str, str]) -> None:
        def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(renames.get(name, name) for name in names)

        if renamed(self.table.primary_key) != table.primary_key:
            raise ProgrammingError(f"{table.name}: the primary key can't be changed")
        old = {
            index.name: (renamed(index.columns), index.unique)
            for index in self.table.indexes
        }
        new = {index.name: (index.columns, index.unique) for index in table.indexes}
        if old != new:
            raise ProgrammingError(
                f"{table.name}: altering a table can't change its indexes"
            )

    def only_layout(self) -> TableRecord:
        """Return the record of a table whose rows all have the present layout."""
        layout = self.layouts[self.layout]
        return replace(self, layouts=(layout,), layout=0)

    def with_index(self, index: Index, index_id: int) -> TableRecord:
        """Return the record with one index more."""
        table = replace(self.table, indexes=(*self.table.indexes, index))
        return replace(
            self, table=table, index_ids={**self.index_ids, index.name: index_id}
        )

    def without_index(self, name: str) -> TableRecord:
        """Return the record with one index less."""
        kept = tuple(index for index in self.table.indexes if index.name != name)
        ids = {key: value for key, value in self.index_ids.items() if key != name}
        return replace(self, table=replace(self.table, indexes=kept), index_ids=ids)


class CatalogState:
    """
    All records of one version of the catalog. Immutable, shared by sessions.

    :param version: as stored.
    :param records: by the table's name.
    :param sources: by the key that each record is stored at: as what, and the record.
    :param tables: the records' tables, by name, if they are known.
    """

    def __init__(
        self,
        version: bytes,
        records: Mapping[str, TableRecord],
        sources: Mapping[bytes, tuple[bytes, TableRecord]],
        tables: Mapping[str, Table] | None = None,
    ) -> None:
        self.version = version
        self.records = records
        self.sources = sources
        if tables is None:
            tables = {name: record.table for name, record in records.items()}
        self.catalog = Catalog(version, tables)

    def changed(
        self,
        version: bytes,
        old: TableRecord | None,
        new: TableRecord | None,
        source: bytes | None,
    ) -> CatalogState:
        """
        Return the state with one record replaced.

        :param old: None if there is none yet.
        :param new: None for none any more.
        :param source: the bytes that the new one is stored as.
        """
        records, tables = dict(self.records), dict(self.catalog.tables)
        sources = dict(self.sources)
        if old is not None:
            del records[old.table.name], tables[old.table.name]
            sources.pop(catalog_key(old.id), None)
        if new is not None:
            records[new.table.name], tables[new.table.name] = new, new.table
            if source is not None:
                sources[catalog_key(new.id)] = source, new
        return CatalogState(version, records, sources, tables)
