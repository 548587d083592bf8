"""
The format of a store: who wrote it, and which releases can read it.

======= =====================================================================
Format  What it has
======= =====================================================================
1       all that follows from :mod:`.layout` and :mod:`.keys`
2       shortened index entries, too; see :mod:`.indexes`
======= =====================================================================

A store begins with format 1, and gets the next one with the first entry that needs
it: until then, older releases can open it.
"""

from __future__ import annotations

import json
from typing import Final, Protocol

from backendkit.stores import OperationalError

from .layout import FORMAT_KEY, FORMAT_NAME

#: The format of a new store, and the newest one: one that is newer is refused.
_FIRST: Final = 1
NEWEST: Final = 2
#: What has shortened index entries has this format at least.
SHORTENED_ENTRIES: Final = 2


class _Putting(Protocol):
    def put(self, key: bytes, value: bytes, /) -> object: ...


def initialize(transaction: _Putting) -> None:
    """Mark an empty engine as a store of this package, in a transaction of its."""
    transaction.put(FORMAT_KEY, _marker(_FIRST))


def check_format(marker: bytes | None, where: str) -> None:
    """
    Check the marker that :func:`initialize` left.

    :param marker: the value of :data:`~.layout.FORMAT_KEY`.
    :param where: what to call the store in messages.
    :raises OperationalError: there is none, or it is from a newer release.
    """
    if marker is None:
        raise OperationalError(f"{where} is not a database of {FORMAT_NAME}")
    try:
        document = json.loads(marker)
        name, number = str(document["name"]), int(document["format"])
    except (ValueError, KeyError, RecursionError, TypeError, OverflowError) as error:
        raise OperationalError(f"{where} is not a database of {FORMAT_NAME}") from error
    if name != FORMAT_NAME:
        raise OperationalError(f"{where} is a database of {name}")
    if number > NEWEST:
        raise OperationalError(
            f"{where} has format {number}, but this release of {FORMAT_NAME} only"
            f" reads formats up to {NEWEST}. Upgrade it."
        )


def raised(marker: bytes | None, number: int) -> bytes | None:
    """
    Return a store's marker for a format, or None if it has that or a newer one.

    :param marker: the present one.
    """
    if marker is not None and json.loads(marker)["format"] >= number:
        return None
    return _marker(number)


def _marker(number: int) -> bytes:
    return json.dumps({"name": FORMAT_NAME, "format": number}).encode()
