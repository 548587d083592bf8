"""Rows that were proven, and objects that are compared with them."""

from __future__ import annotations

import contextlib
import datetime
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from backendkit.backends.immudb.driver import ProgrammingError, VerifiedRow
from backendkit.backends.immudb.driver import TamperedError as DriverTamperedError
from backendkit.clock import real
from backendkit.stores import shown

from .errors import MismatchError, NotInLedgerError, TamperedError
from .revisions import revisions
from .rows import Rows, time_of

#: Objects that are proven at once.
_PART = 100
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Proof:
    """
    What was proven of an object.

    :param instance: the object, made of the values that were proven.
    :param tx: the transaction that wrote the row.
    :param time: when, to the second, by the server's clock; aware if ``USE_TZ`` is set.
    :param state: the last transaction that was verified, and the hash of the history up
        to it: what was proven is part of it.
    :param fields: names of the fields that were compared: all that were loaded.
    """

    instance: Model
    tx: int
    time: datetime.datetime
    state: tuple[int, bytes]
    fields: tuple[str, ...]
    _using: str = field(repr=False)

    @functools.cached_property
    def revision(self) -> int:
        """
        The number of this version of the row, from 1.

        It is counted in the log when it is asked for, and isn't proven.
        """
        versions = revisions(type(self.instance), [self.instance.pk], using=self._using)
        return sum(1 for one in versions if one.tx <= self.tx)


@contextlib.contextmanager
def wrapped(wrapper: Any) -> Iterator[None]:
    """Raise Django's errors for the driver's."""
    with wrapper.wrap_database_errors:
        try:
            yield
        except DriverTamperedError as error:
            raise TamperedError(str(error)) from error


def prove(instance: Model, *, using: str) -> Proof:
    """Prove that an object is in the ledger as it is here: ``ledger.verify()``."""
    if instance.pk is None:
        raise ValueError(
            f"{type(instance).__name__} has no primary key: it was never saved."
        )
    rows = Rows(type(instance), using)
    key = rows.key(instance.pk)
    with wrapped(rows.wrapper), rows.store.other() as connection:
        found = _proven(rows, connection, [key], rows.until)[key]
        state = connection.verified_state()
    assert state is not None
    proven = rows.instance(found.row)
    fields = compare(rows, instance, proven)
    return Proof(
        proven,
        found.tx,
        time_of(round((found.time - real.datetime(1970, 1, 1)).total_seconds())),
        state,
        fields,
        rows.present,
    )


def prove_all(instances: Iterable[Model], rows: Rows, until: int) -> Iterator[Model]:
    """
    Go through objects that were read as of a transaction, each proven.

    Objects that are related to them and were read with them are proven, too.
    """
    others: dict[type[Model], Rows] = {rows.model: rows}
    rest = iter(instances)
    while part := list(itertools.islice(rest, _PART)):
        waiting = list(part)
        seen: set[int] = set()
        while waiting:
            groups: dict[type[Model], list[Model]] = {}
            for one in waiting:
                if id(one) not in seen:
                    seen.add(id(one))
                    groups.setdefault(type(one), []).append(one)
            waiting = []
            for model, group in groups.items():
                if model not in others:
                    others[model] = Rows(model, rows.using)
                _prove_group(others[model], group, until)
                for one in group:
                    # They were read as of a moment; they are those of the query set.
                    one._state.db = rows.using
                    cached = one._state.fields_cache.values()
                    waiting += [each for each in cached if isinstance(each, Model)]
        yield from part


def _prove_group(rows: Rows, group: Sequence[Model], until: int) -> None:
    keys = [rows.key(one.pk) for one in group]
    with wrapped(rows.wrapper), rows.store.other() as connection:
        proven = _proven(rows, connection, list(dict.fromkeys(keys)), until)
    for one, key in zip(group, keys, strict=True):
        compare(rows, one, rows.instance(proven[key].row))


def _proven(
    rows: Rows, connection: Any, keys: Sequence[Key], until: int | None
) -> dict[Key, VerifiedRow]:
    """
    Return the rows of these keys, each proven.

    :param until: the last transaction that is seen; None for all.
    """
    found: dict[Key, VerifiedRow] = {}
    later: list[Key] = []
    for number, key in enumerate(keys):
        try:
            # The first call waits for what is committed.
            row = connection.verified_get(rows.physical, key, wait=not number)
        except ProgrammingError as error:
            if until is None:
                raise _missing(rows, key) from error
            row = None
        if row is None or (until is not None and row.tx > until):
            later.append(key)
        else:
            found[key] = row
    if later and until is not None:
        for key in later:
            tx = rows.past(connection, key).last_write(until)
            if not tx:
                raise _missing(rows, key)
            found[key] = connection.verified_get(rows.physical, key, at=tx)
    return found


def _missing(rows: Rows, key: Key) -> NotInLedgerError:
    text = ", ".join(map(shown, key))
    named = text if len(key) == 1 else f"({text})"
    return NotInLedgerError(f"{rows.name} has no row {named}, according to the server")


def compare(rows: Rows, instance: Model, proven: Model) -> tuple[str, ...]:
    """
    Compare the loaded fields of an object with those that were proven.

    :return: the fields' names.
    :raises MismatchError: some differ.
    """
    differing = rows.differing(instance, proven)
    if differing:
        raise MismatchError(
            f"{rows.name} {shown(instance.pk)} differs from the proven row:"
            f" {', '.join(differing)}. The instance was changed, or others have"
            " changed the row since it was read, or the server returned altered"
            " values.",
            tuple(differing),
        )
    deferred = instance.get_deferred_fields()
    return tuple(one.name for one in rows.fields if one.attname not in deferred)
