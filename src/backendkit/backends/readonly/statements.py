"""Which statements only read, as far as their text tells."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from .lexing import NOTHING, Word, quotes_placeholder, readings, words


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Statements that begin so are looked at further; what begins otherwise is refused.
_READS = frozenset({"SELECT", "VALUES", "TABLE", "WITH"})
#: Where a batch of statements may have no sign between them, as Transact-SQL's.
_KNOWN = frozenset({"mysql", "postgresql", "sqlite"})
_ANYWHERE = _names(
    "INSERT UPDATE DELETE MERGE EXEC EXECUTE CREATE ALTER DROP TRUNCATE GRANT REVOKE"
)
#: Statements that only tell of the database.
_TELLS = {"mysql": {"SHOW", "DESCRIBE", "DESC"}, "postgresql": {"SHOW"}}
_VERBS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
#: What else EXPLAIN ANALYZE would run.
_EXPLAINED = _VERBS | {"CREATE", "DECLARE", "EXECUTE", "REFRESH"}
_TRANSACTIONS = frozenset(
    {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}
)
#: What may follow those that don't name a savepoint.
_TRANSACTION_WORDS = _names(
    "TRANSACTION WORK DEFERRED ISOLATION LEVEL SERIALIZABLE REPEATABLE READ COMMITTED"
    " UNCOMMITTED ONLY WITH CONSISTENT SNAPSHOT AND NO CHAIN , TO SAVEPOINT"
)
#: Variables of the session that have no part in what may be written.
_VARIABLES = _names(
    "APPLICATION_NAME CONSTRAINTS IDLE_IN_TRANSACTION_SESSION_TIMEOUT LOCK_TIMEOUT"
    " MAX_EXECUTION_TIME MAX_STATEMENT_TIME NAMES SEARCH_PATH STATEMENT_TIMEOUT"
    " TIME_ZONE TIMEZONE WORK_MEM"
)
#: PRAGMAs that tell something, and take the name of what to tell it of.
PRAGMAS_OF = _names(
    "foreign_key_check foreign_key_list index_info index_list index_xinfo"
    " integrity_check quick_check table_info table_list table_xinfo"
)
#: PRAGMAs that tell something if they are given nothing.
PRAGMAS = PRAGMAS_OF | _names(
    "application_id auto_vacuum busy_timeout cache_size collation_list compile_options"
    " data_version database_list encoding foreign_keys freelist_count function_list"
    " journal_mode locking_mode max_page_count module_list page_count page_size"
    " pragma_list query_only schema_version synchronous temp_store user_version"
)
#: Functions that change something beside rows of tables, some of them unnoticed by
#: read-only transactions; and how the names of others begin.
_FUNCTIONS = {
    "postgresql": _names(
        "nextval setval set_config lowrite pg_notify pg_reload_conf pg_rotate_logfile"
        " pg_switch_wal pg_promote pg_cancel_backend pg_terminate_backend"
        " pg_import_system_collations pg_sync_replication_slots"
        " pg_extension_config_dump gin_clean_pending_list"
    ),
    "mysql": frozenset({"nextval", "setval"}),
    "sqlite": frozenset({"load_extension", "fts3_tokenizer", "writefile", "edit"}),
}
_PREFIXES = {
    "postgresql": tuple(
        _names(
            "lo_creat lo_from_ lo_import lo_export lo_put lo_truncate lo_unlink dblink"
            " pg_file_ pg_create_ pg_drop_ pg_copy_ pg_stat_reset pg_replication_"
            " pg_logical_ pg_wal_replay_ pg_backup_ pg_start_ pg_stop_ pg_restore_"
            " pg_clear_ brin_summarize_ brin_desummarize_"
        )
    ),
}
_FOR = frozenset({"UPDATE", "SHARE", "NO", "KEY"})
_LONGEST = 20_000


def refused(sql: str, vendor: str) -> str | None:
    """
    Return what a statement does that is refused, to follow "refuses"; None: it reads.

    :param vendor: Django's name of the database, ``"postgresql"``.
    """
    # A statement with values in its text comes once.
    look = _refused if len(sql) < _LONGEST else _refused.__wrapped__
    return look(sql, vendor)


@functools.lru_cache(maxsize=1000)
def _refused(sql: str, vendor: str) -> str | None:
    for reading in readings(sql, vendor):
        why = _writes(list(words(sql, reading)), vendor)
        if why is not None:
            return why
    return None


@functools.lru_cache(maxsize=1000)
def refused_values(sql: str, vendor: str) -> str | None:
    """Return why a statement takes no parameters, as :func:`refused` does."""
    # SQLite's are bound, all others' may be written into the text.
    if vendor != "sqlite" and "%" in sql:
        for reading in readings(sql, vendor):
            if quotes_placeholder(sql, reading):
                return "a placeholder within quotes or a comment: write %s without them"
    return None


def _writes(found: list[Word], vendor: str) -> str | None:
    while found and found[-1].keyword == ";":
        found.pop()
    if any(word.keyword == ";" for word in found):
        return "several statements in one"
    if any(word.keyword.startswith("/*") for word in found):
        return "a comment that the server executes, or that is nested"
    while found and found[0].keyword == "(":
        found.pop(0)
    if not found:
        return None  # the driver knows what to say to no statement
    first = found[0].keyword
    if first in _READS or first in _TELLS.get(vendor, ()):
        return _written_in(found, vendor)
    if first in _TRANSACTIONS:
        return _transaction(found)
    if first == "EXPLAIN" or (first == "ANALYZE" and _analyzes_query(found, vendor)):
        return _explained(found, vendor)
    if first == "SET":
        return _set(found)
    if first == "PRAGMA" and vendor == "sqlite":
        return _pragma(found)
    return f"{first or 'this statement'}: only statements that read are allowed"


@functools.lru_cache(maxsize=1000)
def ends_transaction(sql: str, vendor: str) -> bool:
    """Whether a statement begins or ends a transaction, rather than a part of one."""
    found = list(words(sql, readings(sql, vendor)[0]))
    first = found[0].keyword if found else ""
    if first == "ROLLBACK":
        return all(word.keyword != "TO" for word in found)
    return first in _TRANSACTIONS - {"SAVEPOINT", "RELEASE"}


def refused_copy(sql: str, vendor: str) -> str | None:
    """Return why a COPY isn't one that only reads, as :func:`refused` does."""
    for reading in readings(sql, vendor):
        why = _copies(list(words(sql, reading)), vendor)
        if why is not None:
            return why
    return None


