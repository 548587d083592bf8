"""Moments of the past: transactions and times."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from django.utils import timezone

from .log import last_transaction
from .rows import store_of, wrapper_of

if TYPE_CHECKING:
    from backendkit.backends.immudb.store import ImmudbStore

Moment = int | datetime.datetime
"""The id of a transaction, or a time."""


def transaction_of(moment: Moment, using: str, *, first: int = 1) -> int:
    """
    Return the last transaction that a moment has seen.

    :param first: the least id that is one.
    :raises TypeError: it is neither an id nor a time.
    :raises ValueError: it is before the first transaction, or in the future.
    """
    wrapper = wrapper_of(using)
    store = store_of(wrapper)
    with wrapper.wrap_database_errors:
        last = last_transaction(store)
        if isinstance(moment, datetime.datetime):
            wanted = _aware(moment).timestamp()
            if wanted > datetime.datetime.now(datetime.UTC).timestamp():
                raise ValueError(f"{moment} is in the future")
            found = _last_until(store, wanted, last)
            if found < first:
                raise ValueError(f"{moment} is before the first transaction")
            return found
    if isinstance(moment, bool) or not isinstance(moment, int):
        raise TypeError(
            f"a moment has to be the id of a transaction or a datetime, not {moment!r}"
        )
    if moment < first:
        raise ValueError(f"there is no transaction {moment}")
    if moment > last:
        raise ValueError(
            f"there is no transaction {moment} yet; the last one is {last}"
        )
    return moment


def _aware(moment: datetime.datetime) -> datetime.datetime:
    if timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment, timezone.get_current_timezone())


def _last_until(store: ImmudbStore, wanted: float, last: int) -> int:
    """Return the last transaction of a time or before; 0 if there is none."""
    low, high = 0, last
    while low < high:
        middle = (low + high + 1) // 2
        with store.other() as connection:
            (one,) = connection.headers(middle, 1)
        if one.ts <= wanted:
            low = middle
        else:
            high = middle - 1
    return low
