"""Versions of Django, and ranges of them: no more of PEP 440 than data needs."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from itertools import takewhile

Version = tuple[int, ...]

_OPERATORS: dict[str, Callable[[Version, Version], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def parse_version(text: str) -> Version:
    """``6.1.3`` as (6, 1, 3); ``6.1rc1`` as (6, 1)."""
    numbers = takewhile(bool, re.findall(r"(?:^|\.)(\d+)", text))
    return tuple(int(number) for number in numbers)


def in_range(version: str, spec: str) -> bool:
    """
    Whether a version is in a range such as ``>=6.0,<6.2``.

    Only as many numbers are compared as the range gives: 6.1.3 is ``==6.1`` and
    ``<=6.1``, and isn't ``>6.1``. An empty range holds every version.

    Raises:
        ValueError: the range can't be read.

    """
    parsed = parse_version(version)
    for part in filter(None, (part.strip() for part in spec.split(","))):
        found = re.fullmatch(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)", part)
        if not found:
            raise ValueError(f"not a range of versions: {spec!r}")
        limit = parse_version(found[2])
        padded = (parsed + (0,) * len(limit))[: len(limit)]
        if not _OPERATORS[found[1]](padded, limit):
            return False
    return True


def possible(spec: str) -> bool:
    """
    Whether some version is in a range.

    Raises:
        ValueError: the range can't be read.

    """
    limits = [parse_version(text) for text in re.findall(r"\d+(?:\.\d+)*", spec)]
    # At, just above and just below each limit: a range that holds none is empty.
    near = [version for limit in limits for version in _around(limit)]
    return any(in_range(".".join(map(str, v)), spec) for v in near or [(1,)])


def _around(limit: Version) -> list[Version]:
    *rest, last = limit
    below = (*rest, last - 1) if last else (*rest[:-1], rest[-1] - 1) if rest else ()
    around = [limit, (*rest, last + 1), (*limit, 1)]
    return [*around, below, (*below, 99)] if below and min(below) >= 0 else around
