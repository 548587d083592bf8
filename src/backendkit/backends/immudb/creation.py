"""Test databases on the server."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from backendkit.nonrel.creation import NonrelDatabaseCreation
from backendkit.stores import Access, Error

from . import shared
from .store import ImmudbStore

if TYPE_CHECKING:
    from .driver import Connection

#: The database that every server has.
DEFAULT = "defaultdb"
#: Entries of a transaction in databases that we make. Each index of the database costs
#: the server 2.6 KB of memory for each of them.
MAX_TX_ENTRIES = 4096
#: Entries that a transaction which may write can read in such databases: a class of
#: tests is one transaction, and reads the same rows many times.
MAX_READ_SET = 1_000_000
#: Rows that a copy writes at once.
_ROWS = 500


class DatabaseCreation(NonrelDatabaseCreation):
    """Test databases are made once, and emptied."""

    def _get_test_db_name(self) -> str:
        """Return a name that immudb takes."""
        name: str = super()._get_test_db_name()
        return name.lower().replace("-", "_")

    def database_exists(self, name: str) -> bool:
        """Whether the server has a database of this name with something in it."""
        with self._server() as connection:
            if all(one.name != name for one in connection.databases()):
                return False
            connection.use_database(name)
            return bool(_tables(connection))

    def destroy_database(self, name: str) -> None:
        """
        Drop all tables of a database. No effect if there is none.

        The database stays: immudb can't make one again by the name of a deleted one.
        """
        with self._server() as connection:
            if any(one.name == name for one in connection.databases()):
                connection.use_database(name)
                for table in _tables(connection):
                    connection.run(f'DROP TABLE "{table}"')
        shared.forget(self._store(name).place)

    def create_database(self, name: str) -> None:
        """Make a database, unless it is there."""
        options = self.connection.settings_dict["OPTIONS"]
        most = options.get("max_tx_entries", MAX_TX_ENTRIES)
        with self._server() as connection:
            connection.create_database(
                name,
                max_tx_entries=most,
                max_read_set=MAX_READ_SET,
                if_not_exists=True,
            )

    def clone_database(self, source: str, target: str) -> None:
        """Copy tables and rows to a new database."""
        self.create_database(target)
        with self.connection.wrap_database_errors:
            old, new = self._store(source), self._store(target)
            try:
                copy(old, new)
            finally:
                old.close()
                new.close()

    # Django's hooks

    def _create_test_db(
        self, verbosity: int, autoclobber: bool, keepdb: bool = False
    ) -> str:
        name = super()._create_test_db(verbosity, autoclobber, keepdb)
        self.create_database(name)
        return name

    # Connections

    def _store(self, name: str) -> ImmudbStore:
        options = dict(self.connection.settings_dict["OPTIONS"])
        known = self.connection.store_options
        found = {key: value for key, value in options.items() if key in known}
        store: ImmudbStore = self.connection.open_store(name, found)
        return store

    @contextlib.contextmanager
    def _server(self) -> Iterator[Connection]:
        """Lend a connection to the database that every server has."""
        with self.connection.wrap_database_errors:
            store = self._store(DEFAULT)
            try:
                with store.other() as connection:
                    yield connection
            finally:
                store.close()


def _tables(connection: Connection) -> list[str]:
    return [name for (name,) in connection.query("SELECT name FROM TABLES()").rows]


def copy(source: ImmudbStore, target: ImmudbStore) -> None:
    """Copy all tables and rows of a database to an empty one."""
    reader, writer = source.reader(), target.session()
    reader.begin(write=False)
    try:
        tables = reader.catalog().tables
        for table in tables.values():
            writer.begin(write=True)
            writer.create_table(table)
            writer.commit()
            rows: Iterator[Any] = reader.query(
                table, [*table.positions], Access()
            ).fetch()
            while part := list(itertools.islice(rows, _ROWS)):
                writer.begin(write=True)
                writer.insert(table, part)
                writer.commit()
    except Error:
        writer.rollback()
        raise
    finally:
        reader.close()
        writer.close()
