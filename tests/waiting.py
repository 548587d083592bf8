"""Waiting for what other processes and threads do."""

import contextlib
import os
import signal
import time
from pathlib import Path

#: Seconds that a test waits for what has to come. Only a fault makes one wait so long, on
#: a machine as busy as any; a test that passes goes on as soon as it has come.
PATIENCE = 120.0


def until(condition):
    """Return the first true value of ``condition()``; fail after all patience."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it didn't happen in {PATIENCE:.0f} s"
        time.sleep(0.02)
    return found


def freeze(pid):
    """Stop a process with SIGSTOP; return when none of its threads runs any more."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    if tasks.exists():  # on Linux
        until(lambda: all(map(_is_stopped, tasks.iterdir())))
    else:
        time.sleep(0.2)


def _is_stopped(task):
    with contextlib.suppress(OSError):  # the thread has ended meanwhile
        return (task / "stat").read_text().rpartition(") ")[2].startswith("T")
    return True
