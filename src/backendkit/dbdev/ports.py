"""A port for each instance."""

from __future__ import annotations

import hashlib
import socket

from backendkit.dbdev.errors import DbdevError

HOST = "127.0.0.1"
#: Below those from which Linux takes the ports of outgoing connections.
PORTS = range(20_000, 32_768)


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        # As servers do: connections that end don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody accepts connections on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def choose(key: str, *, after: int | None = None, without: int | None = None) -> int:
    """
    Return a free port, for the same key the same one if it can be.

    :param key: what tells this instance from others: its folder.
    :param after: one that isn't wanted any more.
    :param without: one that another instance has.
    :raises DbdevError: all are taken.
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    first = int.from_bytes(digest[:4]) if after is None else after - PORTS.start + 1
    for step in range(len(PORTS)):
        port = PORTS[(first + step) % len(PORTS)]
        if port != without and is_free(port):
            return port
    raise DbdevError(
        f"none of the ports from {PORTS.start} to {PORTS.stop - 1} is free"
    )
