"""SQL over a store: a connection in the sense of PEP 249."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import apsw

from backendkit.stores import (
    NO_TURNS,
    Catalog,
    DatabaseError,
    InterfaceError,
    ProgrammingError,
    Session,
    Store,
    Turns,
    tell_children,
    turns,
)

from . import ddl, schema_tables
from .cursor import Cursor
from .database import Database
from .declarations import Declarations, is_view
from .errors import translated
from .foreign_keys import ForeignKeys, Violation
from .functions import Functions
from .insert_text import insert_head
from .limits import ScanLimits
from .native import Prepared
from .plans import Plans
from .running import Handed, Running
from .schema_text import view_with_schema
from .tables import Tables
from .transactions import Transactions
from .values import adapt

Result = TypeVar("Result")

#: Steps of SQLite's byte code between two looks whether others want to have a turn.
_STEPS = 500
#: Names of changed tables that may be noted with some among them that are gone.
_MOST_CHANGED = 1000


class Connection:
    """
    A connection to a store that speaks SQLite's SQL.

    Each connection has an SQLite in memory of its own. Its virtual tables are
    the store's tables; it holds no rows itself.

    :param store: what to connect to; closed with the connection.
    :param define: called with a :class:`Functions`, to define SQL functions.
    :param immediate: whether BEGIN takes the right to write at once, as
        ``BEGIN IMMEDIATE`` does on SQLite.
    :param limits: how many rows statements may look at; None for any number.
    """

    def __init__(
        self,
        store: Store,
        define: Callable[[Functions], None] | None = None,
        *,
        immediate: bool = False,
        limits: ScanLimits | None = None,
    ) -> None:
        self.store = store
        self.limits = limits
        self.foreign_keys = ForeignKeys()
        #: List to note store calls in, or None.
        self.trace: list[dict[str, Any]] | None = None
        #: Values for old rows in added columns; see :meth:`filling`.
        self.fill: Mapping[str, Any] | None = None
        #: Changes when what open cursors read may have changed.
        self.generation = 0
        #: Tables that DDL has changed, as keys.
        self.changed_tables: dict[str, None] = {}
        #: Exceptions of aggregates, to be raised by :meth:`raise_failure`.
        self._failures: list[DatabaseError] = []
        self._define = define
        self._closed = False
        self._cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._active: Running | None = None
        #: Whose turn it is to read or write rows: not across a network.
        self.turns: Turns = NO_TURNS if store.capabilities.remote else turns
        self.transactions = Transactions(
            store,
            self.foreign_keys,
            self.turns,
            self._end_reads,
            self._readers_of,
            immediate=immediate,
        )
        self.tables = Tables(self)
        #: Of the statements that SQLite has prepared.
        self.plans = Plans()
        self.sqlite = Database(statementcachesize=500)
        # What sorting takes beyond 16 MiB goes to files that have no name.
        self.sqlite.execute("PRAGMA temp_store = FILE")
        self.sqlite.execute("PRAGMA cache_size = -16000")
        if self.turns is turns:
            self.sqlite.set_progress_handler(_pause, _STEPS)
        self.declarations = Declarations(self._set_up)
        schema_tables.register(self)
        self._set_up(self.sqlite)
        tell_children(self)

    def forked(self) -> None:
        """Leave the transaction to the parent, in a child process."""
        self.generation += 1
        if not self._closed:
            self.transactions.forked()

    def refuse_writes(self) -> None:
        """
        Refuse all that writes from now on, by sessions that only read.

        :raises ProgrammingError: there is a transaction.
        """
        self._check_open()
        if self.in_transaction:
            raise ProgrammingError("refuse_writes() within a transaction")
        self.transactions.refuse_writes()

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
        self.transactions.close()
        self.store.close()
        self.declarations.close()
        self.sqlite.close(True)

    @property
    def autocommit(self) -> bool:
        """Whether statements outside of a transaction commit by themselves."""
        return self.transactions.autocommit

    @property
    def in_transaction(self) -> bool:
        """Whether there is a transaction that a command has to end."""
        return self.transactions.in_transaction

    def set_autocommit(self, autocommit: bool) -> None:
        """Say whether statements outside of a transaction commit by themselves."""
        if autocommit and self.in_transaction:
            self.commit()
        self.transactions.autocommit = autocommit

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
        """
        Return the tables whose foreign keys may be broken, and forget them.

        By DDL, or by what was written while they weren't enforced.
        """
        names, self.changed_tables = self.changed_tables, {}
        return list(names | dict.fromkeys(self.foreign_keys.take_unchecked()))

    def commit(self) -> None:
        """
        End the transaction and keep its changes.

        :raises IntegrityError: a foreign key refers to nothing; the
            transaction goes on.
        """
        self._check_open()
        self.transactions.commit()

    def rollback(self) -> None:
        """End the transaction and undo its changes."""
        self._check_open()
        self.transactions.rollback()

    def _end_reads(self, *, commit: bool) -> None:
        """
        End what open cursors read: their snapshot ends here.

        At a commit they read what they have yet to return; at a rollback it is gone.
        """
        for cursor in list(self._cursors):
            if cursor.reads(self.transactions.session):
                if commit:
                    cursor.drain()
                else:
                    cursor.abort()

    def _readers_of(self, session: Session) -> int:
        return sum(cursor.reads(session) for cursor in self._cursors)

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

    def forget_statements(self) -> None:
        """
        Prepare all statements again, before they are next run, with plans of then.

        Those that are running aren't disturbed.
        """
        # SQLite does it when an authorizer is set:
        # https://sqlite.org/c3ref/set_authorizer.html
        self.sqlite.authorizer = _allow
        self.sqlite.authorizer = None
        self.plans = Plans()

    def bound_plans(self) -> None:
        """Keep plans from adding up while a connection is in use."""
        if len(self.plans) > Plans.MOST:
            self.forget_statements()

    def start_read(self, cursor: Cursor, sql: str) -> Running:
        """Begin a statement that reads: in the transaction, or on its own."""
        self._check_open()
        if self.transactions.lasting:
            self._cursors.add(cursor)
        session = self.transactions.start_read()
        running = Running(self, session, self.trace, sql=sql)
        running.seeks = {}
        try:
            self._start(running, sql)
        except BaseException:
            self.finish_read(running)
            raise
        return running

    def finish_read(self, running: Running) -> None:
        """End a statement that read."""
        if running.seeks:
            running.seeks.clear()
        self.transactions.finish_read(running.session)

    def run_write(self, work: Callable[[Running], Result], sql: str = "") -> Result:
        """
        Run a statement that writes: all of it, or nothing.

        :param work: does it; called with the statement, outside of a transaction maybe
            more than once.
        :param sql: the statement, if SQLite runs it.
        :returns: what ``work`` returns.
        """
        self._check_open()
        self.generation += 1

        def run() -> Result:
            with self.transactions.writing() as session:
                head = insert_head(sql) if sql else None
                running = Running(self, session, self.trace, head, sql)
                with self.turns:
                    self._start(running, sql)
                    result = work(running)
                    running.flush()
                return result

        return self.transactions.repeated(run)

    def _start(self, running: Running, sql: str) -> None:
        self._active = running
        self._failures.clear()
        self.tables.use(running.session.catalog())
        running.whole_lists = self.tables.whole_lists(sql)

    def run_ddl(self, sql: str, params: Sequence[Any]) -> None:
        """Run a statement that changes the schema."""
        if self.tables.is_temporary(sql):
            # It may read the store: CREATE TEMPORARY TABLE … AS SELECT.
            session = self.transactions.start_read()
            try:
                running = Running(self, session, self.trace)
                running.limits = None
                self._start(running, sql)
                with translated():
                    self.sqlite.execute(view_with_schema(sql), params).fetchall()
            finally:
                self.transactions.finish_read(session)
            return

        def work(running: Running) -> None:
            # What it takes to change the schema has to be read.
            running.limits = None
            ddl.run(self, running.session, sql, params)

        self.run_write(work)
        if len(self.changed_tables) > _MOST_CHANGED:
            # Only a schema editor takes them, and this may be raw SQL.
            there = self.catalog().tables
            self.changed_tables = {
                name: None for name in self.changed_tables if name in there
            }
            self.foreign_keys.keep_unchecked(there)

    def run_transaction(self, sql: str) -> None:
        """Run BEGIN, COMMIT, ROLLBACK, SAVEPOINT or RELEASE."""
        self._check_open()
        self.generation += 1
        self.transactions.run(sql)

    def start_native(self, cursor: Cursor, *, alone: bool) -> Running:
        """
        Begin a statement that reads without SQLite.

        :param alone: whether it reads one table, by one query.
        """
        self._check_open()
        if self.transactions.lasting:
            self._cursors.add(cursor)
        session = self.transactions.start_read()
        # In a transaction it agrees with the statements before and after it.
        session.alone = alone and not self.transactions.lasting
        self._active = running = Running(self, session, self.trace)
        return running

    def explain(self, prepared: Prepared, *, few: bool) -> list[str]:
        """
        Return how a statement without SQL reads, a line for each table.

        :param few: whether only the first few rows are wanted.
        """
        session = self.transactions.start_read()
        try:
            return prepared.explain(session, few=few)
        finally:
            self.transactions.finish_read(session)

    def catalog(self) -> Catalog:
        """Return the tables as the next statement sees them."""
        session = self.transactions.start_read()
        try:
            catalog = session.catalog()
        finally:
            self.transactions.finish_read(session)
        self.tables.use(catalog)
        return catalog

    # Whole-database work

    def schema(self) -> apsw.Connection:
        """Return the SQLite database that mirrors the schema, up to date."""
        catalog = self.catalog()
        self.declarations.sync(catalog)
        return self.declarations.sqlite

    def check_foreign_keys(self, names: Sequence[str] | None = None) -> list[Violation]:
        """Return the violations of foreign keys in some tables, or in all."""
        found: list[Violation] = []
        session = self.transactions.start_read()
        try:
            catalog = session.catalog()
            wanted = catalog.tables
            if names is not None:
                some = filter(None, map(catalog.named, names))
                wanted = {table.name: table for table in some}
            for table in wanted.values():
                if not is_view(table):
                    with self.turns:
                        found += self.foreign_keys.violations(session, catalog, table)
        finally:
            self.transactions.finish_read(session)
        return found

    def quote_values(self, values: Sequence[Any]) -> list[str]:
        """Return values as SQL literals, for people to read."""
        return [_literal(adapt(value)) for value in values]


def _allow(*_: Any) -> int:
    return apsw.SQLITE_OK


def _pause() -> bool:
    """Let others have their turn; don't interrupt the statement."""
    turns.pause()
    return False


def _literal(value: Any) -> str:
    if isinstance(value, Handed):
        return repr(value)
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, str) and "\0" in value:
        value = value.replace("\0", "\N{SYMBOL FOR NULL}")
    return str(apsw.format_sql_value(value))
