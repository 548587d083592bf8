"""
A process between the run and Django's: nothing outlives the run.

Run as a script, by path: ``python -I -S _guard.py FOLDER COMMAND …``. It runs
COMMAND in a session of its own and ends with its exit status. Its standard input
is a pipe from the run. The first line of it says what ``_engine.clean`` has to drop
if COMMAND ends badly: databases on a server, or nothing. When the pipe is closed
(the run wants to end it, or was itself killed), COMMAND and all that it started
are killed. If the run is gone, its temporary FOLDER is removed as well.

It imports the standard library only, and as little of it as it can.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from os import PathLike

# Seconds that dropping databases may take, on a server that may not answer.
_PATIENCE = 60


def start(
    command: list[str],
    folder: str,
    *,
    output: int,
    cwd: "PathLike[str] | None" = None,
    env: Mapping[str, str],
    to_clean: str = "",
) -> "subprocess.Popen[bytes]":
    """
    Start a command under a guard, in the run.

    Args:
        command: to run.
        folder: the run's, which the guard removes if the run can't.
        output: descriptor for what the command writes. What the guard itself has to
            say goes to the run's standard error.
        cwd: folder to run in.
        env: environment to run with.
        to_clean: a line of JSON, as ``_engine.clean`` takes it.

    """
    guard = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-I", "-S", __file__, folder, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        cwd=cwd,
        env=env,
        # Ctrl-C is for the run, which then ends what it started.
        start_new_session=True,
    )
    assert guard.stdin is not None  # it is a pipe
    guard.stdin.write(to_clean.encode() + b"\n")
    guard.stdin.flush()
    return guard


def release(guard: "subprocess.Popen[bytes]") -> None:
    """Have a guard end its command, without waiting for it."""
    assert guard.stdin is not None  # it is a pipe
    with contextlib.suppress(OSError):
        guard.stdin.close()


def main() -> int:
    folder, command = sys.argv[1], sys.argv[2:]
    run = os.getppid()
    closed = threading.Event()
    to_clean = sys.stdin.buffer.readline()
    if to_clean.endswith(b"\n"):
        status = watch(command, closed)
        if status != 0 and to_clean.strip():
            clean(to_clean, killed=status < 0)
    else:
        # The run ended before it had started us.
        closed.set()
        status = 1
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


def watch(command: list[str], closed: threading.Event) -> int:
    """Run a command to its end, or until the run closes our standard input."""
    child = subprocess.Popen(  # noqa: S603  # the command of the run that started us
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    signal.signal(signal.SIGUSR1, lambda *_: child.send_signal(signal.SIGUSR1))

    def wait_for_the_run() -> None:
        sys.stdin.buffer.read()
        closed.set()
        kill(child.pid)

    threading.Thread(target=wait_for_the_run, daemon=True).start()
    status = child.wait()
    # What the command left running.
    kill(child.pid)
    return status


def kill(session: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


def clean(to_clean: bytes, killed: bool) -> None:
    """Drop databases, in a process that may know Django."""
    # -P: the folder that we are in has packages by any name.
    command = [sys.executable, "-P", "-m", "backendkit.conformance._engine", "clean"]
    if killed:
        command.append("killed")
    try:
        subprocess.run(  # noqa: S603  # our own command
            command,
            # By a pipe: nobody reads a password from a list of processes.
            input=to_clean,
            stdout=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as e:
        import json  # noqa: PLC0415  # seldom needed

        names = [str(table["NAME"]) for table in json.loads(to_clean).values()]
        why = (
            f"it took over {_PATIENCE} s"
            if isinstance(e, subprocess.TimeoutExpired)
            else str(e)
        )
        with contextlib.suppress(OSError):
            sys.stderr.write(
                f"backendkit.conformance: some test databases of {', '.join(names)}"
                f" may not have been removed: {why}\n"
            )


if __name__ == "__main__":
    # Without the interpreter's shutdown, which would wait for the thread's read.
    os._exit(main())
