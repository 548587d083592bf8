"""What kind of statement an SQL text is."""

from __future__ import annotations

from enum import Enum

from .sqltext import remembered
from .tokens import significant


class Kind(Enum):
    """Kinds of statement, by who runs them."""

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    TRANSACTION = "transaction"
    PRAGMA = "pragma"
    VACUUM = "vacuum"


_KINDS = {
    "SELECT": Kind.READ,
    "VALUES": Kind.READ,
    "EXPLAIN": Kind.READ,
    "INSERT": Kind.WRITE,
    "REPLACE": Kind.WRITE,
    "UPDATE": Kind.WRITE,
    "DELETE": Kind.WRITE,
    "CREATE": Kind.DDL,
    "DROP": Kind.DDL,
    "ALTER": Kind.DDL,
    "BEGIN": Kind.TRANSACTION,
    "COMMIT": Kind.TRANSACTION,
    "END": Kind.TRANSACTION,
    "ROLLBACK": Kind.TRANSACTION,
    "SAVEPOINT": Kind.TRANSACTION,
    "RELEASE": Kind.TRANSACTION,
    "PRAGMA": Kind.PRAGMA,
    "VACUUM": Kind.VACUUM,
}
#: What a statement may do that begins with common table expressions.
_VERBS = frozenset({"SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"})


@remembered
def classify(sql: str) -> Kind:
    """Return the kind of a statement. What isn't known is left to SQLite to refuse."""
    return _KINDS.get(verb_of(sql), Kind.READ)


def verb_of(sql: str) -> str:
    """Return the word that says what a statement does, in upper case; "" for none."""
    tokens = significant(sql)
    verb = next((token.keyword for token in tokens if token.keyword != ";"), "")
    if verb != "WITH":
        return verb
    depth = 0
    for token in tokens:
        depth += (token.keyword == "(") - (token.keyword == ")")
        if depth == 0 and token.keyword in _VERBS:
            return token.keyword
    return ""
