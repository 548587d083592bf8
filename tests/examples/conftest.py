"""Databases on the examples, each the default one of its test."""

import itertools

import pytest

from backendkit.dbdev.temporary import TemporaryServer
from tests.dbdev import engines
from tests.django_setup import set_up, unblocked

set_up()

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _unblocked(request):
    """Let tests use databases, where pytest-django forbids it."""
    with unblocked(request):
        yield


@pytest.fixture(scope="session")
def redis_server():
    """A server of Valkey or Redis, which writes each change to its disk."""
    engines.available(engines.REDIS)
    with TemporaryServer("redis") as server:
        yield server


@pytest.fixture
def redis_entry(redis_server):
    """An entry of DATABASES for an empty database."""
    import redis

    entry = {**redis_server.settings, "NAME": f"test-{next(_numbers)}"}
    del entry["DBDEV"]
    yield entry
    client = redis.Redis(
        port=redis_server.port, password=entry["PASSWORD"], decode_responses=True
    )
    with client:
        for key in client.scan_iter(f"{{{entry['NAME']}}}:*"):
            client.unlink(key)
