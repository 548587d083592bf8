"""Migrations and the admin of a project on the guide's sample."""

import json
import subprocess
import sys
from pathlib import Path

from tests.effort import later


@later
def test_migrations_and_the_admin():
    """All of Django's apps; what the admin's pages write is there."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.toolbox.project"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "checks": "System check identified no issues (0 silenced).\n",
        "added": [302, ["add_group"]],
        "listed": [1, 0],
        "deleted": [302, []],
        "inspected": True,
        "unmigrated": "No changes detected",
    }
