"""What rows were: each version that was written, from the log."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from .log import last_transaction, transactions
from .rows import Rows, time_of


@dataclass(frozen=True)
class Revision:
    """
    A version of a row.

    :param instance: the object, as it was written; of a deletion, as it was last.
    :param tx: the transaction that wrote it.
    :param time: when, to the second, by the server's clock; aware if ``USE_TZ`` is set.
    :param revision: its number among the versions of this row, from 1; a deletion
        counts as one.
    :param deleted: whether the row was deleted.
    """

    instance: Model
    tx: int
    time: datetime.datetime
    revision: int
    deleted: bool

    @property
    def pk(self) -> Any:
        """The primary key."""
        return self.instance.pk


def revisions(
    model: type[Model], pks: Sequence[Any] | None = None, *, using: str
) -> Iterator[Revision]:
    """
    Go through all versions of a model's rows, the oldest first.

    The log is read from its beginning, some transactions at a time.

    :param pks: primary keys of the rows that are wanted; all if not given.
    """
    rows = Rows(model, using)
    with rows.wrapper.wrap_database_errors:
        table = rows.ledger_table()
        keys = None if pks is None else {table.row_key(rows.key(pk)) for pk in pks}
        prefix = rows.prefix(table)
        log = transactions(rows.store, 1, last_transaction(rows.store), values=True)
    counts: dict[bytes, int] = {}
    while True:
        with rows.wrapper.wrap_database_errors:
            one = next(log, None)
        if one is None:
            return
        for entry in one.entries:
            key = entry.key
            if not key.startswith(prefix) or (keys is not None and key not in keys):
                continue
            counts[key] = counts.get(key, 0) + 1
            with rows.wrapper.wrap_database_errors:
                row = table.decode(entry.value)
            yield Revision(
                rows.instance(row),
                one.header.id,
                time_of(one.header.ts),
                counts[key],
                entry.metadata.deleted,
            )
