"""
The databases for this folder, whatever settings the rest of the run uses.

Nothing but two or three aliases is added to ``django.db.connections``, and a
router that answers for this folder's own models only; both are taken away
again when the last test here is done.

``EXAMPLES`` of ``make`` is how many all tests here run together, ``SEED`` draws others.
Settings by environment variable:

DIFFERENTIAL_ENGINES
    The ENGINEs to compare with Django's SQLite backend, separated by commas. With
    ":sql" behind it, an ENGINE of ours answers all queries through SQL.
DIFFERENTIAL_LOG
    A file that holds the example that runs: for crashes of the process, which
    no exception reports. For runs without pytest-xdist.
"""

import contextlib

import pytest
from django.test import override_settings

from tests.django_setup import set_up, unblocked

from .databases import CurrentDatabase, added

set_up()


@pytest.fixture(scope="package")
def compared(request):
    """The aliases that are compared with the oracle."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(unblocked(request))
        stack.enter_context(
            override_settings(
                DATABASE_ROUTERS=[CurrentDatabase()], USE_TZ=False, TIME_ZONE="UTC"
            )
        )
        _, *others = stack.enter_context(added())
        yield tuple(others)


@pytest.fixture(params=["naive", "aware"])
def time_zone(request, compared):
    """Datetimes without a time zone, and with one that has summer time."""
    aware = request.param == "aware"
    with override_settings(USE_TZ=aware, TIME_ZONE="Europe/Berlin"):
        yield request.param
