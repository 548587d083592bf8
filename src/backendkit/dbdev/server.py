"""Databases with a server of their own."""

from __future__ import annotations

import abc
import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from django.db import DEFAULT_DB_ALIAS

from backendkit.dbdev import keeping, ports, process, serving, users
from backendkit.dbdev.base import BaseDbdevBackend, Command, Finding
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import copy_tree, remove, size_of
from backendkit.dbdev.instance import Instance
from backendkit.progress import Progress

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
#: Seconds between two looks at a server in the foreground.
_LOOK = 0.2


class ServerBackend(BaseDbdevBackend):
    """
    Makes, starts and stops a server on the loopback interface.

    A subclass says how: :meth:`create_data`, :meth:`server_command`,
    :meth:`is_ready` and, if need be, :meth:`set_up`.
    """

    #: Whether the server doesn't run as root.
    refuses_root: ClassVar[bool] = False
    #: Keys of ``DATABASES[…]`` without which the server can't be made.
    required_settings: ClassVar[Sequence[str]] = ()
    #: To stop it, one after the other. The first lets it end in order.
    stop_signals: ClassVar[Sequence[signal.Signals]] = (signal.SIGTERM, signal.SIGKILL)
    #: Texts in the log of a start that failed, after which another one may succeed.
    transient_errors: ClassVar[Sequence[str]] = ()

    #: Whether the server is in a process group of its own; if not, who ends ours ends it.
    apart = True

    def __init__(
        self,
        command: Command,
        alias: str = DEFAULT_DB_ALIAS,
        database: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(command, alias, database)
        port = str(self.dbsettings.get("PORT") or "")
        chosen = str(self.instance.file.load().port)
        serving.settle(self.instance, None if port == chosen else port)

    # What a subclass says

    @abc.abstractmethod
    def create_data(self, folder: Path) -> None:
        """
        Make what the server needs to start, in a folder that is there, and empty.

        The folder gets its final name afterwards.
        """

    @abc.abstractmethod
    def server_command(self) -> list[str]:
        """Return the command line. All users of the machine can read it."""

    @abc.abstractmethod
    def is_ready(self) -> bool:
        """Whether the server answers."""

    def set_up(self) -> None:
        """Make users and databases that aren't there; the server runs."""

    def before_start(self) -> None:
        """Put in order what a killed server left; the server doesn't run."""

    def check_unused(self) -> None:
        """
        Check that no server is visible which uses the data; one may be ending.

        :raises DbdevError: there is one. The message names its process.
        """

    def signals(self) -> Sequence[signal.Signals]:
        """Return the signals that stop it, one after the other."""
        return self.stop_signals

    def server_environment(self) -> Mapping[str, str]:
        """Return the environment variables of the server."""
        return os.environ

    def server_options(self, setting: str) -> list[str]:
        """
        Return the server's options that the project wants, as ``--name=value``.

        :param setting: the Django setting with a dictionary for all such servers. Key
            ``OPTIONS`` of ``DATABASES[…]["DBDEV"]``: for this one, besides.
        """
        own = self.dbsettings.get("DBDEV", {}).get("OPTIONS", {})
        wanted = {**self.setting(setting, {}), **own}
        return [f"--{name}={value}" for name, value in wanted.items()]

    def is_initialised(self) -> bool:
        """Whether there is a folder: it has its name when what is in it is complete."""
        return self.instance.data.is_dir()

    # Settings

    @classmethod
    def complete_dbsettings(
        cls, entry: dict[str, Any], instance: Instance
    ) -> dict[str, Any]:
        """Add the port and the password of this instance."""
        port = entry.get("PORT")
        serving.settle(instance, str(port) if port else None)
        if not entry.get("PORT") or not entry.get("PASSWORD"):
            state = instance.reserved()
            entry["PORT"] = entry.get("PORT") or str(state.port)
            if entry.get("PASSWORD") is None:
                entry["PASSWORD"] = state.password
        return entry

    @property
    def host(self) -> str:
        """Where the server listens."""
        return ports.HOST

    @property
    def port(self) -> int:
        """
        The port that the settings name.

        :raises DbdevError: they name none, or another machine.
        """
        entry = self.dbsettings
        where = f"DATABASES[{self.alias!r}]"
        if entry.get("HOST") not in _LOOPBACK:
            raise DbdevError(
                f"{where}['HOST'] is {entry.get('HOST') or ''!r}, but development"
                " databases only run on 127.0.0.1"
            )
        port = str(entry.get("PORT") or "")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise DbdevError(
                f"{where}['PORT'] is {port!r}. Set it to a port, or let"
                " backendkit.dbdev.dbsettings() choose one"
            )
        return int(port)

    @property
    def user(self) -> users.User | None:
        """Who the server runs as; None: who we are."""
        return self.unprivileged_user() if self.refuses_root else None

    def unprivileged_user(self) -> users.User | None:
        """Return who is to run it if we are root; None: who we are."""
        return users.unprivileged(self.instance.root, self.setting("DBDEV_USER"))

    def admin_password(self) -> str:
        """Return the password of the server's administrator, made at the first time."""
        state = self.instance.file.load()
        if state.admin_password is None:
            state.admin_password = secrets.token_urlsafe(16)
            self.instance.file.save(state)
        return state.admin_password

    # The life of a server

    def init(self) -> None:
        """Make the data unless they are there, start the server, set it up."""
        with self.locked():
            port = self.port
            for key in self.required_settings:
                if not self.dbsettings.get(key):
                    raise DbdevError(f"DATABASES[{self.alias!r}][{key!r}] is missing")
            self.check_programs()
            if self.is_initialised():
                self.stdout.write(f"There is a database in {self.instance.data}.")
            else:
                self._create()
            if self._is_usable():
                self.stdout.write(f"The server runs on port {port}.")
            else:
                self._say_doubt()
                self._start()
            self.set_up()
            self.stdout.write(
                f"{self.display_name} is ready on {self.host}:{self.port}."
            )

    @property
    def _unfinished(self) -> Path:
        """Data that are being made; after a command was killed, nobody needs them."""
        return self.instance.data.with_name("data.unfinished")

    def _remove_unfinished(self) -> None:
        """Remove them; a program of the killed command may be writing to them still."""
        failures: list[OSError] = []

        def attempt() -> bool:
            failures[:] = []
            try:
                remove(self._unfinished)
            except OSError as error:
                failures[:] = [error]
            return not failures

        if not process.wait_until(attempt, self.timeout):
            raise DbdevError(f"{self._unfinished} can't be removed: {failures[0]}")

    def _create(self) -> None:
        fresh = self._unfinished
        self.instance.create()
        fresh.mkdir(mode=0o700)
        user = self.user
        if user is not None:
            # The server has to get to its data, but state and backups are closed.
            for path in (self.instance.root, self.instance.folder):
                path.chmod(path.stat().st_mode | 0o111)
            user.check_reaches(self.instance.folder)
            user.own(fresh)
        try:
            self.create_data(fresh)
            # There may be an empty one: datadir makes it.
            remove(self.instance.data)
            fresh.rename(self.instance.data)
        finally:
            remove(fresh)

    def destroy(self) -> None:
        """Stop the server, and remove data and log. Port and backups stay."""
        with self.locked():
            self.quiesce()
            remove(self.instance.data)
            remove(self.instance.log)
            serving.renewed(self.instance)
            self.stdout.write(f"Removed {self.instance.data}.")

    def start_database_server(self) -> None:
        """Start the server in the background, unless it runs."""
        with self.locked():
            self._check_initialised()
            if self._is_usable():
                self.stdout.write(f"The server is already running on port {self.port}.")
                return
            self._say_doubt()
            pid = self._start()
            self.stdout.write(
                f"{self.display_name} runs on {self.host}:{self.port}, process {pid}."
            )

    def stop_database_server(self) -> None:
        """Stop the server, if it runs."""
        with self.locked():
            if self.quiesce():
                self.stdout.write("The server is stopped.")
            else:
                self.stdout.write("The server doesn't run.")

    def run_database_server_in_foreground(self) -> None:
        """
        Run the server until it ends, or Ctrl-C or SIGTERM stops it.

        :raises DbdevError: it runs already, or ended with an error.
        """
        try:
            with _as_interrupts():
                pid = self._run_in_foreground()
        except KeyboardInterrupt:
            with self.locked():
                self.quiesce()
            self.stdout.write("The server is stopped.")
            return
        status = process.exit_status(pid)
        self._forget(pid)
        if status not in {0, -signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM}:
            raise DbdevError(f"the server ended with status {status}")
        self.stdout.write("The server was stopped.")

    def _run_in_foreground(self) -> int:
        with self.locked():
            self._check_initialised()
            if self._is_usable():
                raise DbdevError(
                    f"the server is already running on port {self.port}. Stop it with"
                    f" {self.manage('dbdev_stopserver')}"
                )
            self._say_doubt()
            pid = self._start(foreground=True)
        # Other commands may work while it runs.
        self.stdout.write(
            f"{self.display_name} runs on {self.host}:{self.port}, process {pid}."
            " Stop it with Ctrl-C."
        )
        while process.exit_status(pid) is None:
            process.wait_until(lambda: process.exit_status(pid) is not None, _LOOK)
        return pid

    def _say_doubt(self) -> None:
        if self.instance.file.load().doubtful:
            self.stderr.write(serving.DOUBT)

    def is_running(self) -> bool:
        """Whether a server runs on these data that a command has started."""
        return serving.server_of(self.instance) is not None

    def _is_usable(self) -> bool:
        """Whether the server runs. One whose starter was killed may not be ready."""
        if not self.is_running():
            return False
        if self.instance.file.load().starting:
            process.wait_until(
                lambda: self.is_ready() or not self.is_running(), self.timeout
            )
            if not self.is_running() or not self.is_ready():
                self.quiesce()
                return False
            serving.note_ready(self.instance)
        return True

    def quiesce(self) -> bool:
        """Stop the server; return whether it ran. Says nothing."""
        self.close_connection()
        server = serving.server_of(self.instance)
        signals = self.signals()
        number = None
        if server is not None:
            number = process.stop(*server, signals, self.timeout)
        state = self.instance.file.load()
        if state.pid is not None or state.starting:
            state.forget_server()
            self.instance.file.save(state)
        if number is not None and number != signals[0]:
            self.stderr.write(
                f"The server didn't stop within {self.timeout:g} s, and was ended"
                f" with {number.name}."
            )
        return number is not None

    def recover(self) -> None:
        """Note the server of a killed command; stop one whose data were removed."""
        serving.recover(self.instance)
        self._remove_unfinished()
        state = self.instance.file.load()
        if state.orphan is not None:
            pid, started = int(state.orphan[0]), state.orphan[1]
            if process.stop(pid, started, self.signals(), self.timeout) is not None:
                self.stderr.write(
                    "Stopped the server of a directory that was removed (process"
                    f" {pid})."
                )
            state.orphan = None
            self.instance.file.save(state)
        super().recover()

    @contextlib.contextmanager
    def copied_data(self) -> Iterator[None]:
        """
        Let the block change a copy of the data, which then takes their place.

        For changes that the server itself can't undo. The server is stopped while its
        folder is copied. If the block raises an error, the data are as they were.

        :raises DbdevError: the server doesn't run.
        """
        self.check_running()
        if keeping.is_replacing(self):
            # There are others to go back to already.
            yield
            return
        with keeping.replaced_data(self) as replacement:
            data = self.instance.data
            source = replacement.aside(data)
            with Progress(sys.stderr, "copying", size_of(source)) as shown:
                copy_tree(source, data, shown)
            if self.user is not None:
                self.user.own(data)
            self.resume()
            yield

    def overwritten_by(self, dumpfile: Path) -> str | None:
        """Ask the server, which has to run."""
        self.check_running()
        return super().overwritten_by(dumpfile)

    def check_running(self) -> None:
        """
        Check that the server runs.

        :raises DbdevError: it doesn't; the message says how to start it.
        """
        if not self.is_running():
            raise DbdevError(
                "the server isn't running. Start it with"
                f" {self.manage('dbdev_startserver')}"
            )

    def resume(self) -> None:
        """Start the server. Says nothing."""
        if not self.is_running():
            self._start()

    def _forget(self, pid: int) -> None:
        state = self.instance.file.load()
        if state.pid == pid:
            state.forget_server()
            self.instance.file.save(state)

    def _check_initialised(self) -> None:
        if not self.is_initialised():
            raise DbdevError(
                f"there is no database. Create one with {self.manage('dbdev_init')}"
            )

    def _start(self, *, foreground: bool = False) -> int:
        user = self.user
        log = self.instance.log
        began = log.stat().st_size if log.exists() else 0
        # Retried: the processes of a killed server may take a moment to end, and
        # another program may take the port between our look and the server's.
        failures: list[str] = []

        def attempt() -> bool:
            self._find_port()
            position = log.stat().st_size if log.exists() else 0
            try:
                failures[:] = []
                self._start_once(self.server_command(), user, foreground=foreground)
            except serving.ServerLockedError:
                self.check_unused()
                said = (
                    "can't be started: another server, which this command can't see,"
                    " uses"
                )
                where = f"{self.instance.data}. It may run in another container"
                failures[:] = [f"{said} {where}"]
                return False
            except _NotReadyError as error:
                failures[:] = [str(error)]
                text = process.tail(log, position)
                return ports.is_free(self.port) and not any(
                    known in text for known in self.transient_errors
                )
            return True

        finished = process.wait_until(attempt, self.timeout)
        if failures or not finished:
            said = "" if foreground else f":\n{process.tail(log, began)}\n({log})"
            raise DbdevError(f"{self.display_name} {failures[0]}{said}")
        pid = self.instance.file.load().pid
        assert pid is not None
        return pid

    def _start_once(
        self, command: list[str], user: users.User | None, *, foreground: bool
    ) -> None:
        with contextlib.ExitStack() as stack:
            log = None
            if not foreground:
                log = stack.enter_context(self.instance.log.open("ab"))
            lock = stack.enter_context(serving.server_lock(self.instance))
            self.before_start()
            # Noted before and after: the server can be found even if this command is
            # killed in between.
            mark = serving.intend(self.instance, command, self.port)
            try:
                pid = process.start(
                    command,
                    folder=self.instance.data,
                    log=log,
                    environment={**self.server_environment(), process.MARK: mark},
                    user=user,
                    apart=self.apart,
                    keep=[lock],
                )
                serving.note(self.instance, pid)
            except BaseException:
                self.quiesce()
                raise
        try:
            ready = process.wait_until(
                lambda: process.exit_status(pid) is not None or self.is_ready(),
                self.timeout,
            )
        except BaseException:
            self.quiesce()
            raise
        status = process.exit_status(pid)
        if status is not None:
            self._forget(pid)
            raise _NotReadyError(f"ended at once, with status {status}")
        if not ready:
            self.quiesce()
            raise _NotReadyError(f"wasn't ready in {self.timeout:g} s")
        serving.note_ready(self.instance)

    def _find_port(self) -> None:
        """
        Make sure that nobody has the port.

        :raises DbdevError: somebody has, and the settings name it.
        """
        port = self.port
        if ports.is_free(port):
            return
        state = self.instance.file.load()
        if state.port != port:
            raise DbdevError(
                f"another program uses port {port}. Set"
                f" DATABASES[{self.alias!r}]['PORT'] to another port, or let"
                " dbsettings() choose one"
            )
        state.port = ports.choose(str(self.instance.folder), after=port)
        self.instance.file.save(state)
        # For the rest of this process; later ones read the state file. (Connections
        # that are open have the same dictionary.)
        self.close_connection()
        self.dbsettings["PORT"] = str(state.port)
        self.stderr.write(
            f"Another program uses port {port}, so the server now uses port"
            f" {state.port}. Restart other processes of the project."
        )

    def info(self) -> dict[str, Any]:
        """Tell whether it runs, too."""
        server = serving.server_of(self.instance)
        state = self.instance.file.load()
        copied = {"copy_of": state.copy_of} if state.copy_of else {}
        return {
            **super().info(),
            **copied,
            "running": server is not None,
            "pid": None if server is None else server[0],
            "host": self.host,
            "port": self.port,
            "user": self.dbsettings.get("USER") or None,
            "log": str(self.instance.log),
        }

    def findings(self) -> Iterator[Finding]:
        """Look at the port and at who the server runs as, too."""
        yield from super().findings()
        try:
            port = self.port
            user = self.user
            folder = self.instance.root
            while not folder.exists():
                folder = folder.parent
            if user is not None:
                user.check_reaches(folder)
                yield Finding(True, f"the server runs as the user {user.name}")
        except DbdevError as error:
            yield Finding(False, str(error))
            return
        state = self.instance.file.load()
        server = serving.server_of(self.instance)
        if state.copy_of is not None:
            yield Finding(True, f"these data were copied from {state.copy_of}")
        if state.doubtful:
            yield Finding(True, serving.DOUBT)
        if server is not None:
            yield Finding(True, f"the server runs on port {port}, process {server[0]}")
        elif ports.is_free(port):
            yield Finding(True, f"port {port} is free")
        else:
            yield Finding(
                False,
                f"another program uses port {port}",
                remedy="Choose another port, or stop that program.",
            )
        if state.pid is not None and server is None:
            yield Finding(
                True,
                f"the server that was started last (process {state.pid}) has ended."
                f" Start it with {self.manage('dbdev_startserver')}",
            )


class _NotReadyError(Exception):
    """A server ended, or doesn't answer."""


@contextlib.contextmanager
def _as_interrupts() -> Iterator[None]:
    """Make SIGTERM and SIGHUP what Ctrl-C is, also where a shell had it ignored."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        # nohup has it ignored, and means it.
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
