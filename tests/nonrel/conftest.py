"""
Each test has a database of its own, which is Django's default one meanwhile.

``database`` is one of ours or, as the oracle, Django's SQLite backend; ``ours``
leaves the oracle out. What else the run configures is put back.
"""

import pytest

from tests.django_setup import set_up, unblocked

from .databases import ENGINES, OURS, opened

set_up()


@pytest.fixture(autouse=True)
def _unblocked(request):
    """Let tests use databases, where pytest-django forbids it."""
    with unblocked(request):
        yield


@pytest.fixture(params=ENGINES)
def database(request, tmp_path, _unblocked):
    """An empty database, the default one."""
    with opened(request.param, tmp_path) as database:
        yield database


@pytest.fixture(params=OURS)
def ours(request, tmp_path, _unblocked):
    """An empty database on a store of ours, the default one."""
    with opened(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def lmdb(tmp_path, _unblocked):
    """An empty database on LMDB, the default one."""
    with opened("lmdb", tmp_path) as database:
        yield database
