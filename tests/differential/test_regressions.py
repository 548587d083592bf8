"""What was found once is asked each time."""

import pytest
from django.test import override_settings

from .cases import check_queries, check_writes
from .regressions import AWARE_QUERIES, QUERIES, WRITES


@pytest.mark.parametrize("case", QUERIES.values(), ids=QUERIES)
def test_queries(compared, case):
    """Queries that one of the backends answered differently."""
    check_queries(case, compared)


@pytest.mark.parametrize("case", AWARE_QUERIES.values(), ids=AWARE_QUERIES)
def test_aware_queries(compared, case):
    """The same with time zones."""
    with override_settings(USE_TZ=True, TIME_ZONE="Europe/Berlin"):
        check_queries(case, compared)


@pytest.mark.parametrize("case", WRITES.values(), ids=WRITES)
def test_writes(compared, case):
    """Writes that left something else behind."""
    check_writes(case, compared)
