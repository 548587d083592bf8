"""Cursors in the sense of PEP 249."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import apsw

from backendkit.clock import real
from backendkit.stores import (
    BATCH_BYTES,
    NO_TURNS,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Session,
    Turns,
    batch,
    weight,
)

from . import inserting
from .classifying import Kind, classify
from .compiled import Insert, NativeRead, NativeWrite, Select
from .database import calls
from .errors import reraise
from .insert_clauses import InsertClauses, insert_clauses
from .insert_text import refuse_returning
from .pragmas import MIRRORED_PRAGMAS, Pragma, pragma_of
from .running import Handed, Running
from .schema_text import names_schema, reads_only_schema, with_schema
from .spilling import RowSpill
from .sqltext import is_backup, split, without_for_update
from .values import BINDING_ERRORS, adapt_all, reraise_binding

if TYPE_CHECKING:
    from .connection import Connection

Params = Sequence[Any] | Mapping[str, Any]

_NOTHING = contextlib.nullcontext()
#: Rows that are read together where all that are left have to be, and bytes of them.
_DRAINED, _DRAINED_BYTES = 200, BATCH_BYTES // 16


class Cursor:
    """
    A cursor. Parameters are ``?`` with a sequence, or ``:name`` with a mapping.

    Rows are read from the store as they are fetched. In autocommit mode they
    are those of the moment when the statement was executed.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._sqlite: apsw.Cursor | None = None
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._running: Running | None = None
        self._turns: Turns = NO_TURNS
        self._statement: tuple[apsw.Connection, str, Any] | None = None
        self._description: tuple[Any, ...] | None = None
        self._closed = False

    # Executing

    def execute(self, sql: str, params: Params = ()) -> Self:
        """Execute a statement; return the cursor."""
        self._reset()
        try:
            return self._execute(sql, params)
        finally:
            # As sqlite3 does it, whatever the statement was.
            if not self.connection.closed:
                self.lastrowid = self.connection.sqlite.last_insert_rowid()

    def _execute(self, sql: str, params: Params) -> Self:
        if sql.__class__ is NativeRead:
            self._read_natively(sql)
            return self
        if sql.__class__ is NativeWrite:
            self.rowcount = self.connection.run_write(sql.run).changes
            return self
        if isinstance(sql, Insert):
            insert, values = sql, params
            # The compiler, which alone makes these, numbers its parameters.
            assert not isinstance(values, Mapping)
            self.rowcount, rows = self.connection.run_write(
                lambda running: inserting.run(running, insert, values)
            )
            self._rows = iter(rows)
            return self
        if ";" in sql and len(split(sql)) > 1:
            # As in sqlite3: what slips behind a semicolon is never run.
            raise ProgrammingError("You can only execute one statement at a time.")
        locked = without_for_update(sql)
        if locked is not None:
            sql = Select(locked) if isinstance(sql, Select) else locked
        kind = classify(sql)
        if kind in (Kind.READ, Kind.WRITE) and names_schema(sql):
            if kind is Kind.READ and reads_only_schema(self.connection.schema(), sql):
                self._schema(sql, params)
                return self
            whole = with_schema(sql)
            sql = Select(whole) if isinstance(sql, Select) else whole
        if kind is Kind.READ:
            if locked is not None:
                self.connection.transactions.lock()
            self._read(sql, params, for_update=locked is not None)
        elif kind is Kind.WRITE:
            clauses = insert_clauses(sql)
            if clauses is None:
                self._write(sql, params)
            else:
                self._insert(clauses, params)
        elif kind is Kind.DDL:
            self.connection.run_ddl(sql, _bindings(params))
        elif kind is Kind.TRANSACTION:
            self.connection.run_transaction(sql)
        elif kind is Kind.VACUUM:
            if is_backup(sql):
                raise NotSupportedError(
                    "VACUUM INTO isn't supported: it would copy SQLite's own"
                    " database, which contains no rows of the store."
                )
        else:
            self._schema(sql, params)
        return self

    def executemany(self, sql: str, param_list: Iterable[Params]) -> Self:
        """Execute a statement that returns nothing for each set of parameters."""
        total, lastrowid = 0, self.lastrowid
        try:
            for params in param_list:
                self.execute(sql, params)
                total += max(self.rowcount, 0)
        finally:
            self.lastrowid = lastrowid
        self.rowcount = total
        return self

    def _read(self, sql: str, params: Params, *, for_update: bool) -> None:
        connection = self.connection
        running = connection.start_read(self, sql)
        # Outside of a transaction no commit follows.
        running.for_update = for_update and connection.transactions.lasting
        self._running, self._turns = running, connection.turns
        bindings: Any = ()
        try:
            bindings = _bindings(params, running)
            with connection.turns:
                self._sqlite = connection.sqlite.execute(sql, bindings)
            connection.raise_failure()
        except apsw.Error as error:
            self._finish()
            reraise(error)
        except BINDING_ERRORS as error:
            self._finish()
            reraise_binding(bindings, error)
        except BaseException:
            self._finish()
            raise
        self._statement = connection.sqlite, sql, bindings
        self._rows = iter(self._sqlite)
        if not isinstance(sql, Select):
            convert = _declared(self.description)
            if convert is not None:
                self._rows = map(convert, self._rows)

    def _read_natively(self, sql: NativeRead) -> None:
        alone = not sql.prepared.read.steps
        self._running = running = self.connection.start_native(self, alone=alone)
        try:
            # The tables may have changed since it was prepared.
            sql.prepared.check(running.session)
            if alone and sql.prepared.access(running.session).unique:
                # It is done sooner than a turn would come.
                self._turns = NO_TURNS
                self._rows = sql.run(running)
            else:
                self._turns = self.connection.turns
                with self._turns:
                    self._rows = sql.run(running)
                if sql.prepared.read.what != "rows":
                    self._turns = NO_TURNS  # all has been read
        except BaseException:
            self._finish()
            raise

    def _write(self, sql: str, params: Params) -> None:
        refuse_returning(sql)
        if isinstance(params, Iterator):
            params = tuple(params)  # it may be run more than once

        def work(running: Running) -> list[tuple[Any, ...]]:
            database = self.connection.sqlite
            bindings = _bindings(params, running)
            try:
                rows = database.execute(sql, bindings).fetchall()
            except apsw.Error as error:
                reraise(error)
            except BINDING_ERRORS as error:
                reraise_binding(bindings, error)
            self.connection.raise_failure()
            self.rowcount = running.changes
            return rows

        rows = self.connection.run_write(work, sql)
        self._rows = iter(rows)

    def _insert(self, insert: InsertClauses, params: Params) -> None:
        """Run an INSERT of raw SQL that returns, or changes what is there."""
        if isinstance(params, Iterator):
            params = tuple(params)  # it may be run more than once
        bindings = _bindings(params)
        self.rowcount, rows, select = self.connection.run_write(
            lambda running: inserting.run_clauses(running, insert, bindings)
        )
        self._rows = iter(rows)
        if insert.returning:
            some = inserting.numbered_bindings(select, bindings)
            self._statement = self.connection.sqlite, Select(select), some

    def _schema(self, sql: str, params: Params) -> None:
        """Run a PRAGMA, or a query of SQLite's own tables."""
        connection = self.connection
        pragma = pragma_of(sql)
        if pragma is not None and pragma.name == "foreign_keys":
            self._rows = iter(_foreign_keys(connection, pragma))
            return
        mirrored = pragma is None or pragma.name in MIRRORED_PRAGMAS
        database = connection.schema() if mirrored else connection.sqlite
        bindings = _bindings(params)
        try:
            with _reading(database) if mirrored else contextlib.nullcontext():
                self._rows = iter(database.execute(sql, bindings).fetchall())
        except apsw.Error as error:
            reraise(error)
        except BINDING_ERRORS as error:
            reraise_binding(bindings, error)
        self._statement = database, sql, bindings

    # Fetching

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row or None."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Return up to ``size`` rows, ``arraysize`` if not given."""
        size = self.arraysize if size is None else size
        return self._take(lambda: list(itertools.islice(self._rows, size)), size)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows that are left."""
        return self._take(lambda: list(self._rows), None)

    def _take(
        self, read: Callable[[], list[tuple[Any, ...]]], size: int | None
    ) -> list[tuple[Any, ...]]:
        if self._closed:
            msg = "Cannot operate on a closed cursor."
            raise ProgrammingError(msg)
        running = self._running
        if running is None:
            return read()
        self.connection.activate(running)
        try:
            self._turns.take(began=False)
            try:
                with _NOTHING if self._sqlite is None else calls:
                    rows = read()
            finally:
                self._turns.give()
            self.connection.raise_failure()
        except apsw.Error as error:
            self._finish()
            reraise(error)
        except BaseException:
            self._finish()
            raise
        if size is None or len(rows) < size:
            self._finish()
        return rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Iterate over the rows that are left."""
        return iter(self.fetchone, None)

    def __next__(self) -> tuple[Any, ...]:
        """Return the next row."""
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def reads(self, session: Session) -> bool:
        """Whether rows are left to be read in a session."""
        return self._running is not None and self._running.session is session

    def abort(self) -> None:
        """Stop reading: the transaction was rolled back. To fetch a row is an error."""
        self._finish()
        # https://www.sqlite.org/rescode.html#abort_rollback
        self._rows = _ended("abort due to ROLLBACK")

    def drain(self) -> None:
        """
        Read all rows that are left now, to be fetched later.

        Memory holds a few of them, a temporary file the others.

        :raises OperationalError: there is no room for them, or what reading raises. To
            fetch a row is an error then.
        """
        if self._running is None:
            return
        spill = RowSpill()
        read = partial(_some, self._rows)
        try:
            while rows := self._take(read, 1):
                spill.add(rows)
        except BaseException:
            self._finish()
            self._rows = _ended(
                "the remaining rows were lost, because a COMMIT failed to keep them"
            )
            raise
        self._rows = iter(spill)

    @property
    def description(self) -> tuple[Any, ...] | None:
        """Names and declared types of the columns, as PEP 249 has them."""
        if self._description is None and self._statement is not None:
            database, sql, bindings = self._statement
            if isinstance(sql, Select) and self._running is None:
                # To prepare it again, SQLite may ask for tables.
                running = self.connection.start_read(self, sql)
                try:
                    self._description = _describe(database, None, sql, bindings)
                finally:
                    self.connection.finish_read(running)
            else:
                self._description = _describe(database, self._sqlite, sql, bindings)
        return self._description

    # Ending

    def _finish(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        sqlite, self._sqlite = self._sqlite, None
        self._rows = iter(())
        if self._statement is not None and sqlite is not None:
            sql = self._statement[1]
            # Nobody asks for that of a SELECT by the compiler, or it is found out then.
            if not isinstance(sql, Select):
                _ = self.description
        if sqlite is not None:
            sqlite.close(True)
        self.connection.finish_read(running)

    def _reset(self) -> None:
        if self._closed:
            msg = "Cannot operate on a closed cursor."
            raise ProgrammingError(msg)
        self._statement = None
        self._finish()
        self._description = None
        self._rows = iter(())
        self.rowcount = -1

    def close(self) -> None:
        """Stop reading and close. Closing again does nothing."""
        if not self._closed:
            self._closed = True
            self._statement = None
            self._finish()

    def __del__(self) -> None:
        """Release the snapshot that an abandoned cursor reads."""
        if self._running is not None and not self.connection.closed:
            self.close()

    def setinputsizes(self, sizes: Any) -> None:
        """Do nothing: PEP 249 allows that."""

    def setoutputsize(self, size: Any, column: Any = None) -> None:
        """Do nothing: PEP 249 allows that."""


def _some(rows: Iterator[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return batch(rows, _DRAINED, weight, _DRAINED_BYTES)


def _ended(message: str) -> Iterator[tuple[Any, ...]]:
    """Raise an error instead of the rows that are left."""
    raise OperationalError(message)
    yield


@contextlib.contextmanager
def _reading(mirror: apsw.Connection) -> Iterator[None]:
    """Let nothing be written: the mirror's tables aren't the store's."""
    mirror.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        mirror.execute("PRAGMA query_only = OFF")


def _foreign_keys(connection: Connection, pragma: Pragma) -> list[tuple[int]]:
    """Turn foreign keys on or off; without a value tell whether they are on."""
    keys = connection.foreign_keys
    if pragma.value is None:
        return [(int(keys.enforced),)]
    if not connection.in_transaction:  # as in SQLite, where it has no effect then
        keys.enforced = pragma.value.lower() in ("1", "on", "yes", "true")
    return []


def _bindings(params: Params, running: Running | None = None) -> Any:
    """Return parameters as SQLite takes them."""
    if isinstance(params, Mapping):
        values = adapt_all(list(params.values()))
        return dict(zip(params, values, strict=True))
    if isinstance(params, (str, bytes)) or not isinstance(params, Iterable):
        msg = f"parameters are of unsupported type {type(params).__name__}"
        raise InterfaceError(msg)
    params = tuple(params)
    if running is not None:
        for value in params:
            if value.__class__ is Handed:
                params = tuple(
                    running.hand(v) if v.__class__ is Handed else v for v in params
                )
                break
    return adapt_all(params)


class _Described(Exception):  # not an error
    """Ends a statement that was only prepared to learn its columns."""


def _describe(
    database: apsw.Connection, cursor: apsw.Cursor | None, sql: str, bindings: Any
) -> tuple[Any, ...] | None:
    columns: Any = None
    if cursor is not None:
        try:
            columns = cursor.get_description()
        except apsw.ExecutionCompleteError:
            cursor = None
    if cursor is None:
        # It's over, and SQLite tells columns only while it lasts: prepare again.
        probe = database.cursor()

        def note(current: apsw.Cursor, _sql: str, _bindings: Any) -> bool:
            nonlocal columns
            columns = current.get_description()
            raise _Described

        probe.exec_trace = note
        try:
            probe.execute(sql, bindings)
        except _Described:
            pass
        finally:
            probe.close(True)
    if not columns:
        return None
    return tuple((name, kind, None, None, None, None, None) for name, kind in columns)


# What sqlite3 makes of a column's declared type with PARSE_DECLTYPES, as
# Django's SQLite backend uses it. Only raw SQL: the ORM has its converters.
_DECLTYPES: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "date": real.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "datetime": real.datetime.fromisoformat,
}


def _declared(
    description: tuple[Any, ...] | None,
) -> Callable[[tuple[Any, ...]], tuple[Any, ...]] | None:
    converters = [
        (number, _DECLTYPES[column[1]])
        for number, column in enumerate(description or ())
        if column[1] in _DECLTYPES
    ]
    if not converters:
        return None

    def convert(row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for number, converter in converters:
            if values[number] is not None:
                values[number] = converter(values[number])
        return tuple(values)

    return convert
