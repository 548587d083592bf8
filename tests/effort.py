"""
How much the tests do, by the command that runs them, and what they draw at random.

``make test``, ``make check`` and ``make soak`` set ``BACKENDKIT_TESTS`` to the level.
``BACKENDKIT_SEED`` and ``BACKENDKIT_EXAMPLES`` are their variables ``SEED`` and
``EXAMPLES``; an empty one is as none.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from typing import TypeVar

import pytest

Amount = TypeVar("Amount", int, float)

#: ``test`` is what a newcomer types, ``check`` is what CI runs, ``soak`` is the rest.
LEVELS = ("test", "check", "soak")


def level() -> str:
    """
    Return the level of this run, one of :data:`LEVELS`.

    :raises ValueError: ``BACKENDKIT_TESTS`` names none of them.
    """
    name = os.environ.get("BACKENDKIT_TESTS") or "test"
    if name not in LEVELS:
        raise ValueError(f"BACKENDKIT_TESTS={name!r} isn't one of {', '.join(LEVELS)}")
    return name


def effort(*, test: Amount, check: Amount | None = None, soak: Amount) -> Amount:
    """
    Return how many rows, rounds or seconds a test takes at this level.

    :param test: for ``make test``: enough to notice a fault of the kind.
    :param check: for ``make check``; that of ``test`` if it isn't given.
    :param soak: for ``make soak``: what is needed to say that none is left.
    """
    return {"test": test, "check": test if check is None else check, "soak": soak}[
        level()
    ]


def examples(*, test: int, check: int | None = None, soak: int) -> int:
    """
    Return how many cases a test draws at random: examples, programs, kills.

    As :func:`effort`, but ``EXAMPLES`` takes the place of all three.
    """
    given = os.environ.get("BACKENDKIT_EXAMPLES")
    return int(given) if given else effort(test=test, check=check, soak=soak)


def later(test: Callable[..., None], name: str = "check") -> Callable[..., None]:
    """
    Return a test that a class inherits, for ``make check`` alone, or for another level.

    Of a contract that many stores keep, the tests that compare each filter with every
    other take most of the time: one store of a kind shows at ``make test`` that it holds.
    """

    @getattr(pytest.mark, name)
    @functools.wraps(test)
    def call(*arguments: object, **options: object) -> None:
        test(*arguments, **options)

    return call


def fixed() -> bool:
    """
    Return whether each run draws the same cases.

    ``make test`` and ``make check`` do, so that a change and nothing else makes them
    fail; ``make soak`` draws others each time, and so does whoever gives a ``SEED``.
    """
    return level() != "soak" and not os.environ.get("BACKENDKIT_SEED")


def seed() -> int:
    """
    Return the seed of this run. Pytest prints it above the tests.

    Where ``make soak`` is given none, the first process to ask draws one for all of
    the processes that it starts.
    """
    if fixed():
        return 1
    if not os.environ.get("BACKENDKIT_SEED"):
        os.environ["BACKENDKIT_SEED"] = str(random.SystemRandom().getrandbits(32))
    return int(os.environ["BACKENDKIT_SEED"])


def chance(*of: object) -> random.Random:
    """
    Return a source of random numbers for this run's seed.

    :param of: what it is for, such as the test's name and a number: each has numbers
        of its own, whatever else runs.
    """
    return random.Random("-".join(map(str, (seed(), *of))))
