"""What was found once is asked each time."""

import pytest

from .cases import check_queries, check_writes
from .regressions import QUERIES, WRITES


@pytest.mark.parametrize("case", QUERIES.values(), ids=QUERIES)
def test_queries(compared, case):
    """Queries that one of the backends answered differently."""
    check_queries(case, compared)


@pytest.mark.parametrize("case", WRITES.values(), ids=WRITES)
def test_writes(compared, case):
    """Writes that left something else behind."""
    check_writes(case, compared)
