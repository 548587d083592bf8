"""What clients have written and seen, and whether a serial order explains it."""

import dataclasses
import math

#: A transaction raises the rows that it changes by a power of this.
BASE = 4
#: Rows that a transaction inserts and deletes, behind those that are there all the time:
#: each has its own.
INSERTED, DELETED = 1000, 2000


class Wrong(AssertionError):
    """No serial order explains what was seen."""


@dataclasses.dataclass(eq=False)
class Node:
    """
    A transaction, or some reads that belong together.

    :param writes: table and primary key of each row that it changes.
    :param large: whether it is more than one of immudb's.
    :param whole: whether all that it has seen is of one moment. What a transaction has
        read that wasn't committed is of one moment as far as large ones go.
    :param outcome: ``committed``, ``aborted``, ``unknown``; of mere reads, ``read``.
    :param seen: the value of each row that it has read, by table and primary key; None
        if there was none.
    """

    number: int
    begun: float
    writes: frozenset = frozenset()
    large: bool = False
    whole: bool = True
    outcome: str = "unknown"
    ended: float = math.inf
    seen: dict = dataclasses.field(default_factory=dict)

    @property
    def name(self):
        return f"{self.outcome} {'large ' if self.large else ''}{self.number}"

    def has_seen(self, other):
        """
        Return whether it has seen another one's changes; None if it hasn't looked.

        :raises Wrong: it has seen some of them.
        """
        answers = {}
        for place in self.seen.keys() & other.writes:
            answers.setdefault(_raised(self.seen[place], place, other.number), place)
        if len(answers) > 1:
            raise Wrong(f"{self.name} has seen a part of {other.name}: {answers}")
        return next(iter(answers), None)


def _raised(value, place, number):
    _, key = place
    if key >= DELETED:
        return value is None
    if value is None:
        return False
    times = value // BASE**number % BASE
    if times > 1:
        raise Wrong(f"{number} has raised {place} {times} times")
    return times == 1


def check(nodes):
    """
    Check that one order of all that was committed explains what each has seen.

    Who ended before another one began is before it.

    :raises Wrong: there is none.
    """
    writers = [node for node in nodes if node.writes]
    committed = {
        node
        for node in writers
        if node.outcome == "committed"
        or any(_has_part(one, node) for one in nodes if one is not node)
    }
    for node in committed:
        if node.outcome == "aborted":
            raise Wrong(f"somebody has seen {node.name}")
    after = {node: set() for node in nodes}
    for node in nodes:
        whole = node.whole and (node.outcome != "unknown" or node in committed)
        for other in committed:
            if other is not node and (whole or other.large):
                answer = node.has_seen(other)
                if answer:
                    after[other].add(node)
                elif answer is False:
                    after[node].add(other)
    order = [n for n in nodes if n in committed or n.outcome != "unknown"]
    known = set(order)
    for node in order:
        after[node] &= known
        after[node] |= {other for other in order if node.ended < other.begun}
    _check_order(order, after)


def _has_part(node, other):
    """Return whether it has seen anything of another one."""
    return any(
        _raised(node.seen[place], place, other.number)
        for place in node.seen.keys() & other.writes
    )


def _check_order(order, after):
    """Raise Wrong if one of them comes before itself."""
    before = dict.fromkeys(order, 0)
    for node in order:
        for other in after[node]:
            before[other] += 1
    free = [node for node in order if not before[node]]
    count = 0
    while free:
        count += 1
        for other in after[free.pop()]:
            before[other] -= 1
            if not before[other]:
                free.append(other)
    if count < len(order):
        knot = [
            f"{node.name} [{node.begun:.3f}, {node.ended:.3f}] before"
            f" {', '.join(one.name for one in after[node] if before[one])}"
            for node in order
            if before[node]
        ]
        raise Wrong("no order explains what was seen: " + "; ".join(knot))
