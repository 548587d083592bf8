"""The schema as virtual tables, for statements that read the store's tables, too."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import apsw

from backendkit.stores import NotSupportedError, Session, Table

from .declarations import is_view
from .pragmas import MIRRORED_PRAGMAS
from .schema_text import SCHEMA_TABLE, pragma_columns
from .tokens import quote

if TYPE_CHECKING:
    from .connection import Connection

#: Where SQLite keeps the numbering of tables.
SEQUENCES = "sqlite_sequence"
_MASTER = ("type", "name", "tbl_name", "rootpage", "sql")


def register(connection: Connection) -> None:
    """Let a connection's SQLite find the schema under the names that it has there."""
    tables: dict[str, Any] = {
        SCHEMA_TABLE: MasterModule(connection),
        SEQUENCES: SequenceModule(connection),
    }
    for name in MIRRORED_PRAGMAS:
        tables[f"pragma_{name}"] = PragmaModule(connection, f"pragma_{name}")
    for name, module in tables.items():
        connection.sqlite.create_module(
            name,
            cast("apsw.VTModule", module),
            use_bestindex_object=True,
            use_no_change=True,
            iVersion=2,
            eponymous=True,
            eponymous_only=True,
        )


class MasterModule:
    """sqlite_master, as the mirror of the schema has it."""

    columns: Sequence[str] = _MASTER
    #: How many columns, the last ones, are hidden arguments.
    arguments = 0

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def Connect(self, *_: Any) -> tuple[str, SchemaTable]:  # apsw's name
        """Declare the table to SQLite."""
        return self.declaration(), SchemaTable(self)

    Create = Connect

    def declaration(self) -> str:
        """Return the declaration; the arguments are hidden columns."""
        shown = len(self.columns) - self.arguments
        columns = [
            quote(name) + (" HIDDEN" if place >= shown else "")
            for place, name in enumerate(self.columns)
        ]
        return f"CREATE TABLE t ({', '.join(columns)})"

    def mirror(self) -> apsw.Connection:
        """Return the mirror, as the running statement sees the schema."""
        declarations = self.connection.declarations
        declarations.sync(self.connection.active.session.catalog())
        return declarations.sqlite

    def rows(self, _arguments: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
        """Return the rows for the arguments that are given."""
        return self.mirror().execute(f"SELECT {', '.join(_MASTER)} FROM sqlite_master")


class PragmaModule(MasterModule):
    """
    A PRAGMA function.

    :param function: its name.
    """

    def __init__(self, connection: Connection, function: str) -> None:
        super().__init__(connection)
        self._function = function

    def Connect(self, *_: Any) -> tuple[str, SchemaTable]:  # apsw's name
        """Declare the table to SQLite."""
        mirror = self.connection.declarations.sqlite
        self.columns, self.arguments = pragma_columns(mirror, self._function)
        return self.declaration(), SchemaTable(self)

    Create = Connect

    def rows(self, arguments: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
        """Return the rows for the arguments that are given."""
        marks = ", ".join("?" * len(arguments))
        names = ", ".join(map(quote, self.columns))
        return self.mirror().execute(
            f"SELECT {names} FROM {self._function}({marks})", tuple(arguments)
        )


class SequenceModule(MasterModule):
    """
    sqlite_sequence: the tables that number their rows.

    Their numbers can be set, and a deleted row lets them begin anew. What the next
    number is only the store knows.
    """

    columns = ("name", "seq")

    def rows(self, _arguments: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
        """Return a row for each table."""
        catalog = self.connection.active.session.catalog()
        return [
            (table.name, NotSupportedError)
            for table in catalog.tables.values()
            if not is_view(table) and table.auto_increment is not None
        ]

    def set(self, name: Any, number: Any) -> None:
        """
        Let a table go on behind a number, or behind the largest one that it has.

        :raises NotSupportedError: it isn't one that numbers its rows.
        """
        running = self.connection.active
        table = running.session.catalog().named(str(name))
        if table is None or is_view(table) or table.auto_increment is None:
            raise NotSupportedError(f"{name} isn't a table with automatic numbers.")
        if number is not None and not isinstance(number, int):
            raise NotSupportedError(
                f"{number!r} isn't a number that a sequence can have."
            )
        largest = _largest(running.session, table)
        running.session.reset_sequence(table, max(number or 0, largest))
        running.changes += 1


def _largest(session: Session, table: Table) -> int:
    """Return the largest number that a table's rows have, 0 at least."""
    assert table.auto_increment is not None
    name = table.columns[table.auto_increment].name
    access = session.access(table, (), ((name, True),), few=True)
    query = session.query(table, (name,), access)
    if access.ordered:
        query.order_by(((name, True),))
        numbers = (int(row[0]) for row in itertools.islice(query.fetch(), 1))
    else:
        numbers = (int(row[0]) for row in query.fetch())
    return max(0, max(numbers, default=0))


class SchemaTable:
    """One of these tables, as a connection's SQLite sees it."""

    def __init__(self, module: MasterModule) -> None:
        self.module = module

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:  # apsw's name
        """Ask for the arguments, each by a number in the index."""
        module = self.module
        shown = len(module.columns) - module.arguments
        given: dict[int, int] = {}
        for number in range(info.nConstraint):
            place = info.get_aConstraint_iColumn(number) - shown
            if place < 0 or (
                info.get_aConstraint_op(number) != apsw.SQLITE_INDEX_CONSTRAINT_EQ
            ):
                continue
            if not info.get_aConstraint_usable(number):
                return False
            given.setdefault(place, number)
        count = 0
        for place in range(module.arguments):
            if place not in given:
                break
            count += 1
            info.set_aConstraintUsage_argvIndex(given[place], count)
            info.set_aConstraintUsage_omit(given[place], True)
        info.estimatedCost = 20.0 if count else 1000.0
        info.estimatedRows = 20 if count else 200
        return True

    def Open(self) -> SchemaCursor:
        """Begin to read the table."""
        return SchemaCursor(self.module)

    def Disconnect(self) -> None:
        """Nothing is held that isn't garbage collected."""

    Destroy = Disconnect

    # Writing: of sqlite_sequence alone

    def UpdateInsertRow(self, _rowid: int | None, fields: tuple[Any, ...]) -> int:
        """Set a table's number."""
        self._sequences().set(*fields)
        return 0

    def UpdateChangeRow(
        self, rowid: int, _new_rowid: int, fields: tuple[Any, ...]
    ) -> None:
        """Set a table's number; what isn't changed is ``apsw.no_change``."""
        name, number = fields
        if name is not apsw.no_change and name != self._name(rowid):
            raise NotSupportedError(
                f"The name in a row of {SEQUENCES} can't be changed."
            )
        if number is not apsw.no_change:
            self._sequences().set(self._name(rowid), number)

    def UpdateDeleteRow(self, rowid: int) -> None:
        """Let a table's numbers begin anew."""
        self._sequences().set(self._name(rowid), 0)

    def _sequences(self) -> SequenceModule:
        if not isinstance(self.module, SequenceModule):
            raise NotSupportedError(
                "This table can't be written to. Use CREATE, ALTER and DROP to change"
                " the schema."
            )
        return self.module

    def _name(self, rowid: int) -> str:
        rows = list(self._sequences().rows(()))
        return str(rows[rowid][0])


class SchemaCursor:
    """One reading of such a table."""

    def __init__(self, module: MasterModule) -> None:
        self._module = module
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._row: tuple[Any, ...] | None = None
        self._number = -1

    def Filter(self, _number: int, _text: str, arguments: tuple[Any, ...]) -> None:
        """Read all rows: the mirror may change before the last one is asked for."""
        self._number = -1
        self._rows = iter(list(self._module.rows(arguments)))
        self.Next()

    def Next(self) -> None:
        """Go to the next row."""
        self._row = next(self._rows, None)
        self._number += 1

    def Eof(self) -> bool:
        """Whether there is no row left."""
        return self._row is None

    def Column(self, number: int) -> Any:
        """Return a value of the current row."""
        if number < 0:
            return self._number
        assert self._row is not None
        value = self._row[number]
        if value is NotSupportedError:
            raise NotSupportedError(
                f"The numbers in {SEQUENCES} can be set, but not read, because the"
                " store keeps them."
            )
        return value

    def Rowid(self) -> int:
        """Return the current row's number."""
        return self._number

    def ColumnNoChange(self, _number: int) -> Any:
        """Leave out what an UPDATE doesn't change."""
        return apsw.no_change

    def Close(self) -> None:
        """Stop reading."""
        self._rows = iter(())
