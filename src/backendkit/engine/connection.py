"""SQL over a store: a connection in the sense of PEP 249."""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from backendkit.stores import (
    Catalog,
    ConflictError,
    DatabaseError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    Session,
    Store,
    Table,
)

from . import ddl
from .cursor import Cursor
from .declarations import Declarations, is_view
from .errors import reraise
from .foreign_keys import ForeignKeys
from .functions import Functions
from .running import Handed, Running
from .statements import (
    ddl_name,
    insert_head,
    lists_are_literal,
    quote,
    temporary_ddl,
    unquote,
)
from .values import adapt
from .vtab import Module
from .writer import TableWriter

_TRANSACTION = re.compile(
    r"\s*(?:(?P<begin>BEGIN)(?:\s+(?P<mode>DEFERRED|IMMEDIATE|EXCLUSIVE))?(?:\s+TRANSACTION)?"
    r"|(?P<commit>COMMIT|END)(?:\s+TRANSACTION)?"
    r"|ROLLBACK(?:\s+TRANSACTION)?\s+TO(?:\s+SAVEPOINT)?\s+(?P<rollback_to>.+?)"
    r"|(?P<rollback>ROLLBACK)(?:\s+TRANSACTION)?"
    r"|SAVEPOINT\s+(?P<savepoint>.+?)"
    r"|RELEASE(?:\s+SAVEPOINT)?\s+(?P<release>.+?))\s*;?\s*\Z",
    re.I | re.S,
)

_OVER = (
    "the transaction is over: another one has committed since it began."
    " Roll it back and run it again."
)


