"""Whether anybody may look at a statement on its way to the engine."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from django.db.backends import utils
from django.db.backends.base import base
from django.utils import asyncio

from backendkit.engine import dbapi

if TYPE_CHECKING:
    from .base import NonrelDatabaseWrapper

#: Methods that make a cursor. Monitoring tools replace them in a connection, too.
_MAKERS = (
    *("create_cursor", "cursor", "chunked_cursor"),
    *("_cursor", "_prepare_cursor", "make_cursor"),
)
#: Methods that a statement passes through.
_PASSED = ("__init__", "execute", "_execute_with_wrappers", "_execute")
_OWN = [vars(module) for module in (utils, base, asyncio)]


def is_observed(wrapper: NonrelDatabaseWrapper) -> bool:
    """
    Whether there is something between a connection and its engine that isn't Django.

    A statement that is run without SQL has its text written before then. Otherwise
    nobody would see it, and to write it takes longer than to find a row.
    """
    if wrapper.execute_wrappers or wrapper.queries_logged:
        return True
    connection = wrapper.connection
    if connection is not None and type(connection) is not dbapi.Connection:
        return True
    cursor = utils.CursorWrapper
    way = (
        *[getattr(getattr(wrapper, name), "__func__", None) for name in _MAKERS],
        *[getattr(cursor, name) for name in _PASSED],
    )
    return way not in _UNOBSERVED and not _is_djangos(way)


#: Ways that were looked at: tools are installed once.
_UNOBSERVED: set[tuple[Any, ...]] = set()


def _is_djangos(way: tuple[Any, ...]) -> bool:
    """Whether all of these functions are Django's, and the first one is ours."""
    create, *others = way
    if getattr(create, "__module__", "") != "backendkit.nonrel.base":
        return False
    if not all(map(_is_plain, others)):
        return False
    _UNOBSERVED.clear()
    _UNOBSERVED.add(way)
    return True


def _is_plain(function: Any) -> bool:
    # A wrapper takes over a function's name and module, but not its globals.
    return type(function) is FunctionType and any(
        function.__globals__ is own for own in _OWN
    )
