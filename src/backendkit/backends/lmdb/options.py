"""The options of the LMDB store."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from backendkit.stores import InterfaceError

_MIB = 1 << 20
#: What is reserved if it can be had. Address space, not memory: it costs nothing.
RESERVE = (1 << 40) if sys.maxsize > 1 << 32 else (1 << 30)


class OptionsError(InterfaceError, ValueError):
    """The configuration is wrong; the message says what is right."""


@dataclass(frozen=True, slots=True)
class LMDBOptions:
    """
    How an LMDB environment is opened; ``DATABASES[…]["OPTIONS"]`` in Django.

    :param map_size: bytes that the data file has to find room for in the address
        space of the process; else opening fails. More is reserved where it can be
        had, 1 TiB on 64 bits, and the file grows into it by itself.
    :param max_size: greatest size of the data file in bytes, of which this process
        makes it no larger. None: what the disk and the address space allow.
    :param sync: what commit waits for. ``"full"`` (or True): all is on disk.
        ``"meta"``: a system crash may undo the last transaction. ``"none"``
        (or False): a system crash may lose the database, a crash of the process
        loses nothing.
    :param max_readers: how many transactions may read at the same time, in all
        processes together. Set by the process that opens the database first.
    :param readonly: whether writing is refused. The database has to exist.
    :param timeout: seconds that a transaction waits for the right to write.
    :param transaction_mode: when a transaction takes the right to write:
        ``"DEFERRED"``: with its first write; ``"IMMEDIATE"``: as it begins.
        As in Django's SQLite backend; used by the layers above.
    :raises OptionsError: a value is of another type, or out of range.
    """

    map_size: int = _MIB
    max_size: int | None = None
    sync: bool | Literal["full", "meta", "none"] = True
    max_readers: int = 510
    readonly: bool = False
    timeout: float = 5.0
    transaction_mode: Literal["DEFERRED", "IMMEDIATE"] = "DEFERRED"

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> LMDBOptions:
        """
        Return options by name.

        :raises OptionsError: a name isn't known, or a value is wrong.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, 1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise OptionsError(
                    f"unknown option {name!r} of the LMDB store.{hint} The options"
                    f" are: {', '.join(known)}."
                )
        return cls(**options)

    def __post_init__(self) -> None:
        self._int("map_size", self.map_size, _MIB, "bytes")
        if self.max_size is not None:
            self._int("max_size", self.max_size, self.map_size, "bytes")
        self._int("max_readers", self.max_readers, 1, "readers")
        if not isinstance(self.readonly, bool):
            raise self._wrong("readonly", self.readonly, "True or False")
        if not isinstance(self.sync, bool) and self.sync not in _SYNC:
            raise self._wrong(
                "sync", self.sync, 'True, False, "full", "meta" or "none"'
            )
        timeout: object = self.timeout
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, (int, float))
            or not 0 <= timeout < _YEAR
        ):
            raise self._wrong("timeout", timeout, "a number of seconds, 0 or more")
        if self.transaction_mode not in _MODES:
            raise self._wrong(
                "transaction_mode", self.transaction_mode, '"DEFERRED" or "IMMEDIATE"'
            )

    def _int(self, name: str, value: object, least: int, unit: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, value, f"an integer, in {unit}")
        if value < least:
            raise self._wrong(name, value, f"at least {least} {unit}")
        if value > sys.maxsize:
            raise self._wrong(name, value, f"at most {sys.maxsize} {unit}")

    @staticmethod
    def _wrong(name: str, value: object, right: str) -> OptionsError:
        return OptionsError(
            f"option {name!r} of the LMDB store has to be {right}, not {value!r}"
        )

    @property
    def durability(self) -> str:
        """``sync`` as a word: full, meta or none."""
        if isinstance(self.sync, bool):
            return "full" if self.sync else "none"
        return self.sync


_SYNC = ("full", "meta", "none")
_MODES = ("DEFERRED", "IMMEDIATE")
_YEAR = 366 * 86_400
