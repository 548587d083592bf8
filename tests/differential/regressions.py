"""Cases that found a mistake once, as Hypothesis printed them."""

from decimal import Decimal

from .cases import Case
from .queries import Query
from .rows import Link, Row, Rows
from .schemas import ModelSpec, Schema
from .writes import Write

KEY = ("id", "AutoField(primary_key=True)")

QUERIES = {
    # The exception of an aggregate function became a SystemError in a scan.
    "aggregate raises": Case(
        schema=Schema(
            (
                ModelSpec(
                    "B",
                    (
                        ("id", "IntegerField(primary_key=True)"),
                        ("f0", "DecimalField(max_digits=12, decimal_places=3)"),
                        (
                            "r0",
                            (
                                "OneToOneField('B', SET_NULL, null=True, "
                                "related_name='r0_B')"
                            ),
                        ),
                    ),
                ),
            )
        ),
        rows=Rows(
            (
                Row("B", {"id": 0, "f0": Decimal("0.001"), "r0_id": None}),
                Row("B", {"id": 1, "f0": Decimal("0.000"), "r0_id": None}),
            )
        ),
        steps=(
            Query(
                "B.objects.all().values('id').annotate(total=Count('id'), "
                "other=StdDev('r0')).filter(total__gt=1)",
                ordered=False,
                inexact=True,
            ),
        ),
        committed=False,
    ),
}

WRITES = {
    # A virtual generated column of an instance that was just updated.
    "generated after update": Case(
        schema=Schema(
            (
                ModelSpec(
                    "A",
                    (
                        KEY,
                        ("f0", "IntegerField()"),
                        (
                            "g0",
                            (
                                "GeneratedField(expression=F('f0') * 2 + 1, output_field="
                                "BigIntegerField(null=True), db_persist=False)"
                            ),
                        ),
                    ),
                    (("constraints", "[UniqueConstraint('f0', name='{label}_A_u')]"),),
                ),
            )
        ),
        rows=Rows((Row("A", {"id": 1, "f0": 0}),)),
        steps=(
            Write("A.objects.update_or_create(id=1, defaults={'f0': 0})"),
            Write("A.objects.update_or_create(id=1, defaults={'f0': 5})"),
        ),
        committed=False,
    ),
    # A subquery over the table that changes sees it as it was (here as a list
    # of keys, which SQLite itself gets right in all versions).
    "update by subquery on itself": Case(
        schema=Schema(
            (
                ModelSpec(
                    "A",
                    (
                        KEY,
                        ("odd", "IntegerField(null=True)"),
                        (
                            "m0",
                            (
                                "ManyToManyField('A', related_name='m_A', "
                                "symmetrical=False)"
                            ),
                        ),
                    ),
                ),
            )
        ),
        rows=Rows(
            (Row("A", {"id": 1, "odd": 1}), Row("A", {"id": 2, "odd": 2})),
            (Link("A", "m0", 1, (2,)), Link("A", "m0", 2, (1,))),
        ),
        steps=(Write("A.objects.filter(m_A__odd__gt=0).update(odd=None)"),),
    ),
}
