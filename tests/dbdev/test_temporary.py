"""Servers of which nothing is left, however the process ends that wanted them."""

import os
import signal
import socket
from pathlib import Path

import pytest

from backendkit.dbdev import DbdevError, ports
from backendkit.dbdev.temporary import TemporaryServer

from . import engines
from .engines import available
from .projects import started, started_at, wait_for

OWNER = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
from backendkit.dbdev.temporary import TemporaryServer
server = TemporaryServer("immudb")
server.start()
print(server.pid, server.directory, flush=True)
os.kill(os.getpid(), int(sys.argv[1]))
"""


@pytest.fixture
def immudb():
    return available(engines.IMMUDB)


def test_nothing_is_left(immudb):
    with TemporaryServer("immudb", NAME="shop") as server:
        directory, pid = server.directory, server.pid
        assert ports.answers(server.port)
        assert server.settings["NAME"] == "shop"
        assert server.port in ports.PORTS
        assert server.data.is_dir()
        server.kill()
        assert server.pid is None
        server.start()
        assert server.pid != pid
        pid, port = server.pid, server.port
        server.restart()
        assert server.port == port
        assert started_at(pid) is None
        pid = server.pid
    assert started_at(pid) is None
    assert not directory.parent.exists()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.check),
        pytest.param(signal.SIGINT, marks=pytest.mark.check),
    ],
)
def test_the_owner_is_killed(immudb, tmp_path, number):
    with started(tmp_path, "-c", OWNER, str(int(number))) as owner:
        pid, directory = owner.stdout.readline().split()
        owner.communicate(timeout=120)
    assert owner.returncode == -number
    wait_for(lambda: started_at(int(pid)) is None)
    wait_for(lambda: not Path(directory).parent.exists())


def test_the_owner_is_killed_and_the_folder_is_gone(immudb, tmp_path):
    """As the folder of a whole run may be."""
    code = OWNER.replace('TemporaryServer("immudb")', 'TemporaryServer("immudb", "x")')
    code = code.replace("os.kill(", "import shutil; shutil.rmtree('x'); os.kill(")
    with started(tmp_path, "-c", code, "9") as owner:
        pid, _ = owner.stdout.readline().split()
        owner.communicate(timeout=120)
    wait_for(lambda: started_at(int(pid)) is None)


def test_in_the_group_of_its_owner(immudb, tmp_path):
    """Who ends the group ends it, at once: a supervisor's way."""
    code = OWNER.replace('("immudb")', '("immudb", "x", apart=False)')
    code = code.replace("os.kill(os.getpid()", "os.killpg(0")
    with started(tmp_path, "-c", code, "9", start_new_session=True) as owner:
        pid, _ = owner.stdout.readline().split()
        owner.communicate(timeout=120)
    # Nothing has to start for it: it is as dead as its owner.
    wait_for(lambda: started_at(int(pid)) is None, 5)


@pytest.mark.check
def test_a_folder_of_ones_own_is_kept(immudb, tmp_path):
    for _ in range(2):
        with TemporaryServer("immudb", tmp_path / "new" / "place") as server:
            (server.data / "note").touch()
        assert server.pid is None
        assert (server.data / "note").exists()


def test_one_that_ends_says_why(immudb):
    server = TemporaryServer("immudb", DBDEV={"OPTIONS": {"no-such-option": 1}})
    with pytest.raises(DbdevError, match="unknown flag: --no-such-option"):
        server.__enter__()
    assert not server.directory.parent.exists()


def test_a_port_that_is_taken_at_the_last_moment(immudb, monkeypatch, capfd):
    """Nobody had it when we looked."""
    server = TemporaryServer("immudb")
    look, looks = ports.is_free, []

    def is_free(port):
        looks.append(port)
        return len(looks) == 1 or look(port)

    with socket.create_server(("127.0.0.1", server.port)) as taken:
        monkeypatch.setattr(ports, "is_free", is_free)
        with server:
            assert server.port != taken.getsockname()[1]
            assert ports.answers(server.port)
    assert "Another program uses port" in capfd.readouterr().err


def test_what_has_no_server():
    with pytest.raises(DbdevError, match="SQLite has no server"):
        TemporaryServer("sqlite")
    with pytest.raises(DbdevError, match="no development backend"):
        TemporaryServer("django.db.backends.oracle")


@pytest.mark.check
def test_as_somebody_else(postgresql):
    """PostgreSQL refuses root, and its folder has to be open for another user."""
    from django.conf import settings

    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        # Django's backend for it asks for some.
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}}, USE_TZ=False
        )
    with TemporaryServer("postgresql", USER="postgres") as server:
        assert server.pid is not None
        if os.geteuid() == 0:
            assert os.stat(server.data).st_uid != 0
    assert not server.directory.parent.exists()
