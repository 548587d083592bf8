"""Cases that found a mistake once, made as small as they get."""

import datetime
from decimal import Decimal

from .cases import Case
from .queries import Query
from .rows import Link, Row, Rows
from .schemas import ModelSpec, Schema
from .writes import Write

LAST_MINUTE = datetime.datetime(9999, 12, 31, 23, 59, tzinfo=datetime.UTC)


def one_model(fields, rows, *steps, links=(), committed=True):
    """A case with the model A, its automatic key and these fields."""
    key = ("id", "AutoField(primary_key=True)")
    return Case(
        Schema((ModelSpec("A", (key, *fields.items())),)),
        Rows(tuple(Row("A", row) for row in rows), links),
        steps,
        committed,
    )


QUERIES = {
    # The exception of an aggregate whose group isn't part of the answer was
    # left set, and became a SystemError in the next callback of the scan.
    "aggregate raises": one_model(
        {"f0": "IntegerField(null=True)"},
        [{"id": 1, "f0": None}, {"id": 2, "f0": None}],
        Query("A.objects.values('id').annotate(x=StdDev('f0')).order_by('id')[1:]"),
    ),
    # What a function returned wasn't one of SQLite's integers.
    "result of more than 64 bits": one_model(
        {"f0": "DecimalField(max_digits=15, decimal_places=0)"},
        [
            {"id": 1, "f0": Decimal(0)},
            {"id": 2, "f0": Decimal(0)},
            {"id": 3, "f0": Decimal(999_999_999_999_999)},
        ],
        Query("A.objects.aggregate(x=Variance('f0'))"),
        Query("A.objects.aggregate(x=Variance('f0'), n=Count('id'))"),
    ),
    # IN over a subquery without rows.
    "in nothing": one_model(
        {"f0": "IntegerField()"},
        [{"id": 1, "f0": 1}],
        Query("A.objects.filter(id__in=A.objects.filter(f0=7).values('f0'))"),
        Query("A.objects.filter(f0__in=A.objects.filter(f0=7).values('f0'))"),
        Query("A.objects.exclude(f0__in=A.objects.filter(f0=7).values('f0'))"),
    ),
    # Taken for exists(), which selects the same: one row.
    "rows of a constant": one_model(
        {"f0": "IntegerField()"},
        [{"id": 1, "f0": 1}, {"id": 2, "f0": 1}, {"id": 3, "f0": 2}],
        *(
            Query(f"A.objects.annotate(a={constant}).{end}", ordered=False)
            for constant in ("Value(1)", "Value(True)", "Value(1.0)")
            for end in (
                "values('a')",
                "values_list('a', flat=True)",
                "filter(f0=1).values_list('a')",
                "values_list('a')[1:]",
                "exists()",
            )
        ),
    ),
    # The same aggregate, by the first one's plan, and converted as that is.
    "totals in other fields": one_model(
        {"f0": "IntegerField()"},
        [{"id": 1, "f0": 1}, {"id": 2, "f0": 2}],
        Query("A.objects.values('f0').annotate(n=Max('id'))", ordered=False),
        Query(
            "A.objects.values('f0').annotate(n=Max('id', output_field=BooleanField()))",
            ordered=False,
        ),
        Query("A.objects.aggregate(n=Max('id', output_field=DecimalField()))"),
    ),
}

# With USE_TZ, in a zone east of Greenwich.
AWARE_QUERIES = {
    # Python's OverflowError in a function is SQLite's SQLITE_TOOBIG. Of an earlier date,
    # stores are asked for a range of moments, and nothing is computed of this row.
    "date after the last": one_model(
        {"f0": "DateTimeField()"},
        [{"id": 1, "f0": LAST_MINUTE}],
        Query("A.objects.filter(f0__date__gte=datetime.date(2001, 1, 1))"),
        Query("A.objects.filter(f0__time=datetime.time(0, 0))"),
    ),
}

WRITES = {
    # A virtual generated column of an instance that was just updated.
    "generated after update": one_model(
        {
            "f0": "IntegerField(unique=True)",
            "g0": (
                "GeneratedField(expression=F('f0') * 2 + 1, output_field="
                "BigIntegerField(null=True), db_persist=False)"
            ),
        },
        [{"id": 1, "f0": 0}],
        Write("A.objects.update_or_create(id=1, defaults={'f0': 0})"),
        Write("A.objects.update_or_create(id=1, defaults={'f0': 5})"),
    ),
    # UPDATE with IN over a subquery without rows ended the process.
    "update in nothing": one_model(
        {
            "f0": "IntegerField()",
            "r0": "ForeignKey('A', SET_NULL, null=True, related_name='r0_A')",
            "r1": "ForeignKey('A', PROTECT, null=True, related_name='r1_A')",
        },
        [{"id": 1, "f0": 1, "r0_id": None, "r1_id": None}],
        Write("A.objects.filter(r0__r0__r1=7).update(r0_id=1, f0=3)"),
        committed=False,
    ),
    # A subquery over the table that changes sees it as it was.
    "update by subquery on itself": one_model(
        {
            "f0": "IntegerField(null=True)",
            "m0": "ManyToManyField('A', related_name='m_A', symmetrical=False)",
        },
        [{"id": 1, "f0": 1}, {"id": 2, "f0": 2}],
        Write("A.objects.filter(m_A__f0__gt=0).update(f0=None)"),
        links=(Link("A", "m0", 1, (2,)), Link("A", "m0", 2, (1,))),
    ),
}
