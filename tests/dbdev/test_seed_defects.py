"""What was wrong in django_dbdev, whose successor this is. (Numbers: its list.)"""

import ast
import json
import os
from pathlib import Path

import pytest

import backendkit.dbdev

SQLITE = "dbsettings('sqlite', BASE_DIR)"
SQLITE_TWO = "dbsettings('sqlite', BASE_DIR, 'two')"


def test_1_the_settings_are_those_of_the_alias(make):
    project = make({"default": SQLITE, "two": SQLITE_TWO})
    project.manage("dbdev_init", "--database=two")
    assert project.info("two")["initialised"]
    assert not project.info()["initialised"]
    assert project.info("two")["data"] != project.info()["data"]


def test_2_errors_have_an_exit_status(make):
    project = make({"default": SQLITE})
    project.manage("dbdev_backup", status=1)
    project.manage("dbdev_restore", status=1)
    project.manage("dbdev_init", "--database=no", status=1)
    project.manage("dbdev_createdump", status=2)


def test_3_sql_dumps_can_be_loaded(make):
    project = make({"default": SQLITE})
    (project.path / "a.sql").write_text("CREATE TABLE note (id integer);")
    project.manage("dbdev_load_sqldump", "a.sql")
    assert "class Note" in project.manage("inspectdb").out


def test_4_a_directory_can_be_restored(make):
    project = make({"default": SQLITE})
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    (directory, _) = project.manage("dbdev_backup").out.split(" ", 1)
    project.manage("load_rows", 2)
    project.manage("dbdev_backup")
    project.manage("dbdev_restore", directory, "--noinput")
    assert project.rows() == rows
    # Relative to the current directory, too.
    project.manage(
        "dbdev_restore", os.path.relpath(directory, project.path), "--noinput"
    )
    assert project.rows() == rows


def test_5_the_engine_of_today_is_known():
    from backendkit.dbdev import backendregistry

    postgresql = backendregistry.get("django.db.backends.postgresql")
    assert postgresql.__name__ == "PostgresBackend"


def test_6_every_backend_has_guide_and_dump(make, engine):
    project = make({"default": engine.settings()}, before=engine.before)
    project.manage("dbdev_init")
    assert str(project.path) in project.manage("dbdev_guide").out
    project.fill(1)
    project.manage("dbdev_createdump", "a.json")
    assert len(json.loads((project.path / "a.json").read_text())) == 2


def test_7_nothing_is_touched_before_the_backup_is_checked(make):
    project = make({"default": SQLITE})
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    project.manage("dbdev_backup")
    (data,) = project.folder().glob("backups/*/*.sqlite3")
    data.chmod(0o600)
    data.write_bytes(b"no database")
    inode = os.stat(project.info()["data"]).st_ino
    project.manage("dbdev_restore", "--noinput", status=1)
    assert os.stat(project.info()["data"]).st_ino == inode
    assert project.rows() == rows


def test_8_no_backups_to_clear(make):
    """It does nothing; and where there is something to lose, it asks."""
    project = make({"default": SQLITE})
    assert project.manage("dbdev_clearbackups").out == "0 backups are removed.\n"
    project.manage("dbdev_init")
    project.manage("dbdev_backup")
    for command in ("clearbackups", "destroy", "restore"):
        assert "Aborted" in project.manage(f"dbdev_{command}", status=1).err


@pytest.mark.check
def test_9_the_current_directory_does_not_matter(make, tmp_path):
    """And two aliases of one engine don't meet."""
    project = make(
        {"default": SQLITE, "two": SQLITE_TWO},
        before=f"import os; os.chdir({str(tmp_path)!r})",
    )
    for alias in ("default", "two"):
        project.manage("dbdev_init", f"--database={alias}")
        project.fill(2, alias)
        project.manage("dbdev_backup", "--name=a", f"--database={alias}")
    assert list(tmp_path.iterdir()) == []
    project.manage("dbdev_clearbackups", "--noinput", "--database=two")
    assert len(project.manage("dbdev_listbackups").out.splitlines()) == 1


def test_10_names_of_backups(make):
    """A name is no path, and ``b`` isn't ``a.b``."""
    project = make({"default": SQLITE})
    project.manage("dbdev_init")
    project.manage("dbdev_backup", "--name=../../../evil", status=1)
    project.manage("dbdev_backup", "--name=a.b")
    said = project.manage("dbdev_restore", "--name=b", "--noinput", status=1).line
    assert "no backup named 'b'. The names are: a.b" in said
    project.manage("dbdev_backup", "--name=b")
    assert "already" in project.manage("dbdev_backup", "--name=b", status=1).line


@pytest.mark.check
def test_11_user_and_name_are_those_of_the_settings(make, postgresql):
    """However they are written; and the user is no superuser."""
    odd = {"USER": 'o"dd; user', "NAME": "my'data\"base", "PASSWORD": "p'w\"d %s\\"}
    project = make({"default": postgresql.settings(**odd)})
    project.manage("dbdev_init")
    project.fill(3)
    code = (
        "from django.db import connection\n"
        "cursor = connection.cursor()\n"
        "cursor.execute('SELECT current_user, current_database(), rolsuper,'\n"
        "    ' rolcreatedb FROM pg_roles WHERE rolname = current_user')\n"
        "print(cursor.fetchone())"
    )
    out = project.manage("shell", "-v0", "-c", code).out
    assert ast.literal_eval(out) == (odd["USER"], odd["NAME"], False, True)
    rows = project.rows()
    project.manage("dbdev_backup")
    project.manage("dbdev_restore", "--noinput")
    assert project.rows() == rows


@pytest.mark.check
def test_12_no_password_on_a_command_line(make, server_engine):
    """Neither of a program that is run, nor of the server."""
    project = make(
        {"default": server_engine.settings(PASSWORD="s3cret-word")},
        before=server_engine.before
        + f"""
import subprocess, json
class Noted(subprocess.Popen):
    def __init__(self, command, *args, **more):
        with open({str(Path("commands"))!r}, "a") as file:
            print(json.dumps([str(word) for word in command]), file=file)
        super().__init__(command, *args, **more)
subprocess.Popen = Noted
""",
    )
    project.manage("dbdev_init")
    project.fill(2)
    project.manage("dbdev_backup")
    project.manage("dbdev_restore", "--noinput")
    project.manage("dbdev_createdump", "a.json")
    text = (project.path / "commands").read_text()
    assert len(text.splitlines()) > 1
    secrets = {"s3cret-word", project.state()["admin_password"] or "s3cret-word"}
    assert not [secret for secret in secrets if secret in text]
    for path in project.folder().rglob("*"):
        if path.is_file() and path.name in {"state.json", "lock"}:
            assert path.stat().st_mode & 0o077 == 0


def test_13_nothing_outdated_is_imported():
    imported = set()
    for path in Path(backendkit.dbdev.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    assert not imported & {"pkg_resources", "future", "optparse", "sh", "six"}
