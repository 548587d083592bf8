"""How many examples, and which: see conftest.py for the environment variables."""

import os
import zlib

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st

from .cases import Case
from .rows import rows
from .schemas import build, pool

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "2000"))
SCHEMAS = int(os.environ.get("DIFFERENTIAL_SCHEMAS", "30"))
SEED = os.environ.get("DIFFERENTIAL_SEED")


def examples(share, **options):
    """
    Run a part of all examples, the same ones each time if no seed is given.

    A ``share`` above 1 is a number of examples that can't be changed.
    """

    def decorate(test):
        number = share if share > 1 else max(1, round(EXAMPLES * share))
        test = settings(
            max_examples=number,
            # A table has to be made now and then: no example is too slow.
            deadline=None,
            derandomize=SEED is None,
            # With derandomize there is no database of examples to replay.
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            **options,
        )(test)
        if SEED is None:
            return test
        # As without a seed, each test has examples of its own.
        return seed(zlib.crc32(f"{SEED} {test.__name__}".encode()))(test)

    return decorate


@st.composite
def cases(draw, steps, schemas=None, most=9):
    """
    Cases with steps from ``steps(built, rows)``.

    Their models are from the pool, or from the strategy ``schemas``.
    """
    schema = draw(st.sampled_from(pool(SCHEMAS)) if schemas is None else schemas)
    built = build(schema)
    found = draw(rows(built, most))
    return Case(schema, found, draw(steps(built, found)), committed=draw(st.booleans()))


def asked(strategy, most=6):
    """A ``steps`` argument of :func:`cases`: a few queries."""
    return lambda built, found: st.lists(
        strategy(built, found), min_size=1, max_size=most
    ).map(tuple)
