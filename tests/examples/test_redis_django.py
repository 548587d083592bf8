"""Django's own tests on the Redis of the guide."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "labels",
    [
        ["or_lookups"],
        pytest.param(
            [
                *("aggregation", "basic", "bulk_create", "constraints", "lookup"),
                *("get_or_create", "many_to_many", "select_for_update"),
                *("transactions", "update"),
            ],
            marks=pytest.mark.check,
        ),
    ],
    ids=len,
)
def test_djangos_tests(redis_server, tmp_path, labels):
    options = {"HOST": redis_server.host, "PORT": redis_server.port}
    options["PASSWORD"] = redis_server.password
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
