"""
Processes: started apart from ours, found again, stopped.

A process is known by its id and when it started. Ids are given anew, after a reboot
all of them; and stopping by name would hit other people's servers.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from backendkit import clock
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.users import User

#: Seconds between two looks, at first and at most.
_FIRST_PAUSE, _LAST_PAUSE = 0.01, 0.1
#: Bytes of a log that are shown.
_TAIL = 4000

#: The environment variable that tells a server from other processes.
MARK = "DBDEV_SERVER"

# What this process has started: nobody else can take notice of their end.
_children: dict[int, subprocess.Popen[bytes]] = {}


def started(pid: int) -> str | None:
    """
    Return when a process started, as a text that no other process will have.

    None if there is no such process, or if it has ended.
    """
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return None
    if sys.platform == "linux":
        return _started_on_linux(pid)
    # POSIX. It knows seconds: enough for ids, which are given in turn.
    answer = subprocess.run(  # noqa: S603  # a number is all that is put in
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607  # where it is differs
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout.split(maxsplit=1)
    if len(answer) < 2 or answer[0].startswith("Z"):
        return None
    return answer[1].strip()


def _started_on_linux(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc_pid_stat(5): the name may hold anything, also parentheses.
    values = status.rpartition(")")[2].split()
    # Its first thread may have ended before the others, which have the ports until then.
    threads = int(values[17])
    if values[0] == "X" or (values[0] == "Z" and threads <= 1):
        return None
    return f"{boot} {values[19]}"


def is_running(pid: int | None, when: str | None) -> bool:
    """Whether the process that started then still runs."""
    return pid is not None and when is not None and started(pid) == when


def command_line(pid: int) -> str:
    """Return with what a process was started; an empty text if there is none."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return os.fsdecode(b" ".join(words)).strip()
        return ""
    return subprocess.run(  # noqa: S603  # a number is all that is put in
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607  # where it is differs
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()


def works_in(pid: int, folder: Path) -> bool:
    """
    Whether a process has a folder as its working directory.

    Where the system doesn't tell, the folder has to be on its command line.
    """
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), folder.stat())
    except OSError:
        words = command_line(pid).split()
        return str(folder) in {word.rpartition("=")[2] for word in words}


