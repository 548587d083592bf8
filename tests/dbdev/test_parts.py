"""Processes, ports, the registry, programs, backends of others."""

import functools
import os
import signal
import socket
import stat
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from backendkit.dbdev import (
    DbdevError,
    backendregistry,
    ports,
    process,
    programs,
    users,
)
from backendkit.dbdev.instance import Instance
from backendkit.dbdev.state import State

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP[2],
]


def test_a_server_knows_sigint_where_we_ignore_it(tmp_path):
    """As in what a shell runs in the background: by it some servers are stopped."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with (tmp_path / "log").open("wb") as log:
            pid = process.start(
                SLEEP, folder=tmp_path, log=log, environment=os.environ, user=None
            )
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert process.wait_until(lambda: (tmp_path / "log").stat().st_size > 0, 60)
        os.kill(pid, signal.SIGINT)
        assert process.wait_until(lambda: process.exit_status(pid) is not None, 30)
    finally:
        if process.exit_status(pid) is None:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def sleeper():
    """Starts processes that do nothing, for a minute."""
    children = []

    def sleeper(command=SLEEP):
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert children[-1].stdout.readline() == b"up\n"
        return children[-1]

    yield sleeper
    for child in children:
        child.kill()
        child.communicate()


def test_a_process_is_known_by_its_start(sleeper):
    one, other = sleeper(), sleeper()
    when = process.started(one.pid)
    assert process.is_running(one.pid, when)
    assert not process.is_running(other.pid, when)
    assert not process.is_running(one.pid, "another boot 1")
    assert not process.is_running(None, when)
    one.kill()
    # Not yet waited for: there is an entry, but it doesn't run.
    assert process.wait_until(lambda: process.started(one.pid) is None, 5)


def test_the_way_of_other_systems(sleeper, monkeypatch):
    child = sleeper()
    monkeypatch.setattr(sys, "platform", "darwin")
    when = process.started(child.pid)
    assert when is not None
    assert process.is_running(child.pid, when)
    assert "time.sleep(60)" in process.command_line(child.pid)
    assert process.stop(child.pid, when, [signal.SIGTERM], 5) is signal.SIGTERM
    assert process.started(child.pid) is None


def test_stop(sleeper):
    child = sleeper()
    when = process.started(child.pid)
    assert process.stop(child.pid, "another", [signal.SIGTERM], 5) is None
    assert child.poll() is None
    assert process.stop(child.pid, when, [signal.SIGTERM], 5) is signal.SIGTERM
    assert process.stop(child.pid, when, [signal.SIGTERM], 5) is None


def test_a_process_runs_as_long_as_one_of_its_threads(sleeper):
    """Its ports are taken until then."""
    code = (
        "import ctypes, sys, threading, time\n"
        "threading.Thread(target=time.sleep, args=(2,)).start()\n"
        "print('up', flush=True)\n"
        # Ends the first thread alone.
        "ctypes.CDLL(None).syscall(60, 0)\n"
    )
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("the number of a system call")
    child = sleeper([sys.executable, "-c", code])
    stat = Path(f"/proc/{child.pid}/stat")
    assert process.wait_until(lambda: ") Z " in stat.read_text(), 5)
    assert process.started(child.pid) is not None
    assert process.wait_until(lambda: process.started(child.pid) is None, 30)


def test_stop_one_that_does_not_want_to(sleeper):
    child = sleeper(STUBBORN)
    when = process.started(child.pid)
    with pytest.raises(DbdevError, match=r"didn't end in 0\.2 s"):
        process.stop(child.pid, when, [signal.SIGTERM], 0.2)
    signals = [signal.SIGTERM, signal.SIGKILL]
    assert process.stop(child.pid, when, signals, 0.2) is signal.SIGKILL


def test_run_says_why_it_failed():
    with pytest.raises(DbdevError, match=r"exit status 3\): oh no"):
        process.run(["sh", "-c", "echo oh no >&2; exit 3"])
    with pytest.raises(DbdevError, match="SIGKILL"):
        process.run(["sh", "-c", "kill -9 $$"])
    with pytest.raises(DbdevError, match="can't be started: No such file"):
        process.run(["/no/such/program"])


def test_ports_are_below_the_ephemeral_ones():
    port = ports.choose("a project")
    assert 20_000 <= port < 32_768
    assert ports.choose("a project") == port
    with socket.create_server((ports.HOST, port)):
        assert ports.answers(port)
        assert ports.choose("a project") != port
    assert ports.choose("a project", after=port) != port


def test_state_is_for_its_owner(tmp_path):
    instance = Instance(tmp_path / "data", "default")
    state = instance.reserved()
    assert instance.reserved() == state
    assert stat.S_IMODE(instance.file.path.stat().st_mode) == 0o600
    assert (tmp_path / "data" / ".gitignore").read_text() == "*\n"
    instance.file.save(State(port=1, password="x", pid=5))
    assert instance.file.load().pid == 5


@pytest.mark.parametrize("alias", ["a/b", "..", ".", "../x", "ä b", "x" * 30])
def test_any_alias_is_a_folder_of_its_own(tmp_path, alias):
    folder = Instance(tmp_path, alias).folder
    assert folder.parent == tmp_path
    assert folder.name not in {"", ".", ".."}


def test_registry():
    class Mine:
        pass

    assert backendregistry.get("django.db.backends.sqlite3").__name__ == "SqliteBackend"
    backendregistry.register("django.db.backends.sqlite3", Mine)
    try:
        assert backendregistry.get("django.db.backends.sqlite3") is Mine
    finally:
        backendregistry.unregister("django.db.backends.sqlite3")
    backendregistry.register("other.engine", "no.such.Backend")
    try:
        assert "other.engine" in backendregistry.engines()
        with pytest.raises(DbdevError, match="can't be imported"):
            backendregistry.get("other.engine")
    finally:
        backendregistry.unregister("other.engine")
    with pytest.raises(
        DbdevError, match=r"no development backend.*There are development backends for"
    ):
        backendregistry.get("other.engine")


def test_entry_points(monkeypatch):
    """They are found by engine, win over the built-in ones, and are loaded when asked."""
    points = [
        EntryPoint("some.engine", f"{Mine.__module__}:Mine", backendregistry.GROUP),
        EntryPoint("broken.engine", "no.such:Thing", backendregistry.GROUP),
        EntryPoint("some.engine", "shadowed.by:Another", backendregistry.GROUP),
    ]
    monkeypatch.setattr(
        backendregistry,
        "entry_points",
        lambda group: [point for point in points if point.group == group],
    )
    # A process reads them once.
    monkeypatch.setattr(
        backendregistry, "_named", functools.cache(backendregistry._named.__wrapped__)
    )
    monkeypatch.setitem(sys.modules, Mine.__module__, sys.modules[__name__])
    assert "some.engine" in backendregistry.engines()
    assert backendregistry.get("some.engine") is Mine
    with pytest.raises(DbdevError, match="can't be imported"):
        backendregistry.get("broken.engine")


class Mine:
    """Stands for a backend of another package."""


def test_no_engine_is_loaded_before_it_is_used():
    code = (
        "import sys; from backendkit.dbdev import dbsettings;"
        "print([name for name in sys.modules if name.startswith("
        "('backendkit.dbdev.engines', 'backendkit.backends', 'lmdb', 'django.db.back'))])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


def test_program(tmp_path):
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\necho tool 1.2\n")
    path.chmod(0o755)
    program = programs.Program(("no-such-tool", "tool"), "X_TOOL", {"apt-get": "tools"})
    assert program.find(None) is None
    assert program.find(None, [tmp_path]) == str(path)
    assert program.find(types.SimpleNamespace(X_TOOL=path)) == str(path)
    assert programs.version_of(str(path)) == "tool 1.2"
    assert "no-such-tool" in str(program.missing())
    with pytest.raises(DbdevError, match="X_TOOL = 'x' isn't a program"):
        program.find(types.SimpleNamespace(X_TOOL="x"))


def test_who_runs_a_server(tmp_path):
    if os.geteuid() != 0:
        assert users.unprivileged(tmp_path, None) is None
        return
    assert users.unprivileged(tmp_path, None).name == "nobody"
    mine = tmp_path / "mine"
    mine.mkdir()
    os.chown(mine, 12345, 12345)
    user = users.unprivileged(mine / "not" / "yet", None)
    assert (user.uid, user.gid) == (12345, 12345)
    (mine / "deep").mkdir(mode=0o700)
    with pytest.raises(DbdevError, match="has no access to"):
        user.check_reaches(mine / "deep")


CUSTOM = """
from backendkit.dbdev import backendregistry
from backendkit.dbdev.base import BaseDbdevBackend

