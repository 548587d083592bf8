"""What kind of statement an SQL text is."""

from __future__ import annotations

from enum import Enum

from .sqltext import remembered
from .tokens import Token, TokenKind, significant


class Kind(Enum):
    """Kinds of statement, by who runs them."""

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    TRANSACTION = "transaction"
    #: Answered from the schema: PRAGMAs and sqlite_master.
    SCHEMA = "schema"
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
    "PRAGMA": Kind.SCHEMA,
    "VACUUM": Kind.VACUUM,
}
#: What a statement may do that begins with common table expressions.
_VERBS = frozenset({"SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"})
_SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_schema", "sqlite_sequence"})


@remembered
def classify(sql: str) -> Kind:
    """Return the kind of a statement. What isn't known is left to SQLite to refuse."""
    kind = _KINDS.get(verb_of(sql), Kind.READ)
    if kind in (Kind.READ, Kind.WRITE) and _names_schema(sql):
        return Kind.SCHEMA
    return kind


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


def _names_schema(sql: str) -> bool:
    # Long statements are looked at each time, and to search for a word is fast.
    lower = sql.lower()
    if "sqlite_" not in lower and "pragma_" not in lower:
        return False
    before: Token | None = None
    for token in significant(sql):
        if token.keyword == "(" and before is not None and _is_name(before, "pragma_"):
            return True
        if _is_name(token, "sqlite_") and (token.name or "").lower() in _SCHEMA_TABLES:
            return True
        before = token
    return False


def _is_name(token: Token, prefix: str) -> bool:
    if token.kind not in (TokenKind.WORD, TokenKind.NAME):
        return False
    return (token.name or "").lower().startswith(prefix)
