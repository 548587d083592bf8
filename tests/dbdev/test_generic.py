"""A server that is nothing but a command line: Python's own for files."""

import http.client
import sys

import pytest

COMMAND = (
    f"[{sys.executable!r}, '-m', 'http.server', '{{port}}', '--bind', '{{host}}',"
    " '--directory', '{data}']"
)
CREATE = "[['sh', '-c', 'echo \"$GREETING\" > index.html']]"
SERVER = (
    "dbsettings('generic', BASE_DIR, ENGINE='django.db.backends.dummy', DBDEV={"
    f"'COMMAND': {COMMAND}, 'CREATE': {CREATE}, 'STOP_SIGNAL': 'SIGINT',"
    " 'ENVIRONMENT': {'GREETING': 'hello {user} {password}'}},"
    " USER='ann', PASSWORD='s3cret')"
)


def fetched(project):
    connection = http.client.HTTPConnection("127.0.0.1", project.info()["port"])
    connection.request("GET", "/")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_life(make):
    project = make({"default": SERVER})
    assert "is ready" in project.manage("dbdev_init").out
    assert fetched(project) == "hello ann s3cret\n"
    project.manage("dbdev_backup")
    page = project.folder() / "data" / "index.html"
    page.write_text("changed\n")
    assert fetched(project) == "changed\n"
    project.manage("dbdev_restore", "--noinput")
    assert fetched(project) == "hello ann s3cret\n"
    project.manage("dbdev_destroy", "--noinput")
    project.manage("dbdev_restore")
    assert fetched(project) == "hello ann s3cret\n"
    project.manage("dbdev_stopserver")
    assert not project.info()["running"]
    assert str(project.folder()) in project.manage("dbdev_guide").out
    assert "server://ann:s3cret@127.0.0.1:" in project.manage("dbdev_env").out


def test_restore_that_fails_brings_the_server_back(make):
    """It ran before, and runs again, on the data that it had."""
    entry = {"default": SERVER}
    project = make(entry)
    project.manage("dbdev_init")
    project.manage("dbdev_backup")
    (project.folder() / "data" / "index.html").write_text("changed\n")
    before = """
from backendkit.dbdev.engines.generic import GenericBackend
if "dbdev_restore" in sys.argv:
    asked = []
    ready = GenericBackend.is_ready
    def is_ready(self):
        asked.append(1)
        if len(asked) == 1:
            raise DbdevError("no")
        return ready(self)
    GenericBackend.is_ready = is_ready
"""
    project.configure(entry, before=before)
    said = project.manage("dbdev_restore", "--noinput", status=1).line
    assert said == "CommandError: no. The data are unchanged"
    assert project.info()["running"]
    assert fetched(project) == "changed\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("'postgres -p 1'", "has to be a list"),
        ("[]", "has to be a list"),
        ("['no-such-program', 'x']", "the program no-such-program isn't installed"),
        ("['sh', '-c', '{nonsense}']", "has an unknown placeholder: 'nonsense'"),
        ("['sh', '{password}']", "has an unknown placeholder: 'password'"),
        ("['sh', '-c', 'echo so it goes; exit 3']", "so it goes"),
    ],
)
def test_bad_command_lines(make, command, said):
    entry = (
        "dbsettings('generic', BASE_DIR, ENGINE='django.db.backends.dummy',"
        f" DBDEV={{'COMMAND': {command}}})"
    )
    answer = make({"default": entry}).manage("dbdev_init", status=1)
    assert answer.err.startswith("CommandError: ")
    assert said in answer.err
