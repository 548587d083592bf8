"""What rows were: each version that was written, and what changed between two moments."""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from backendkit.backends.immudb.asking import REVISION
from backendkit.backends.immudb.driver._rows import Table
from backendkit.backends.immudb.names import physical

from .aliases import PastAlias
from .log import last_transaction
from .moments import Moment, transaction_of
from .rows import Rows, time_of
from .scratch import Scratch

#: Rows that are looked up at once.
_PART = 100
#: Transactions of which the log is read at once.
SHORT = 5_000
#: Transactions that are read while one question is answered.
READ = 100


@dataclass(frozen=True)
class Revision:
    """
    A version of a row.

    :param tx: the transaction that wrote it.
    :param time: when, to the second, by the server's clock; aware if ``USE_TZ`` is set.
    :param revision: its number among the versions of this row, from 1; a deletion
        counts as one.
    :param deleted: whether the row was deleted.
    """

    tx: int
    time: datetime.datetime
    revision: int
    deleted: bool
    _rows: Rows = field(repr=False)
    _row: Mapping[str, Any] = field(repr=False)

    @functools.cached_property
    def instance(self) -> Model:
        """
        The object, as it was written; of a deletion, as it was last.

        What it refers to is read as of its transaction, as with ``as_of()``; of a
        deletion, as of the one before.
        """
        return self._rows.past_instance(self._row, self.tx - self.deleted)

    @property
    def pk(self) -> Any:
        """The primary key."""
        return self.instance.pk


@dataclass(frozen=True)
class Change:
    """
    The difference of a row between two moments.

    :param action: ``"insert"``, ``"update"`` or ``"delete"``.
    :param before: the object at the first moment; None if it didn't exist.
    :param after: the object at the second moment; None if it doesn't exist.
    :param fields: names of the fields that differ; all for an insert or a delete.
    :param tx: the last transaction between them that wrote the row.
    :param time: when that was; see :class:`Revision`.
    """

    action: str
    before: Model | None
    after: Model | None
    fields: tuple[str, ...]
    tx: int
    time: datetime.datetime

    @property
    def pk(self) -> Any:
        """The primary key."""
        found = self.after if self.before is None else self.before
        assert found is not None
        return found.pk


def revisions(
    model: type[Model], pks: Sequence[Any] | None = None, *, using: str
) -> Iterator[Revision]:
    """
    Go through all versions of a model's rows, the oldest first.

    Those of one row are asked for if the log is long. Otherwise it is read from its
    beginning, some transactions at a time.

    :param pks: primary keys of the rows that are wanted; all if not given.
    """
    rows = Rows(model, using)
    keys = None if pks is None else [rows.key(pk) for pk in pks]
    with rows.wrapper.wrap_database_errors:
        until = rows.until or last_transaction(rows.store)
        asked = None
        if keys is not None and len(keys) == 1 and until > SHORT:
            asked = _asked(rows, keys[0], until)
    return _read(rows, keys, until) if asked is None else asked


def _asked(rows: Rows, key: tuple[Any, ...], until: int) -> Iterator[Revision] | None:
    """Go through the versions of one row; None if they have to be looked for."""
    if any(physical(column.name) == REVISION for column in rows.stored.table.columns):
        # immudb would take that one for its own.
        return None
    with rows.store.other() as connection:
        past = rows.past(connection, key)
        total = past.revisions()
        last = int(connection.state().txId)
        if past.revisions() != total:
            # It is being written: nobody can tell when all are found.
            return None
        found, rest = past.writes(total, last, last / READ)
    if rest:
        wanted = rows.ledger_table().row_key(key)
        for after, to in rest:
            for one in rows.log(after + 1, to, values=False):
                found += [one.header.id for e in one.entries if e.key == wanted]
    return _told(rows, key, [tx for tx in sorted(found) if tx <= until])


def _told(rows: Rows, key: tuple[Any, ...], txs: Sequence[int]) -> Iterator[Revision]:
    """Go through the versions that these transactions wrote."""
    for number, tx in enumerate(txs, 1):
        with rows.wrapper.wrap_database_errors, rows.store.other() as connection:
            answer = connection.verifiable_get(
                rows.physical, key, at=tx, wait=number == 1
            )
            row = Table.of(answer).decode(answer.sqlEntry.value)
        header = answer.verifiableTx.dualProof.targetTxHeader
        deleted = answer.sqlEntry.metadata.deleted
        yield Revision(tx, time_of(header.ts), number, deleted, rows, row)


def _read(rows: Rows, keys: Sequence[Any] | None, until: int) -> Iterator[Revision]:
    """Read the log."""
    with rows.wrapper.wrap_database_errors:
        table = rows.ledger_table()
        wanted = None if keys is None else set(map(table.row_key, keys))
    prefix = rows.prefix(table)
    with Scratch() as scratch:
        for one in rows.log(1, until):
            for entry in one.entries:
                key = entry.key
                if not key.startswith(prefix) or (
                    wanted is not None and key not in wanted
                ):
                    continue
                with rows.wrapper.wrap_database_errors:
                    row = table.decode(entry.value)
                yield Revision(
                    one.header.id,
                    time_of(one.header.ts),
                    scratch.count(key),
                    entry.metadata.deleted,
                    rows,
                    row,
                )


def changes(
    model: type[Model], since: Moment, until: Moment | None, *, using: str
) -> Iterator[Change]:
    """
    Go through what made a table as of one moment the table as of another.

    :param since: the first moment; 0 for the empty ledger.
    :param until: the second one; now if not given.
    """
    rows = Rows(model, using)
    first = transaction_of(since, rows.present, first=0)
    if until is not None:
        last = transaction_of(until, rows.present, first=0)
    else:
        with rows.wrapper.wrap_database_errors:
            last = rows.until or last_transaction(rows.store)
    if last < first:
        raise ValueError(f"since ({since}) is later than until ({until})")
    return _changes(rows, first, last)


def _changes(rows: Rows, first: int, last: int) -> Iterator[Change]:
    with rows.wrapper.wrap_database_errors:
        table = rows.ledger_table()
    prefix = rows.prefix(table)
    with Scratch() as scratch:
        for one in rows.log(first + 1, last):
            for place, entry in enumerate(one.entries):
                if entry.key.startswith(prefix):
                    scratch.note(entry.key, one.header.id, entry, one.header.ts, place)
        noted = scratch.noted()
        while part := list(itertools.islice(noted, _PART)):
            found = []
            for tx, ts, deleted, value in part:
                with rows.wrapper.wrap_database_errors:
                    row = table.decode(value)
                found.append((rows.past_instance(row, last), tx, ts, deleted))
            former: dict[Any, Model] = {}
            if first:
                alias = PastAlias.of(rows.present, first)
                alias.enter()
                wanted = [instance.pk for instance, *_ in found]
                manager = rows.model._base_manager.using(alias)
                former = {one.pk: one for one in manager.filter(pk__in=wanted)}
            for instance, tx, ts, deleted in found:
                before = former.get(instance.pk)
                change = _change(rows, before, None if deleted else instance)
                if change is not None:
                    action, fields = change
                    after = None if deleted else instance
                    yield Change(action, before, after, fields, tx, time_of(ts))


def _change(
    rows: Rows, before: Model | None, after: Model | None
) -> tuple[str, tuple[str, ...]] | None:
    """Return what happened and to which fields; None for nothing."""
    every = tuple(field.name for field in rows.fields)
    if before is None:
        return None if after is None else ("insert", every)
    if after is None:
        return "delete", every
    differing = tuple(rows.differing(before, after))
    return ("update", differing) if differing else None