def has_lost_its_folder(pid: int) -> bool:
    """Whether the working directory of a process was removed; False if unknown."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd").endswith(" (deleted)")
    return False


def find_marked(mark: str, arguments: str) -> int | None:
    """
    Return the id of the process that was started with a mark; None if there is none.

    Its children have the mark, too: it is the one whose parent hasn't.

    :param arguments: of its command line. They take the place of the mark where the
        system doesn't tell the environment of a process.
    """
    if sys.platform == "linux":
        parents = dict(_marked_on_linux(f"{MARK}={mark}".encode()))
    else:
        parents = dict(_with_arguments(arguments))
    return next(
        (pid for pid, parent in sorted(parents.items()) if parent not in parents), None
    )


def _marked_on_linux(entry: bytes) -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        # Others' processes can't be read, and some end meanwhile.
        with contextlib.suppress(OSError):
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                status = (folder / "stat").read_text("utf-8", "replace")
                yield int(folder.name), int(status.rpartition(")")[2].split()[1])


def _with_arguments(arguments: str) -> Iterator[tuple[int, int]]:
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,command="],  # noqa: S607  # where it is differs
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for line in listed.splitlines():
        pid, parent, command = line.split(maxsplit=2)
        if arguments and command.endswith(" " + arguments):
            yield int(pid), int(parent)


def start(
    command: Sequence[str],
    *,
    folder: Path,
    log: IO[bytes] | None,
    environment: Mapping[str, str],
    user: User | None,
    apart: bool = True,
    keep: Sequence[int] = (),
) -> int:
    """
    Start a process that lives on when this one ends, and return its id.

    :param folder: its working directory.
    :param log: for all that it prints; None: where ours goes.
    :param user: who it runs as; None: who we are.
    :param apart: not a process of our group, to which a terminal sends Ctrl-C.
    :param keep: open files that it gets, too.
    :raises DbdevError: it can't be started.
    """
    try:
        with _interrupts_known():
            child = subprocess.Popen(  # noqa: S603  # the command is a backend's
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is meant for us; we stop it in an orderly way.
                start_new_session=apart,
                pass_fds=keep,
                **(user.popen_arguments() if user else {}),
            )
    except OSError as error:
        raise DbdevError(f"{command[0]} can't be started: {error.strerror}") from error
    _children[child.pid] = child
    return child.pid


@contextlib.contextmanager
def _interrupts_known() -> Iterator[None]:
    """
    Let what is started know SIGINT, by which it may have to be stopped.

    In what a shell runs in the background it is ignored, and so it is in what that
    starts.
    """
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@atexit.register
def _leave_alone() -> None:
    """Let those that run live on: without it, Python warns of each."""
    for child in _children.values():
        if child.poll() is None:
            child.returncode = 0


def exit_status(pid: int) -> int | None:
    """Return the exit status of a process that we started; None while it runs."""
    child = _children.get(pid)
    return None if child is None else child.poll()


def wait_until(done: Callable[[], bool], timeout: float) -> bool:
    """
    Wait for something; return whether it came.

    :param timeout: in seconds.
    """
    deadline = clock.monotonic() + timeout
    pause = _FIRST_PAUSE
    while not done():
        if clock.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(_LAST_PAUSE, pause * 1.5)
    return True


def stop(
    pid: int, when: str, signals: Sequence[signal.Signals], timeout: float
) -> signal.Signals | None:
    """
    Stop the process that started then, if it still runs.

    :param signals: to be sent one after the other, until it ends.
    :param timeout: seconds to wait after each.
    :return: the signal that ended it; None if it didn't run.
    :raises DbdevError: it isn't ours to stop, or didn't end.
    """
    handle = None
    sent = None
    if sys.platform == "linux":
        # From here on the id can't come to mean another process.
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
    try:
        for number in signals:
            if not is_running(pid, when):
                return sent
            try:
                if sys.platform == "linux" and handle is not None:
                    signal.pidfd_send_signal(handle, number)
                else:
                    os.kill(pid, number)
            except ProcessLookupError:
                return sent
            except PermissionError as error:
                raise DbdevError(
                    f"process {pid} can't be stopped: another user started it"
                ) from error
            sent = number
            if wait_until(lambda: not is_running(pid, when), timeout):
                return sent
    finally:
        if handle is not None:
            os.close(handle)
    raise DbdevError(f"process {pid} didn't end in {timeout:g} s")


def tail(log: Path, position: int = 0) -> str:
    """Return the end of what was written to a log since a position, in bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(position, size - _TAIL))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    user: User | None = None,
    tick: Callable[[], object] | None = None,
    **arguments: Any,
) -> bytes:
    """
    Run a program to its end, and return what it wrote to standard output.

    :param environment: None: ours.
    :param tick: is called now and then.
    :param arguments: for ``subprocess.Popen``.
    :raises DbdevError: it failed; the message has what it said.
    """
    how: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        **(user.popen_arguments() if user else {}),
        **arguments,
    }
    try:
        child = subprocess.Popen(command, env=environment, **how)  # noqa: S603  # the command is a backend's
    except OSError as error:
        raise DbdevError(f"{command[0]} can't be started: {error.strerror}") from error
    with child:
        try:
            while True:
                try:
                    output, errors = child.communicate(timeout=_LAST_PAUSE)
                    break
                except subprocess.TimeoutExpired:
                    if tick is not None:
                        tick()
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        said = (errors or b"").decode(errors="replace").strip()[-_TAIL:]
        how_it_ended = (
            f"exit status {child.returncode}"
            if child.returncode > 0
            else signal.Signals(-child.returncode).name
        )
        name = os.path.basename(command[0])
        raise DbdevError(
            f"{name} failed ({how_it_ended}): {said or 'it printed no message'}"
        )
    return output or b""
