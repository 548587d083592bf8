"""What a query of a store's author gives, held against the contract: cheap checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NoReturn

from backendkit.clock import real

from . import _errors
from ._errors import Error, InternalError, NotSupportedError, OperationalError, shown
from ._schema import PYTHON_TYPES, Column, ValueType

if TYPE_CHECKING:
    from ._query import NonrelQuery
    from ._schema import Table
    from ._session import Row

#: ``convert_value_from_db`` of a store.
Converter = Callable[[ValueType, Any], Any]
#: PEP 249's exceptions, of which every driver has its own.
_PEP_249 = frozenset(
    {
        "DataError",
        "DatabaseError",
        "Error",
        "IntegrityError",
        "InterfaceError",
        "InternalError",
        "NotSupportedError",
        "OperationalError",
        "ProgrammingError",
    }
)

#: Where stores are that need no guard: each has tests of its own for it.
_OWN = ("backendkit.backends.", "backendkit.kv.")


#: issubclass(), which is slow for an abstract class.
is_a = lru_cache(256)(issubclass)


def trusted(one: object) -> bool:
    """Whether a store, or a part of one, is of those that need no guard."""
    return type(one).__module__.startswith(_OWN)


def rows_of(
    query: NonrelQuery,
    table: Table,
    columns: Sequence[str],
    low_mark: int = 0,
    high_mark: int | None = None,
) -> Iterator[Row]:
    """
    Run a query: return an iterator of tuples, whatever its author's ``fetch`` yields.

    A tuple is a row as it is to be seen. A mapping is an entity as it is stored: its
    values are converted by ``convert_value_from_db``.

    :param table: that the query was made for.
    :param columns: those that it was asked for.
    :raises InternalError: that is neither, or no iterator at all; a row has too few or
        too many values; the first row has values of other types than its columns. The
        message names the class, the method and the table.
    """
    try:
        if low_mark or high_mark is not None:
            rows = query.fetch(low_mark, high_mark)
        else:
            rows = query.fetch()
    except Exception as error:  # noqa: BLE001  # whatever a store may raise
        raised(query, "fetch", table, error)
    if not is_a(rows.__class__, Iterator):
        what = f"it returned {kind_of(rows)}, not an iterator: yield the rows"
        broken(query, "fetch", table, what)
    if trusted(query):
        return rows
    return checked(rows, table, columns, query, "fetch", query.convert_value_from_db)


def checked(
    rows: Iterable[Any],
    table: Table,
    columns: Sequence[str],
    owner: object,
    method: str,
    convert: Converter,
) -> Iterator[Row]:
    """
    Return an iterator of tuples: see :func:`rows_of`.

    :param owner: whose method gave the rows.
    :param convert: ``convert_value_from_db``, for the values of dicts.
    """
    width, left = len(columns), iter(rows)
    row_of = _row_getter(table, columns, owner, method, convert)
    try:
        for row in left:
            first = row_of(row)
            check_values(owner, method, table, columns, first)
            yield first
            break
        # This is done for each row.
        for row in left:
            if row.__class__ is tuple and len(row) == width:
                yield row
            else:
                yield row_of(row)
    except Exception as error:  # noqa: BLE001  # as above
        raised(owner, method, table, error)


def _row_getter(
    table: Table,
    columns: Sequence[str],
    owner: object,
    method: str,
    convert: Converter,
) -> Callable[[Any], Row]:
    """Return a function that makes a row of these columns of what a method has given."""

    def value_of(name: str, entity: Mapping[str, Any]) -> Any:
        column, value = table.column(name), entity.get(name)
        if value is not None:
            return convert(column.type, value)
        if not column.nullable:
            what = f"a dict has no value for {shown(name)}, which isn't nullable"
            broken(owner, method, table, what)
        return None

    def row_of(row: Any) -> Row:
        if isinstance(row, Mapping):
            return tuple([value_of(name, row) for name in columns])
        if not isinstance(row, tuple):
            what = f"a row is {kind_of(row)}, neither a tuple nor a dict"
            broken(owner, method, table, what)
        if len(row) != len(columns):
            what = f"a row has {len(row)} values, but there are {len(columns)} columns"
            broken(owner, method, table, what)
        return tuple(row)

    return row_of


def check_values(
    owner: object, method: str, table: Table, columns: Sequence[str], row: Row
) -> None:
    """
    Check the values of a row of as many columns.

    :raises InternalError: one is of another type than its column.
    """
    types = table.python_types
    for name, value in zip(columns, row, strict=True):
        if value.__class__ is types[name] and value == value:  # noqa: PLR0124  # NaN
            continue
        wrong = wrong_value(table.column(name), value)
        if wrong:
            broken(owner, method, table, f"column {shown(name)}: {wrong}")


def wrong_value(column: Column, value: Any) -> str:
    """Return what is wrong with a value of a column; empty if nothing is."""
    if value is None:
        return "" if column.nullable else "None, but it isn't nullable"
    wanted = PYTHON_TYPES[column.type]
    # A bool is an int to Python, and a datetime a date. Other subclasses do no harm:
    # tests that stop the clock have some.
    if not isinstance(value, wanted) or (
        (wanted is int and isinstance(value, bool))
        or (wanted is real.date and isinstance(value, real.datetime))
    ):
        return f"{kind_of(value)}, but its type is {column.type}"
    if isinstance(value, float) and value != value:  # noqa: PLR0124  # NaN alone is so
        return "NaN, which no column can store"
    return ""


def kind_of(value: Any) -> str:
    """Return what a value is, without showing it."""
    return "None" if value is None else f"a value of type {type(value).__qualname__}"


def named(owner: object, method: str, table: Table | None) -> str:
    """Return the name of a store's method, and of the table that it was called for."""
    of = "" if table is None else f" of table {shown(table.name)}"
    return f"{type(owner).__module__}.{type(owner).__qualname__}.{method}(){of}"


def broken(owner: object, method: str, table: Table | None, what: str) -> NoReturn:
    """
    Say what a method did.

    :raises InternalError: always.
    """
    raise InternalError(f"{named(owner, method, table)} breaks the contract: {what}")


def raised(
    owner: object, method: str, table: Table | None, error: Exception
) -> NoReturn:
    """
    Raise an exception of the contract as it is; translate others, saying where they come from.

    A driver's exception by one of PEP 249's names becomes the contract's of that name, and
    one of the operating system, such as a refused connection, an OperationalError.
    """
    if isinstance(error, (Error, MemoryError)):
        raise error
    name = named(owner, method, table)
    what = f"it raised {type(error).__name__}: {shown(str(error))}{_place(error)}"
    if isinstance(error, NotImplementedError):
        raise NotSupportedError(f"{name} isn't implemented: {what}") from error
    for cls in type(error).__mro__:
        if cls.__name__ in _PEP_249:
            ours: type[Error] = getattr(_errors, cls.__name__)
            raise ours(f"{name}: {error}") from error
    if isinstance(error, OSError):
        raise OperationalError(f"{name}: {what}") from error
    raise InternalError(f"{name} breaks the contract: {what}") from error


def _place(error: Exception) -> str:
    """Return where an exception was raised."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    file = PurePath(code.co_filename).name
    return f", in {code.co_qualname} ({file}, line {trace.tb_lineno})"
