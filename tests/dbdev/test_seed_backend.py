"""A backend as the older package's documentation shows one: every command answers."""

import json

import pytest

from .test_commands import NAMES

# As in its documentation; Django has no ENGINE for it that could be loaded here.
SEED = """
import os
from backendkit.dbdev import backendregistry
from backendkit.dbdev.base import BaseDbdevBackend

DBSETTINGS = {"ENGINE": "django.db.backends.oracle", "NAME": "XE", "USER": "dbdev",
    "PASSWORD": "dbdev", "HOST": "127.0.0.1", "PORT": "1521"}

class OracleBackend(BaseDbdevBackend):
    def init(self):
        self.create_datadir_if_not_exists()
        (self.datadir / "x").write_text("data")
        self.stdout.write("Something useful here!")

    def destroy(self):
        self.remove_datadir()

    def run_database_server_in_foreground(self):
        self.stdout.write("fg")

    def start_database_server(self):
        self.stdout.write("start")

    def stop_database_server(self):
        self.stdout.write("stop")

    def backup(self, directory):
        with open(os.path.join(directory, "backup.sql"), "w") as file:
            file.write("select 1")

    def restore(self, directory):
        self.stdout.write("restored from %s" % directory)

    def serverinfo(self):
        self.stdout.write("running: no")
        self.stderr.write("An error of some sort")

backendregistry.register("django.db.backends.oracle", OracleBackend)
"""
BEFORE = "sys.path.insert(0, str(BASE_DIR)); import custom"
DATABASES = {
    "default": "dbsettings('sqlite', BASE_DIR)",
    "ora": "dbsettings('django.db.backends.oracle', BASE_DIR, 'ora')",
}
# What they print; the other commands are tried in between.
SAID = {
    "dbdev_init": "Something useful here!",
    "dbdev_startserver": "start",
    "dbdev_fgrunserver": "fg",
    "dbdev_stopserver": "stop",
    "dbdev_serverinfo": "running: no",
    "dbdev_guide": "Oracle of this project",
    "dbdev_env": "export DATABASE_URL=oracle://dbdev:dbdev@127.0.0.1:1521/XE",
    "dbdev_backup": "(8 bytes)",
    "dbdev_listbackups": "8 bytes, unknown version",
    "dbdev_restore": "Restored ",
    "dbdev_clearbackups": "1 backup is removed.",
    "dbdev_reinit": "Something useful here!",
    "dbdev_destroy": "",
}
NEEDS_ENGINE = {"dbdev_createdump", "dbdev_loaddump", "dbdev_load_sqldump"}


@pytest.fixture
def project(make):
    project = make(DATABASES, before=BEFORE)
    (project.path / "custom.py").write_text(SEED)
    (project.path / "a.json").write_text("[]")
    return project


def test_every_command(project):
    assert {*SAID, *NEEDS_ENGINE, "dbdev_doctor"} == set(NAMES)
    for name, said in SAID.items():
        assert said in project.manage(name, "--database=ora", "--noinput").out, name
    project.manage("dbdev_init", "--database=ora")
    for name in sorted(NEEDS_ENGINE):
        for file in ("a.json", "a.sql", "a.dump"):
            (project.path / "a.sql").write_text("SELECT 1")
            arguments = ["--database=ora", "--noinput", file]
            answer = project.manage(name, *arguments, status=1)
            assert answer.err.startswith("CommandError: ")
            # What is missing, in one line. (A backend may tell more of its own.)
            assert "oracle" in answer.err.lower() or "can't be read" in answer.err
            assert answer.err.count("\n") == 1
    doctor = project.manage("dbdev_doctor", "--database=ora", status=1)
    assert "the ENGINE 'django.db.backends.oracle' can't be loaded" in doctor.out


def test_template_of_the_older_package(project):
    """It has a folder of another name, and gets the same variables."""
    folder = project.path / "shop" / "templates" / "django_dbdev"
    folder.mkdir(parents=True)
    (folder / "oraclebackend.rst").write_text(
        "{{ backend.dbname }} {{ dbsettings.USER }} {{ dbsettings.PORT }}"
    )
    said = project.manage("dbdev_guide", "--database=ora").out
    assert said == "XE dbdev 1521\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def backup", "def no_backup", "doesn't implement backup()"),
        (
            'self.stdout.write("start")',
            "raise NotImplementedError",
            "doesn't implement",
        ),
    ],
)
def test_backend_that_lacks_something(project, old, new, said):
    """One line says what."""
    (project.path / "custom.py").write_text(SEED.replace(old, new))
    answer = project.manage("dbdev_startserver", "--database=ora", status=1)
    assert said in answer.line
    assert answer.err.count("\n") == 1


def test_backend_without_settings(project):
    """Its module has no DBSETTINGS: the project's entry is all that there is."""
    text = SEED[: SEED.index("DBSETTINGS")] + SEED[SEED.index("class ") :]
    (project.path / "custom.py").write_text(text)
    project.manage("dbdev_init", "--database=ora")
    said = project.manage("dbdev_env", "--database=ora", "--json").out
    assert json.loads(said)["DATABASE_URL"] == "oracle:///"
    assert (
        "Oracle of this project" in project.manage("dbdev_guide", "--database=ora").out
    )