def _copies(found: list[Word], vendor: str) -> str | None:
    depth, outer = 0, []
    for word in found:
        depth += (word.keyword == "(") - (word.keyword == ")")
        if depth == 0:
            outer.append(word.keyword)
    to_client = any(pair == ("TO", "STDOUT") for pair in itertools.pairwise(outer))
    if outer[:1] != ["COPY"] or not to_client or {"FROM", "PROGRAM"} & {*outer}:
        return "COPY, other than COPY … TO STDOUT"
    if any(word.keyword in {";", "/*"} for word in found):
        return "several statements in one"
    return _written_in(found, vendor)


def _written_in(found: Sequence[Word], vendor: str) -> str | None:
    """Return what a query writes: in a CTE, INTO a table, FOR UPDATE, by functions."""
    names = _FUNCTIONS.get(vendor, frozenset())
    prefixes = _PREFIXES.get(vendor, ())
    before = ""
    for word, next_word in itertools.pairwise([*found, NOTHING]):
        keyword, after = word.keyword, next_word.keyword
        if keyword in _VERBS and before in {"(", ")"} and after != "(":
            return f"{keyword} within a query"
        if vendor not in _KNOWN and keyword in _ANYWHERE and after != "(":
            return keyword
        if keyword == "INTO" and before not in {".", "AS"}:
            return "SELECT … INTO"
        if keyword == "FOR" and after in _FOR:
            return f"SELECT … FOR {after}"
        if keyword == "LOCK" and after == "IN":
            return "SELECT … LOCK IN SHARE MODE"
        if keyword == "NEXT" and after == "VALUE":
            return "NEXT VALUE FOR a sequence"
        name = word.name
        if after == "(" and name and (name in names or name.startswith(prefixes)):
            return f"the function {name}()"
        before = keyword
    return None


def _explained(found: Sequence[Word], vendor: str) -> str | None:
    """Return what EXPLAIN explains, if that writes: with ANALYZE it would be run."""
    for word, next_word in itertools.pairwise([*found, NOTHING]):
        keyword = word.keyword
        if keyword in _READS:
            return _written_in(found, vendor)
        if keyword in _EXPLAINED and next_word.keyword != "(":
            return f"EXPLAIN of {keyword}"
    return _written_in(found, vendor)


def _analyzes_query(found: Sequence[Word], vendor: str) -> bool:
    """Whether it is MariaDB's ANALYZE of a query, not of a table."""
    after = found[1].keyword if len(found) > 1 else ""
    return vendor == "mysql" and after in {"FORMAT", "SELECT", "WITH", "("}


def _transaction(found: Sequence[Word]) -> str | None:
    """Return what a command of transactions does beside these; None: nothing."""
    first, *rest = (word.keyword for word in found)
    if first in {"SAVEPOINT", "RELEASE"}:
        return None
    if first == "START" and rest[:1] != ["TRANSACTION"]:
        return " ".join([first, *rest[:1]])
    if first == "ROLLBACK" and "TO" in rest:
        rest = rest[: rest.index("TO")]
    other = [word for word in rest if word not in _TRANSACTION_WORDS]
    return f"{first} … {other[0]}" if other else None


def _set(found: Sequence[Word]) -> str | None:
    """Return what SET sets, but for some harmless variables of the session."""
    rest = [word.keyword for word in found[1:]]
    if rest[:1] in (["SESSION"], ["LOCAL"]):
        rest = rest[1:]
    if rest[:2] == ["TIME", "ZONE"]:
        return None
    name = rest[0] if rest else ""
    if name not in _VARIABLES:
        return f"SET {name}".strip()
    # MySQL sets several at once.
    if rest.count("=") > 1 or ":" in rest:
        return "SET of several variables"
    return None


def _pragma(found: Sequence[Word]) -> str | None:
    """Return which PRAGMA it is, unless it only tells something."""
    rest = list(found[1:])
    if len(rest) > 2 and rest[1].keyword == ".":
        rest = rest[2:]
    name = rest[0].name if rest else ""
    allowed = PRAGMAS if len(rest) == 1 else PRAGMAS_OF
    if name in allowed and all(word.keyword != "=" for word in rest):
        return None
    return f"PRAGMA {name}" + (" with a value" if name in PRAGMAS else "")