DBSETTINGS = {"ENGINE": "django.db.backends.dummy", "NAME": "custom"}

class OracleBackend(BaseDbdevBackend):
    display_name = "Custom"
    url_scheme = "custom"

    def init(self):
        (self.datadir / "data").write_text("new")

    def destroy(self):
        self.stop_database_server()
        self.remove_datadir()

    def run_database_server_in_foreground(self):
        self.stdout.write("foreground")

    def start_database_server(self):
        self.stdout.write("started")

    def stop_database_server(self):
        self.stderr.write("stopped")

    def backup(self, directory):
        (directory / "copy").write_bytes((self.datadir / "data").read_bytes())

    def restore(self, directory):
        (self.datadir / "data").write_bytes((directory / "copy").read_bytes())

    def serverinfo(self):
        self.stdout.write(f"{self.dbname} in {self.datadir}")

backendregistry.register("django.db.backends.dummy", OracleBackend)
"""


def test_names_of_backends():
    """They come from the class, unless it or one above has its own."""
    from backendkit.dbdev.engines.postgresql import PostgresBackend
    from backendkit.dbdev.server import ServerBackend

    class FirebirdBackend(ServerBackend):
        pass

    class Mine(PostgresBackend):
        pass

    assert FirebirdBackend.display_name == "Firebird"
    assert Mine.display_name == "PostgreSQL"


def test_a_backend_as_the_seed_has_it(make):
    """The methods of the older package are enough; safety comes from ours."""
    project = make(
        {"default": "dbsettings('django.db.backends.dummy', BASE_DIR)"},
        before="sys.path.insert(0, str(BASE_DIR)); import custom",
    )
    (project.path / "custom.py").write_text(CUSTOM)
    project.manage("dbdev_init")
    data = project.folder() / "data" / "data"
    data.write_text("old")
    project.manage("dbdev_backup", "--name", "one")
    data.write_text("changed")
    project.manage("dbdev_restore", "--name", "one", "--noinput")
    assert data.read_text() == "old"
    assert project.manage("dbdev_serverinfo").out.startswith("custom in ")
    assert project.manage("dbdev_guide").out.startswith("Custom of this project\n")
    project.manage("dbdev_reinit", "--noinput")
    assert data.read_text() == "new"
    project.manage("dbdev_destroy", "--noinput")
    assert not Path(data).exists()
