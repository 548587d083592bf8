"""Django's own tests on the Redis of the guide."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backendkit.dbdev.temporary import TemporaryServer
from tests.dbdev import engines
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def quick_server():
    """A server that waits for no disk: nobody kills it."""
    engines.available(engines.REDIS)
    options = {"OPTIONS": {"appendfsync": "no"}}
    with TemporaryServer("redis", DBDEV=options) as server:
        yield server


@pytest.mark.parametrize(
    "labels",
    [
        ["or_lookups"],
        pytest.param(
            [
                *("basic", "bulk_create", "constraints", "get_or_create"),
                *("many_to_many", "many_to_one", "or_lookups", "select_for_update"),
                *("transactions", "update"),
            ],
            marks=pytest.mark.check,
        ),
    ],
    ids=len,
)
def test_djangos_tests(quick_server, tmp_path, labels):
    options = {"HOST": quick_server.host, "PORT": quick_server.port}
    options["PASSWORD"] = quick_server.password
    done = subprocess.run(
        [sys.executable, "-m", "backendkit.conformance", "run", "redis_store", *labels]
        + ["--no-baseline", "--parallel", "1", "--json", str(tmp_path / "report.json")]
        + [
            text
            for key, value in options.items()
            for text in ("--option", f"{key}={json.dumps(str(value))}")
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "examples"))),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
