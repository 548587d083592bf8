"""The same rows and queries: the same answers."""

from hypothesis import given

from .cases import check_queries
from .examples import asked, cases, examples
from .queries import queries, simple_queries
from .schemas import build, schemas


@examples(0.15)
@given(case=cases(asked(simple_queries)))
def test_one_table(compared, case):
    """Filters, order and slices of one table, which a store may do by itself."""
    check_queries(case, compared)


# Twice: pytest-xdist shares out tests, not examples.
@examples(0.15)
@given(case=cases(asked(simple_queries)))
def test_one_table_more(compared, case):
    """The same with others."""
    check_queries(case, compared)


@examples(0.15)
@given(case=cases(asked(queries)))
def test_any(compared, case):
    """Joins, subqueries, aggregates, windows, set operations and all the rest."""
    check_queries(case, compared)


@examples(0.15)
@given(case=cases(asked(queries)))
def test_any_more(compared, case):
    """The same with others."""
    check_queries(case, compared)


@examples(0.05)
@given(case=cases(asked(queries)))
def test_time_zones(compared, time_zone, case):
    """USE_TZ on and off, in a zone with summer time."""
    check_queries(case, compared)


@examples(0.04)
@given(case=cases(asked(simple_queries), most=60))
def test_more_rows(compared, case):
    """Enough rows for orders and ranges to matter."""
    check_queries(case, compared)


@examples(0.05)
@given(case=cases(asked(queries, most=2), schemas(), most=4))
def test_new_tables(compared, case):
    """Tables made for one example and dropped after it."""
    try:
        check_queries(case, compared)
    finally:
        for alias in compared:
            build(case.schema).drop_tables(alias)
