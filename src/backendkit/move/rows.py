"""A table's rows: reading them in the order of their keys, writing them as they are."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import hashlib
import json
import uuid
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from django.db import connections, models
from django.db.models.lookups import IsNull
from django.db.models.sql import InsertQuery

from backendkit.move.planning import Model

#: Rows that a driver is asked for at a time; fewer where a row may be large.
_CHUNK, _CHUNK_OF_LARGE = 200, 10
#: Bytes of text and binary data after which a batch ends, however few its rows.
_BATCH_BYTES = 8_000_000


class _JsonNull:
    """JSON's null, which the ORM reads as it reads SQL's NULL."""

    def __repr__(self) -> str:
        return "JSON null"


JSON_NULL = _JsonNull()
Row = tuple[Any, ...]
Key = tuple[Any, ...]


class Table:
    """
    The table of a model, in any database.

    Only the table's own columns are read and written: a parent's are in its own table.
    Generated columns are left out. No manager, no ``save()`` and no signal of the
    project has a part in it.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.label = str(model._meta.label)
        pk = model._meta.pk
        #: The fields of the primary key; several if it is a composite one.
        self.key_fields = tuple(getattr(pk, "fields", None) or (pk,))
        #: All fields that are written.
        self.fields = [
            field
            for field in model._meta.local_concrete_fields
            if not getattr(field, "generated", False)
        ]

    @cached_property
    def _columns(self) -> list[Any]:
        """What a query selects: the key, the fields, whether a JSON value is NULL."""
        return [
            *(field.attname for field in self.key_fields),
            *(field.attname for field in self.fields),
            *(IsNull(models.F(field.attname), True) for field in self._json),
        ]

    @cached_property
    def _json(self) -> list[Any]:
        return [field for field in self.fields if isinstance(field, models.JSONField)]

    @cached_property
    def _chunk(self) -> int:
        large = (models.TextField, models.BinaryField, models.JSONField)
        is_large = any(isinstance(field, large) for field in self.fields)
        return _CHUNK_OF_LARGE if is_large else _CHUNK

    def query(self, alias: str) -> Any:
        """Return a query for all rows, whatever the model's managers leave out."""
        return models.QuerySet(self.model, using=alias)

    def probe(self, alias: str) -> bool:
        """
        Return whether there is a row.

        :raises django.db.Error: there is no such table, or it has other columns.
        """
        return bool(self.query(alias).order_by().values_list(*self._columns)[:1])

    def count(self, alias: str) -> int:
        """Return the number of rows."""
        return int(self.query(alias).count())

    def batch(self, alias: str, after: Key | None, size: int) -> list[tuple[Key, Row]]:
        """
        Return up to so many rows in the order of their keys, with the keys.

        A batch ends sooner if its rows are large: memory is bounded either way.

        :param after: the key of the row before the first one; None to begin.
        """
        query = self.query(alias)
        if after is not None:
            query = query.filter(pk__gt=after if len(after) > 1 else after[0])
        query = query.order_by(*(field.attname for field in self.key_fields))
        found = []
        weight = 0
        # An open cursor may keep others from writing: it ends with the batch.
        with contextlib.closing(self._read(query[:size])) as rows:
            for key, row in rows:
                found.append((key, row))
                weight += sum(
                    len(value) for value in row if isinstance(value, (str, bytes))
                )
                if weight > _BATCH_BYTES:
                    break
        return found

    def batches(self, alias: str, size: int) -> Iterator[list[tuple[Key, Row]]]:
        """Yield all rows, as :meth:`batch` returns them."""
        after = None
        while found := self.batch(alias, after, size):
            yield found
            after = found[-1][0]

    def lookup(self, alias: str, keys: Sequence[Key]) -> dict[str, Row]:
        """Return the rows that have these keys, by :meth:`key_name`."""
        found = {}
        for some in self._bounded(alias, keys):
            query = self.query(alias).order_by()
            for key, row in self._read(query.filter(pk__in=some)):
                found[self.key_name(key)] = row
        return found

    def key_name(self, key: Key) -> str:
        """Return a text that is the same for equal keys."""
        return canonical(_plain(self.key_fields, key))

    def row_texts(self, row: Row) -> list[str]:
        """Return a text for each of a row's values, the same for equal values."""
        return list(map(canonical, _plain(self.fields, row)))

    def delete(self, alias: str, keys: Sequence[Key]) -> None:
        """Delete the rows that have these keys, and nothing that refers to them."""
        for some in self._bounded(alias, keys):
            self.query(alias).filter(pk__in=some)._raw_delete(alias)

    def write(self, alias: str, rows: Sequence[Row]) -> None:
        """
        Insert rows as they are: no default, no ``auto_now``, no ``save()``.

        :param rows: values of :attr:`fields`.
        """
        operations = connections[alias].ops
        objects = [self._object(row) for row in rows]
        size = max(operations.bulk_batch_size(self.fields, objects), 1)
        for at in range(0, len(objects), size):
            query = InsertQuery(self.model)
            query.insert_values(self.fields, objects[at : at + size], raw=True)
            query.get_compiler(using=alias).execute_sql()

    def key_text(self, key: Key) -> str:
        """Return a key as JSON text, as serializers write its fields."""
        texts = []
        for field, value in zip(self.key_fields, key, strict=True):
            column = _referred(field)
            holder = SimpleNamespace(**{column.attname: value})
            texts.append(column.value_to_string(holder))
        return json.dumps(texts)

    def key_of(self, text: str) -> Key:
        """Return the key that :meth:`key_text` made text of."""
        return tuple(
            _bytes(_referred(field).to_python(value))
            for field, value in zip(self.key_fields, json.loads(text), strict=True)
        )

    def _read(self, query: Any) -> Generator[tuple[Key, Row], None, None]:
        first, json_fields = len(self.key_fields), len(self._json)
        end = first + len(self.fields)
        places = [self.fields.index(field) for field in self._json]
        rows = query.values_list(*self._columns).iterator(chunk_size=self._chunk)
        with contextlib.closing(rows):
            for values in rows:
                row = [_bytes(value) for value in values[first:end]]
                if json_fields:
                    for place, is_null in zip(places, values[end:], strict=True):
                        if row[place] is None and not is_null:
                            row[place] = JSON_NULL
                yield tuple(map(_bytes, values[:first])), tuple(row)

    def _bounded(self, alias: str, keys: Sequence[Key]) -> Iterator[list[Any]]:
        """Yield keys, as ``pk__in`` takes them, as many as a statement takes."""
        connection = connections[alias]
        most = min(
            connection.features.max_query_params or 500,
            connection.ops.max_in_list_size() or 500,
            500,
        )
        width = len(self.key_fields)
        size = max(most // width, 1)
        for at in range(0, len(keys), size):
            some = keys[at : at + size]
            yield [key if width > 1 else key[0] for key in some]

    def _object(self, row: Row) -> SimpleNamespace:
        """Return what Django's INSERT reads values of: attributes, and no model's."""
        values = {}
        for field, value in zip(self.fields, row, strict=True):
            values[field.attname] = (
                models.Value(None, models.JSONField()) if value is JSON_NULL else value
            )
        return SimpleNamespace(**values)


def _referred(field: Any) -> Any:
    """Return the column that a foreign key refers to, or the field itself."""
    while field.remote_field:
        field = field.target_field
    return field


#: Values of these say themselves what they are.
_SCALARS = (
    type(None),
    bool,
    int,
    float,
    decimal.Decimal,
    str,
    bytes,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    _JsonNull,
)


def _plain(fields: Sequence[Any], values: Row) -> Row:
    """
    Return values in place of objects of the project's, as their fields prepare them.

    The text of an object may name its address, or be that of any other one.
    """
    return tuple(
        value
        if isinstance(value, _SCALARS) or isinstance(field, models.JSONField)
        else _bytes(_referred(field).get_prep_value(value))
        for field, value in zip(fields, values, strict=True)
    )


def _bytes(value: Any) -> Any:
    """Drivers give binary data as one of three types."""
    return bytes(value) if isinstance(value, (memoryview, bytearray)) else value


def canonical(value: Any) -> str:
    """
    Return a text that is the same for equal values, whichever database they are of.

    Databases differ in what doesn't matter: the scale of a decimal, the order of the
    keys of a JSON object, the time zone in which a moment is told.
    """
    if isinstance(value, (tuple, list)):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        items = sorted((str(key), canonical(item)) for key, item in value.items())
        return "{" + ",".join(f"{key!r}:{item}" for key, item in items) + "}"
    if isinstance(value, decimal.Decimal) and value.is_finite():
        sign, digits, exponent = value.as_tuple()
        number = int("".join(map(str, digits)))
        while number and number % 10 == 0:
            number //= 10
            exponent += 1  # type: ignore[operator]  # an int: it is finite
        return f"decimal {'-' if sign and number else ''}{number}e{exponent if number else 0}"
    if isinstance(value, bytes):
        return f"bytes {hashlib.blake2b(value).hexdigest()}"  # they may be large
    if isinstance(value, float):
        return repr(value + 0.0)  # -0.0 + 0.0 is 0.0
    if isinstance(value, datetime.datetime) and value.tzinfo:
        value = value.astimezone(datetime.UTC)
    # str() of a subclass, of an enumeration for one, may say something else.
    if isinstance(value, str):
        return repr(str.__str__(value))
    return repr(value)


def checksum(texts: Sequence[str]) -> int:
    """Return a number for a row; the sum over a table doesn't depend on its order."""
    text = json.dumps(texts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
