"""Rows that were proven, and objects that are compared with them."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from backendkit.backends.immudb.driver import ProgrammingError, VerifiedRow
from backendkit.backends.immudb.driver import TamperedError as DriverTamperedError
from backendkit.backends.immudb.names import quoted

from .errors import MismatchError, NotInLedgerError, TamperedError
from .rows import Rows, time_of


@dataclass(frozen=True)
class Proof:
    """
    What was proven of an object.

    :param instance: the object, made of the values that were proven.
    :param tx: the transaction that wrote the row.
    :param time: when, to the second, by the server's clock; aware if ``USE_TZ`` is set.
    :param revision: the number of this version of the row, from 1. It is counted by the
        server, and not proven.
    :param state: the last transaction that was verified, and the hash of the history up
        to it: what was proven is part of it.
    :param fields: names of the fields that were compared: all that were loaded.
    """

    instance: Model
    tx: int
    time: datetime.datetime
    revision: int
    state: tuple[int, bytes]
    fields: tuple[str, ...]


@contextlib.contextmanager
def wrapped(wrapper: Any) -> Iterator[None]:
    """Raise Django's errors for the driver's."""
    with wrapper.wrap_database_errors:
        try:
            yield
        except DriverTamperedError as error:
            raise TamperedError(str(error)) from error


def prove(instance: Model, *, using: str) -> Proof:
    """
    Prove that an object is in the ledger as it is here.

    :raises TamperedError: what the server says isn't proven.
    :raises MismatchError: a field has another value than the row that is proven.
    :raises NotInLedgerError: there is no such row, says the server.
    :raises ValueError: the object has no primary key yet.
    """
    if instance.pk is None:
        raise ValueError(
            f"{type(instance).__name__} has no primary key: it was never saved."
        )
    rows = Rows(type(instance), using)
    key = rows.key(instance.pk)
    with wrapped(rows.wrapper), rows.store.other() as connection:
        try:
            found: VerifiedRow = connection.verified_get(rows.physical, key)
        except ProgrammingError as error:
            raise NotInLedgerError(
                f"{rows.name} has no row {instance.pk!r}, says the server"
            ) from error
        state = connection.verified_state()
        table = quoted(rows.name)
        marks = " AND ".join(
            f"{quoted(name)} = ?" for name in rows.stored.table.primary_key
        )
        revision = len(
            connection.query(
                f"SELECT _rev FROM (HISTORY OF {table}) WHERE {marks}", key
            ).rows
        )
    proven = rows.instance(found.row)
    fields = compare(rows, instance, proven)
    assert state is not None
    return Proof(
        proven,
        found.tx,
        time_of(round((found.time - datetime.datetime(1970, 1, 1)).total_seconds())),
        revision,
        state,
        fields,
    )


def compare(rows: Rows, instance: Model, proven: Model) -> tuple[str, ...]:
    """
    Compare the loaded fields of an object with those that were proven.

    :return: the fields' names.
    :raises MismatchError: some differ.
    """
    compared, differing = [], []
    deferred = instance.get_deferred_fields()
    for field in rows.fields:
        if field.attname in deferred:
            continue
        compared.append(field.name)
        own, true = getattr(instance, field.attname), getattr(proven, field.attname)
        if own != true and field.get_db_prep_save(
            own, rows.wrapper
        ) != field.get_db_prep_save(true, rows.wrapper):
            differing.append(field.name)
    if differing:
        raise MismatchError(
            f"{rows.name} {instance.pk!r} differs from what is proven:"
            f" {', '.join(differing)}. It was changed here, or by others since it was"
            " read, or what was read had been altered.",
            tuple(differing),
        )
    return tuple(compared)
