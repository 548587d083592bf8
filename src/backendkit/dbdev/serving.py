"""
Which process is the server of an instance, also after its folder was copied or moved.

A process is known by its id and start, and it serves the data folder that it was started
on: the one with the same device and inode. A copy of the project has the state file, but
other data.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS

from backendkit.dbdev import ports, process
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.instance import LOCK_TIMEOUT, Instance
from backendkit.dbdev.state import State, StateFile


class ServerLockedError(Exception):
    """Processes that no state file knows use the data."""


def server_of(instance: Instance) -> tuple[int, str] | None:
    """
    Return id and start of the server that runs on an instance's data; None: none does.

    A server that its starter had no time to note is found, too.
    """
    state = instance.file.load()
    if state.pid is None:
        return _unnoted(state)
    if not _is_alive(state) or not _serves(instance, state):
        return None
    assert state.started is not None
    return state.pid, state.started


def _unnoted(state: State) -> tuple[int, str] | None:
    if not state.starting or state.mark is None:
        return None
    pid = process.find_marked(state.mark, state.command or "")
    started = None if pid is None else process.started(pid)
    return None if pid is None or started is None else (pid, started)


def _is_alive(state: State) -> bool:
    return process.is_running(state.pid, state.started)


def _serves(instance: Instance, state: State) -> bool:
    """Whether the server of a state was started on the data that are here."""
    if state.data is None:
        return True  # an earlier version has started it
    found = identity(instance.data)
    if found is None:
        return state.folder == _real(instance)
    return found == state.data


def identity(folder: Path) -> list[int] | None:
    """Return device and inode of a folder; None if it isn't there."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return [status.st_dev, status.st_ino]


def _real(instance: Instance) -> str:
    return os.path.realpath(instance.folder)


# Starting one


def intend(instance: Instance, command: Sequence[str], port: int) -> str:
    """
    Note that a server is about to be started; return the mark for its environment.

    From here on it can be found, whenever the command that starts it is killed.
    """
    state = instance.file.load()
    state.forget_server()
    state.starting = True
    state.mark = secrets.token_hex(16)
    state.command = " ".join(command[1:])
    state.folder = _real(instance)
    state.data = identity(instance.data)
    state.server_port = port
    instance.file.save(state)
    return state.mark


def note(instance: Instance, pid: int) -> None:
    """Note the process that was started."""
    state = instance.file.load()
    state.pid, state.started = pid, process.started(pid)
    instance.file.save(state)


def note_ready(instance: Instance) -> None:
    """Note that the server can be used."""
    state = instance.file.load()
    if state.starting:
        state.starting = False
        instance.file.save(state)


def recover(instance: Instance) -> None:
    """Note the server that a killed command has started, if there is one."""
    state = instance.file.load()
    if not state.starting or state.pid is not None:
        return
    found = _unnoted(state)
    if found is None:
        state.forget_server()
    else:
        state.pid, state.started = found
    instance.file.save(state)


@contextlib.contextmanager
def server_lock(instance: Instance) -> Iterator[int]:
    """
    Lock an instance for a server, and give the open file that the server has to get.

    The lock is held until the last process ends that has the file. So it holds where no
    process id says anything: in another container that shares the folder.

    :raises ServerLockedError: another server has it.
    """
    file = os.open(
        instance.folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        # Some network file systems have no such locks.
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServerLockedError from None
        yield file
    finally:
        os.close(file)


# Copied and moved folders


def settle(instance: Instance, port: str | None = None) -> None:
    """
    Notice that a project's folder was copied or moved, and say so on standard error.

    A copy gets a port of its own: its programs would use the original's server. A
    folder that was moved keeps its port and its server.

    :param port: the port that the settings name, if it isn't one that was chosen.
    :raises DbdevError: it is a copy, and its settings name the original's port.
    """
    if _is_settled(instance, instance.file.load()):
        return
    with instance.lock.held(LOCK_TIMEOUT):
        state = instance.file.load()
        if _is_settled(instance, state):
            return
        strayed = _is_alive(state) and not _serves(instance, state)
        removed = strayed and process.has_lost_its_folder(state.pid or 0)
        if (strayed and not removed) or _original_is_there(instance, state):
            if port is not None and port == str(state.server_port):
                raise DbdevError(
                    f"{instance.folder} is a copy of {state.folder}, and has the port"
                    " of the original's server in its settings. Set the PORT of"
                    f" {instance.alias!r} to another one than {port}"
                )
            _become_a_copy(instance, state)
            return
        if removed:
            state.orphan = [str(state.pid), str(state.started)]
        # A folder that is renamed keeps its inode.
        found = identity(instance.data)
        if state.pid is not None and state.data and found and found[1] != state.data[1]:
            state.doubtful = True
            state.forget_server()
            _say(f"The data in {instance.data} were copied. {DOUBT}")
        was, state.folder = state.folder, _real(instance)
        # Nobody loses anything if it can't be noted.
        with contextlib.suppress(DbdevError):
            instance.file.save(state)
        if was not in {None, state.folder} and _is_alive(state):
            _say(
                f"The development database {instance.alias!r} was moved from {was}"
                " while its server ran. Restart the server: some servers go on"
                " using the old path."
            )


def _is_settled(instance: Instance, state: State) -> bool:
    if state.folder != _real(instance):
        # Without a port and a server there is nothing to share.
        return state.port is None and state.server_port is None and state.pid is None
    return not _is_alive(state) or _serves(instance, state)


def _original_is_there(instance: Instance, state: State) -> bool:
    """Whether the folder that a state names is another one, with the same port."""
    if state.folder is None:
        return False
    file = Path(state.folder, instance.file.path.name)
    try:
        if not file.exists() or os.path.samefile(state.folder, instance.folder):
            return False
        other = StateFile(file).load()
    except (OSError, DbdevError):
        return False
    shared = {other.port, other.server_port} & {state.port, state.server_port}
    return bool(shared - {None})


def _become_a_copy(instance: Instance, state: State) -> None:
    original, old = state.folder, state.port
    state.doubtful = state.pid is not None or state.starting
    state.forget_server()
    state.server_port = None
    state.data = None
    state.copy_of, state.folder = original, _real(instance)
    if old is not None:
        state.port = ports.choose(state.folder, without=old)
    instance.file.save(state)
    said = (
        f"The development database {instance.alias!r} in {instance.folder} is a copy of"
        f" {original}."
    )
    if state.port is not None:
        said += (
            f" It now has port {state.port}, and the original keeps port {old}. To"
            " start a server for the copy, run manage.py"
            f" dbdev_startserver{_option(instance)}."
        )
    _say(f"{said} {DOUBT}" if state.doubtful else said)


def _option(instance: Instance) -> str:
    """Return the option that names the database, unless it is the default one."""
    if instance.alias == DEFAULT_DB_ALIAS:
        return ""
    return f" --database {shlex.quote(instance.alias)}"


#: What is said of data that were copied from a running server.
DOUBT = (
    "The original's server was running when the files were copied, so they may be"
    " inconsistent. If the server refuses them or rows are missing, restore a backup"
    " (dbdev_restore) or create a new database (dbdev_reinit)."
)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def renewed(instance: Instance) -> None:
    """Note that the data aren't those any more that were copied."""
    state = instance.file.load()
    if state.doubtful:
        state.doubtful = False
        instance.file.save(state)
