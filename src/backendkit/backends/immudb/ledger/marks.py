"""
A mark in the query of a verified query set, which keeps it from being run without proofs.

Django makes queries of query sets in many ways: ``|`` and ``union()`` from the other side,
subqueries, ``values()``, ``count()``, a pickled query. Whoever doesn't know of proofs
takes the mark along, and fails when SQL is made of it.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import NotSupportedError
from django.db.models import BooleanField, Expression
from django.db.models.sql import AND, Query
from django.db.models.sql.where import WhereNode


class Mark(Expression):
    """A condition that is true, and that nobody makes SQL of."""

    conditional = True
    output_field = BooleanField()

    def as_sql(self, compiler: Any, connection: Any) -> NoReturn:
        raise NotSupportedError(
            "A part of this query comes from a verified query set, and can't be proven"
            " here. Call verified() on the query set that you evaluate, or"
            " list() on the verified one."
        )


def mark(query: Query) -> None:
    """Mark a query: from now on it can't be run."""
    query.where.add(Mark(), AND)


def unmark(query: Query) -> None:
    """Let a query be run again; subqueries stay as they are."""
    query.where = _without(query.where)


def _without(node: WhereNode) -> WhereNode:
    kept = []
    for child in node.children:
        if isinstance(child, Mark):
            # Where it isn't one of several conditions that have to be true, nothing is
            # true, too.
            if node.connector != AND or node.negated:
                kept.append(WhereNode())
        else:
            kept.append(_without(child) if isinstance(child, WhereNode) else child)
    return node.create(kept, node.connector, node.negated)