class Connection:
    """
    A connection to a store that speaks SQLite's SQL.

    Each connection has an SQLite in memory of its own. Its virtual tables are
    the store's tables; it holds no rows itself.

    :param store: what to connect to; closed with the connection.
    :param define: called with a :class:`Functions`, to define SQL functions.
    :param immediate: whether BEGIN takes the right to write at once, as
        ``BEGIN IMMEDIATE`` does on SQLite.
    """

    def __init__(
        self,
        store: Store,
        define: Callable[[Functions], None] | None = None,
        *,
        immediate: bool = False,
    ) -> None:
        self.store = store
        self.autocommit = True
        self.in_transaction = False
        self.foreign_keys = ForeignKeys()
        #: List to note store calls in, or None.
        self.trace: list[dict[str, Any]] | None = None
        #: Values for old rows in added columns; see :meth:`filling`.
        self.fill: Mapping[str, Any] | None = None
        #: Tables that DDL has changed, as keys.
        self.changed_tables: dict[str, None] = {}
        self._immediate = immediate
        self._define = define
        self._closed = False
        self._begun = False
        # Exceptions of aggregates, to be raised by the cursor.
        self._failures: list[DatabaseError] = []
        #: Whether a conflict has ended the store's transaction before ours.
        self._over = False
        self._session = store.session()
        self._readers: list[Session] = []
        self._savepoints: list[tuple[str, Any]] = []
        self._cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._catalog: Catalog | None = None
        self._declared: dict[str, Table] = {}
        self._has_views = False
        # Whether this connection made temporary tables or views, SQLite's own.
        self._temporary = False
        self._writers: dict[str, TableWriter] = {}
        self.sqlite = apsw.Connection(":memory:", statementcachesize=500)
        self.sqlite.execute("PRAGMA temp_store = MEMORY")
        self.declarations = Declarations(self._set_up)
        self._set_up(self.sqlite)
        self._active: Running | None = None

    def _set_up(self, database: apsw.Connection) -> None:
        if self._define is not None:
            self._define(Functions(self._failures, database))

    # PEP 249

    def cursor(self, factory: type[Cursor] = Cursor) -> Cursor:
        """Return a new cursor."""
        self._check_open()
        return factory(self)

    def close(self) -> None:
        """Roll back and close. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        for cursor in list(self._cursors):
            cursor.close()
        for session in (self._session, *self._readers):
            session.close()
        self.store.close()
        self.declarations.close()
        self.sqlite.close(True)

    def set_autocommit(self, autocommit: bool) -> None:
        """Say whether statements outside of a transaction commit by themselves."""
        if autocommit and self.in_transaction:
            self.commit()
        self.autocommit = autocommit

    @contextlib.contextmanager
    def filling(self, values: Mapping[str, Any]) -> Iterator[None]:
        """
        Give columns that ALTER TABLE adds in this context a value in old rows.

        :param values: by column name; what isn't named gets its default.
        """
        self.fill = values
        try:
            yield
        finally:
            self.fill = None

    def take_changed_tables(self) -> list[str]:
        """Return the tables whose foreign keys DDL may have broken, and forget them."""
        names, self.changed_tables = self.changed_tables, {}
        return list(names)

    def commit(self) -> None:
        """
        End the transaction and keep its changes.

        :raises IntegrityError: a foreign key refers to nothing; the
            transaction goes on.
        """
        self._check_open()
        if self._over:
            self._end()
            raise OperationalError(_OVER)
        if self._begun:
            self.foreign_keys.check(self._session, self._session.catalog())
            self._drain()
            self._session.commit()
        self._end()

    def rollback(self) -> None:
        """End the transaction and undo its changes."""
        self._check_open()
        if self._begun:
            self._drain()
            self._session.rollback()
        self._end()

    def _end(self) -> None:
        self._begun = self._over = self.in_transaction = False
        self._savepoints.clear()
        self.foreign_keys.clear()

    def _drain(self) -> None:
        """Read what open cursors have yet to return: their snapshot ends here."""
        for cursor in list(self._cursors):
            cursor.drain()

    def _check_open(self) -> None:
        if self._closed:
            msg = "Cannot operate on a closed database."
            raise InterfaceError(msg)

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._closed

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        """Execute a statement with a new cursor and return that."""
        return self.cursor().execute(sql, params)

    # Functions and limits, named as in sqlite3

    def create_function(
        self,
        name: str,
        narg: int,
        func: Callable[..., Any] | None,
        *,
        deterministic: bool = False,
    ) -> None:
        """Define an SQL function on this connection, as sqlite3 does."""
        functions = Functions(self._failures, self.sqlite, self.declarations.sqlite)
        functions.create_function(name, narg, func, deterministic=deterministic)

    def create_aggregate(self, name: str, n_arg: int, aggregate: Any) -> None:
        """Define an SQL aggregate on this connection, as sqlite3 does."""
        Functions(self._failures, self.sqlite).create_aggregate(name, n_arg, aggregate)

    def create_collation(
        self, name: str, callable_: Callable[[str, str], int] | None
    ) -> None:
        """Define a collation on this connection, as sqlite3 does."""
        functions = Functions(self._failures, self.sqlite, self.declarations.sqlite)
        functions.create_collation(name, callable_)

    def getlimit(self, category: int) -> int:
        """Return one of SQLite's limits; sqlite3's constants are apsw's."""
        return self.sqlite.limit(category)

    def setlimit(self, category: int, limit: int) -> int:
        """Set one of SQLite's limits; return what it was."""
        return self.sqlite.limit(category, limit)

    # Statements

    @property
    def active(self) -> Running:
        """The statement that SQLite works on right now."""
        if self._active is None:
            msg = "no statement is running"
            raise InterfaceError(msg)
        return self._active

    def raise_failure(self) -> None:
        """Raise the first exception of an aggregate in what SQLite just did."""
        if self._failures:
            failure = self._failures[0]
            self._failures.clear()
            raise failure

    def activate(self, running: Running) -> None:
        """Say which statement SQLite is about to work on."""
        self._active = running

    def _whole_lists(self, sql: str) -> bool:
        # A view's text isn't the statement's.
        return not (self._has_views or self._temporary) and lists_are_literal(sql)

    def start_read(self, cursor: Cursor, sql: str) -> Running:
        """Begin a statement that reads: in the transaction, or on its own."""
        self._check_open()
        if self.in_transaction or not self.autocommit:
            session = self._transaction()
            self._cursors.add(cursor)
        else:
            session = self._readers.pop() if self._readers else self.store.session()
            session.begin(write=False)
        running = Running(self, session, self.trace)
        self._active = running
        self._failures.clear()
        try:
            self.use(session.catalog())
            running.whole_lists = self._whole_lists(sql)
        except BaseException:
            self.finish_read(running)
            raise
        return running

    def finish_read(self, running: Running) -> None:
        """End a statement that read on its own."""
        session = running.session
        if session is not self._session and not self._closed:
            session.rollback()
            self._readers.append(session)

    def run_write(self, work: Callable[[Running], Any], sql: str = "") -> Any:
        """
        Run a statement that writes: all of it, or nothing.

        :param work: does it; called with the statement.
        :param sql: the statement, if SQLite runs it.
        :returns: what ``work`` returns.
        """
        self._check_open()
        if not (self.in_transaction or not self.autocommit):
            return self._run_alone(work, sql)
        session = self._transaction(write=True)
        self._upgrade(session)
        mark = session.savepoint()
        try:
            result = self._run(session, work, sql)
        except BaseException:
            session.rollback_to(mark)
            session.release(mark)
            raise
        session.release(mark)
        return result

    def _run_alone(self, work: Callable[[Running], Any], sql: str) -> Any:
        session = self._session
        session.begin(write=True)
        try:
            result = self._run(session, work, sql)
            self.foreign_keys.check(session, session.catalog())
            session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            self.foreign_keys.clear()
        return result

    def _run(self, session: Session, work: Callable[[Running], Any], sql: str) -> Any:
        running = Running(
            self,
            session,
            self.trace,
            insert_head(sql) if sql else None,
        )
        self._active = running
        self._failures.clear()
        self.use(session.catalog())
        running.whole_lists = self._whole_lists(sql)
        return work(running)

    def run_ddl(self, sql: str, params: Sequence[Any]) -> None:
        """Run a statement that changes the schema."""
        if self._is_temporary(sql):
            try:
                self.sqlite.execute(sql, params).fetchall()
            except apsw.Error as error:
                reraise(error)
            return
        self.run_write(lambda running: ddl.run(self, running.session, sql, params))

    def _is_temporary(self, sql: str) -> bool:
        """Whether DDL is about a temporary table, index or view."""
        if temporary_ddl(sql):
            self._temporary = True
            return True
        name = ddl_name(sql) if self._temporary else None
        if name is None:
            return False
        found = self.sqlite.execute(
            "SELECT 1 FROM sqlite_temp_master WHERE name = ? COLLATE NOCASE", (name,)
        )
        return found.fetchone() is not None

    def lock(self) -> None:
        """
        Keep other writers out until the transaction ends (FOR UPDATE).

        :raises NotSupportedError: the store has no locks.
        """
        if not self.store.capabilities.locks:
            msg = "select_for_update() isn't supported: this store has no locks."
            raise NotSupportedError(msg)
        if self.in_transaction or not self.autocommit:
            session = self._transaction(write=True)
            with self._over_on_conflict():
                session.lock()

    # Transactions

    def _transaction(self, *, write: bool = False) -> Session:
        """
        Return the transaction's session, begun.

        :param write: whether the statement writes. If it is the transaction's
            first one, it waits for other writers, and sees what they wrote.
        :raises OperationalError: a conflict has ended it.
        """
        self._check_over()
        session = self._session
        if not self._begun:
            session.begin(write=write or self._immediate)
            self._begun = self.in_transaction = True
            # Savepoints set so far are marks of its very beginning.
            self._savepoints = [
                (name, session.savepoint()) for name, _ in self._savepoints
            ]
        return session

    def _check_over(self) -> None:
        if self._over:
            raise OperationalError(_OVER)

    def _upgrade(self, session: Session) -> None:
        with self._over_on_conflict():
            session.upgrade()

    @contextlib.contextmanager
    def _over_on_conflict(self) -> Any:
        try:
            yield
        except ConflictError:
            # The store ended the transaction; until ROLLBACK nothing works.
            self._begun = False
            self._over = True
            self._session.rollback()
            raise

    def run_transaction(self, sql: str) -> None:
        """Run BEGIN, COMMIT, ROLLBACK, SAVEPOINT or RELEASE."""
        self._check_open()
        match = _TRANSACTION.match(sql)
        if match is None:
            msg = f"syntax error: {sql}"
            raise OperationalError(msg)
        if match["begin"]:
            if self.in_transaction:
                msg = "cannot start a transaction within a transaction"
                raise OperationalError(msg)
            self.in_transaction = True
            if (match["mode"] or "").upper() in ("IMMEDIATE", "EXCLUSIVE"):
                try:
                    self._session.begin(write=True)
                except BaseException:
                    self.in_transaction = False
                    raise
                self._begun = True
            return
        if match["savepoint"]:
            self._check_over()
            self.in_transaction = True
            # Before the first statement there is nothing to mark yet.
            mark = self._session.savepoint() if self._begun else None
            self._savepoints.append((_name(match["savepoint"]), mark))
            return
        if match["rollback_to"] or match["release"]:
            self._savepoint_command(match)
            return
        if not self.in_transaction:
            word = "commit" if match["commit"] else "rollback"
            msg = f"cannot {word} - no transaction is active"
            raise OperationalError(msg)
        if match["commit"]:
            self.commit()
        else:
            self.rollback()

    def _savepoint_command(self, match: re.Match[str]) -> None:
        self._check_over()
        name = _name(match["rollback_to"] or match["release"])
        for place in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[place][0] == name:
                break
        else:
            msg = f"no such savepoint: {name}"
            raise OperationalError(msg)
        mark = self._savepoints[place][1]
        if match["rollback_to"]:
            if self._begun:
                self._session.rollback_to(mark)
            del self._savepoints[place + 1 :]
        else:
            if self._begun:
                self._session.release(mark)
            del self._savepoints[place:]

    # The schema

    def use(self, catalog: Catalog) -> None:
        """Declare the tables of a catalog; mostly it's the same as before."""
        known = self._catalog
        if catalog is known or (known is not None and catalog.version == known.version):
            return
        expire = False
        tables = catalog.tables
        for name, table in list(self._declared.items()):
            if tables.get(name) != table:
                expire = True
                del self._declared[name]
                self._writers.pop(name, None)
                if is_view(table):
                    self.sqlite.execute(f"DROP VIEW IF EXISTS {quote(name)}")
                elif name not in tables:
                    self.sqlite.create_module(name, None)
        for name, table in tables.items():
            if name not in self._declared:
                if is_view(table):
                    ddl.declare_view(self.sqlite, table)
                else:
                    self.sqlite.create_module(
                        name,
                        Module(self, table),
                        use_bestindex_object=True,
                        use_no_change=True,
                        # Version 3 has a limited number of slots in apsw.
                        iVersion=2,
                        eponymous=True,
                        eponymous_only=True,
                    )
                self._declared[name] = table
        if expire:
            # Prepared statements hold on to the tables as they were. SQLite
            # drops them when an authorizer is set.
            self.sqlite.authorizer = _allow
            self.sqlite.authorizer = None
        self._has_views = any(is_view(table) for table in tables.values())
        self._catalog = catalog
        self.foreign_keys.use(catalog)

    def collations(self, table: Table) -> dict[str, str]:
        """Return the collations of a table's columns, but for BINARY."""
        if "COLLATE" not in table.sql.upper():
            return {}
        self._mirror(table)
        found = {}
        database = self.declarations.sqlite
        for column in table.columns:
            if column.hidden:
                continue
            _, collation, *_ = database.column_metadata(None, table.name, column.name)
            if collation and collation.upper() != "BINARY":
                found[column.name] = collation
        return found

    def _mirror(self, _table: Table) -> None:
        catalog = self._catalog
        if catalog is not None:
            self.declarations.sync(catalog)

    def schema(self) -> apsw.Connection:
        """Return the SQLite database that mirrors the schema, up to date."""
        if self.in_transaction or not self.autocommit:
            catalog = self._transaction().catalog()
        else:
            session = self._readers.pop() if self._readers else self.store.session()
            session.begin(write=False)
            try:
                catalog = session.catalog()
            finally:
                session.rollback()
                self._readers.append(session)
        self.declarations.sync(catalog)
        return self.declarations.sqlite

    def table(self, name: str) -> Table:
        """Return a table by its name in any case, as the active statement sees it."""
        catalog = self.active.session.catalog()
        table = catalog.tables.get(name)
        if table is None:
            wanted = name.lower()
            for other, candidate in catalog.tables.items():
                if other.lower() == wanted:
                    return candidate
            msg = f"no such table: {name}"
            raise OperationalError(msg)
        return table

    def writer(self, session: Session, table: Table) -> TableWriter:
        """Return the write path of a table."""
        writer = self._writers.get(table.name)
        if writer is None or writer.table is not table:
            self.declarations.sync(session.catalog())
            writer = TableWriter(table, self.declarations, self.foreign_keys)
            writer.cascade = lambda child: self.writer(self.active.session, child)
            self._writers[table.name] = writer
        elif writer.computes:
            self.declarations.sync(session.catalog())
        writer.session = session
        return writer

    # Whole-database work

    def check_foreign_keys(self, names: Sequence[str] | None = None) -> Any:
        """Return the violations of foreign keys in some tables, or in all."""
        running_session: Session
        found = []
        own = not (self.in_transaction or not self.autocommit)
        if own:
            running_session = self.store.session()
            running_session.begin(write=False)
        else:
            running_session = self._transaction()
        try:
            catalog = running_session.catalog()
            wanted = None if names is None else {name.lower() for name in names}
            for table in catalog.tables.values():
                if is_view(table) or (
                    wanted is not None and table.name.lower() not in wanted
                ):
                    continue
                found += self.foreign_keys.violations(running_session, catalog, table)
        finally:
            if own:
                running_session.close()
        return found

    def reset_sequences(self, names: Sequence[str]) -> None:
        """Let the numbering of tables begin anew."""

        def work(running: Running) -> None:
            for name in names:
                table = self.table(name)
                if table.auto_increment is not None:
                    running.session.reset_sequence(table)

        self.run_write(work)

    def quote_values(self, values: Sequence[Any]) -> list[str]:
        """Return values as SQL literals, for people to read."""
        return [_literal(adapt(value)) for value in values]


def _literal(value: Any) -> str:
    if isinstance(value, Handed):
        return repr(value)
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, str) and "\0" in value:
        value = value.replace("\0", "\N{SYMBOL FOR NULL}")
    return str(apsw.format_sql_value(value))


def _allow(*_: Any) -> int:
    return apsw.SQLITE_OK


def _name(text: str) -> str:
    return unquote(text.strip()).lower()
