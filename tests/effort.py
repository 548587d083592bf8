"""How much the tests do, by the command that runs them."""

from __future__ import annotations

import os
from typing import TypeVar

Amount = TypeVar("Amount", int, float)

#: ``test`` is what a newcomer types, ``check`` is what CI runs, ``soak`` is the rest:
#: ``make test``, ``make check``, ``make soak`` set it.
LEVELS = ("test", "check", "soak")


def level() -> str:
    """
    Return the level of this run, one of :data:`LEVELS`.

    :raises ValueError: ``BACKENDKIT_TESTS`` names none of them.
    """
    name = os.environ.get("BACKENDKIT_TESTS", "test")
    if name not in LEVELS:
        raise ValueError(f"BACKENDKIT_TESTS={name!r} isn't one of {', '.join(LEVELS)}")
    return name


def effort(*, test: Amount, check: Amount | None = None, soak: Amount) -> Amount:
    """
    Return how many examples, kills, rows or seconds a test takes at this level.

    :param test: for ``make test``: enough to notice a fault of the kind.
    :param check: for ``make check``; that of ``test`` if it isn't given.
    :param soak: for ``make soak``: what is needed to say that none is left.
    """
    return {"test": test, "check": test if check is None else check, "soak": soak}[
        level()
    ]
