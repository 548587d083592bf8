"""
Text that begins with something, as ranges of an index.

LIKE ignores the case of ASCII letters, and an index doesn't: there is a range for each
way to write the first letters. The rest is compared row by row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

#: Lookups that only text with a certain beginning fulfils.
PREFIX_LOOKUPS = frozenset({"startswith", "istartswith", "iexact"})
#: Letters of which every way to write them is a range.
_LETTERS = 5
_LAST, _FIRST_SURROGATE, _BEHIND_SURROGATES = 0x10FFFF, 0xD800, 0xE000


def prefix_ranges(
    prefix: str, length: int | None, letters: int = _LETTERS
) -> Sequence[tuple[str, str]] | None:
    """
    Return ranges, the end excluded, that have all text with a beginning.

    They have other text, too. No two of them overlap.

    :param length: bytes that a text of the column may have; None for any number. The
        bounds have no more.
    :param letters: the most letters of which all ways to write them are told apart.
    :return: None if that would be all text; empty if no text of that length fits.
    """
    if length is not None and len(prefix.encode(errors="surrogatepass")) > length:
        return ()
    end = seen = 0
    for letter in prefix:
        seen += letter.isascii() and letter.isalpha()
        if seen > letters:
            break
        end += 1
    prefix = prefix[:end]
    while prefix:
        behind = _successor(prefix)
        if behind is not None and (length is None or len(behind.encode()) <= length):
            break
        prefix = prefix[:-1]
    if not prefix:
        return None
    ways = itertools.product(
        *(
            (one.upper(), one.lower()) if one.isascii() and one.isalpha() else (one,)
            for one in prefix
        )
    )
    return [(low, _successor(low) or "") for low in map("".join, ways)]


def _successor(text: str) -> str | None:
    """Return the first text behind all that begin with another; None if none is sure."""
    code = ord(text[-1]) + 1
    if code > _LAST or _FIRST_SURROGATE < code <= _BEHIND_SURROGATES:
        return None
    if code == _FIRST_SURROGATE:
        code = _BEHIND_SURROGATES
    return text[:-1] + chr(code)
