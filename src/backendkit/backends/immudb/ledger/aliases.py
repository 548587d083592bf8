"""Aliases of databases as they were, under which Django has their connections."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from backendkit.stores import Mutex


class PastAlias(str):
    """
    The alias of a database as it was.

    Its connection, one in each thread that asks, is there as long as something refers
    to the alias: a query set, or an object that came from it.

    :ivar present: the alias of the database itself.
    :ivar tx: the last transaction that is seen.
    """

    present: str
    tx: int

    @classmethod
    def of(cls, present: str, tx: int) -> PastAlias:
        """Return the one alias for a database and a transaction."""
        name = f"{present} as of transaction {tx}"
        with _lock:
            found = _aliases.get(name)
            if found is None:
                found = cls(name)
                found.present, found.tx = present, tx
                _aliases[name] = found
        return found

    def __reduce__(self) -> Any:
        return _restored, (self.present, self.tx)

    def enter(self) -> None:
        """Let this thread's ``connections`` have it."""
        here = _of_this_thread()
        # A plain text: what is in there mustn't keep the alias alive.
        name = str(self)
        # In asynchronous code, a thread has several contexts, each with its connections.
        there = _is_there(name)
        if there and name in here.known and here.known[name]() is self:
            return
        here.tidy_up()
        if name not in here.known or not there:
            from .past import PastWrapper  # noqa: PLC0415  # gRPC is loaded when it is used

            connections[name] = PastWrapper(
                connections[self.present].settings_dict,
                name,
                present=self.present,
                tx=self.tx,
            )
        here.known[name] = weakref.ref(self, lambda _: here.gone.append(name))


def _restored(present: str, tx: int) -> PastAlias:
    """Return the alias that was pickled: objects that have it go on reading."""
    alias = PastAlias.of(present, tx)
    alias.enter()
    return alias


_lock = Mutex()
_aliases: weakref.WeakValueDictionary[str, PastAlias] = weakref.WeakValueDictionary()


class _Here:
    """
    What a thread has.

    :ivar known: the aliases of which it has connections.
    :ivar gone: those to which nothing refers any more; any thread adds to it.
    """

    def __init__(self) -> None:
        self.known: dict[str, weakref.ref[PastAlias]] = {}
        self.gone: list[str] = []

    def tidy_up(self) -> None:
        """Close connections that nobody can ask for."""
        while self.gone:
            name = self.gone.pop()
            # It may have been made again since.
            if name in self.known and self.known[name]() is None:
                del self.known[name]
                if _is_there(name):
                    connections[name].close()
                    del connections[name]


def _is_there(name: str) -> bool:
    """Whether there is a connection under an alias, here."""
    try:
        return connections[name] is not None
    except ConnectionDoesNotExist:
        return False


_threads = threading.local()


def _of_this_thread() -> _Here:
    try:
        found: _Here = _threads.here
    except AttributeError:
        found = _threads.here = _Here()
    return found


def enter(using: str) -> None:
    """Let this thread have the connection of an alias, if it is one of the past."""
    if isinstance(using, PastAlias):
        using.enter()


def present_of(using: str) -> str:
    """Return the alias of the database itself."""
    return using.present if isinstance(using, PastAlias) else using
