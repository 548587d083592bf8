"""immudb by its commands; rows by its driver."""

import importlib.util
import os
import signal

import pytest

from backendkit.backends.immudb import server as immudb

from .projects import wait_for

# Beside another one: the models' default database needs an ENGINE.
DATABASES = {
    "default": "dbsettings('sqlite', BASE_DIR)",
    "ledger": "dbsettings('immudb', BASE_DIR, 'ledger', NAME='shop')",
}
LEDGER = "--database=ledger"


@pytest.fixture
def project(make):
    missing = None
    if importlib.util.find_spec("grpc") is None:
        missing = "needs the Python package grpcio"
    try:
        immudb.find()
    except immudb.ServerNotFound as error:
        missing = str(error)
    if missing:
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)
    return make(DATABASES)


def connect(project):
    from backendkit.backends.immudb import driver

    state, info = project.state("ledger"), project.info("ledger")
    return driver.connect(
        "127.0.0.1", info["port"], "shop", "immudb", state["password"], autocommit=True
    )


def names(project):
    with connect(project) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT name FROM item ORDER BY id")
        return [name for (name,) in cursor.fetchall()]


def add(project, number, name):
    with connect(project) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS item (id INTEGER, name VARCHAR, PRIMARY KEY id)"
        )
        cursor.execute("INSERT INTO item (id, name) VALUES (?, ?)", (number, name))


def test_life(project):
    project.manage("dbdev_init", LEDGER)
    add(project, 1, "one")
    project.manage("dbdev_backup", LEDGER)
    assert project.info("ledger")["running"]
    add(project, 2, "two")
    assert names(project) == ["one", "two"]
    project.manage("dbdev_restore", LEDGER, "--noinput")
    assert names(project) == ["one"]
    project.manage("dbdev_destroy", LEDGER, "--noinput")
    project.change_state("ledger", password="An0ther-one")
    project.manage("dbdev_restore", LEDGER)
    assert names(project) == ["one"]
    project.kill_server("ledger")
    project.manage("dbdev_startserver", LEDGER)
    assert names(project) == ["one"]
    project.manage("dbdev_stopserver", LEDGER)
    assert not project.info("ledger")["running"]
    assert "immudb" in project.manage("dbdev_guide", LEDGER).out


@pytest.mark.check
def test_foreground(project):
    project.manage("dbdev_init", LEDGER)
    project.manage("dbdev_stopserver", LEDGER)
    with project.start("dbdev_fgrunserver", LEDGER) as process:
        wait_for(lambda: project.info("ledger")["running"])
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def test_missing_program(project):
    nothing = {"BACKENDKIT_IMMUDB": "/no/such/immudb"}
    said = project.manage("dbdev_init", LEDGER, status=1, environment=nothing).line
    assert "BACKENDKIT_IMMUDB=/no/such/immudb is no program" in said


def test_another_user(project):
    """One would have to make him, with rights: it isn't done silently."""
    ledger = DATABASES["ledger"].replace("NAME='shop'", "USER='ann'")
    project.configure(DATABASES | {"ledger": ledger})
    said = project.manage("dbdev_init", LEDGER, status=1).line
    assert "['USER'] has to be 'immudb'" in said
