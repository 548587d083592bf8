"""
Writes ``docs/ref/backends.rst``: what each backend can do, and what it costs.

``python docs/compare.py`` writes the page to standard output, and with ``--write`` to
its place. It is made of the stores' capabilities, of Django's feature flags, of the
lists of expectations, and of queries that are run on the embedded backends.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections import Counter
from pathlib import Path

import django
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
ROWS = 1_000
TEXT = """\
.. This page is written by docs/compare.py; `make compare` writes it anew.

Backends compared
=================

All backends run the whole ORM, with the same results. They differ in what the store does
itself, what is left to SQLite, and how long that takes. Use this page to find out which of
your queries are fast on a backend. :doc:`/intro/choose` compares the times of common
operations, and :doc:`limits` describes what isn't supported.

The page is generated from the :class:`~backendkit.stores.Capabilities` of the stores. The
tests of the contract check each store against these (see :doc:`store-testing`).

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
two columns. No store runs joins, ``GROUP BY``, aggregates or window functions, either. The
engine does all of this, mostly with SQLite. The store runs ``COUNT(*)`` if the table above
says so and no filter is left to SQLite.

{lookups}
What it costs
-------------

The table shows how many of a table's {rows} rows each query reads. ``indexed`` and
``plain`` have the same 100 values, but only ``indexed`` has an index.

{costs}
On immudb, the server filters as the table above shows. It doesn't report how many rows it
has read.

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


def lookup(name, lookup):
    """Say who applies a lookup, and for which types it is otherwise."""
    from backendkit.stores import PATTERNS, Precision, ValueType

    known = capabilities(name)
    words = {
        Precision.EXACT: "store",
        Precision.COARSE: "both",
        Precision.NONE: "SQLite",
    }
    types = [ValueType.STRING] if lookup in PATTERNS else list(ValueType)
    found = Counter(known.precision(kind, lookup) for kind in types)
    usual = found.most_common(1)[0][0]
    text = words[usual]
    if usual is not Precision.NONE and lookup in known.negations:
        text += ", negated too"
    others = {}
    for kind in types:
        precision = known.precision(kind, lookup)
        if precision is not usual:
            others.setdefault(words[precision], []).append(kind.value)
    for who, kinds in others.items():
        text += f"; {who}: {', '.join(sorted(kinds))}"
    return text


def lookups():
    rows = [[f"``{one}``", *(lookup(name, one) for name in OURS)] for one in LOOKUPS]
    return table(["Lookup", *OURS], rows, "16 28 28 28")


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


def costs():
    """How many rows queries look at, of a thousand."""
    from django.db import connections, models
    from django.db.models import Avg, Count, F

    class Thing(models.Model):
        indexed = models.IntegerField(db_index=True)
        plain = models.IntegerField()
        text = models.CharField(max_length=20)

        class Meta:
            app_label = "compare"

    queries = {
        "``get(pk=…)``": lambda q: list(q.filter(pk=500)),
        "``filter(pk__in=[…])``, 3 keys": lambda q: list(q.filter(pk__in=[1, 2, 3])),
        "``filter(indexed=…)``, 10 rows match": lambda q: list(q.filter(indexed=7)),
        "``filter(indexed__lt=…)``, 100 match": lambda q: list(
            q.filter(indexed__lt=10)
        ),
        "``exclude(indexed=…)``, 990 match": lambda q: list(q.exclude(indexed=7)),
        "``filter(indexed=…).count()``": lambda q: q.filter(indexed=7).count(),
        "``count()``": lambda q: q.count(),
        '``order_by("indexed")[:10]``': lambda q: list(q.order_by("indexed")[:10]),
        '``order_by("plain")[:10]``': lambda q: list(q.order_by("plain")[:10]),
        "``filter(plain=…)``, 10 match": lambda q: list(q.filter(plain=7)),
        "``filter(text__contains=…)``, 1 matches": (
            lambda q: list(q.filter(text__contains="t500"))
        ),
        '``filter(indexed=7, plain=F("indexed"))``': (
            lambda q: list(q.filter(indexed=7, plain=F("indexed")))
        ),
        '``aggregate(Avg("plain"))``': lambda q: q.aggregate(Avg("plain")),
        '``values("plain").annotate(Count("pk"))``': (
            lambda q: list(q.values("plain").annotate(Count("pk")).order_by())
        ),
    }
    rows = {text: [text] for text in queries}
    for name in EMBEDDED:
        connection = connections[name.lower()]
        with connection.schema_editor() as editor:
            editor.create_model(Thing)
        found = Thing.objects.using(name.lower())
        found.bulk_create(
            Thing(indexed=n % 100, plain=n % 100, text=f"t{n}") for n in range(ROWS)
        )
        connection.force_debug_cursor = True
        for text, run in queries.items():
            connection.queries_log.clear()
            run(found)
            (entry,) = connection.queries_log
            rows[text].append(
                f"{sum(call.get('looked', call.get('rows', 0)) for call in entry.store):,}"
            )
        connection.force_debug_cursor = False
        connection.close()
    return table(["Query", *EMBEDDED], rows.values(), "60 20 20")


def page():
    return TEXT.format(
        stores=stores(),
        lookups=lookups(),
        rows=f"{ROWS:,}",
        costs=costs(),
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
        text = page()
    if "--write" in sys.argv:
        PAGE.write_text(text)
    else:
        sys.stdout.write(text)
