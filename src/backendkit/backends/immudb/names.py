"""
Names of tables and columns, as immudb takes them.

immudb folds identifiers to lower case, also in double quotes, and allows letters,
digits and underscores only. Plain lower-case names stay as they are; of others, each
odd character becomes its code point between ``_x`` and ``_``: ``Name`` is ``_x4e_ame``.
"""

from __future__ import annotations

import functools
import re

# What stays. An underscore that begins what looks like an escape doesn't, and neither
# does the first one of a name that immudb keeps for itself.
_ODD = re.compile(r"[^a-z0-9_]|_(?=x[0-9a-f]+_)|\A_(?=(?:rev|tx_metadata)\Z)")
_ESCAPE = re.compile(r"_x([0-9a-f]+)_")


@functools.lru_cache(maxsize=2_000)
def physical(name: str) -> str:
    """Return immudb's name for one of ours."""
    return _ODD.sub(lambda match: f"_x{ord(match[0]):x}_", name)


@functools.lru_cache(maxsize=2_000)
def logical(name: str) -> str:
    """Return our name for one of immudb's: the inverse of :func:`physical`."""
    try:
        return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), name)
    except (ValueError, OverflowError):  # no such code point: another client's name
        return name


@functools.lru_cache(maxsize=2_000)
def quoted(name: str) -> str:
    """Return one of our names for SQL. Quotes make reserved words names."""
    return f'"{physical(name)}"'
