"""Servers for tests: started for them, stopped after them, or left as they were."""

import subprocess
import sys

import pytest

from .projects import environment

SETTINGS = """
from pathlib import Path
from backendkit.dbdev import dbsettings
BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "x"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["backendkit.dbdev", "shop"]
DATABASES = {"default": dbsettings("postgresql", BASE_DIR)}
TEST_RUNNER = "runner.Runner"
"""
RUNNER = """
from django.test.runner import DiscoverRunner
from backendkit.dbdev.testing import DbdevRunnerMixin

class Runner(DbdevRunnerMixin, DiscoverRunner):
    pass
"""
TESTS = """
import os, time
from django.db import connection
from django.test import TestCase
from shop.models import Part

class Tests(TestCase):
    def use(self):
        assert Part.objects.count() == 0
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_database()")
            name = cursor.fetchone()[0]
        open(f"used-{name}-{os.getpid()}", "w").close()
        time.sleep(0.5)

    def test_1(self):
        self.use()

    def test_2(self):
        self.use()

    def test_3(self):
        self.use()

    def test_4(self):
        self.use()
"""


@pytest.fixture
def project(make, postgresql):
    pytest.importorskip("pytest_django", reason="needs pytest-django")
    project = make({"default": postgresql.settings()})
    (project.path / "settings.py").write_text(SETTINGS)
    (project.path / "runner.py").write_text(RUNNER)
    (project.path / "test_it.py").write_text(TESTS)
    return project


def run(project, *arguments, status=0):
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project.path,
        env=environment() | {"DJANGO_SETTINGS_MODULE": "settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def used(project):
    """The test databases that were used."""
    return {path.name.split("-")[1] for path in project.path.glob("used-*")}


PYTEST = ("pytest", "-p", "backendkit.dbdev.pytest_plugin", "-p", "no:randomly")


@pytest.mark.check
def test_pytest_with_workers(project):
    """Each has a test database of its own, on a server that wasn't there before."""
    out = run(project, *PYTEST, "-n", "2")
    assert "4 passed" in out
    assert used(project) == {"test_dbdev_gw0", "test_dbdev_gw1"}
    assert project.info()["initialised"]
    assert not project.info()["running"]


@pytest.mark.check
def test_pytest_leaves_a_running_server(project):
    project.manage("dbdev_init")
    pid = project.info()["pid"]
    assert "4 passed" in run(project, *PYTEST)
    assert project.info()["pid"] == pid


def test_pytest_may_keep_the_server(project):
    run(project, *PYTEST, "--dbdev-keep", "-k", "test_1")
    assert project.info()["running"]


def test_pytest_says_what_is_missing(project):
    (project.path / "pytest.ini").write_text("[pytest]\ndbdev_databases = no\n")
    out = run(project, *PYTEST, status=4)
    assert (
        "there is no development backend" in out or "DATABASES has no alias 'no'" in out
    )


@pytest.mark.check
def test_djangos_runner(project):
    run(project, "django", "test", "--parallel", "2", "--noinput")
    assert len(used(project)) >= 1
    assert not project.info()["running"]


LMDB_TESTS = """
import pytest
from shop.models import Part

@pytest.mark.django_db
def test_1():
    assert Part.objects.count() == 0

def test_2():
    with pytest.raises(RuntimeError, match="Database access not allowed"):
        Part.objects.count()
"""
OURS = ("-p", "backendkit.dbdev.pytest_plugin")
# How the two plugins and pytest-xdist can come together.
ORDERS = {
    "named": OURS,
    "ours first": (*OURS, "-p", "pytest_django"),
    "ours last": ("-p", "pytest_django", *OURS),
    "workers": (*OURS, "-n2"),
    "no workers": (*OURS, "-p", "no:xdist"),
    "in conftest": ("conftest",),
    "in conftest, workers": ("conftest", "-n2"),
}
LATER = [pytest.param(name, marks=pytest.mark.check) for name in ORDERS][1:]


@pytest.fixture
def lmdb(make):
    pytest.importorskip("pytest_django", reason="needs pytest-django")
    project = make({"default": "dbsettings('lmdb', BASE_DIR)"})
    settings = SETTINGS.replace('"postgresql"', '"lmdb"')
    (project.path / "settings.py").write_text(settings)
    (project.path / "test_it.py").write_text(LMDB_TESTS)
    return project


@pytest.mark.parametrize("order", ["named", *LATER])
def test_pytest_with_a_fresh_lmdb(lmdb, order):
    """pytest-django guards the connection, and the database has to be made."""
    arguments = list(ORDERS[order])
    if arguments[0] == "conftest":
        (lmdb.path / "conftest.py").write_text(
            "pytest_plugins = ['backendkit.dbdev.pytest_plugin']\n"
        )
        del arguments[0]
    out = run(lmdb, "pytest", *arguments, "-p", "no:randomly")
    assert "2 passed" in out
    assert lmdb.info()["initialised"]


BAD = {
    "a fault in the settings": ("settings.py", "1 / 0\n", "division by zero"),
    "no such engine": (
        "settings.py",
        "DATABASES = {'default': {'ENGINE': 'no.such', 'DBDEV': {'X': 1}}}\n",
        "no development backend for the engine 'no.such'",
    ),
    "no such alias": (
        "pytest.ini",
        "[pytest]\ndbdev_databases = no\n",
        "DATABASES has no alias 'no'",
    ),
    "no permission": ("dbdev_tempdata", "a file", "can't be created"),
}
# Without pytest-django nobody else says what is wrong.
WITHOUT = ("-p", "no:django", "-p", "no:pytest_django")


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    "more",
    [WITHOUT, pytest.param((), marks=pytest.mark.check)],
    ids=["alone", "django"],
)
def test_pytest_says_what_is_wrong(lmdb, name, more):
    """In a line, and never as an error of pytest itself."""
    file, text, said = BAD[name]
    path = lmdb.path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.read_text() + text if path.exists() else text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OURS, *more],
        cwd=lmdb.path,
        env=environment() | {"DJANGO_SETTINGS_MODULE": "settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    out = done.stdout + done.stderr
    assert done.returncode not in {0, 3}, out
    assert "INTERNALERROR" not in out
    # pytest-django may be first to ask Django, which says it in its own way.
    assert said in out or (not more and "isn't an available database backend" in out)
    if more:
        assert done.returncode == 4, out
        assert "Traceback" not in out
