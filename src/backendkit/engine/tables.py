"""The store's tables in one connection's SQLite, as the catalog has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import apsw

from backendkit.stores import Catalog, OperationalError, Session, Table

from . import ddl
from .catalog_text import check_names
from .ddl_text import may_be_temporary, temporary_ddl
from .declarations import is_view
from .items import ItemIndex, ItemWriter, item_indexes
from .sqltext import lists_are_literal
from .tokens import quote
from .vtab import Module
from .writer import TableWriter

if TYPE_CHECKING:
    from .connection import Connection


class Tables:
    """
    Follows the catalog: declares tables and views to SQLite, and forgets them.

    :param connection: whose SQLite it is.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: As it was when a statement last used it.
        self.catalog: Catalog | None = None
        #: The item indexes of that catalog, by the table that they index.
        self.items: dict[str, tuple[ItemIndex, ...]] = {}
        self._declared: dict[str, Table] = {}
        self._views: set[str] = set()
        # Whether this connection made temporary tables or views, SQLite's own.
        self._temporary = False
        self._writers: dict[str, TableWriter] = {}

    def use(self, catalog: Catalog) -> None:
        """Declare the tables of a catalog; mostly it's the same as before."""
        known = self.catalog
        if catalog is known or (known is not None and catalog.version == known.version):
            return
        items = item_indexes(catalog)
        tables = {
            name: table for name, table in catalog.tables.items() if not table.items_of
        }
        gone = [
            table
            for name, table in self._declared.items()
            if tables.get(name) is not table and tables.get(name) != table
        ]
        for table in gone:
            self._forget(table.name, replaced=table.name in tables)
        new = [table for name, table in tables.items() if name not in self._declared]
        for table in new:
            self._declare(table)
        if gone or items != self.items:
            # Prepared statements hold on to the tables as they were.
            self._connection.forget_statements()
        self.catalog, self.items = catalog, items
        self._connection.foreign_keys.use(gone, new)

    def _declare(self, table: Table) -> None:
        sqlite = self._connection.sqlite
        check_names(table)
        if is_view(table):
            ddl.declare_view(sqlite, table)
            self._views.add(table.name)
        else:
            sqlite.create_module(
                table.name,
                # apsw's protocol has methods that it doesn't call if there are none.
                cast("apsw.VTModule", Module(self._connection, table)),
                use_bestindex_object=True,
                use_no_change=True,
                # Version 3 has a limited number of slots in apsw.
                iVersion=2,
                eponymous=True,
                eponymous_only=True,
            )
        self._declared[table.name] = table

    def _forget(self, name: str, *, replaced: bool) -> None:
        sqlite = self._connection.sqlite
        self._writers.pop(name, None)
        if is_view(self._declared.pop(name)):
            sqlite.execute(f"DROP VIEW IF EXISTS {quote(name)}")
            self._views.discard(name)
        elif not replaced:
            sqlite.create_module(name, None)

    def collations(self, table: Table) -> dict[str, str]:
        """Return the collations of a table's columns, but for BINARY."""
        if "COLLATE" not in table.sql.upper():
            return {}
        declarations = self._connection.declarations
        if self.catalog is not None:
            declarations.sync(self.catalog)
        found = {}
        for column in table.columns:
            if column.hidden:
                continue
            _, collation, *_ = declarations.sqlite.column_metadata(
                None, table.name, column.name
            )
            if collation and collation.upper() != "BINARY":
                found[column.name] = collation
        return found

    @staticmethod
    def named(name: str, catalog: Catalog) -> Table:
        """
        Return a table by its name in any case.

        :raises OperationalError: there is none.
        """
        table = catalog.named(name)
        if table is None:
            raise OperationalError(f"no such table: {name}")
        return table

    def writer(self, session: Session, table: Table) -> TableWriter:
        """Return the write path of a table, for a session."""
        declarations = self._connection.declarations
        writer = self._writers.get(table.name)
        if writer is None or writer.table is not table:
            declarations.need(table)
            writer = TableWriter(
                table, declarations, self._connection.foreign_keys, self.writer
            )
            self._writers[table.name] = writer
        elif writer.computes:
            declarations.need(table)
        writer.session = session
        indexes = self.items.get(table.name, ())
        if not indexes:
            writer.items = None
        elif writer.items is None or writer.items.indexes != indexes:
            writer.items = ItemWriter(table, indexes, lambda: declarations.sqlite)
        return writer

    # What SQLite has beside the catalog

    def is_temporary(self, sql: str) -> bool:
        """Whether DDL is about a temporary table, index or view."""
        if temporary_ddl(sql):
            self._temporary = True
            return True
        name = may_be_temporary(sql) if self._temporary else None
        if name is None:
            return False
        found = self._connection.sqlite.execute(
            "SELECT 1 FROM sqlite_temp_master WHERE name = ? COLLATE NOCASE", (name,)
        )
        return found.fetchone() is not None

    def whole_lists(self, sql: str) -> bool:
        """Whether lists behind IN may be taken whole; see ``lists_are_literal``."""
        # A view's text isn't the statement's.
        return not (self._views or self._temporary) and lists_are_literal(sql)
