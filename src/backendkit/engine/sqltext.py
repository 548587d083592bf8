"""What Django writes into statements and SQLite doesn't read as it is meant."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from typing import TypeVar

from backendkit.stores import NotSupportedError

from .tokens import TokenKind, has_keyword, significant

R = TypeVar("R")
#: Statements of so many characters aren't remembered: a list of a thousand of
#: them would take more memory than the time to read them again is worth.
_LONG = 10_000


def remembered(function: Callable[[str], R]) -> Callable[[str], R]:
    """Remember what a function of a statement gives; of long ones it isn't."""
    cached = functools.lru_cache(maxsize=500)(function)

    @functools.wraps(function)
    def call(sql: str) -> R:
        return cached(sql) if len(sql) < _LONG else function(sql)

    return call


@remembered
def split(sql: str) -> tuple[str, ...]:
    """Split statements at their semicolons; without those that are empty."""
    statements = []
    start = 0
    parts: list[str] = []
    for token in significant(sql):
        if token.keyword != ";":
            parts.append(token.keyword)
        elif not parts:
            start = token.end
        elif "TRIGGER" not in parts[:3] or parts[-1] == "END":
            statements.append(sql[start : token.end])
            start = token.end
            parts = []
    if parts:
        statements.append(sql[start:])
    return tuple(statements)


_FOR_UPDATE = re.compile(r"\bfor\b.{0,1000}?\bupdate\b", re.S)


@remembered
def without_for_update(sql: str) -> str | None:
    """
    Take FOR UPDATE out of a statement: SQLite has no such words.

    :returns: None if they aren't in it.
    :raises NotSupportedError: what stands behind them can't be done.
    """
    # Long statements are looked at each time: re.IGNORECASE takes ten times as long.
    lower = sql.lower()
    if "for" not in lower or not _FOR_UPDATE.search(lower):
        return None
    tokens = list(significant(sql))
    kept, end = "", 0
    for number, (first, second) in enumerate(itertools.pairwise(tokens)):
        if (first.keyword, second.keyword) != ("FOR", "UPDATE"):
            continue
        option = tokens[number + 2].keyword if number + 2 < len(tokens) else ""
        if option in {"NOWAIT", "SKIP", "OF"}:
            # NOWAIT alone, SQLite would take for a table's other name.
            raise NotSupportedError(
                f"FOR UPDATE {option} isn't supported: the whole store has a single"
                " lock, and transactions wait for it."
            )
        kept, end = kept + sql[end : first.start], second.end
    return kept + sql[end:] if end else None


_LIST = re.compile(r"\bIN\b(?!\s*\(\s*[?:'\d+-])", re.I)
_VALUES = frozenset(
    {TokenKind.BLOB, TokenKind.NUMBER, TokenKind.PARAMETER, TokenKind.STRING}
)


@remembered
def lists_are_literal(sql: str) -> bool:
    """
    Whether every IN of a statement is followed by a list of values.

    apsw 3.54 crashes on an empty set of values that is to be taken whole, and
    only a subquery can be empty. Taken one by one they work.
    """
    if _LIST.search(sql) is None:
        return True
    tokens = significant(sql)
    for token in tokens:
        if token.keyword != "IN":
            continue
        opening, first = next(tokens, None), next(tokens, None)
        if (
            opening is None
            or first is None
            or opening.keyword != "("
            or not (first.kind in _VALUES or first.keyword in ("+", "-"))
        ):
            return False
    return True


def is_backup(sql: str) -> bool:
    """Whether a VACUUM writes a copy elsewhere."""
    return has_keyword(sql, "INTO")
