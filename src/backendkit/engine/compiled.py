"""Statements of the compiler: what they mean is beside their text."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from backendkit.stores import Access, Row

from .changing import Changes
from .native import Prepared
from .parameters import bindable
from .running import Filter, Handed, Running
from .values import to_store


class Parameters(tuple[Any, ...]):
    """
    Parameters that are prepared when somebody looks at them.

    :param write: returns the statement's text and its parameters.
    """

    def __new__(cls, write: Callable[[], tuple[str, Sequence[Any]]]) -> Self:
        """Prepare nothing yet."""
        return super().__new__(cls)

    def __init__(self, write: Callable[[], tuple[str, Sequence[Any]]]) -> None:
        self._write = write

    @functools.cached_property
    def written(self) -> tuple[Any, ...]:
        """The parameters themselves."""
        return tuple(self._write()[1])

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle what they are."""
        return tuple, (self.written,)


class Statement(str):
    """
    A statement that is run without SQL; its text is SQL that does the same.

    The text is written when somebody looks at it, if it isn't known.

    :param text: what to show where no method of str is asked.
    :param write: returns the text and its parameters; None: the text is known.
    """

    #: What goes with the text: with other parameters it is SQL, and nothing else.
    parameters: Sequence[Any] = ()
    #: Whether it writes: nobody has to read its text for that.
    writes: ClassVar[bool] = True
    _write: Callable[[], tuple[str, Sequence[Any]]] | None = None

    def __new__(
        cls,
        text: str,
        write: Callable[[], tuple[str, Sequence[Any]]] | None = None,
    ) -> Self:
        """Write nothing yet."""
        self = super().__new__(cls, text)
        self._write = write
        if write is not None:
            self.parameters = Parameters(write)
        return self

    @functools.cached_property
    def written(self) -> str:
        """The text itself."""
        if self._write is None:
            return str.__str__(self)
        return str(self._write()[0])

    def __bool__(self) -> bool:
        """Return True: Django asks whether there is a statement, and nothing more."""
        return True

    def __str__(self) -> str:
        """Return the text."""
        return self.written

    def __radd__(self, other: str) -> str:
        """Put a text in front."""
        return other + self.written

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the text."""
        return str, (self.written,)


def _shown(kind: type, base: type) -> None:
    """Let all methods of a class see what is written."""
    keep = {"__class__", "__class_getitem__", "__doc__", "__getattribute__"}
    keep |= {"__init_subclass__", "__new__", "__subclasshook__"}
    for name, method in vars(base).items():
        if name not in keep and name not in vars(kind) and callable(method):
            setattr(kind, name, _method(method))


def _method(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self.written, *args, **kwargs)

    return call


_shown(Parameters, tuple)
_shown(Statement, str)


class Pushed(str):
    """
    A statement of the compiler with filters for the store beside it.

    :param handles: text with a ``(%s)`` behind each table that takes filters.
    :param filters: the filters, with the places that they have among its parameters.
    """

    handles = ""
    filters: Sequence[tuple[int, Handed]] = ()
    #: How many parameters it has without them.
    bound = 0

    def with_filters(self, params: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """Return text and parameters with the filters; without, if they don't fit."""
        if not self.filters or len(params) != self.bound:
            return self, params
        whole = list(params)
        for place, handed in self.filters:
            whole.insert(place, handed)
        return self.handles, whole


class Select(Pushed):
    """A SELECT by the compiler: its values are converted there, not by the cursor."""


class Insert(Statement):
    """
    An INSERT by the compiler, with what it means beside its text.

    Virtual tables have neither RETURNING nor ON CONFLICT, so it isn't run as
    SQL. The text says the same.

    :param table: name of the table.
    :param columns: names of the columns given.
    :param rows: placeholders of each row, in SQL; plain parameters are ``%s``.
    :param on_conflict: None, ``ignore`` or ``update``.
    :param update_columns: what ON CONFLICT … DO UPDATE sets.
    :param unique_columns: the target of ON CONFLICT.
    :param returning: names of the columns to return, a row for each row kept.
    """

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    on_conflict: str | None
    update_columns: tuple[str, ...]
    unique_columns: tuple[str, ...]
    returning: tuple[str, ...]


class Outcome:
    """
    What became of a statement.

    It is no part of the statement, which holds the compiler: a compiler that held its
    statement would be a cycle of references, and its query stay until it is collected.
    """

    #: Whether it has been run as it is, and not as the SQL that is its text.
    ran = False


class NativeRead(Statement):
    """A SELECT that is run without SQL."""

    writes = False
    outcome: Outcome
    prepared: Prepared
    filters: Sequence[Filter]
    low: int
    high: int | None

    def run(self, running: Running) -> Iterator[Row]:
        """Return an iterator of rows, in the store's terms."""
        self.outcome.ran = True
        return self.prepared.run(running, self.filters, self.low, self.high)


class NativeWrite(Statement):
    """An UPDATE or DELETE that is run without SQL."""

    #: Reads the primary keys of the rows.
    prepared: Prepared
    filters: Sequence[Filter]
    #: Values by column name, in SQLite's terms; None to delete.
    changes: dict[str, Any] | None

    def run(self, running: Running) -> Running:
        """Change or delete the rows; return the statement, which counts them."""
        self.prepared.check(running.session)
        if self.changes is None:
            self._delete(running)
        else:
            self._change(running, self.changes)
        return running

    def _delete(self, running: Running) -> None:
        table = self.prepared.table
        keys = self.prepared.keys(running, self.filters)
        writer = running.connection.tables.writer(running.session, table)
        with _noted(running, self.prepared, "delete"):
            running.changes += writer.delete_all(keys)

    def _change(self, running: Running, by_name: Mapping[str, Any]) -> None:
        session, table = running.session, self.prepared.table
        writer = running.connection.tables.writer(session, table)
        changes = {writer.number(name): v for name, v in by_name.items()}
        writer.refuse_generated(changes, "UPDATE")
        for number, value in changes.items():
            if not bindable(value):
                # An error as of SQL, whether there are rows or not.
                to_store(table.name, table.columns[number], value)
        values = writer.plain_changes(changes) if self.prepared.updates else None
        if values is not None:
            access = self.prepared.access(session)
            with _noted(running, self.prepared, "update", access) as entry:
                query = self.prepared.selected(running, self.filters, access, entry)
                running.changes += writer.change_all(query, values)
            return
        keys = self.prepared.keys(running, self.filters)
        with _noted(running, self.prepared, "update"):
            together = Changes(writer, tuple(changes))
            for key in keys:
                together.add(key, changes)
                running.changes += 1
            together.flush()


@contextlib.contextmanager
def _noted(
    running: Running, prepared: Prepared, call: str, access: Access | None = None
) -> Iterator[dict[str, Any] | None]:
    """
    Note a call that writes, with the rows that it changes and its seconds.

    :param access: how it finds them, if it does.
    """
    if running.trace is None:
        yield None
        return
    if access is not None:
        call = f"{call}, {prepared.describe(access)}"
    entry = running.trace_call(prepared.table.name, call)
    start = time.perf_counter()
    yield entry
    entry["rows"] = running.changes
    entry["time"] = time.perf_counter() - start
