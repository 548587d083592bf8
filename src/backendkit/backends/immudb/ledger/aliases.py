"""Aliases of databases as they were, under which Django has their connections."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from django.db import connections


class PastAlias(str):
    """
    The alias of a database as it was.

    Its connection, one in each thread that asks, is there as long as something refers
    to the alias: a query set, or an object that came from it.

    :param present: the alias of the database itself.
    :param tx: the last transaction that is seen.
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
        known = _known()
        if self in known:
            return
        for name in [name for name, alias in known.items() if alias() is None]:
            connections[name].close()
            del connections[name], known[name]
        # A plain text: what is in there mustn't keep the alias alive.
        name = str(self)
        settings = connections[self.present].settings_dict
        from .past import PastWrapper  # noqa: PLC0415  # gRPC is loaded when it is used

        connections[name] = PastWrapper(
            settings, name, present=self.present, tx=self.tx
        )
        known[name] = weakref.ref(self)


def _restored(present: str, tx: int) -> PastAlias:
    """Return the alias that was pickled: objects that have it go on reading."""
    alias = PastAlias.of(present, tx)
    alias.enter()
    return alias


_lock = threading.Lock()
_aliases: weakref.WeakValueDictionary[str, PastAlias] = weakref.WeakValueDictionary()
_here = threading.local()


def _known() -> dict[str, weakref.ref[PastAlias]]:
    """Return the aliases of which this thread has connections."""
    try:
        found: dict[str, weakref.ref[PastAlias]] = _here.known
    except AttributeError:
        found = _here.known = {}
    return found


def enter(using: str) -> None:
    """Let this thread have the connection of an alias, if it is one of the past."""
    if isinstance(using, PastAlias):
        using.enter()


def present_of(using: str) -> str:
    """Return the alias of the database itself."""
    return using.present if isinstance(using, PastAlias) else using
