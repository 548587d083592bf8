"""What kind of statement an SQL text is, and statements that are more than text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import apsw

from backendkit.stores import NotSupportedError, OperationalError

from .sqltext import remembered, words
from .values import adapt

#: PRAGMAs about the schema; all others are about SQLite itself.
MIRRORED_PRAGMAS = frozenset(
    {
        "collation_list",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)


class Kind(Enum):
    """Kinds of statement, by who runs them."""

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    TRANSACTION = "transaction"
    #: Answered from the schema: PRAGMAs and sqlite_master.
    SCHEMA = "schema"
    VACUUM = "vacuum"


_SPACE = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*"
_FIRST_WORD = re.compile(_SPACE + r"([A-Za-z]+)", re.S)
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
_WRITES = re.compile(r"\b(INSERT|REPLACE|UPDATE|DELETE)\b", re.I)
_SCHEMA_TABLES = re.compile(
    r"\bsqlite_(?:master|schema|sequence)\b|\bpragma_\w+\s*\(", re.I
)
_SEQUENCE = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:main\s*\.\s*)?[\"'`\[]?sqlite_sequence\b", re.I
)
_NAME = r'"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|[^\W\d]\w*'


@remembered
def classify(sql: str) -> Kind:
    """Return the kind of a statement. What isn't known is left to SQLite to refuse."""
    first = _FIRST_WORD.match(sql)
    word = first[1].upper() if first else ""
    if word == "WITH":
        # A false alarm costs the right to write, not a wrong answer.
        kind = Kind.WRITE if _WRITES.search(sql) else Kind.READ
    else:
        kind = _KINDS.get(word, Kind.READ)
    if kind in (Kind.READ, Kind.WRITE):
        # Long statements are looked at each time, and to search for a word is fast.
        lower = sql.lower()
        rare = "sqlite_" in lower or "pragma_" in lower
        if rare and _SCHEMA_TABLES.search(sql):
            return Kind.SCHEMA
    return kind


_PRAGMA = re.compile(
    _SPACE
    + r"PRAGMA\s+(?:\w+\s*\.\s*)?(?P<name>\w+)\s*(?:=\s*(?P<value>\w+)"
    + r"|\(\s*(?P<argument>\w+)\s*\))?",
    re.S | re.I,
)


class Pragma(NamedTuple):
    """A PRAGMA's name in lower case, and its value if it is one word."""

    name: str
    value: str | None


def pragma_of(sql: str) -> Pragma | None:
    """Read a PRAGMA; None if the statement isn't one."""
    match = _PRAGMA.match(sql)
    if match is None:
        return None
    return Pragma(match["name"].lower(), match["value"] or match["argument"])


def refuse_sequence(sql: str) -> None:
    """
    Refuse to work on ``sqlite_sequence``.

    :raises NotSupportedError: always for such a statement: the store keeps the
        numbering.
    """
    if _SEQUENCE.search(sql):
        raise NotSupportedError(
            "The table sqlite_sequence isn't there: the store numbers rows itself."
            " Numbers begin anew with connection.ops.sequence_reset_by_name_sql()."
        )


_LIST = re.compile(r"\bIN\b(?!\s*\(\s*[?:'\d+-])", re.I)


@remembered
def lists_are_literal(sql: str) -> bool:
    """
    Whether every IN of a statement is followed by a list of values.

    apsw 3.54 crashes on an empty set of values that is to be taken whole, and
    only a subquery can be empty. Taken one by one they work.
    """
    return _LIST.search(sql) is None


_TEMPORARY = re.compile(
    _SPACE
    + r"CREATE\s+(?:TEMP|TEMPORARY)\s+(?:TABLE|VIEW)\b"
    + rf"|{_SPACE}CREATE\s+(?:TABLE|VIEW|(?:UNIQUE\s+)?INDEX)"
    + r"\s+(?:IF\s+NOT\s+EXISTS\s+)?temp\s*\.",
    re.S | re.I,
)
_DDL_NAME = re.compile(
    _SPACE
    + r"(?:DROP\s+(?:TABLE|VIEW|INDEX)\s+(?:IF\s+EXISTS\s+)?|ALTER\s+TABLE\s+"
    + r"|CREATE\s+(?:UNIQUE\s+)?INDEX\s.*?\sON\s+)"
    + rf"(?:temp\s*\.\s*)?(?P<name>{_NAME})",
    re.S | re.I,
)


