"""
Writes ``docs/ref/backends.rst``: what each backend can do, and what it costs.

``python docs/compare.py`` writes the page to standard output, and with ``--write`` to
its place. It is made of the stores' capabilities, of Django's feature flags, of the
lists of expectations, and of queries that are run on the embedded backends: those of
the contract's tests, and some of Django's.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import django
from contract import COUNTED, DATA, NUMBERS, ROWS, TEXTS, Counting, Recording
from django.conf import settings

PAGE = Path(__file__).parent / "ref" / "backends.rst"
#: Aliases, by what they are called; the first one is Django's own, to compare.
ENGINES = {
    "SQLite": "django.db.backends.sqlite3",
    "LMDB": "backendkit.backends.lmdb",
    "immudb": "backendkit.backends.immudb",
    "Memory": "backendkit.backends.memory",
}
OURS = [name for name in ENGINES if name != "SQLite"]
#: Those on which queries can be run without a server.
EMBEDDED = ["LMDB", "Memory"]
TEXT = """\
.. This page is written by docs/compare.py; `make compare` writes it anew.

Backends compared
=================

All backends run the whole ORM, with the same results. They differ in what the store does
itself, what is left to SQLite, and how long that takes. Use this page to find out which of
your queries are fast on a backend. :doc:`/intro/choose` compares the times of common
operations, and :doc:`limits` describes what isn't supported.

The page is generated. On LMDB and Memory, the queries of the contract's tests were run for it
(see :doc:`store-testing`), so it shows what these stores really do. For immudb, which needs a
server, it shows the store's :class:`~backendkit.stores.Capabilities`; the same tests check these.

What the stores do
------------------

{stores}
Who applies a filter
--------------------

For each lookup, the table shows who applies a filter:

* *store*: The store returns exactly the rows that match.
* *both*: The store leaves out most of the other rows, and SQLite checks the rest.
* *SQLite*: The store returns rows without regard to the filter, and SQLite filters them.
* *negated too*: The same applies to ``exclude()``.

No store applies lookups on a transform (``date__year``), expressions, OR, or comparisons of
two columns.

{lookups}
What a filter costs
-------------------

The table shows how many of a table's {rows} rows a store reads to apply a filter. The column
*Matches* shows how many rows match. On LMDB, the number of rows depends on whether the field has
an index. The server of immudb doesn't report how many rows it has read.

{filters}
Who sorts the rows
------------------

For each order, the table shows who sorts the rows, and how many of the {rows} rows the store
reads. ``indexed`` has an index, and ``plain`` has none. The store may read an index to sort the
first 10 rows, and leave it to SQLite to sort all rows, because that is faster.

{orders}
Who computes aggregates
-----------------------

For each query, the table shows who computes the result, and how many of the {rows} rows the store
reads:

* *store*: The store returns only the result, or the row that contains it.
* *engine*: The store returns the rows, and the engine computes the result without SQLite.
* *SQLite*: The store returns the rows, and SQLite computes the result.

{aggregates}
Django's features
-----------------

{features}
Django's tests that don't pass
------------------------------

The ``expectations.toml`` of each backend lists these tests with their reasons. If any other
test passes on Django's SQLite backend but not on this one, :doc:`conformance` fails. The
numbers count tests, and classes of tests, of all supported releases of Django.

