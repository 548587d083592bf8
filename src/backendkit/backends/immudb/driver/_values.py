"""
Values on their way to immudb and back.

============  ==================  =================================================
column        Python              remarks
============  ==================  =================================================
``INTEGER``   int                 64 bits
``FLOAT``     float
``BOOLEAN``   bool
``VARCHAR``   str
``BLOB``      bytes               bytearray and memoryview, too
``TIMESTAMP`` datetime            naive and in UTC; one with a zone is converted; a
                                  date becomes its midnight
``UUID``      UUID                in a comparison ``CAST(? AS UUID)`` is needed
``JSON``      dict or list, str   its text comes back, as immudb has rewritten it
============  ==================  =================================================
"""

from __future__ import annotations

import datetime
import functools
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from backendkit.clock import real
from backendkit.stores import DataError, InternalError, ProgrammingError, shown

from . import immudb_pb2 as pb
from ._statements import Statement

EPOCH = real.datetime(1970, 1, 1)
MICROSECOND = datetime.timedelta(microseconds=1)

Parameters = Sequence[Any] | Mapping[str, Any]


Binder = Callable[[pb.SQLValue, Any], None]


def _null(target: pb.SQLValue, value: None) -> None:
    target.null = 0


def _bool(target: pb.SQLValue, value: bool) -> None:
    target.b = value


def _int(target: pb.SQLValue, value: int) -> None:
    try:
        target.n = value
    except ValueError:
        raise DataError(f"{shown(value)} doesn't fit into 64 bits") from None


def _float(target: pb.SQLValue, value: float) -> None:
    target.f = value


def _str(target: pb.SQLValue, value: str) -> None:
    try:
        target.s = value
    except (UnicodeEncodeError, ValueError):
        raise DataError("a text with a lone surrogate isn't valid Unicode") from None


def _bytes(target: pb.SQLValue, value: bytes | bytearray | memoryview) -> None:
    target.bs = bytes(value)


def _datetime(target: pb.SQLValue, value: datetime.datetime) -> None:
    if value.tzinfo is not None:
        try:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        except OverflowError:
            raise DataError(f"{shown(value)} is out of range in UTC") from None
    target.ts = (value - EPOCH) // MICROSECOND


def _date(target: pb.SQLValue, value: datetime.date) -> None:
    _datetime(target, real.datetime.combine(value, datetime.time()))


def _uuid(target: pb.SQLValue, value: uuid.UUID) -> None:
    target.s = str(value)


def _json(target: pb.SQLValue, value: Any) -> None:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"the value can't be serialized as JSON: {error}") from error
    _str(target, text)


BINDERS: dict[type, Binder] = {
    type(None): _null,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    real.datetime: _datetime,
    real.date: _date,
    uuid.UUID: _uuid,
    dict: _json,
    list: _json,
}


def _binder(cls: type) -> Binder:
    """Return the one of the class that a class is made from: enumerations, marked strings."""
    for base in cls.__mro__:
        if base in BINDERS:
            return BINDERS[base]
    raise DataError(
        f"immudb has no type for {cls.__name__}. Pass an int, float, str, bytes,"
        " datetime, UUID, dict or list"
    )


def bind_value(value: Any) -> pb.SQLValue:
    """
    Return a value as immudb takes it, by its type alone.

    :raises DataError: immudb has no such type, or the value doesn't fit.
    """
    bound = pb.SQLValue()
    _binder(type(value))(bound, value)
    return bound


# How immudb calls the values of `?` and `$n`.
@functools.lru_cache(maxsize=1)
def _names(count: int) -> list[str]:
    return [f"param{number}" for number in range(1, count + 1)]


def bind(target: Any, statement: Statement, parameters: Parameters) -> None:
    """
    Add the parameters of a statement to those of its request.

    :param target: the request's field, to which parameters are added. Filling what is
        there takes a quarter of the time of making it elsewhere.
    :raises ProgrammingError: too few or too many, or positional where named are wanted.
    """
    if isinstance(parameters, Mapping):
        given = {name.lower(): value for name, value in parameters.items()}
        if len(given) != len(parameters):
            raise ProgrammingError(
                "the names of parameters differ only in case, which immudb ignores"
            )
        if statement.marks or statement.names != given.keys():
            wanted = ", ".join(sorted(statement.names)) or "none"
            raise ProgrammingError(
                f"the statement needs parameters named {wanted}, but got"
                f" {', '.join(given) or 'none'}"
            )
        pairs: Iterable[tuple[str, Any]] = given.items()
    elif isinstance(parameters, str | bytes):
        raise ProgrammingError(
            "parameters have to be a sequence or a mapping, not a text"
        )
    else:
        count = len(parameters)
        if statement.names or statement.marks != count:
            wanted = f"{statement.marks} parameters"
            if statement.names:
                wanted = f"a mapping with {', '.join(sorted(statement.names))}"
            raise ProgrammingError(f"the statement needs {wanted}, but got {count}")
        pairs = zip(_names(count) if count > 99 else NAMES, parameters, strict=False)
    add, known = target.add, BINDERS.get
    for name, value in pairs:
        cls = type(value)
        (known(cls) or _binder(cls))(add(name=name).value, value)


