"""Files with a verified state, which one client exports and another one imports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from backendkit.stores import OperationalError, shown

FORMAT = "django-backendkit immudb state"
VERSION = 1
#: No file is longer.
_BYTES = 100_000
_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Exported:
    """
    A state that a client has verified.

    :param database: the name that the database has on its server.
    :param tx: the last transaction that was verified.
    :param digest: its hash, 32 bytes.
    """

    database: str
    tx: int
    digest: bytes

    def document(self) -> dict[str, Any]:
        """Return what is in a file."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "database": self.database,
            "tx": self.tx,
            "hash": self.digest.hex(),
        }


def read(path: str) -> Exported:
    """
    Return the state that a file has.

    :raises OperationalError: it can't be read, or isn't such a file.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_BYTES + 1)
    except OSError as error:
        raise OperationalError(f"{path} can't be read: {error}") from error
    try:
        return _parse(data)
    except (RecursionError, ValueError) as error:
        raise OperationalError(
            f"{path} isn't a file that immudb_state has exported: {error}"
        ) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it says something twice")
    return found


def _parse(data: bytes) -> Exported:
    if len(data) > _BYTES:
        raise ValueError("it is too long")
    found: Any = json.loads(data.decode(), object_pairs_hook=_once)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"its format isn't {FORMAT!r}")
    version = found.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ValueError(
            f"its version is {shown(version)}, and this version of django-backendkit"
            f" knows {VERSION} only"
        )
    if found.keys() != {"format", "version", "database", "tx", "hash"}:
        raise ValueError("it has other keys")
    database, tx, digest = found["database"], found["tx"], found["hash"]
    if not isinstance(database, str):
        raise ValueError("its database isn't a name")
    if isinstance(tx, bool) or not isinstance(tx, int) or not 0 < tx < 2**63:
        raise ValueError("its tx isn't the id of a transaction")
    if (
        not isinstance(digest, str)
        or len(digest) != 64
        or not _DIGITS.issuperset(digest)
    ):
        raise ValueError("its hash isn't 64 hexadecimal digits")
    return Exported(database, tx, bytes.fromhex(digest))