{deviations}"""
FLAGS = {
    "transactions": "A failed transaction leaves nothing behind",
    "snapshots": "A transaction sees what was committed when it began",
    "locks": "``select_for_update()`` makes others wait",
    "serializable": "A commit fails if what it read was changed",
    "multiple_processes": "Other processes see the same data",
    "indexed": "Secondary indexes make filters fast",
    "limit": "Slices are cut by the store",
    "count": "``count()`` is cheaper than reading the rows",
    "update": "``update()`` changes rows in the store",
    "remote": "Each call crosses a network",
}
LOOKUPS = (
    *("exact", "in", "isnull", "lt", "lte", "gt", "gte"),
    *("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith"),
    *("iexact", "regex", "iregex"),
)
ORDERS = {
    'order_by("pk")': [("id", False)],
    'order_by("-pk")': [("id", True)],
    'order_by("indexed")': [("indexed", False)],
    'order_by("-indexed")': [("indexed", True)],
    'order_by("indexed", "pk")': [("indexed", False), ("id", False)],
    'order_by("plain")': [("plain", False)],
    'order_by("plain", "indexed")': [("plain", False), ("indexed", False)],
}
#: What a feature of Django's means to somebody who writes a project.
FEATURES = {
    "has_select_for_update": "``select_for_update()`` does something",
    "has_select_for_update_nowait": "``select_for_update(nowait=True)``",
    "has_select_for_update_skip_locked": "``select_for_update(skip_locked=True)``",
    "has_select_for_update_of": "``select_for_update(of=…)``",
    "uses_savepoints": "Nested ``atomic()`` blocks can be undone by themselves",
    "can_rollback_ddl": "Migrations are undone as a whole if they fail",
    "can_defer_constraint_checks": "Foreign keys are checked at the commit",
    "can_return_rows_from_bulk_insert": "``bulk_create()`` sets primary keys",
    "supports_ignore_conflicts": "``bulk_create(ignore_conflicts=True)``",
    "supports_update_conflicts_with_target": "``bulk_create(update_conflicts=True)``",
    "supports_table_check_constraints": "``CheckConstraint``",
    "supports_partial_indexes": "Indexes and unique constraints with a condition",
    "supports_expression_indexes": "Indexes on expressions",
    "supports_stored_generated_columns": "``GeneratedField(db_persist=True)``",
    "supports_over_clause": "Window functions",
    "supports_explaining_query_execution": "``explain()``",
    "supports_comments": "Comments on tables and columns",
    "supports_collation_on_charfield": "``db_collation``",
    "test_db_allows_multiple_connections": "Tests may use several connections",
}


def table(header, rows, widths):
    """Return a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [header, *rows]:
        first, *others = row
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return "\n".join(lines) + "\n"


def capabilities(name):
    base = importlib.import_module(f"{ENGINES[name]}.base")
    return base.DatabaseWrapper.store_class.capabilities


def yes(value):
    return "yes" if value else "no"


def stores():
    """What each store does, by its capabilities."""
    from backendkit.stores import Order

    orders = {
        Order.NONE: "none: SQLite sorts",
        Order.INDEX: "that of an index or the primary key",
        Order.ANY: "any",
    }
    rows = [
        [text, *(yes(getattr(capabilities(name), flag)) for name in OURS)]
        for flag, text in FLAGS.items()
    ]
    rows.append(["Orders", *(orders[capabilities(name).order] for name in OURS)])
    return table(["The store", *OURS], rows, "40 20 20 20")


def make_store(name, folder):
    """Open a new, empty store."""
    from backendkit.backends.lmdb.store import LMDBStore
    from backendkit.backends.memory.store import MemoryStore

    if name == "Memory":
        return MemoryStore(timeout=0.1)
    path = tempfile.mkdtemp(dir=folder)
    return LMDBStore.open(f"{path}/db", {"timeout": 0.1, "sync": "none"})


def precisions(folder):
    """Return how exactly each store applies each lookup to each type."""
    from backendkit.stores import PATTERNS, ValueType

    found = {}
    for name in EMBEDDED:
        recording = Recording(lambda name=name: make_store(name, folder))
        recording.run()
        found[name] = recording.found
    for name in set(OURS) - set(EMBEDDED):
        found[name] = {
            (kind, lookup, negated): capabilities(name).precision(kind, lookup, negated)
            for kind in ValueType
            for lookup in LOOKUPS
            for negated in (False, True)
            if kind is ValueType.STRING or lookup not in PATTERNS
        }
    return found


