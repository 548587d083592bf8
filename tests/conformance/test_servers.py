"""A real server: it is left as it was, however a run ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from django.conf import settings

from backendkit.conformance._settings import databases, on_a_server
from backendkit.conformance.cli import main
from backendkit.dbdev.temporary import TemporaryServer
from tests.dbdev import engines
from tests.dbdev.engines import available
from tests.waiting import PATIENCE, until

ENGINE = "django.db.backends.postgresql"


@dataclass
class Server:
    """A PostgreSQL of our own, in which anyone may do anything."""

    port: int

    def options(self, user="postgres"):
        values = ("HOST=127.0.0.1", f"PORT={self.port}", f"USER={user}")
        return [text for value in values for text in ("--option", value)]

    def execute(self, statement):
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            dbname="postgres",
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def databases(self):
        return {name for (name,) in self.execute("SELECT datname FROM pg_database")}


@pytest.fixture(scope="session")
def postgresql():
    available(engines.POSTGRESQL)
    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        # Django's backend for it asks for some.
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}}, USE_TZ=False
        )
    # Without a password, anybody may come in.
    options = {"OPTIONS": {"fsync": "off"}}
    with TemporaryServer(
        "postgresql", USER="postgres", PASSWORD="", DBDEV=options
    ) as running:
        yield Server(running.port)


@pytest.fixture
def server(postgresql):
    """The server, which has to be left with the databases that it had."""
    before = postgresql.databases()
    yield postgresql
    assert postgresql.databases() == before


@pytest.fixture
def start_run(archive, server, tmp_path):
    """Start the command; nothing of it may be left in the end."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def start_run(*labels, user="postgres"):
        command = [sys.executable, "-m", "backendkit.conformance", "run", ENGINE]
        command += [*labels, "--archive", archive, "--no-baseline", "--parallel", "2"]
        return subprocess.Popen(
            [*command, *server.options(user)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(scratch)},
        )

    yield start_run
    assert list(scratch.iterdir()) == []
    listing = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    )
    assert str(scratch) not in listing.stdout


def made(server, count):
    """Wait until there are some test databases."""

    def found():
        names = {name for name in server.databases() if name.startswith("test_")}
        return names if len(names) >= count else None

    return until(found)


@pytest.mark.parametrize(
    ("engine", "options", "outside"),
    [
        ("django.db.backends.postgresql", {}, True),
        ("someone.backend", {"PORT": 5433}, True),
        ("someone.backend", {"NAME": "/data/{job}"}, True),
        ("someone.backend", {"TEST": {"NAME": "mine"}}, True),
        ("someone.backend", {"TEST": {"NAME": "{folder}/test"}}, False),
        ("someone.backend", {}, False),
        ("django.db.backends.sqlite3", {}, False),
    ],
)
def test_only_what_is_outside_of_the_folder_has_to_be_dropped(
    tmp_path, engine, options, outside
):
    """The rest goes with the folder."""
    assert on_a_server(databases(engine, options, tmp_path, "job"), tmp_path) is outside


@pytest.mark.check
def test_a_strangers_backend_passes(archive, server, tmp_path, capfd):
    report = tmp_path / "report.json"
    args = [*server.options(), "--archive", archive, "--no-baseline"]
    assert main(["run", ENGINE, "basic", *args, "--json", str(report)]) == 0
    out = capfd.readouterr().out
    assert re.search(r"^\d+ passed, 0 failed, \d+ skipped$", out.splitlines()[-1])
    found = json.loads(report.read_text())
    assert found["display_name"] == "PostgreSQL"
    assert re.fullmatch(r"[\d.]+", found["server"])


@pytest.mark.check
def test_a_label_that_takes_too_long_leaves_nothing(archive, server, capfd):
    args = [*server.options(), "--archive", archive, "--no-baseline"]
    assert main(["run", ENGINE, "queries", *args, "--timeout", "3"]) == 1
    assert "the label took more than 3 s" in capfd.readouterr().out


# One is the preflight's; of several, some are each label's.
@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.check)])
@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGINT],
        pytest.param([signal.SIGINT, signal.SIGINT], marks=pytest.mark.check),
        pytest.param([signal.SIGKILL], marks=pytest.mark.check),
    ],
    ids=["once", "twice", "killed"],
)
def test_an_interrupted_run_leaves_nothing(server, start_run, signals, count):
    with start_run("queries", "schema") as run:
        made(server, count)
        for number in signals:
            run.send_signal(number)
            time.sleep(0.2)
        assert run.wait(PATIENCE) == (
            -signal.SIGKILL if signal.SIGKILL in signals else 130
        )
        # The guards have it too, and close it when they have done their work.
        complaints = run.stderr.read()
    assert complaints.strip() in ("", "Interrupted.")


@pytest.mark.check
def test_what_cannot_be_dropped_is_named(server, start_run):
    """As long as the process lives it may use its connections, but nobody else."""
    server.execute("CREATE ROLE guest LOGIN CREATEDB")
    with start_run("queries", user="guest") as run:
        made(server, 2)
        server.execute("ALTER ROLE guest NOLOGIN")
        run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE) == 130
        complaints = run.stderr.read()
    left = made(server, 1)
    for name in left:
        server.execute(f'DROP DATABASE "{name}"')
    server.execute("DROP ROLE guest")
    lines = [
        line for line in complaints.splitlines() if "not have been removed" in line
    ]
    assert len(lines) == 1
    assert 'role "guest" is not permitted to log in' in lines[0]
    assert left <= set(re.findall(r"test_\w+", lines[0]))


def test_a_server_that_is_down_is_one_clear_line(archive, capfd):
    pytest.importorskip("psycopg", reason="needs psycopg")
    with socket.socket() as taken:
        # Nobody listens on it.
        taken.bind(("127.0.0.1", 0))
        args = Server(taken.getsockname()[1]).options()
        assert main(["run", ENGINE, "basic", "--archive", archive, *args]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "can't create a test database" in line
    assert "Is the server running? Set its address and user with --option HOST" in line


@pytest.mark.check
def test_a_user_who_may_not_make_databases_is_told(archive, server, capfd):
    server.execute("CREATE ROLE guest LOGIN")
    args = [*server.options("guest"), "--archive", archive]
    assert main(["run", ENGINE, "basic", *args]) == 2
    server.execute("DROP ROLE guest")
    (line,) = capfd.readouterr().err.splitlines()
    assert "permission denied to create database" in line
