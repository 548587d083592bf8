"""Settings by their names in django_dbdev are read, and a warning names the new ones."""

import re
import types
import warnings
from pathlib import Path

import pytest

from backendkit.dbdev import old_settings, programs
from backendkit.dbdev.old_settings import RENAMED, UNUSED
from tests.docs import pages

from . import engines

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "from-django-dbdev.rst"


def read(name, **settings):
    return old_settings.read(types.SimpleNamespace(**settings), name, "default")


@pytest.mark.parametrize(("new", "old"), RENAMED.items())
def test_an_old_name(new, old, monkeypatch):
    value = "/opt/bin/pg_ctl" if new.endswith("BINDIR") else "/opt/bin"
    with pytest.warns(FutureWarning, match=f"{old} is deprecated. Rename it to {new}"):
        assert read(new, **{old: value}) == "/opt/bin"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(new, **{old: value, new: "/mine"}) == "/mine"
        assert read(new) == "default"
    if old.endswith("EXECUTABLE"):
        monkeypatch.setenv(old, value)
        with pytest.warns(FutureWarning, match=old):
            assert read(new) == "/opt/bin"


def test_the_environment_names_the_folder_of_mysql(monkeypatch):
    monkeypatch.setenv("DBDEV_MYSQL_BASEDIR", "/opt/mysql")
    assert read("DBDEV_MYSQL_BASEDIR") == "/opt/mysql"


def test_values_that_are_false_are_kept():
    assert read("DBDEV_TIMEOUT", DBDEV_TIMEOUT=0) == 0
    assert read("DBDEV_POSTGRES_OPTIONS", DBDEV_POSTGRES_OPTIONS={}) == {}


def test_a_program_by_its_old_name(tmp_path):
    program = tmp_path / "mariadbd"
    program.touch(0o755)
    asked = programs.Program(("no-such-program",), "DBDEV_MYSQL_MYSQLD_EXECUTABLE")
    settings = types.SimpleNamespace(DBDEV_MYSQLD_EXECUTABLE=str(program))
    with pytest.warns(FutureWarning, match="DBDEV_MYSQL_MYSQLD_EXECUTABLE"):
        assert asked.find(settings) == str(program)


def test_the_page_names_them():
    printed = PAGE.read_text()
    for name in (*RENAMED, *RENAMED.values(), *UNUSED):
        assert f"``{name}``" in printed, name


def test_a_project_with_old_settings(make, postgresql):
    """As somebody has them who exchanges the package and nothing else."""
    folder = engines.POSTGRESQL.backend()(None, "default", {}).program_folders()
    assert folder
    settings = {
        "DBDEV_POSTGRES_PG_CTL_EXECUTABLE": str(folder[0] / "pg_ctl"),
        "DBDEV_POSTGRES_CREATEDB_EXECUTABLE": str(folder[0] / "createdb"),
        "DBDEV_POSTGRES_CREATEDB_LOCALE": "POSIX",
    }
    project = make({"default": postgresql.settings()}, settings)
    answer = project.manage("dbdev_init")
    for said in (
        "DBDEV_POSTGRES_PG_CTL_EXECUTABLE is deprecated. Rename it to DBDEV_POSTGRES_BINDIR",
        "DBDEV_POSTGRES_CREATEDB_LOCALE is deprecated. Rename it to DBDEV_POSTGRES_LOCALE",
        "DBDEV_POSTGRES_CREATEDB_EXECUTABLE has no effect",
    ):
        assert said in answer.err
    configured = project.folder() / "data" / "postgresql.conf"
    # The default is C.UTF-8, and initdb's own name of POSIX is C.
    assert re.search(r"^lc_messages = '?C'?\s", configured.read_text(), re.M)


OLD_BACKUP = """\
BEGIN TRANSACTION;
CREATE TABLE "note" ("id" integer NOT NULL PRIMARY KEY, "text" varchar(9) NOT NULL);
INSERT INTO "note" VALUES(1,'kept');
COMMIT;
"""


def test_the_page(make, monkeypatch):
    """Its settings, a backup as django_dbdev left it, and its backend."""
    project = make({"default": "dbsettings('sqlite', BASE_DIR)"})
    code = pages.blocks("howto/from-django-dbdev.rst")
    (project.path / "settings.py").write_text(code["settings.py"])
    (project.path / "oracle.py").write_text(code["oracle.py"])
    (project.path / "manage.py").write_text(
        "import os, sys\n"
        "sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\n"
        "import oracle\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(sys.argv)\n"
    )
    printed = PAGE.read_text()
    (command,) = re.findall(r"manage\.py (dbdev_load_sqldump) (\S+)\n", printed)
    backup = project.path / command[1]
    backup.parent.mkdir(parents=True)
    backup.write_text(OLD_BACKUP)
    project.manage(*command)
    said = project.manage("dbdev_createdump", "notes.sql").out
    assert "notes.sql" in said
    assert "'kept'" in (project.path / "notes.sql").read_text()
    doctor = project.manage("dbdev_doctor", status=None).out
    assert "django.db.backends.oracle" in doctor
    assert not (project.path / "dbdev_tempdata" / "SqliteBackend").exists()
