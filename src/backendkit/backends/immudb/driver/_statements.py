"""
What a text of SQL is, as far as the driver has to know.

immudb accepts some texts and does something else than they say. Those are refused
here, before they are sent.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from backendkit.stores import NotSupportedError, ProgrammingError

# As immudb's scanner reads: a quote in a string is doubled, comments don't nest, and
# one that isn't closed goes on to the end.
TOKENS = re.compile(
    r"""
    '(?:[^']|'')*' | "[^"]*" | --[^\r\n]* | /\*.*?(?:\*/|\Z)
    | (?P<mark>\?) | @(?P<name>[A-Za-z_]\w*) | \$(?P<number>[0-9]+)
    | (?P<end>;) | (?P<word>[A-Za-z_]\w*)
    | [^'"\-/?@$;A-Za-z_]+ | .
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)

QUERIES = frozenset({"SELECT", "WITH", "SHOW", "EXPLAIN"})

REFUSED = {
    "BEGIN": "use begin() or autocommit",
    "COMMIT": "use commit()",
    "ROLLBACK": "use rollback(); immudb's ROLLBACK TO undoes nothing",
    "SAVEPOINT": "immudb accepts it, but undoes nothing",
    "RELEASE": "immudb's savepoints do nothing",
    "USE": "use use_database()",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """
    :param is_query: whether it answers with rows.
    :param marks: how many positional parameters it takes.
    :param names: of the parameters that it takes by name, in lower case.
    """

    is_query: bool
    marks: int
    names: frozenset[str]


def analyze(sql: str) -> Statement:
    """
    Return what is known of a text.

    :raises ProgrammingError: it is empty, controls a transaction, or has a query
        among several statements, of which immudb would drop the rows.
    :raises NotSupportedError: it has RETURNING; immudb reports success and the row
        isn't there.
    """
    if len(sql) < 5_000:
        return _cached(sql)
    # A long one is built for its values: it comes again while rows are sent in parts.
    return _cached_long(sql) if len(sql) < 500_000 else _analyze(sql)


def _analyze(sql: str) -> Statement:
    verbs = []
    marks = highest = 0
    names = set()
    starts = True
    for token in TOKENS.finditer(sql):
        kind = token.lastgroup
        if kind is None:
            continue
        if kind == "mark":
            marks += 1
        elif kind == "word":
            if starts:
                verbs.append(token["word"].upper())
                starts = False
            elif token["word"].upper() == "RETURNING":
                raise NotSupportedError(
                    "immudb doesn't return the row of an INSERT … RETURNING;"
                    " lastrowid and the result of commit() have the ids"
                )
        elif kind == "end":
            starts = True
        elif kind == "name":
            names.add(token["name"].lower())
        else:
            highest = max(highest, int(token["number"]))
    if not verbs:
        raise ProgrammingError("the statement is empty")
    for verb in verbs:
        if verb in REFUSED:
            raise ProgrammingError(f"{verb} isn't supported: {REFUSED[verb]}")
    if len(verbs) > 1 and not QUERIES.isdisjoint(verbs):
        raise ProgrammingError(
            "a query has to be executed alone: immudb answers only one of several"
            " statements"
        )
    return Statement(verbs[0] in QUERIES, marks or highest, frozenset(names))


_cached = functools.lru_cache(maxsize=1_000)(_analyze)
_cached_long = functools.lru_cache(maxsize=4)(_analyze)
