"""What rows were: each version that was written, and what changed between two moments."""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, overload

from django.db.models import Model

from backendkit.backends.immudb.asking import REVISION
from backendkit.backends.immudb.driver._rows import Table
from backendkit.backends.immudb.names import physical

from .aliases import PastAlias
from .log import last_transaction
from .moments import Moment, transaction_of
from .rows import Rows, time_of
from .scratch import Scratch

if TYPE_CHECKING:
    from backendkit.backends.immudb.driver import Connection

#: Rows that are looked up at once.
_PART = 100
#: Rows that are asked for one by one; the versions of more are read from the log.
FEW = 20
#: Transactions that are read while the versions of a row are asked for, for each of them.
READ = 400
#: By how much an entry makes it longer to read a transaction.
_ENTRY = 0.5
#: Questions that are asked for a row that is deleted, however short the log is, and for
#: each transaction of a longer one, by how many entries these have.
ASKED, ASKED_EACH = 2_000.0, 0.1
#: Transactions whose sizes are looked at, at each end of the log.
_SAMPLE = 20
#: How often it is tried to count versions of a row that is being written.
_TRIES = 5


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

    Those of a few rows are asked for. Others are read from the log, from its beginning,
    some transactions at a time.

    :param pks: primary keys of the rows that are wanted; all if not given.
    """
    rows = Rows(model, using)
    keys = None if pks is None else [rows.key(pk) for pk in pks]
    with rows.wrapper.wrap_database_errors:
        until = rows.until or last_transaction(rows.store)
        asked = None if keys is None else _asked(rows, keys, until)
    return _read(rows, keys, until) if asked is None else iter(asked)


def versions(model: type[Model], pk: Any, *, using: str) -> Sequence[Revision]:
    """
    Return all versions of a row, the oldest first.

    The server is asked for a version when it is looked at, if the transactions that wrote
    them were asked for.
    """
    rows = Rows(model, using)
    keys = [rows.key(pk)]
    with rows.wrapper.wrap_database_errors:
        until = rows.until or last_transaction(rows.store)
        asked = _asked(rows, keys, until)
    return list(_read(rows, keys, until)) if asked is None else asked


class _Asked(Sequence[Revision]):
    """
    Versions of which the transactions are known.

    :param places: for each its transaction, the row's key, and its number.
    """

    def __init__(
        self, rows: Rows, places: Sequence[tuple[int, tuple[Any, ...], int]]
    ) -> None:
        self._rows = rows
        self._places = places
        self._found: dict[int, Revision] = {}

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Revision: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Revision]: ...
    def __getitem__(self, place: int | slice) -> Revision | Sequence[Revision]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        if place not in self._found:
            self._found[place] = self._ask(*self._places[place])
        return self._found[place]

    def __iter__(self) -> Iterator[Revision]:
        # Not kept: there may be any number of them.
        return itertools.starmap(self._ask, self._places)

    def _ask(self, tx: int, key: tuple[Any, ...], number: int) -> Revision:
        rows = self._rows
        with rows.wrapper.wrap_database_errors, rows.store.other() as connection:
            # The indexes had them when they were asked which transactions these are.
            answer = connection.verifiable_get(rows.physical, key, at=tx, wait=False)
            row = Table.of(answer).decode(answer.sqlEntry.value)
        header = answer.verifiableTx.dualProof.targetTxHeader
        deleted = answer.sqlEntry.metadata.deleted
        return Revision(tx, time_of(header.ts), number, deleted, rows, row)


def _asked(
    rows: Rows, keys: Sequence[tuple[Any, ...]], until: int
) -> Sequence[Revision] | None:
    """Return the versions of some rows; None if it is better to look for them."""
    if len(keys) > FEW or any(
        # immudb would take that one for its own.
        physical(column.name) == REVISION
        for column in rows.stored.table.columns
    ):
        return None
    places = []
    with rows.store.other() as connection:
        for key in dict.fromkeys(keys):
            txs = _writes(rows, connection, key)
            if txs is None:
                return None
            places += [
                (tx, key, number) for number, tx in enumerate(txs, 1) if tx <= until
            ]
    places.sort(key=itemgetter(0))
    return _Asked(rows, places)


def _writes(
    rows: Rows, connection: Connection, key: tuple[Any, ...]
) -> list[int] | None:
    """Return which transactions wrote a row, or None."""
    past = rows.past(connection, key)
    for _ in range(_TRIES):
        total = past.revisions()
        last = int(connection.state().txId)
        if past.revisions() == total:
            break
    else:
        # It is being written: nobody can tell when all are found.
        return None
    if not total:
        return []

    def read() -> float:
        """Return what it takes to read the log, in transactions of one entry."""
        return last * (1 + _ENTRY * _entries(connection, last))

    if total * READ > last and total * READ > read():
        return None
    found, rest = past.writes(total, last, lambda: max(ASKED, ASKED_EACH * read()))
    if rest:
        wanted = rows.ledger_table().row_key(key)
        for after, to in rest:
            for one in rows.log(after + 1, to, values=False):
                found += [one.header.id for e in one.entries if e.key == wanted]
    return sorted(found)


def _entries(connection: Connection, last: int) -> float:
    """Return about how many entries a transaction of the log has."""
    some = [
        *connection.headers(1, _SAMPLE),
        *connection.headers(last, _SAMPLE, backwards=True),
    ]
    return sum(one.nentries for one in some) / len(some)


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
