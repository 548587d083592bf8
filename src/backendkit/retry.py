"""
Run a transaction again after a conflict with another one.

If writers don't wait for each other, or transactions are serializable, a database
refuses a transaction that has read data which another one has changed meanwhile.
Nothing of it was kept, so you can run it again::

    from backendkit.retry import retry

    @retry
    def transfer(source_id, target_id, amount):
        source = Account.objects.get(pk=source_id)
        ...

The function runs in :func:`~django.db.transaction.atomic`, so that all of it is undone
before it runs again. What it does beside the database isn't: send mail in
:func:`~django.db.transaction.on_commit`.

Why not a library: what is to be retried is a transaction, from outside of its
outermost ``atomic()`` up to the end of its commit, and no further. Most of this module
is about that; the loop is the smaller part. There is no ``for attempt in …: with
attempt:``, because of the commit: it is at the end of such a block that it fails, and a
``return`` or ``break`` in the block would leave the loop as if it hadn't.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar, overload

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.transaction import TransactionManagementError

from backendkit import clock
from backendkit.backoff import Backoff, Pace
from backendkit.stores import ConflictError, UnknownOutcomeError

__all__ = ["is_conflict", "retry"]

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

#: SQLSTATEs of a serialization failure and of a deadlock, as PostgreSQL and databases
#: that speak its protocol send them
#: (https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html).
_SQLSTATES = frozenset({"40001", "40P01"})


@overload
def retry(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def retry(
    *,
    using: str | None = None,
    attempts: int | None = None,
    timeout: float | None = 30.0,
    delay: float | None = None,
    longest: float = 1.0,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def retry(
    function: Callable[..., Any] | None = None,
    /,
    *,
    using: str | None = None,
    attempts: int | None = None,
    timeout: float | None = 30.0,
    delay: float | None = None,
    longest: float = 1.0,
) -> Any:
    """
    Return a function that runs in a transaction, again after a conflict.

    A decorator, with arguments or without. Before each further attempt it sleeps for a
    random time. The longest such time is twice what an attempt takes, as this process
    has measured it, and doubles with each attempt ("full jitter").

    In a :class:`~django.test.TestCase`, whose own transaction can't be run again, there
    is one attempt.

    :param using: alias of the database; None for the default one.
    :param attempts: how often it is run at most, at least 1; None for no limit.
    :param timeout: seconds from the first attempt's beginning, after which no other one
        begins; None for no limit.
    :param delay: the longest time to sleep before the second attempt, in seconds; None
        to measure.
    :param longest: seconds to sleep at most.
    :raises django.db.transaction.TransactionManagementError: called in an ``atomic()`` block of the same
        database, by ``ATOMIC_REQUESTS`` as well, or with autocommit off: a part of a
        transaction can't be run again.
    :raises TypeError: decorates a coroutine function or a generator function.
    """
    if attempts is not None and attempts < 1:
        raise ValueError(f"attempts has to be at least 1, not {attempts}")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        for kind in (
            inspect.iscoroutinefunction,
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
        ):
            if kind(function):
                raise TypeError(
                    f"retry() can't run {function!r}, because it does its work only"
                    " after it has returned. Decorate a plain function."
                )

        pace = Pace()

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            alias = using or DEFAULT_DB_ALIAS
            most = 1 if _in_test_case(alias, function) else attempts
            backoff = Backoff(pace, step=delay, longest=longest, budget=timeout)
            while True:
                committed: list[bool] = []
                began = clock.monotonic()
                try:
                    with transaction.atomic(using=alias):
                        # The first hook: others may fail after the commit.
                        transaction.on_commit(lambda: committed.append(True), alias)  # noqa: B023  # called before the next attempt
                        return function(*args, **kwargs)
                except Error as error:
                    if committed or not is_conflict(error):
                        raise
                    pace.note(clock.monotonic() - began)
                    number = backoff.runs
                    pause = None if number == most else backoff.pause()
                    if pause is None:
                        error.add_note(
                            f"retry: gave up after {number} attempts in"
                            f" {backoff.elapsed:.1f} s"
                        )
                        raise
                    logger.info("%s: attempt %d: %s", run.__qualname__, number, error)
                time.sleep(pause)

        return run

    return decorate if function is None else decorate(function)


def _in_test_case(alias: str, function: Callable[..., Any]) -> bool:
    """
    Return whether all transactions around are those of a test case.

    :raises TransactionManagementError: there is another one.
    """
    connection = connections[alias]
    if not connection.in_atomic_block:
        if connection.get_autocommit():
            return False
        where = "while autocommit is off"
    elif all(block._from_testcase for block in connection.atomic_blocks):
        return True
    else:
        where = "inside of atomic()"
    raise TransactionManagementError(
        f"retry: {function.__qualname__}() can't be run again {where}: earlier"
        " changes of the same transaction would be lost. Decorate the function that"
        " begins the transaction. If ATOMIC_REQUESTS is set, decorate the view with"
        " non_atomic_requests, too."
    )


def is_conflict(error: BaseException) -> bool:
    """
    Return whether an error says that a transaction may be run again.

    Itself or one that it came from, as ``__cause__`` or ``__context__``: a
    :exc:`~backendkit.stores.ConflictError`; an error with SQLSTATE 40001 (serialization
    failure) or 40P01 (deadlock); SQLite's "database is locked". If there is also an
    :exc:`~backendkit.stores.UnknownOutcomeError` among them, it may not: the transaction
    may have been committed.
    """
    chain = list(_chain(error))
    if any(isinstance(one, UnknownOutcomeError) for one in chain):
        return False
    return any(map(_is_conflict, chain))


def _is_conflict(error: BaseException) -> bool:
    if isinstance(error, ConflictError):
        return True
    if isinstance(error, sqlite3.Error):
        # The low byte: all kinds of busy.
        # https://www.sqlite.org/rescode.html#primary_result_codes_versus_extended_result_codes
        code = getattr(error, "sqlite_errorcode", 0)
        return code & 0xFF == sqlite3.SQLITE_BUSY
    # psycopg's name and psycopg2's.
    states = getattr(error, "sqlstate", None), getattr(error, "pgcode", None)
    return any(state in _SQLSTATES for state in states)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and all that it came from, each once."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in found:
            found[id(one)] = one
            waiting += [one.__cause__, one.__context__]
    return iter(found.values())
