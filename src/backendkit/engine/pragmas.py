"""PRAGMAs: which ones are about the schema, and what they say."""

from __future__ import annotations

from typing import NamedTuple

from .sqltext import remembered
from .tokens import significant

#: PRAGMAs about the schema; all others are about SQLite itself.
MIRRORED_PRAGMAS = frozenset(
    {
        "collation_list",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)


class Pragma(NamedTuple):
    """A PRAGMA's name in lower case, and its value without quotes if it has one."""

    name: str
    value: str | None


@remembered
def pragma_of(sql: str) -> Pragma | None:
    """Read a PRAGMA; None if the statement isn't one."""
    tokens = [token for token in significant(sql) if token.keyword != ";"]
    if not tokens or tokens[0].keyword != "PRAGMA":
        return None
    rest = tokens[1:]
    if len(rest) > 2 and rest[1].keyword == ".":
        rest = rest[2:]
    if not rest:
        return None
    value = None
    if len(rest) > 2 and rest[1].keyword in ("=", "("):
        value = "".join(token.name or token.text for token in rest[2:])
        value = value.removesuffix(")") if rest[1].keyword == "(" else value
    return Pragma((rest[0].name or rest[0].text).lower(), value)
