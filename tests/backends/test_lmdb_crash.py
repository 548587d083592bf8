"""
What a killed writer leaves: all that it acknowledged, and no part of a transaction.

One process does it all, see ``crashing.py``: it forks a writer, kills it at a random
moment, and forks another one that compares what is there with what has to be there.
All kills of a run hit one database.

``EXAMPLES`` of ``make`` is how many kills, ``SEED`` does it in another way.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.effort import examples, seed

import backendkit

KILLS = examples(test=20, check=100, soak=2000)


def crash(folder, kills, mutation=""):
    """Kill writers; return the process that did it."""
    source = Path(backendkit.__file__).parent.parent
    arguments = [str(folder / "database"), str(seed()), str(kills), mutation]
    return subprocess.run(
        [sys.executable, Path(__file__).with_name("crashing.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=60 + 5 * kills,
        check=False,
    )


def test_killed(tmp_path):
    """Each acknowledged transaction is whole, at most one more is, and nothing else."""
    done = crash(tmp_path, KILLS)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    sys.stdout.write(f"{figures}\n")  # shown with -s or -rP
    assert figures["kills"] == KILLS
    # Most were killed at work, one in ten between commit and acknowledgement.
    assert figures["transactions"] > KILLS
    assert 0 < figures["starting"] < KILLS / 2
    assert figures["unacknowledged"] >= KILLS // 10


@pytest.mark.check
@pytest.mark.parametrize("mutation", ["early", "entries", "rows", "numbers"])
def test_it_would_be_noticed(tmp_path, mutation):
    """
    Acknowledging before the commit fails, and so does a commit in two steps: index
    entries, rows, or row counts apart.
    """
    done = crash(tmp_path, 200, mutation)
    assert done.returncode == 1
    assert "AssertionError: " in done.stderr
    assert "a writer failed" not in done.stderr
