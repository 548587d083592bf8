"""The plans of prepared statements, by the numbers that SQLite has for them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .vtab import Layout, Plan, VirtualTable

_numbers = itertools.count()


class Plans:
    """
    Plans that statements refer to.

    SQLite doesn't tell when it forgets a statement. So from time to time a connection
    begins anew, with all statements to be prepared again. One that is running keeps
    the plans that it began with. No number is given twice.
    """

    #: So many of them, and a connection begins anew: more than 500 statements have,
    #: which is how many it remembers.
    MOST = 2000

    def __init__(self) -> None:
        self._plans: dict[int, tuple[Plan, Layout]] = {}
        self._numbers: dict[tuple[VirtualTable, Plan], int] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._plans)

    def __getitem__(self, number: int) -> tuple[Plan, Layout]:
        """Return a plan and what it fetches."""
        return self._plans[number]

    def number(self, virtual: VirtualTable, plan: Plan) -> int | None:
        """Return the number of a plan for a table; None if it is new."""
        return self._numbers.get((virtual, plan))

    def add(self, virtual: VirtualTable, key: Plan, plan: Plan, layout: Layout) -> int:
        """
        Remember a plan; return its number.

        :param key: the plan without what differs from time to time.
        """
        number = self._numbers[virtual, key] = next(_numbers)
        self._plans[number] = plan, layout
        return number

    def keep(self, number: int, others: Plans) -> None:
        """Remember one of others under its number."""
        self._plans[number] = others[number]