_CREATED_AS = re.compile(
    _SPACE
    + r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:(?:main|\"main\")\s*\.\s*)?"
    + rf"(?P<name>{_NAME})\s*{_SPACE}AS\b(?P<select>.*)",
    re.S | re.I,
)


def created_as(sql: str) -> tuple[str, str] | None:
    """Return name and SELECT of a CREATE TABLE … AS; None if it isn't one."""
    match = _CREATED_AS.match(sql)
    return None if match is None else (unquote(match["name"]), match["select"])


def temporary_ddl(sql: str) -> bool:
    """Whether a statement makes a temporary table or view."""
    return _TEMPORARY.match(sql) is not None


def ddl_name(sql: str) -> str | None:
    """Return the name of what a statement drops, alters or indexes."""
    match = _DDL_NAME.match(sql)
    return None if match is None else unquote(match["name"])


def unquote(name: str) -> str:
    """Return an identifier without its quotes."""
    if name[0] in "\"`'" and name[-1] == name[0]:
        return name[1:-1].replace(name[0] * 2, name[0])
    if name[0] == "[":
        return name[1:-1]
    return name


def quote(name: str) -> str:
    """Quote an identifier for SQL. Any text without NUL is a name."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class InsertHead:
    """What the beginning of an INSERT says: table, given columns, OR clause."""

    table: str
    columns: tuple[str, ...] | None
    conflict: str


@remembered
def insert_head(sql: str) -> InsertHead | None:
    """Read the beginning of an INSERT; None if the statement isn't one."""
    found = words(sql)
    verb = next(found, "").upper()
    if verb == "WITH":
        verb = _verb_after_with(found)
    if verb not in ("INSERT", "REPLACE"):
        return None
    conflict = "REPLACE" if verb == "REPLACE" else ""
    if next(found, "").upper() == "OR":
        conflict = next(found, "").upper()
        next(found, "")  # INTO
    table, word = next(found, ""), next(found, "")
    if word == ".":
        table, word = next(found, ""), next(found, "")
    if word.upper() == "AS":
        next(found, "")
        word = next(found, "")
    if not table:
        return None
    columns: tuple[str, ...] | None = None
    if word == "(":
        names = itertools.takewhile(lambda name: name != ")", found)
        columns = tuple(unquote(name).lower() for name in names if name != ",")
    elif word.upper() == "DEFAULT":
        columns = ()
    return InsertHead(unquote(table), columns, conflict)


@remembered
def refuse_returning(sql: str) -> None:
    """
    Refuse an INSERT with RETURNING, as SQLite does UPDATE and DELETE.

    SQLite would return what the statement gave, without keys and defaults.

    :raises OperationalError: there is one.
    """
    if "RETURNING" not in sql.upper():
        return
    depth = 0
    for word in words(sql):
        depth += (word == "(") - (word == ")")
        if depth == 0 and word.upper() == "RETURNING":
            raise OperationalError("RETURNING is not available on virtual tables")


def refuse_backup(sql: str) -> None:
    """
    Refuse VACUUM INTO.

    :raises NotSupportedError: it is one.
    """
    if any(word.upper() == "INTO" for word in words(sql)):
        raise NotSupportedError(
            "VACUUM INTO would copy SQLite's memory, which holds no rows, not the store."
        )


def _verb_after_with(found: Iterator[str]) -> str:
    """Return what a statement does that begins with common table expressions."""
    depth = 0
    for word in found:
        depth += (word == "(") - (word == ")")
        if depth == 0 and word.upper() in _VERBS:
            return word.upper()
    return ""


_VERBS = frozenset({"SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"})


class Select(str):
    """A SELECT by the compiler: its values are converted there, not by the cursor."""

    __slots__ = ()


class ResetSequences(str):
    """
    A statement that lets the numbering of tables begin anew.

    :param tables: their names.
    """

    tables: tuple[str, ...]


class Insert(str):
    """
    An INSERT by the compiler, with what it means beside its text.

    Virtual tables have neither RETURNING nor ON CONFLICT, so it isn't run as
    SQL. The text is what logs and wrappers see.

    :param table: name of the table.
    :param columns: names of the columns given.
    :param rows: placeholders of each row, in SQL; plain parameters are ``%s``.
    :param on_conflict: None, ``ignore`` or ``update``.
    :param update_columns: what ON CONFLICT … DO UPDATE sets.
    :param unique_columns: the target of ON CONFLICT.
    :param returning: names of the columns to return, a row for each row kept.
    """

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    on_conflict: str | None
    update_columns: tuple[str, ...]
    unique_columns: tuple[str, ...]
    returning: tuple[str, ...]


_FORMAT = re.compile(r"%([%s])")


@remembered
def to_qmark(sql: str) -> str:
    """Convert from PEP 249's "format" style to SQLite's "?"."""
    return _FORMAT.sub(lambda match: "?" if match[1] == "s" else "%", sql)


def write_out(sql: str, params: Sequence[Any], most: int) -> tuple[str, list[Any]]:
    """
    Write the last parameters out as SQL, where there are too many to bind.

    Each becomes a literal by SQLite's own quoting.

    :param sql: with ``%s``.
    :param most: how many may be left.
    """
    left = list(params[:most])
    rest = iter(params[most:])
    seen = 0

    def literal(match: re.Match[str]) -> str:
        nonlocal seen
        if match[1] == "s":
            seen += 1
            if seen > most:
                value = adapt(next(rest))
                if not isinstance(value, (int, float, str, bytes)):
                    return "NULL"  # as filters handed over: SQLite has them too
                number = int(value) if isinstance(value, bool) else value
                return str(apsw.format_sql_value(number)).replace("%", "%%")
        return match[0]

    return _FORMAT.sub(literal, sql), left


def to_named(sql: str, params: Mapping[str, Any]) -> str:
    """Convert from PEP 249's "pyformat" style to SQLite's ":name"."""
    return sql % {name: f":{name}" for name in params}