NAMES = _names(99)

# The field of SQLValue that a column of this type has.
FIELDS = {
    "INTEGER": "n",
    "FLOAT": "f",
    "BOOLEAN": "b",
    "VARCHAR": "s",
    "BLOB": "bs",
    "TIMESTAMP": "ts",
    "UUID": "s",
    "JSON": "s",
}

NULL = pb.SQLValue(null=0).SerializeToString()

# Up to so many rows, values are cheaper one by one than column by column.
FEW = 2


def _from_microseconds(value: int) -> datetime.datetime:
    try:
        return EPOCH + datetime.timedelta(microseconds=value)
    except OverflowError:
        raise DataError(
            f"a TIMESTAMP is out of Python's range: {shown(value)} microseconds since"
            " 1970"
        ) from None


Converter = Callable[[Any], Any]

CONVERTERS: dict[str, Converter] = {
    "TIMESTAMP": _from_microseconds,
    "UUID": uuid.UUID,
}


def message(kind: Any, data: bytes) -> Any:
    """
    Return a message of immudb's.

    :raises InternalError: it isn't one.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InternalError(f"immudb sent what can't be decoded: {error}") from error


class Decoder:
    """
    Makes tuples of the rows of one query.

    :param columns: immudb's description of them.
    :param raw: whether values stay as they are sent: times are microseconds since 1970,
        and UUIDs are text. One of another type than its column comes as a tuple.
    """

    def __init__(self, columns: Sequence[pb.Column], *, raw: bool = False) -> None:
        self._convert = {} if raw else CONVERTERS
        self.names = tuple(_plain(column.name) for column in columns)
        self.types = tuple(column.type for column in columns)

    def rows(self, result: pb.SQLQueryResult) -> list[tuple[Any, ...]]:
        """
        Return the rows of an answer.

        :raises InternalError: there are other values than its columns have.
        """
        rows, width = result.rows, len(self.types)
        values = message(pb.Row, b"".join(rows)).values[:]
        if len(values) != len(rows) * width:
            raise InternalError("immudb sent rows that don't fit their columns")
        if len(rows) <= FEW:
            types = self.types * len(rows)
            decoded = [
                _decoded(value, kind, self._convert)
                for value, kind in zip(values, types, strict=True)
            ]
            places = range(0, len(values), width or 1)
            return [tuple(decoded[place : place + width]) for place in places]
        # Protobuf's own classes for single values cost more than all the rest.
        columns = [values[place::width] for place in range(width)]
        found = [
            _column(column, kind, self._convert)
            for column, kind in zip(columns, self.types, strict=True)
        ]
        return list(zip(*found, strict=True))


def _column(
    encoded: list[bytes], kind: str, convert: Mapping[str, Converter]
) -> Sequence[Any]:
    parsed = message(pb.SQLValues, b"".join(encoded))
    # A list of its own: protobuf's are slow to go through.
    values: list[Any] = getattr(parsed, FIELDS.get(kind, "null"))[:]
    nulls = len(parsed.null)
    if (
        len(values) + nulls != len(encoded)
        or kind not in FIELDS
        or (nulls and encoded.count(NULL) != nulls)
    ):
        # An expression may have values of another type than it says.
        return [_decoded(one, kind, convert) for one in encoded]
    if kind in convert:
        values = list(map(convert[kind], values))
    if nulls:
        rest = iter(values)
        return [None if one == NULL else next(rest) for one in encoded]
    return values


@functools.lru_cache(maxsize=1_000)
def _decoder(columns: tuple[bytes, ...], *, raw: bool = False) -> Decoder:
    return Decoder([message(pb.Column, column) for column in columns], raw=raw)


def _decoded(encoded: bytes, kind: str, convert: Mapping[str, Converter]) -> Any:
    value = message(pb.SQLValue, encoded)
    field = value.WhichOneof("value")
    if field is None or field == "null":
        return None
    found = getattr(value, field)
    if not convert:
        # As it is sent. No column has such values, which only an expression may have.
        return found if field == FIELDS.get(kind) else (field, found)
    if field == "ts":
        kind = "TIMESTAMP"
    elif kind != "UUID":
        return found
    return convert[kind](found)


def _plain(name: str) -> str:
    """Return a column's name without its table: immudb says ``(table.column)``."""
    if name.startswith("(") and name.endswith(")"):
        return name[1:-1].rpartition(".")[2]
    return name


def parse(data: bytes, *, raw: bool = False) -> tuple[Decoder, list[tuple[Any, ...]]]:
    """
    Return the rows of an answer that has its columns, and what decodes more of them.

    :param raw: whether values stay as they are sent, see :class:`Decoder`.
    """
    result = message(pb.SQLQueryResult, data)
    decoder = _decoder(tuple(result.columns), raw=raw)
    return decoder, decoder.rows(result)
