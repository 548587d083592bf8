"""What is remembered about an instance, and who may change it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from backendkit import clock
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import reason

_TEMPORARY = ".state-"
_PAUSE = 0.05  # seconds between two looks at a lock


@dataclass
class State:
    """
    What one instance keeps in its state file.

    :param port: that it was given when the settings named none.
    :param password: of the database's user, for settings made by ``dbsettings``.
    :param admin_password: of the server's own administrator.
    :param pid: of the server that was started last.
    :param started: tells that process from a later one with the same id.
    :param replacing: names of the data that are set aside until new ones run; None
        if that isn't going on.
    :param folder: real path of the instance's folder, for which the port was chosen.
        A copy of the state file still has that of the original.
    :param data: device and inode of the data folder that the server was started on.
    :param server_port: on which the server that was started last listens.
    :param starting: whether a server is being started. It is saved before the server
        is there, so that a server whose starter was killed can be found.
    :param mark: tells the server that is being started from other processes.
    :param command: the arguments of its command line.
    :param copy_of: the folder of the instance that this one was copied from.
    :param doubtful: whether the data were copied while a server may have changed them.
    :param orphan: id and start of a server whose data folder was removed.
    """

    port: int | None = None
    password: str | None = None
    admin_password: str | None = None
    pid: int | None = None
    started: str | None = None
    replacing: list[str] | None = None
    folder: str | None = None
    data: list[int] | None = None
    server_port: int | None = None
    starting: bool = False
    mark: str | None = None
    command: str | None = None
    copy_of: str | None = None
    doubtful: bool = False
    orphan: list[str] | None = None

    def forget_server(self) -> None:
        """Note that no server is known."""
        self.pid = self.started = self.mark = self.command = None
        self.starting = False


class StateFile:
    """
    A :class:`State` in a JSON file that only its owner may read.

    :param path: the file; its directory is made when it is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> State:
        """
        Return what is in it; a new state if there is no file.

        :raises DbdevError: it can't be read, or isn't ours.
        """
        try:
            values = json.loads(self.path.read_text("utf-8"))
            known = {field.name for field in fields(State)}
            return State(**{name: values[name] for name in values if name in known})
        except FileNotFoundError:
            return State()
        except OSError as error:
            raise DbdevError(
                f"the state file {self.path} can't be read: {error.strerror}"
            ) from error
        except (ValueError, TypeError) as error:
            raise DbdevError(
                f"the state file {self.path} is damaged ({error}). If no server of"
                " this project runs, remove the file"
            ) from error

    def save(self, state: State) -> None:
        """
        Write it, all or nothing.

        :raises DbdevError: it can't be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=_TEMPORARY)
            try:
                with open(handle, "w", encoding="utf-8") as file:
                    json.dump(asdict(state), file, indent=1)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            raise DbdevError(
                f"the state file {self.path} can't be written:"
                f" {reason(error, self.path.parent, named=False)}"
            ) from error

    def clean(self) -> None:
        """Remove what a command left that was killed while it wrote the file."""
        for path in self.path.parent.glob(f"{_TEMPORARY}*"):
            path.unlink(missing_ok=True)


class Lock:
    """
    Who may change an instance: one process at a time.

    The operating system gives it back when the process ends, however it does.

    :param path: the lock file, which names who has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = 0
        self._file = -1

    @contextlib.contextmanager
    def held(self, timeout: float) -> Iterator[bool]:
        """
        Hold the lock for a while; inside of itself it is free.

        :param timeout: seconds to wait for another process.
        :return: whether this is the outermost one.
        :raises DbdevError: another process has it for longer, or no permission.
        """
        if not self._held:
            self._acquire(timeout)
        self._held += 1
        try:
            yield self._held == 1
        finally:
            self._held -= 1
            if not self._held:
                os.close(self._file)

    def _acquire(self, timeout: float) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DbdevError(
                f"{self.path} can't be opened: {error.strerror}"
            ) from error
        deadline = clock.monotonic() + timeout
        try:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if clock.monotonic() >= deadline:
                        holder = os.pread(file, 200, 0).decode(errors="replace")
                        raise DbdevError(
                            "another command is using this database:"
                            f" {holder.strip()} (waited {timeout:g} s)"
                        ) from None
                time.sleep(_PAUSE)
            program = " ".join(
                [os.path.basename(sys.argv[0] or "python"), *sys.argv[1:2]]
            )
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()}, {program}\n".encode(), 0)
        except BaseException:
            os.close(file)
            raise
        self._file = file
