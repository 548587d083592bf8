"""How many examples, and which: see conftest.py."""

import zlib

from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.effort import effort, fixed, seed
from tests.effort import examples as number_of

from .cases import Case
from .rows import rows
from .schemas import build, pool
from .surroundings import surroundings

#: Of all tests here together.
EXAMPLES = number_of(test=75, check=500, soak=40_000)
#: How many schemas most examples share: their tables are made once.
SCHEMAS = effort(test=10, check=30, soak=100)


def examples(share, **options):
    """
    Run a part of all examples.

    A ``share`` above 1 is a number of examples that can't be changed.
    """

    def decorate(test):
        number = share if share > 1 else max(1, round(EXAMPLES * share))
        test = settings(
            max_examples=number,
            database=None,
            suppress_health_check=list(HealthCheck),
            **options,
        )(test)
        if fixed():
            return test
        # Each test has examples of its own.
        return seeded(zlib.crc32(f"{seed()} {test.__name__}".encode()))(test)

    return decorate


@st.composite
def cases(draw, steps, schemas=None, **of_rows):
    """
    Cases with steps from ``steps(built, rows)``.

    Their models are from the pool, or from the strategy ``schemas``; ``of_rows`` is
    for :func:`~.rows.rows`.
    """
    schema = draw(st.sampled_from(pool(SCHEMAS)) if schemas is None else schemas)
    built = build(schema)
    found = draw(rows(built, **of_rows))
    asked = draw(steps(built, found))
    return Case(schema, found, asked, draw(st.booleans()), draw(surroundings()))


def asked(strategy, most=6):
    """A ``steps`` argument of :func:`cases`: a few queries."""
    return lambda built, found: st.lists(
        strategy(built, found), min_size=1, max_size=most
    ).map(tuple)
