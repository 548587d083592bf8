"""What a child process does with an environment of its parent's: nothing it notices."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

import lmdb

#: Of mmap(2), on Linux: put the map where it is asked for.
_MAP_FIXED = 0x10


class Region(NamedTuple):
    """Where something is mapped in this process: address and length in bytes."""

    address: int
    length: int


def find_map(path: str) -> Region | None:
    """
    Return where a file is mapped to be written to; None if that can't be found out.

    :param path: the file's real path.
    """
    if sys.platform != "linux":
        return None
    try:
        with open("/proc/self/maps", "rb") as file:
            maps = file.read()
    except OSError:
        return None
    # The kernel writes an end of line so.
    name = os.fsencode(path).replace(b"\n", b"\\012")
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5] == name and fields[1] == b"rw-s":
            start, end = (int(address, 16) for address in fields[0].split(b"-"))
            return Region(start, end - start)
    return None


@functools.cache
def _mmap() -> Callable[..., int | None]:
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_void_p
    function.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    )
    return function


def detach(region: Region) -> bool:
    """
    Put empty memory of this process's own in the place of a map.

    What LMDB writes there from now on, when it ends the parent's transactions, nobody
    else sees.

    :returns: whether it could be done.
    """
    address = _mmap()(
        region.address,
        region.length,
        mmap.PROT_READ | mmap.PROT_WRITE,
        mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED,
        -1,
        0,
    )
    return address == region.address


def keep(environment: lmdb.Environment) -> None:
    """
    Keep an environment from being closed as its last reference goes.

    That may be at the end of the process, and wait for threads that aren't there.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(environment))


def let_go(environment: lmdb.Environment) -> None:
    """Undo :func:`keep`."""
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(environment))
