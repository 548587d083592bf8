"""BEGIN, COMMIT, ROLLBACK, SAVEPOINT and RELEASE, read from their text."""

from __future__ import annotations

from typing import NamedTuple

from backendkit.stores import OperationalError

from .tokens import Token, TokenKind, significant

_MODES = ("DEFERRED", "IMMEDIATE", "EXCLUSIVE")
_NAMES = frozenset({TokenKind.NAME, TokenKind.STRING, TokenKind.WORD})


class Command(NamedTuple):
    """
    A command that begins or ends a transaction, or a part of it.

    :param verb: ``BEGIN``, ``COMMIT``, ``ROLLBACK``, ``SAVEPOINT``, ``RELEASE``, or
        ``ROLLBACK TO``.
    :param mode: of BEGIN, in upper case; "" if it names none.
    :param savepoint: its name in lower case; "" for a command without one.
    """

    verb: str
    mode: str = ""
    savepoint: str = ""


def command_of(sql: str) -> Command:
    """
    Read a command (https://www.sqlite.org/lang_transaction.html).

    :raises OperationalError: SQLite's grammar has no such command.
    """
    tokens = [token for token in significant(sql) if token.keyword != ";"]
    command = _command(tokens)
    if command is None or tokens:
        raise OperationalError(f"syntax error: {sql}")
    return command


def _command(tokens: list[Token]) -> Command | None:
    """Take a command off the front of tokens; None if there is none."""
    verb = tokens.pop(0).keyword if tokens else ""
    if verb == "BEGIN":
        mode = tokens.pop(0).keyword if _at(tokens, *_MODES) else ""
        _transaction(tokens)
        return Command(verb, mode)
    if verb in ("COMMIT", "END"):
        _transaction(tokens)
        return Command("COMMIT")
    if verb == "ROLLBACK":
        _transaction(tokens)
        if not _at(tokens, "TO"):
            return Command(verb)
        tokens.pop(0)
        verb = "ROLLBACK TO"
    elif verb not in ("SAVEPOINT", "RELEASE"):
        return None
    if verb != "SAVEPOINT" and len(tokens) > 1 and _at(tokens, "SAVEPOINT"):
        tokens.pop(0)
    if not tokens or tokens[0].kind not in _NAMES:
        return None
    return Command(verb, savepoint=(tokens.pop(0).name or "").lower())


def _at(tokens: list[Token], *keywords: str) -> bool:
    return bool(tokens) and tokens[0].keyword in keywords


def _transaction(tokens: list[Token]) -> None:
    """Leave out TRANSACTION and the name that SQLite ignores behind it."""
    if _at(tokens, "TRANSACTION"):
        tokens.pop(0)
        if tokens and tokens[0].kind in _NAMES and not _at(tokens, "TO"):
            tokens.pop(0)
