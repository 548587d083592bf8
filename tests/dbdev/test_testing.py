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


def test_pytest_with_workers(project):
    """Each has a test database of its own, on a server that wasn't there before."""
    out = run(project, *PYTEST, "-n", "2")
    assert "4 passed" in out
    assert used(project) == {"test_dbdev_gw0", "test_dbdev_gw1"}
    assert project.info()["initialised"]
    assert not project.info()["running"]


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
    assert "there is no development backend" in out or "DATABASES has no 'no'" in out


def test_djangos_runner(project):
    run(project, "django", "test", "--parallel", "2", "--noinput")
    assert len(used(project)) >= 1
    assert not project.info()["running"]
