"""Dependency trees, built in memory from two queries."""

from __future__ import annotations

from dataclasses import dataclass, field

from .models import Dependency, Distribution


@dataclass
class Node:
    """
    A distribution at one place of a tree.

    :param specifier: the versions that its parent accepts.
    :param extra: the extra of its parent that asks for it.
    :param note: why its own dependencies aren't shown here, if so.
    """

    distribution: Distribution
    specifier: str = ""
    extra: str = ""
    note: str = ""
    children: list[Node] = field(default_factory=list)


class Graph:
    """Who needs whom."""

    def __init__(self, distributions, edges):
        self.distributions = distributions
        self.edges = {}
        self.needed = set()
        for source, target, specifier, extra in edges:
            self.edges.setdefault(source, []).append((target, specifier, extra))
            self.needed.add(target)

    @classmethod
    def load(cls, *, extras):
        """
        Read the graph.

        :param extras: whether optional dependencies count.
        """
        edges = Dependency.objects.order_by("target__slug", "target__version", "extra")
        if not extras:
            edges = edges.filter(extra="")
        distributions = Distribution.objects.only("name", "slug", "version", "size")
        return cls(
            distributions.in_bulk(),
            edges.values_list("source_id", "target_id", "specifier", "extra"),
        )

    def tree(self, key):
        """Return the tree below a distribution."""
        return self._node(key, "", "", frozenset(), set())

    def forest(self):
        """
        Return a tree for each distribution that has dependencies and is needed
        by none. Those in a ring that none outside needs are left out.
        """
        roots = [
            key
            for key in self.distributions
            if key in self.edges and key not in self.needed
        ]
        roots.sort(key=lambda key: self.distributions[key].slug)
        return [self.tree(key) for key in roots]

    def _node(self, key, specifier, extra, above, shown):
        node = Node(self.distributions[key], specifier, extra)
        if key in above:
            node.note = "ring"
        elif key in shown and key in self.edges:
            node.note = "shown above"
        else:
            shown.add(key)
            node.children = [
                self._node(target, wanted, by_extra, above | {key}, shown)
                for target, wanted, by_extra in self.edges.get(key, ())
            ]
        return node
