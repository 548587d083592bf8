"""What a process loads: time and memory that each command of a project pays."""

import subprocess
import sys

import pytest

_FIRST_QUERY = """
import sys
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": sys.argv[1], "NAME": sys.argv[2]}})
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
    assert cursor.fetchall() == [(1,)]
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("engine", "others"),
    [
        ("backendkit.backends.lmdb", {"grpc", "google.protobuf"}),
        ("backendkit.backends.memory", {"grpc", "google.protobuf", "lmdb"}),
    ],
)
def test_the_first_query_loads_what_it_needs(tmp_path, engine, others):
    """Nothing of other stores, of servers or of tests comes with it."""
    process = subprocess.run(
        [sys.executable, "-c", _FIRST_QUERY, engine, str(tmp_path / "data")],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(process.stdout.split())
    assert "backendkit.engine.connection" in loaded
    others = others | {
        "backendkit.conformance",
        "backendkit.dbdev",
        "backendkit.stores._buffered",
        "backendkit.stores.testing",
    }
    assert not others & loaded
