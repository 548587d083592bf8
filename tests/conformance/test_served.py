"""A server for each job, where we know how to start one: immudb."""

import os
import re
import signal
import subprocess
import sys

import pytest

from backendkit.backends.immudb.server import ServerNotFound, find
from backendkit.conformance import _served
from backendkit.conformance.cli import main
from tests.waiting import PATIENCE, until

ENGINE = "backendkit.backends.immudb"


@pytest.fixture
def immudb():
    """The server's program, and the driver; in CI they must be there."""
    if os.environ.get("CI"):
        return find()
    pytest.importorskip("grpc", reason="needs the extra 'immudb'")
    try:
        return find()
    except ServerNotFound as error:
        pytest.skip(str(error))


def processes(text):
    """All processes in whose command lines a text is."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
    )
    return [line for line in listing.stdout.splitlines() if text in line]


@pytest.mark.parametrize(
    ("engine", "options", "served"),
    [
        (ENGINE, {}, True),
        ("immudb_backend", {"OPTIONS": {"timeout": 5}}, True),
        (ENGINE, {"HOST": "db1"}, False),
        (ENGINE, {"PORT": 3322}, False),
        # A project's database, at the usual place.
        (ENGINE, {"PASSWORD": "secret"}, False),
        ("django.db.backends.postgresql", {}, False),
    ],
)
def test_who_names_a_server_has_it(engine, options, served):
    assert _served.is_served(engine, options) is served


def test_options_of_the_database_are_kept():
    found = _served.settings({"OPTIONS": {"timeout": 5}, "TEST": {"NAME": "x"}})
    assert found["OPTIONS"]["timeout"] == 5
    assert found["TEST"] == {"NAME": "x"}
    assert found["PORT"] == "{server_port}"


@pytest.mark.check
def test_a_label_runs_on_a_server_of_its_own(
    archive, immudb, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    args = ["--archive", archive, "--no-baseline", "--parallel", "1"]
    assert main(["run", ENGINE, "null_queries", *args]) == 0
    out, err = capfd.readouterr()
    assert re.search(r"^\d+ passed, 0 failed, \d+ skipped$", out.splitlines()[-1])
    assert "immudb 1." in out.splitlines()[0]
    assert err == ""
    assert list(tmp_path.iterdir()) == []
    assert processes(str(tmp_path)) == []


@pytest.mark.check
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.check)],
)
def test_an_interrupted_run_leaves_no_server(archive, immudb, tmp_path, number):
    command = [sys.executable, "-m", "backendkit.conformance", "run", ENGINE, "queries"]
    with subprocess.Popen(
        [*command, "--archive", archive, "--no-baseline", "--parallel", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as run:
        # The label's server; the first one was that of the look at the ENGINE.
        begun = f"{tmp_path}/.*/run/queries/.*--port="
        until(lambda: any(re.search(begun, line) for line in processes(str(tmp_path))))
        run.send_signal(number)
        assert run.wait(PATIENCE) == (130 if number == signal.SIGINT else -number)
        # The guards have it too, and close it when they have done their work.
        assert run.stderr.read().strip() in ("", "Interrupted.")
    assert list(tmp_path.iterdir()) == []
    assert processes(str(tmp_path)) == []


def test_no_immudb_is_one_clear_line(archive, monkeypatch, capfd):
    pytest.importorskip("grpc", reason="needs the extra 'immudb'")
    monkeypatch.setenv("BACKENDKIT_IMMUDB", "/nowhere/immudb")
    assert main(["run", ENGINE, "basic", "--archive", archive]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "BACKENDKIT_IMMUDB=/nowhere/immudb is no program" in line
