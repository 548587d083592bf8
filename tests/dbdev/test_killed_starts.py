"""Commands that are killed at each step of starting a server: it is known afterwards."""

import pytest

from tests.effort import effort

from .engines import IMMUDB, available
from .projects import started_at, wait_for
from .test_generic import SERVER, fetched

# Before and after each of these, somebody may kill the command.
STEPS = """
import os, signal
from pathlib import Path
from backendkit.dbdev import backendregistry, process, server, serving, state
reached = 0

def step():
    global reached
    reached += 1
    if reached == int(os.environ["KILL_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)

def watch(owner, name):
    method = getattr(owner, name)
    def watched(*arguments, **more):
        step()
        answer = method(*arguments, **more)
        step()
        return answer
    setattr(owner, name, watched)

if "KILL_AT" in os.environ:
    watch(state.StateFile, "save")
    watch(process, "start")
    watch(process, "run")
    watch(Path, "rename")
    watch(server.ServerBackend, "_start_once")
"""
STRIDE = effort(test=4, check=2, soak=1)


def killed(project, command, number):
    """Whether the command came to this step, at which it is killed."""
    where = {"KILL_AT": str(number)}
    return project.status(command, environment=where) == -9


def check_known(project):
    """Each server that runs is the one that the commands know, and can be stopped."""
    # (It may be on its way to end, or its parent may not be itself yet.)
    pid = project.info()["pid"]
    wait_for(lambda: set(project.unknown()) - project.below(pid) == set())
    answer = project.manage("dbdev_stopserver")
    assert ("is stopped" in answer.out) is (pid is not None)
    assert pid is None or started_at(pid) is None
    wait_for(lambda: not list(project.unknown()))
    left = [*project.folder().glob(".state-*"), *project.folder().glob("*unfinished")]
    assert left == []


def kills(project, command):
    """Kill a command at each step, until it comes to its end."""
    number = 1
    while killed(project, command, number):
        check_known(project)
        yield number
        number += STRIDE
    assert number > 10


def test_kills(make):
    """Of a server that needs nothing installed."""
    project = make({"default": SERVER}, before=STEPS)
    for number in kills(project, "dbdev_init"):
        if number // STRIDE % 2:
            project.manage("dbdev_destroy", "--noinput")
    project.manage("dbdev_stopserver")
    for _ in kills(project, "dbdev_startserver"):
        pass
    project.manage("dbdev_init")
    assert fetched(project) == "hello ann s3cret\n"


def test_killed_before_its_id_is_noted(make):
    """The next command goes on with the server that it has started."""
    immudb = available(IMMUDB)
    before = STEPS + "\nif 'KILL_AT' in os.environ: state.StateFile.save = step_save"
    save = (
        "\nsaved = state.StateFile.save\n"
        "def step_save(self, new):\n"
        "    if new.pid: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    saved(self, new)\n"
    )
    before = before.replace("\nif 'KILL_AT'", save + "\nif 'KILL_AT'")
    project = make({"default": immudb.settings()}, before=before)
    project.manage("dbdev_init", status=-9, environment={"KILL_AT": "0"})
    assert project.state()["pid"] is None
    (pid,) = project.unknown()
    assert project.info()["pid"] == pid
    assert "The server runs on port" in project.manage("dbdev_init").out
    assert project.info()["pid"] == pid
    project.fill(2)


@pytest.mark.soak
def test_kills_of_each_kind(make, server_engine):
    before = server_engine.before + STEPS
    project = make({"default": server_engine.settings()}, before=before)
    for number in kills(project, "dbdev_init"):
        if number // STRIDE % 3 == 0:
            project.manage("dbdev_destroy", "--noinput")
    project.manage("dbdev_init")
    project.fill(2)


@pytest.mark.check
def test_server_of_another_container(make, server_engine):
    """Nobody sees its process, but it has the data: a second one isn't started."""
    project = make(
        {"default": server_engine.settings()},
        {"DBDEV_TIMEOUT": 2},
        before=server_engine.before,
    )
    project.manage("dbdev_init")
    pid = project.info()["pid"]
    hidden = (
        "\nfrom backendkit.dbdev import process\n"
        "process.started = lambda pid: None\n"
        "process.works_in = lambda pid, folder: False\n"
    )
    project.configure(
        {"default": server_engine.settings()},
        {"DBDEV_TIMEOUT": 2},
        before=server_engine.before + hidden,
    )
    said = project.manage("dbdev_startserver", status=1).err
    assert "another server, which this command can't see, uses" in said
    assert started_at(pid) is not None
    project.configure(
        {"default": server_engine.settings()}, before=server_engine.before
    )
    project.change_state(pid=pid, started=started_at(pid))
    project.manage("dbdev_stopserver")
    project.manage("dbdev_startserver")
