"""The few pieces of SQL text that SQLite doesn't read for us."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from backendkit.stores import NotSupportedError

R = TypeVar("R")
#: Statements of so many characters aren't remembered: a list of a thousand of
#: them would take more memory than the time to read them again is worth.
_LONG = 10_000


def remembered(function: Callable[[str], R]) -> Callable[[str], R]:
    """Remember what a function of a statement gives; of long ones it isn't."""
    cached = functools.lru_cache(maxsize=1000)(function)

    @functools.wraps(function)
    def call(sql: str) -> R:
        return cached(sql) if len(sql) < _LONG else function(sql)

    return call


_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<string>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|[^\W\d]\w*)
    | (?P<other>.)
    """,
    re.X | re.S,
)


def words(sql: str) -> Iterator[str]:
    """Return what a statement consists of, without spaces and comments."""
    for match in _TOKEN.finditer(sql):
        if match.lastgroup != "space":
            yield match[0]


@remembered
def split(sql: str) -> tuple[str, ...]:
    """Split statements at their semicolons; without those that are empty."""
    statements = []
    start = 0
    parts: list[str] = []
    for match in _TOKEN.finditer(sql):
        if match.lastgroup == "space":
            continue
        if match[0] != ";":
            parts.append(match[0].upper())
        elif not parts:
            start = match.end()
        elif "TRIGGER" not in parts[:3] or parts[-1] == "END":
            statements.append(sql[start : match.end()])
            start = match.end()
            parts = []
    if parts:
        statements.append(sql[start:])
    return tuple(statements)


_FOR_UPDATE = re.compile(r"for\s+update")


@remembered
def without_for_update(sql: str) -> str | None:
    """
    Take FOR UPDATE out of a statement: SQLite has no such words.

    :returns: None if they aren't in it.
    :raises NotSupportedError: what stands behind them can't be done.
    """
    # Long statements are looked at each time: re.IGNORECASE takes ten times as long.
    if not _FOR_UPDATE.search(sql.lower()):
        return None
    tokens = [m for m in _TOKEN.finditer(sql) if m.lastgroup != "space"]
    kept, end = "", 0
    for number, (first, second) in enumerate(itertools.pairwise(tokens)):
        if (first[0].upper(), second[0].upper()) != ("FOR", "UPDATE"):
            continue
        option = tokens[number + 2][0].upper() if number + 2 < len(tokens) else ""
        if option in {"NOWAIT", "SKIP", "OF"}:
            # NOWAIT alone, SQLite would take for a table's other name.
            raise NotSupportedError(
                f"FOR UPDATE {option} isn't supported: there is one lock for the whole"
                " store, and who wants it waits."
            )
        kept, end = kept + sql[end : first.start()], second.end()
    return kept + sql[end:] if end else None


def index_parts(sql: str) -> tuple[list[str], str | None]:
    """
    Split a CREATE INDEX statement.

    :returns: the texts of its keys, without ASC, DESC and COLLATE, and that of
        its WHERE condition or None.
    """
    depth = 0
    parts: list[str] = []
    current: list[str] = []
    where: list[str] | None = None
    for match in _TOKEN.finditer(sql):
        text = match[0]
        if match.lastgroup == "other" and text == "(":
            depth += 1
            if depth == 1 and not parts and where is None:
                continue
        elif match.lastgroup == "other" and text == ")":
            depth -= 1
            if depth == 0 and where is None:
                parts.append("".join(current))
                current = []
                continue
        elif depth == 1 and text == "," and where is None:
            parts.append("".join(current))
            current = []
            continue
        if where is not None:
            where.append(text)
        elif depth >= 1:
            current.append(text)
        elif parts and text.upper() == "WHERE":
            where = []
    return [_bare(part) for part in parts], "".join(where) if where else None


def _bare(part: str) -> str:
    """Drop what stands behind a key's expression."""
    part = re.sub(r"\s+(ASC|DESC)\s*\Z", "", part.strip(), flags=re.I)
    collated = re.sub(r"\s+COLLATE\s+(\w+|\"[^\"]*\")\s*\Z", "", part, flags=re.I)
    return collated.strip()
