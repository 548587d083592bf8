"""
A process between the run and Django's: nothing outlives the run.

Started as a script, by path: ``python -I -S _guard.py FOLDER COMMAND …``. It runs
COMMAND in a session of its own and ends with its exit status. Its standard input
is a pipe from the run; when that is closed (the run wants to end it, or was itself
killed), COMMAND and all that it started are killed. If the run is gone, its
temporary FOLDER is removed as well.

It imports the standard library only, and as little of it as it can.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time


def main() -> int:
    folder, command = sys.argv[1], sys.argv[2:]
    run = os.getppid()
    child = subprocess.Popen(  # noqa: S603  # the command of the run that started us
        command, stdin=subprocess.DEVNULL, start_new_session=True
    )
    signal.signal(signal.SIGUSR1, lambda *_: child.send_signal(signal.SIGUSR1))

    closed = threading.Event()

    def wait_for_the_run() -> None:
        sys.stdin.buffer.read()
        closed.set()
        kill(child.pid)

    threading.Thread(target=wait_for_the_run, daemon=True).start()
    status = child.wait()
    # What the command left running.
    kill(child.pid)
    if closed.is_set():
        # A process that is killed closes its files before its children see it.
        for _ in range(20):
            if os.getppid() != run:
                break
            time.sleep(0.025)
    if os.getppid() != run:
        import shutil  # noqa: PLC0415  # seldom needed

        shutil.rmtree(folder, ignore_errors=True)
    return status if status >= 0 else 128 - status


def kill(session: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


if __name__ == "__main__":
    # Without the interpreter's shutdown, which would wait for the thread's read.
    os._exit(main())