def lookup(found, lookup):
    """Say who applies a lookup, and for which types it is otherwise."""
    from backendkit.stores import Precision

    words = {
        Precision.EXACT: "store",
        Precision.COARSE: "both",
        Precision.NONE: "SQLite",
    }
    kinds = {
        kind: one
        for (kind, name, no), one in found.items()
        if (name, no) == (lookup, False)
    }
    usual = Counter(kinds.values()).most_common(1)[0][0]
    text = words[usual]
    # Negated, it has to be the same for all types.
    if usual is not Precision.NONE and all(
        found[kind, lookup, True] is one for kind, one in kinds.items()
    ):
        text += ", negated too"
    others = {}
    for kind, precision in kinds.items():
        if precision is not usual:
            others.setdefault(words[precision], []).append(kind.value)
    for who, names in others.items():
        text += f"; {who}: {', '.join(sorted(names))}"
    return text


def lookups(folder):
    found = precisions(folder)
    rows = [
        [f"``{one}``", *(lookup(found[name], one) for name in OURS)] for one in LOOKUPS
    ]
    return table(["Lookup", *OURS], rows, "16 28 28 28")


def filters(stores):
    """How many rows each lookup reads, with an index and without."""
    from backendkit.stores import matcher

    columns = [(NUMBERS, "indexed", "plain"), (TEXTS, "indexed_text", "plain_text")]
    rows = []
    for values, indexed, plain in columns:
        at = COUNTED.positions[plain]
        for lookup, value in values.items():
            for negated in (
                (False, True) if lookup in {"exact", "in", "isnull"} else (False,)
            ):
                matches = matcher(lookup, value, negated)
                rows.append(
                    [
                        f"``{lookup}``" + (", negated" if negated else ""),
                        f"{sum(matches(row[at]) for row in DATA):,}",
                        *(
                            f"{stores[name].filter(column, lookup, value, negated=negated):,}"
                            for name, column in (
                                ("LMDB", indexed),
                                ("LMDB", plain),
                                ("Memory", plain),
                            )
                        ),
                    ]
                )
    heads = ["Lookup", "Matches", "LMDB, index", "LMDB, no index", "Memory"]
    return table(heads, rows, "32 17 17 17 17")


def orders(stores):
    """Who sorts, and how many rows are read for the first ten and for all."""
    from backendkit.stores import choose_access

    rows = []
    for text, ordering in ORDERS.items():
        cells = []
        for name in OURS:
            for high in (10, None):
                if name in EMBEDDED:
                    sorts, read = stores[name].order(ordering, high)
                    cells.append(f"{'store' if sorts else 'SQLite'}, {read:,}")
                else:
                    access = choose_access(
                        COUNTED,
                        capabilities(name),
                        ROWS,
                        [],
                        ordering,
                        few=high is not None,
                    )
                    cells.append("store" if access.ordered else "SQLite")
        rows.append([f"``{text}``", *cells])
    heads = [f"{name}, {what}" for name in OURS for what in ("first 10", "all")]
    return table(["Order", *heads], rows, "28 12 12 12 12 12 12")


def features():
    from django.db import connections

    rows = [
        [
            text,
            *(
                yes(getattr(connections[name.lower()].features, flag))
                for name in ENGINES
            ),
        ]
        for flag, text in FEATURES.items()
    ]
    return table(["Feature", *ENGINES], rows, "40 15 15 15 15")


def deviations():
    """How many of Django's tests fail, by reason."""
    from backendkit.conformance._expectations import read

    found = {}
    for name in OURS:
        package = importlib.import_module(ENGINES[name])
        entries = read(Path(package.__path__[0]) / "expectations.toml")
        for entry in entries:
            found.setdefault(entry.reason, Counter())[name] += 1
    rows = sorted(
        (
            [reason, *(str(counts[name] or "") for name in OURS)]
            for reason, counts in found.items()
        ),
        key=lambda row: (-sum(int(cell or 0) for cell in row[1:]), row[0]),
    )
    total = [
        str(sum(int(row[n] or 0) for row in rows)) for n in range(1, len(OURS) + 1)
    ]
    rows.append(["All", *total])
    return table(["Reason", *OURS], rows, "64 12 12 12")


