"""Between a model's objects and immudb's rows."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import NotSupportedError, ProgrammingError, connections
from django.db.models import Model
from django.utils import timezone

from backendkit.backends.immudb.asking import RowsPast
from backendkit.backends.immudb.catalog import Stored
from backendkit.backends.immudb.driver._rows import DATABASE, PRIMARY, ROW, Table
from backendkit.backends.immudb.names import physical
from backendkit.backends.immudb.types import COLUMN_TYPES, decoder, encode
from backendkit.engine.values import to_store
from backendkit.nonrel.converters import row_converter

from .aliases import PastAlias, enter, present_of
from .log import transactions

if TYPE_CHECKING:
    from backendkit.backends.immudb.driver import Connection
    from backendkit.backends.immudb.store import ImmudbStore

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def wrapper_of(using: str) -> Any:
    """
    Return Django's connection to an immudb, connected.

    :raises NotSupportedError: the database is no immudb.
    """
    enter(using)
    wrapper = connections[using]
    if getattr(wrapper, "store_vendor", "") != "immudb":
        raise NotSupportedError(
            f"The database {using!r} is {wrapper.display_name}, but only immudb keeps"
            " the history of rows and can prove them."
        )
    wrapper.ensure_connection()
    return wrapper


def store_of(wrapper: Any) -> ImmudbStore:
    """Return the store that a connection uses."""
    store: ImmudbStore = wrapper.connection.store
    return store


class Rows:
    """
    The rows of a model's table.

    :param model: a proxy's are those of the model that it stands for.
    :param using: the alias of the database.
    :raises NotSupportedError: the database is no immudb, or the model's fields are in
        several tables.
    :raises ProgrammingError: there is no such table.
    """

    def __init__(self, model: type[Model], using: str) -> None:
        self.model = model
        self.using = using
        #: The alias of the database itself, and the last transaction that is seen.
        self.present = present_of(using)
        self.until = using.tx if isinstance(using, PastAlias) else None
        self.wrapper = wrapper_of(self.present)
        self.store = store_of(self.wrapper)
        meta = model._meta.concrete_model._meta
        if meta.parents:
            raise NotSupportedError(
                f"{meta.label} also has fields in the tables of its parents"
                " (multi-table inheritance). Use each of these models by itself:"
                f" {', '.join(one._meta.label for one in meta.parents)},"
                f" {meta.label}."
            )
        name = self.wrapper.ops.bare_name(meta.db_table)
        with self.wrapper.wrap_database_errors, self.store.other() as connection:
            schema, _ = self.store.shared.schema(connection, age=0)
        stored = schema.stored.get(name)
        if stored is None or not stored.table.columns:
            raise ProgrammingError(f"no such table: {name}")
        self.stored: Stored = stored
        self.name = name
        #: immudb's name of the table.
        self.physical = physical(name)
        positions = stored.table.positions
        self.fields = [
            field
            for field in meta.concrete_fields
            if self.wrapper.ops.bare_name(field.column) in positions
        ]
        self._columns = [
            stored.table.column(self.wrapper.ops.bare_name(field.column))
            for field in self.fields
        ]
        self._names = [physical(column.name) for column in self._columns]
        self._decode = decoder(self._columns)
        self._convert = row_converter(
            self._columns,
            [(field.cached_col, None) for field in self.fields],
            self.wrapper,
        )

    def ledger_table(self) -> Table:
        """
        Return the table as keys and values in the log have it.

        :raises ProgrammingError: there is none in the log.
        """
        with self.wrapper.wrap_database_errors:
            table = self.store.shared.followed().find(self.store, self.physical)
        if table is None:
            raise ProgrammingError(f"no such table: {self.name}")
        return table

    @staticmethod
    def prefix(table: Table) -> bytes:
        """Return what the keys of a table's rows begin with."""
        return ROW + struct.pack(">III", DATABASE, table.id, PRIMARY)

    def log(self, first: int, last: int, *, values: bool = True) -> Iterator[Any]:
        """Go through transactions; errors are Django's."""
        found = transactions(self.store, first, last, values=values)
        while first <= last:
            with self.wrapper.wrap_database_errors:
                one = next(found, None)
            if one is None:
                return
            yield one

    def key(self, pk: Any) -> tuple[Any, ...]:
        """
        Return a primary key as immudb has it.

        :param pk: a value, or a tuple if the primary key has several columns.
        :raises DataError: it isn't of its column's type.
        """
        meta = self.model._meta.concrete_model._meta
        fields = getattr(meta, "pk_fields", [meta.pk])
        values = pk if len(fields) > 1 else (pk,)
        if not isinstance(values, (tuple, list)) or len(values) != len(fields):
            raise ValueError(f"{meta.label} has a primary key of {len(fields)} values")
        by_name = {}
        table = self.stored.table
        for field, value in zip(fields, values, strict=True):
            column = table.column(self.wrapper.ops.bare_name(field.column))
            prepared = field.get_db_prep_value(field.to_python(value), self.wrapper)
            with self.wrapper.wrap_database_errors:
                stored = to_store(table.name, column, prepared)
            by_name[column.name] = encode(column.type, stored)
        return tuple(by_name[name] for name in table.primary_key)

    def past(self, connection: Connection, key: Sequence[Any]) -> RowsPast:
        """
        Return what can be asked of the past of a row.

        :param key: its primary key, as :meth:`key` returns it.
        """
        table = self.stored.table
        names = [physical(name) for name in table.primary_key]
        types = {
            physical(name): COLUMN_TYPES[table.column(name).type]
            for name in table.primary_key
        }
        return RowsPast(
            connection, self.name, dict(zip(names, key, strict=True)), types
        )

    def instance(self, row: Mapping[str, Any], using: str | None = None) -> Model:
        """
        Return an object of immudb's values by its names of columns.

        Fields whose columns the row hasn't got are None.
        """
        values: Sequence[Any] = tuple([row.get(name) for name in self._names])
        if self._decode is not None:
            (values,) = self._decode([tuple(values)])
        if self._convert is not None:
            values = self._convert(values)
        names = [field.attname for field in self.fields]
        return self.model.from_db(using or self.using, names, values)

    def past_instance(self, row: Mapping[str, Any], tx: int) -> Model:
        """Return an object that refers to others as of a transaction."""
        alias = PastAlias.of(self.present, max(tx, 1))
        alias.enter()
        return self.instance(row, alias)

    def differing(self, instance: Model, other: Model) -> list[str]:
        """Return the names of the loaded fields in which two objects differ."""
        deferred = instance.get_deferred_fields()
        found = []
        for field in self.fields:
            name = field.attname
            if name in deferred:
                continue
            mine, others = getattr(instance, name), getattr(other, name)
            if mine != others and self._prepared(field, mine) != self._prepared(
                field, others
            ):
                found.append(field.name)
        return found

    def _prepared(self, field: Any, value: Any) -> Any:
        return field.get_db_prep_save(value, self.wrapper)


def time_of(seconds: int) -> datetime.datetime:
    """Return immudb's time as Django has times: aware, or naive in its time zone."""
    found = EPOCH + datetime.timedelta(seconds=seconds)
    return found if settings.USE_TZ else timezone.make_naive(found)
