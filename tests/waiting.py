"""Waiting for what other processes and threads do."""

import time

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
