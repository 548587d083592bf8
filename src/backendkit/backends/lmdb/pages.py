"""
Whether a data file has all of its pages.

LMDB reads the file through a memory map: a page that was cut off isn't an error
there but the end of the process, by SIGBUS. A healthy file may also be shorter than
its last page says, as LMDB doesn't write the pages that a transaction took and gave
back. What tells the two apart is LMDB's list of free pages, read here from the file
itself, in the format of LMDB 0.9 on this machine.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

#: Page number, padding, flags, lower and upper end of the free space.
_HEADER = struct.Struct("@NHHHH")
#: Magic, version, address and size of the map.
_META = struct.Struct("@IIPN")
#: Page size (of the first) or padding, flags, depth, three counts of pages, entries,
#: root page.
_TREE = struct.Struct("@IHHNNNNN")
#: Last page, number of the transaction.
_META_END = struct.Struct("@NN")
#: Low and high half of a size or page number, flags, size of the key.
_NODE = struct.Struct("@HHHH")
_NUMBER = struct.Struct("@N")

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 0x01, 0x02, 0x04, 0x08
_BIG_DATA = 0x01
_NO_PAGE = (1 << 8 * _NUMBER.size) - 1
#: How often to look again when another process commits meanwhile.
_ATTEMPTS = 20


class _DamagedError(Exception):
    """A page isn't there, or isn't what it should be."""


@dataclass(frozen=True, slots=True)
class _Meta:
    page_size: int
    free_root: int
    last_page: int
    transaction: int


def is_complete(path: str) -> bool:
    """
    Return whether a data file has all the pages that are in use.

    True for what isn't a data file at all: LMDB itself says that better.

    :param path: of the file.
    :raises OSError: it can't be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            meta = _newest(fd)
            # The size after the meta page: a commit makes the file grow first.
            size = os.fstat(fd).st_size
            if meta is None or size >= (meta.last_page + 1) * meta.page_size:
                return True
            if _missing_are_free(fd, meta, size):
                return True
            if _newest(fd) == meta:
                return False
        # Writers are busy with it, and they would have met the gap.
        return True
    finally:
        os.close(fd)


def _newest(fd: int) -> _Meta | None:
    """Return what the newer of the two meta pages says."""
    first = _meta(fd, 0)
    if first is None:
        return None
    second = _meta(fd, first.page_size)
    if second is None or second.transaction < first.transaction:
        return first
    return second


def _meta(fd: int, offset: int) -> _Meta | None:
    layout = (_HEADER, _META, _TREE, _TREE, _META_END)
    data = os.pread(fd, sum(part.size for part in layout), offset)
    parts = []
    position = 0
    for part in layout:
        if len(data) < position + part.size:
            return None
        parts.append(part.unpack_from(data, position))
        position += part.size
    header, meta, free, _, end = parts
    if not header[2] & _META_PAGE or meta[:2] != (_MAGIC, _VERSION):
        return None
    if free[0] < _HEADER.size:
        return None
    return _Meta(free[0], free[-1], *end)


def _missing_are_free(fd: int, meta: _Meta, size: int) -> bool:
    """Return whether all pages behind the end of the file are free ones."""
    # A page that is there in part only isn't there.
    missing = set(range(size // meta.page_size, meta.last_page + 1))
    try:
        for record in _free_records(fd, meta, meta.free_root, 0):
            missing.difference_update(record)
    except _DamagedError:
        return False
    return not missing


def _free_records(
    fd: int, meta: _Meta, number: int, depth: int
) -> Iterator[tuple[int, ...]]:
    """Iterate over the lists of free pages, one for each transaction that freed."""
    if number == _NO_PAGE:
        return
    page = _page(fd, meta, number)
    own, _, flags, lower, _ = _HEADER.unpack_from(page)
    if own != number or depth > 32 or not _HEADER.size <= lower <= len(page):
        raise _DamagedError
    try:
        count = (lower - _HEADER.size) // 2
        for node in struct.unpack_from(f"@{count}H", page, _HEADER.size):
            low, high, node_flags, key_size = _NODE.unpack_from(page, node)
            value = low | high << 16
            if flags & _BRANCH:
                # Page numbers have 48 bits: the flags are the third part.
                child = value | node_flags << 32
                yield from _free_records(fd, meta, child, depth + 1)
            elif flags & _LEAF:
                start = node + _NODE.size + key_size
                if node_flags & _BIG_DATA:
                    (first,) = _NUMBER.unpack_from(page, start)
                    yield _numbers(_overflow(fd, meta, first, value))
                else:
                    yield _numbers(page[start : start + value])
            else:
                raise _DamagedError
    except struct.error as error:
        raise _DamagedError from error


def _page(fd: int, meta: _Meta, number: int) -> bytes:
    page = os.pread(fd, meta.page_size, number * meta.page_size)
    if len(page) < meta.page_size:
        raise _DamagedError
    return page


def _overflow(fd: int, meta: _Meta, first: int, size: int) -> bytes:
    """Return a value that has pages of its own."""
    start = first * meta.page_size
    data = os.pread(fd, _HEADER.size + size, start)
    if len(data) < _HEADER.size + size:
        raise _DamagedError
    number, _, flags, *_ = _HEADER.unpack_from(data)
    if number != first or not flags & _OVERFLOW:
        raise _DamagedError
    return data[_HEADER.size :]


def _numbers(value: bytes) -> tuple[int, ...]:
    """Return the page numbers of a list, which begins with their count."""
    (count,) = _NUMBER.unpack_from(value)
    return struct.unpack_from(f"@{count}N", value, _NUMBER.size)
