"""Names that a base class keeps for itself: a subclass that takes one is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

#: Classes that are tested together with their bases.
_OWN = "backendkit."


def refuse_taken_names(cls: type, base: type, free: Iterable[str]) -> None:
    """
    Refuse a subclass that takes a name which its base keeps for itself.

    Such a name would break the base silently. Taken is what the class, or another base
    of it, defines, and what their methods assign to ``self``.

    :param base: keeps all names that it, and its bases in this package, define or assign
        to ``self``.
    :param free: names among them that are there to be overridden or assigned.
    :raises TypeError: names the class, the method and the attribute.
    """
    if cls.__module__.startswith(_OWN):
        return
    kept = kept_names(base).difference(free)
    for one in cls.__mro__:
        if one.__module__.startswith(_OWN):
            continue
        for name, where in taken_names(one):
            if name in kept:
                raise TypeError(
                    f"{one.__module__}.{where} uses the name {name!r}, which"
                    f" {base.__name__} reserves for itself. Use another name, such as"
                    f" {'__' + name.lstrip('_')!r}: Python makes names with two"
                    " leading underscores private to the class."
                )


@cache
def kept_names(base: type) -> frozenset[str]:
    """Return the names that a class of this package, and its bases there, use."""
    return frozenset(
        name
        for one in base.__mro__
        if one.__module__.startswith(_OWN)
        for name, _ in taken_names(one)
    )


def taken_names(cls: type) -> Iterator[tuple[str, str]]:
    """Return names that a class takes, each with where it does."""
    for name, value in vars(cls).items():
        if not name.startswith("__"):
            yield name, cls.__qualname__
        function: Any = getattr(value, "__wrapped__", value)
        function = getattr(function, "fget", function)
        if isinstance(function, FunctionType):
            for attribute in _assigned(function.__code__):
                yield attribute, f"{cls.__qualname__}.{name}()"


def _assigned(code: CodeType) -> Iterator[str]:
    """Return the attributes that a method assigns to its first argument."""
    if code.co_argcount:
        from dis import get_instructions  # noqa: PLC0415  # only where there is a class to check

        yield from _assigned_to(code, code.co_varnames[0], get_instructions)


def _assigned_to(
    code: CodeType, owner: str, instructions: Callable[[CodeType], Any]
) -> Iterator[str]:
    before: Any = None
    for one in instructions(code):
        if one.opname == "STORE_ATTR" and _loads(before, owner):
            yield one.argval
        if one.opname != "EXTENDED_ARG":
            before = one
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and owner in constant.co_freevars:
            yield from _assigned_to(constant, owner, instructions)


def _loads(instruction: Any, name: str) -> bool:
    """Whether what an instruction puts on top of the stack is a variable."""
    if instruction is None:
        return False
    if "LOAD_FAST" not in instruction.opname and instruction.opname != "LOAD_DEREF":
        return False
    # An instruction may load two variables, or store one and load another.
    loaded = instruction.argval
    return bool((loaded[-1] if isinstance(loaded, tuple) else loaded) == name)