def aggregates():
    """Who computes what Django asks for, and how many rows are read for it."""
    from django.db import connections, models
    from django.db.models import Avg, Count, F, Max, Min, Q

    class Thing(models.Model):
        indexed = models.IntegerField(db_index=True)
        plain = models.IntegerField()

        class Meta:
            app_label = "compare"

    queries = {
        "``count()``": lambda q: q.count(),
        "``filter(indexed=…).count()``, 10 match": lambda q: q.filter(
            indexed=7
        ).count(),
        "``filter(plain=…).count()``, 10 match": lambda q: q.filter(plain=7).count(),
        "``filter(indexed=…).exists()``": lambda q: q.filter(indexed=7).exists(),
        '``aggregate(Min("indexed"))``': lambda q: q.aggregate(Min("indexed")),
        '``aggregate(Max("plain"))``': lambda q: q.aggregate(Max("plain")),
        '``aggregate(Avg("plain"))``': lambda q: q.aggregate(Avg("plain")),
        '``filter(indexed=…).aggregate(Avg("plain"))``': (
            lambda q: q.filter(indexed=7).aggregate(Avg("plain"))
        ),
        '``values("plain").annotate(Count("pk"))``': (
            lambda q: list(q.values("plain").annotate(Count("pk")).order_by())
        ),
        '``values("indexed").distinct()``': (
            lambda q: list(q.values("indexed").distinct())
        ),
        "``filter(Q(indexed=…) | Q(indexed=…))``, 20 match": (
            lambda q: list(q.filter(Q(indexed=7) | Q(indexed=8)))
        ),
        '``filter(indexed=7, plain=F("indexed"))``, 10 match': (
            lambda q: list(q.filter(indexed=7, plain=F("indexed")))
        ),
    }
    rows = {text: [text] for text in queries}
    for name in EMBEDDED:
        connection = connections[name.lower()]
        with connection.schema_editor() as editor:
            editor.create_model(Thing)
        found = Thing.objects.using(name.lower())
        found.bulk_create(Thing(indexed=n % 100, plain=n % 100) for n in range(ROWS))
        connection.force_debug_cursor = True
        for text, run in queries.items():
            connection.queries_log.clear()
            run(found)
            (entry,) = connection.queries_log
            read = sum(call.get("looked", call.get("rows", 0)) for call in entry.store)
            rows[text].append(f"{computes(entry.store)}, {read:,}")
        connection.force_debug_cursor = False
        connection.close()
    return table(["Query", *EMBEDDED], rows.values(), "60 20 20")


def computes(calls):
    """Say who computes the result of a statement with these calls of the store."""
    first = calls[0]["call"]
    if not first.startswith("native: "):
        return "SQLite"
    by_store = re.search(r" for (count|exists)\b", first) or (
        re.search(r" for (min|max)\b", first) and "sorted by" not in first
    )
    return "store" if by_store else "engine"


def page(folder):
    counting = {name: Counting(make_store(name, folder)) for name in EMBEDDED}
    return TEXT.format(
        stores=stores(),
        lookups=lookups(folder),
        rows=f"{ROWS:,}",
        filters=filters(counting),
        orders=orders(counting),
        aggregates=aggregates(),
        features=features(),
        deviations=deviations(),
    )


def set_up(folder):
    databases = {
        name.lower(): {"ENGINE": engine, "NAME": f"{folder}/{name}"}
        for name, engine in ENGINES.items()
    }
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}, **databases},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=False,
    )
    django.setup()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        set_up(folder)
        text = page(folder)
    if "--write" in sys.argv:
        PAGE.write_text(text)
    else:
        sys.stdout.write(text)
