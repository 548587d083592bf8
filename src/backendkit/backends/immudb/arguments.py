"""What a connection is made with: looked at before it is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any


class Secret(str):
    """
    A text that isn't shown where its ``repr()`` is.

    Pages and reports of errors show the local variables of each frame, and dictionaries
    of settings are among them.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


class _Hidden:
    """Something that was given for a secret and isn't a text."""

    def __repr__(self) -> str:
        return "********"


def hidden(value: Any) -> Any:
    """Return a password that isn't shown; an empty one as it is."""
    if value is None or value == "":
        return value
    return Secret(value) if isinstance(value, str) else _Hidden()


def _is_number(value: Any) -> bool:
    # Not NaN, and no more than gRPC can wait for: that is years.
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 < value < 10**9
    )


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _is_port(value: Any) -> bool:
    text = str(value)
    return text.isascii() and text.isdecimal() and 0 < int(text) < 2**16


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_SECONDS = _is_number, "a number of seconds above 0"
_PATH = _is_path, "the path of a file"
_TEXT = _is_text, "a text"
_FLAG = _is_flag, "True or False"

_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "ca": _PATH,
    "cert": _PATH,
    "connect_timeout": _SECONDS,
    "database": _TEXT,
    "host": _TEXT,
    "identity": _TEXT,
    "keepalive": _SECONDS,
    "key": _PATH,
    "max_tx_entries": (_is_count, "a number of rows, at least 1"),
    "password": _TEXT,
    "port": (_is_port, "a port, from 1 to 65,535"),
    "public_key": _PATH,
    "require_state": _FLAG,
    "server_name": _TEXT,
    "states": _PATH,
    "timeout": _SECONDS,
    "tls": _FLAG,
    "user": _TEXT,
}
#: Arguments that mean something else where they are None.
_NEEDED = frozenset(
    {
        "connect_timeout",
        "database",
        "host",
        "password",
        "port",
        "require_state",
        "tls",
        "user",
    }
)


def complaint(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """
    Look whether arguments of the driver can be what they are for.

    :return: the name of one that can't, and why; None if all can.
    """
    for name, value in arguments.items():
        if value is None and name not in _NEEDED:
            continue
        fits, wanted = _KINDS[name]
        if not fits(value):
            shown = "" if name == "password" else f", not {value!r}"
            return name, f"has to be {wanted}{shown}"
    return None
