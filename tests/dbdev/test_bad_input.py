"""A clear line, exit status 1, and the data as they were."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from backendkit.dbdev.backups import MANIFEST
from backendkit.dbdev.configuring import ENGINES

from . import engines
from .projects import environment, wait_for


@pytest.fixture
def filled(project):
    """A project with rows and a backup with other rows."""
    project.manage("dbdev_init")
    project.fill()
    project.manage("dbdev_backup", "--name", "one")
    project.manage("load_rows", 2)
    return project


@pytest.fixture
def lite(make):
    project = make({"default": "dbsettings('sqlite', BASE_DIR)"})
    project.manage("dbdev_init")
    project.fill()
    return project


def backup_of(project):
    (line,) = project.manage("dbdev_listbackups").out.splitlines()
    return project.path / line.split("  ")[0]


def refused(project, *arguments):
    """A command that fails and leaves the data; return what it said."""
    rows = project.rows()
    answer = project.manage(*arguments, status=1)
    assert answer.err.startswith("CommandError: "), answer.err
    assert project.rows() == rows
    return answer.err


def change_manifest(**changes):
    def change(backup):
        manifest = json.loads((backup / MANIFEST).read_text())
        (backup / MANIFEST).write_text(json.dumps(manifest | changes))

    return change


def data_file(backup):
    return max(
        (
            path
            for path in backup.rglob("*")
            if path.is_file() and path.name != MANIFEST
        ),
        key=lambda path: path.stat().st_size,
    )


def flip(backup):
    path = data_file(backup)
    text = bytearray(path.read_bytes())
    text[len(text) // 2] ^= 1
    path.write_bytes(text)


DAMAGES = [
    (lambda backup: (backup / MANIFEST).unlink(), "has no manifest.json"),
    (lambda backup: (backup / MANIFEST).write_text("{"), "is damaged"),
    (
        lambda backup: (backup / MANIFEST).write_text("[]"),
        "isn't the manifest of a backup",
    ),
    (
        lambda backup: (backup / MANIFEST).write_text("{}"),
        "isn't the manifest of a backup",
    ),
    (change_manifest(format=99), "another version"),
    (change_manifest(backend="OracleBackend"), "a backup of another database"),
    (
        change_manifest(files={"../../state.json": {"size": 1, "sha256": ""}}),
        "outside of the backup",
    ),
    (lambda backup: data_file(backup).unlink(), "is missing"),
    (lambda backup: os.truncate(data_file(backup), 99), "has changed since the backup"),
    (flip, "has changed since the backup"),
]


def test_damaged_backup(lite):
    lite.manage("dbdev_backup")
    lite.manage("load_rows", 2)
    backup = backup_of(lite)
    whole = shutil.copytree(backup, lite.path / "whole")
    for damage, said in DAMAGES:
        damage(backup)
        assert said in refused(lite, "dbdev_restore", "--noinput")
        shutil.rmtree(backup)
        shutil.copytree(whole, backup)
    lite.manage("dbdev_restore", "--noinput")


def test_backup_that_only_the_engine_finds_damaged(filled, engine):
    """Its checksums are right, but it is no database."""
    import hashlib

    if engine is engines.IMMUDB:
        pytest.skip("a server may do without one of its files: checksums are the check")

    backup = backup_of(filled)
    path = data_file(backup)
    path.write_bytes(b"x" * 5000)
    manifest = json.loads((backup / MANIFEST).read_text())
    manifest["files"][path.relative_to(backup).as_posix()] = {
        "size": 5000,
        "sha256": hashlib.sha256(b"x" * 5000).hexdigest(),
    }
    (backup / MANIFEST).write_text(json.dumps(manifest))
    refused(filled, "dbdev_restore", "--noinput")


def test_backup_of_another_engine(make, lite):
    other = make({"default": "dbsettings('lmdb', BASE_DIR)"})
    other.manage("dbdev_init")
    other.manage("dbdev_backup")
    said = refused(lite, "dbdev_restore", str(backup_of(other)), "--noinput")
    assert "of another database, made by LmdbBackend" in said


def test_no_backup(lite):
    assert "there is no backup in" in refused(lite, "dbdev_restore", "--noinput")
    assert "no backup named 'x'" in refused(lite, "dbdev_restore", "--name", "x")
    assert "isn't a directory" in refused(
        lite, "dbdev_restore", "/no/such", "--noinput"
    )
    said = refused(lite, "dbdev_restore", "manage.py", "--noinput")
    assert "isn't a directory" in said


def test_name_of_a_backup(lite):
    names = [
        "a/b",
        "../x",
        ".hidden",
        "",
        "a b",
        "a\nb",
        "ä",
        "x" * 101,
        "x.unfinished",
    ]
    for name in names:
        assert "can't be the name" in refused(lite, "dbdev_backup", f"--name={name}")
        assert list(lite.folder().glob("backups/*")) == []


def test_disk_full_in_mid_backup(filled):
    """Nothing is left of it, and the server runs if it did."""
    filled.manage("load_rows", 500)
    rows = filled.rows()
    folder = filled.folder() / "backups"
    done = filled.with_full_disk("dbdev_backup", folder=folder)
    assert done.returncode == 1, done
    assert done.stderr.count("CommandError: ") == 1
    assert re.search("(?i)no space left|errno:? 28|disk is full", done.stderr), done
    # Python's own words are none for people.
    assert "[Errno" not in done.stderr
    space = r"The file system of /.*backups/.* has .*B? left, but \d.*B are needed"
    assert re.search(space, done.stderr), done
    assert list(filled.folder().rglob("*.unfinished")) == []
    assert [path.name[-4:] for path in folder.iterdir()] == [".one"]
    assert filled.info().get("running") is not False
    assert filled.rows() == rows


def test_disk_full_in_mid_backup_as_a_limit(lite):
    rows = lite.rows()
    answer = lite.manage("dbdev_backup", status=1, limit=1500)
    assert answer.err.count("CommandError: ") == 1
    assert list(lite.folder().rglob("backups/*")) == []
    assert lite.rows() == rows


def test_disk_full_in_mid_restore(lite):
    lite.manage("dbdev_backup")
    lite.manage("load_rows", 2)
    rows = lite.rows()
    answer = lite.manage("dbdev_restore", "--noinput", status=1, limit=6000)
    assert "The data are unchanged" in answer.err
    assert lite.rows() == rows


@pytest.mark.parametrize("setting", ["DBDEV_POSTGRES_EXECUTABLE"])
def test_missing_program(make, postgresql, setting):
    """Which one, and how to install it."""
    project = make({"default": postgresql.settings()}, {setting: "/no/postgres"})
    answer = project.manage("dbdev_init", status=1)
    assert f"{setting} = '/no/postgres' isn't a program" in answer.line
    assert "isn't a program" in project.manage("dbdev_doctor", status=1).out
    empty = project.path / "empty"
    empty.mkdir()
    project.configure(
        {"default": postgresql.settings()}, {"DBDEV_POSTGRES_BINDIR": str(empty)}
    )
    path = {"PATH": str(empty)}
    said = project.manage("dbdev_init", status=1, environment=path).line
    assert "the program postgres isn't installed" in said
    assert "DBDEV_POSTGRES_EXECUTABLE" in said


def test_missing_program_of_mariadb(make):
    mariadb = engines.available(engines.MARIADB)
    setting = {"DBDEV_MYSQL_MYSQLD_EXECUTABLE": "/no/mariadbd"}
    project = make({"default": mariadb.settings()}, setting, before=mariadb.before)
    said = project.manage("dbdev_init", status=1).line
    assert "DBDEV_MYSQL_MYSQLD_EXECUTABLE = '/no/mariadbd' isn't a program" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"HOST": "db.example.com"}, "only run on 127.0.0.1"),
        ({"HOST": ""}, "only run on 127.0.0.1"),
        ({"PORT": "http"}, "['PORT'] is 'http'"),
        ({"PORT": "70000"}, "['PORT'] is '70000'"),
        ({"USER": ""}, "['USER'] is missing"),
        ({"NAME": ""}, "['NAME'] is missing"),
    ],
)
def test_settings_of_another_server(make, postgresql, changes, said):
    """No command touches what it hasn't made."""
    project = make({"default": postgresql.settings(**changes)})
    for command in ("dbdev_init", "dbdev_startserver"):
        # (The latter finds no database.)
        assert project.manage(command, status=1).err.startswith("CommandError: ")
    assert said in project.manage("dbdev_init", status=1).line


def test_server_that_does_not_start(make, postgresql):
    """Its log is shown, and nothing is left running."""
    project = make(
        {"default": postgresql.settings()},
        {"DBDEV_POSTGRES_OPTIONS": {"no_such_option": "1"}},
    )
    answer = project.manage("dbdev_init", status=1)
    assert "ended at once" in answer.err
    assert "unrecognized configuration parameter" in answer.err
    assert project.state()["pid"] is None


@pytest.mark.check
def test_server_that_is_not_ready(make, postgresql):
    """The time-out ends it, and its log is shown."""
    project = make({"default": postgresql.settings()})
    project.manage("dbdev_init")
    project.manage("dbdev_stopserver")
    project.configure(
        {"default": postgresql.settings()},
        {"DBDEV_TIMEOUT": 1},
        before=(
            "from backendkit.dbdev.engines.postgresql import PostgresBackend\n"
            "PostgresBackend.is_ready = lambda self: False"
        ),
    )
    answer = project.manage("dbdev_startserver", status=1)
    assert "wasn't ready in 1 s" in answer.err
    assert "ready to accept connections" in answer.err
    assert project.state()["pid"] is None


def test_folder_that_may_not_be_entered(make, postgresql):
    if os.geteuid() != 0:
        pytest.skip("only root runs servers as somebody else")
    project = make({"default": postgresql.settings()})
    project.path.chmod(0o700)
    said = project.manage("dbdev_init", status=1).line
    assert f"has no access to {project.path}" in said
    assert "DBDEV_DATADIR" in said
    project.configure(
        {"default": postgresql.settings()}, {"DBDEV_USER": "no-such-user"}
    )
    assert "no user no-such-user" in project.manage("dbdev_init", status=1).line


def test_entry_of_another_alias(make):
    """Two aliases with one entry would share a folder, and its port."""
    project = make({"default": "dbsettings('sqlite', BASE_DIR, 'other')"})
    said = project.manage("dbdev_init", status=1).line
    assert "was created by dbsettings(…, 'other')" in said


def test_damaged_state_file(lite):
    (lite.folder() / "state.json").write_text("{")
    rows = lite.rows()
    assert "is damaged" in lite.manage("dbdev_backup", status=1).line
    (lite.folder() / "state.json").unlink()
    assert lite.rows() == rows


def test_two_commands_at_once(make):
    """The second waits, and says in the end for whom."""
    project = make(
        {"default": "dbsettings('sqlite', BASE_DIR)"}, {"DBDEV_TIMEOUT": 0.3}
    )
    project.manage("dbdev_init")
    (project.path / "slow.py").write_text(
        "import fcntl, os, sys\n"
        "file = open('dbdev_tempdata/default/lock', 'r+')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.truncate()\n"
        "print('process 1, slow', file=file, flush=True)\n"
        "print('held', flush=True)\n"
        "input()\n"
    )
    from .projects import started

    with started(project.path, "slow.py") as process:
        assert process.stdout.readline() == "held\n"
        said = project.manage("dbdev_backup", status=1).line
        assert "another command is using this database: process 1, slow" in said
        # Those that change nothing don't wait.
        project.info()
        process.communicate("\n")
    project.manage("dbdev_backup")


def test_killed_restore(make):
    """The next command puts the data back that were set aside."""
    before = """
import os, signal
from backendkit.dbdev.engines.sqlite import SqliteBackend
if "dbdev_restore" in sys.argv:
    def restore(self, directory):
        self.path.write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    SqliteBackend.restore = restore
"""
    entry = {"default": "dbsettings('sqlite', BASE_DIR)"}
    project = make(entry)
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    project.manage("dbdev_backup")
    project.configure(entry, before=before)
    project.manage("dbdev_restore", "--noinput", status=-9)
    answer = project.manage("dbdev_startserver")
    assert "were restored" in answer.err
    assert project.rows() == rows


KILLED = """
import os, signal
from backendkit.dbdev import backendregistry
if {command!r} in sys.argv:
    cls = backendregistry.get({engine!r})
    method = cls.{method}
    def killed(self, *arguments):
        block = method(self, *arguments)
        if block is not None:
            block.__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    cls.{method} = killed
"""


def killed_in(engine, command, method):
    """Text for ``manage.py``: the command is killed when it has done a method."""
    return engine.before + KILLED.format(
        command=command, engine=ENGINES[engine.name], method=method
    )


def test_restore_killed_before_its_end(filled, engine):
    """Other data are in the place of the old ones, and a server may run on them."""
    rows = filled.rows()
    entry = {"default": engine.settings()}
    filled.configure(entry, before=killed_in(engine, "dbdev_restore", "restore"))
    filled.manage("dbdev_restore", "--name", "one", "--noinput", status=-9)
    answer = filled.manage("dbdev_startserver")
    assert "were restored" in answer.err
    assert filled.rows() == rows
    filled.configure(entry, before=engine.before)
    filled.manage("dbdev_restore", "--name", "one", "--noinput")
    assert len(filled.rows()[0]) == len(rows[0]) - 2


def test_backup_killed_before_its_end(filled, engine):
    """Its server may be stopped then."""
    rows = filled.rows()
    entry = {"default": engine.settings()}
    filled.configure(entry, before=killed_in(engine, "dbdev_backup", "backing_up"))
    filled.manage("dbdev_backup", "--name", "two", status=-9)
    filled.manage("dbdev_startserver")
    assert filled.rows() == rows
    assert "two" not in filled.manage("dbdev_listbackups").out
    filled.configure(entry, before=engine.before)
    filled.manage("dbdev_backup", "--name", "two")
    filled.manage("dbdev_restore", "--name", "two", "--noinput")
    assert filled.rows() == rows


def test_killed_backup(make):
    """What is left of it is no backup, and goes away with the next one."""
    before = """
import os, signal
from backendkit.dbdev.engines.sqlite import SqliteBackend
def backup(self, directory):
    (directory / "half").write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)
SqliteBackend.backup = backup
"""
    entry = {"default": "dbsettings('sqlite', BASE_DIR)"}
    project = make(entry, before=before)
    project.manage("dbdev_init")
    project.manage("dbdev_backup", status=-9)
    assert project.manage("dbdev_listbackups").out == ""
    (left,) = project.folder().glob("backups/*")
    said = project.manage("dbdev_restore", left, "--noinput", status=1).line
    assert "incomplete backup" in said
    project.configure(entry)
    project.manage("dbdev_backup")
    assert len(list(project.folder().glob("backups/*"))) == 1


def test_database_in_use(make):
    """Another process has it open: nothing is removed under its feet."""
    project = make({"default": "dbsettings('lmdb', BASE_DIR)"})
    project.manage("dbdev_init")
    project.fill()
    project.manage("dbdev_backup")
    code = (
        "from shop.models import Item; print(Item.objects.count(), flush=True); input()"
    )
    with project.start("shell", "-v0", "-c", code) as process:
        assert process.stdout.readline() == "20\n"
        for command in ("dbdev_restore", "dbdev_destroy"):
            said = project.manage(command, "--noinput", status=1).line
            assert f"process {process.pid}" in said
        project.manage("dbdev_backup")
        process.communicate("\n")
    project.manage("dbdev_restore", "--noinput")
    assert len(project.rows()[0]) == 20


def test_sqlite_in_use(lite):
    lite.manage("dbdev_backup")
    code = (
        "from django.db import connection as c; c.ensure_connection();"
        "c.connection.execute('BEGIN IMMEDIATE'); print('begun', flush=True); input()"
    )
    with lite.start("shell", "-v0", "-c", code) as process:
        assert process.stdout.readline() == "begun\n"
        for command in ("dbdev_restore", "dbdev_destroy"):
            said = lite.manage(command, "--noinput", status=1).line
            assert "another process uses" in said
        process.communicate("\n")
    lite.manage("dbdev_restore", "--noinput")


@pytest.mark.parametrize("name", [":memory:", "file:x?mode=memory"])
def test_sqlite_in_memory(make, name):
    project = make({"default": f"dbsettings('sqlite', BASE_DIR, NAME={name!r})"})
    assert "has to be the path of a file" in project.manage("dbdev_init", status=1).line


def test_dumps(lite):
    rows = lite.rows()
    assert "can't be read" in refused(lite, "dbdev_loaddump", "no.json")
    assert "can't be read" in refused(lite, "dbdev_load_sqldump", "no.sql")
    assert "can't be written" in refused(lite, "dbdev_createdump", "/no/x.json")
    (lite.path / "bad.json").write_text('[{"model": "shop.item", "fields": {}}')
    assert "can't be loaded" in refused(lite, "dbdev_loaddump", "bad.json")
    (lite.path / "bad.sql").write_bytes(b"\xff\xfe")
    assert "isn't SQL" in refused(lite, "dbdev_load_sqldump", "bad.sql", "--noinput")
    assert lite.rows() == rows
    assert not list(lite.path.glob(".*unfinished"))


def as_ordinary_user(project, *arguments):
    """Run a command that fails, without root's right to any file; what it said."""
    plain = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may do anything; setpriv would take that away")
        plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    done = subprocess.run(
        [*plain, sys.executable, "manage.py", *arguments],
        cwd=project.path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_no_permission(lite):
    """To read a backup, or to write one."""
    lite.manage("dbdev_backup")
    lite.manage("load_rows", 1)
    rows = lite.rows()
    data = data_file(backup_of(lite))
    data.chmod(0)
    said = as_ordinary_user(lite, "dbdev_restore", "--noinput")
    assert said.endswith(f"{data} can't be read: Permission denied")
    backups = lite.folder() / "backups"
    backups.chmod(0o500)
    said = as_ordinary_user(lite, "dbdev_backup")
    assert "can't be created: Permission denied" in said
    backups.chmod(0o700)
    assert lite.rows() == rows


def test_no_permission_for_the_folder(make):
    """Settings say so as they are read."""
    project = make({"default": "{'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'x'}"})
    project.path.chmod(0o500)
    said = as_ordinary_user(project, "dbdev_init")
    assert "dbdev_tempdata/default can't be created: Permission denied" in said
    assert said.endswith("Set DBDEV_DATADIR to another directory")
    project.path.chmod(0o755)


@pytest.mark.check
def test_lost_state_file(make, postgresql):
    """The data are there, but nobody knows the administrator's password any more."""
    project = make({"default": postgresql.settings()})
    project.manage("dbdev_init")
    pid = project.info()["pid"]
    (project.folder() / "state.json").unlink()
    said = project.manage("dbdev_startserver", status=1).err
    assert f"that dbdev hasn't started uses {project.folder() / 'data'}" in said
    os.kill(pid, 9)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    project.configure({"default": postgresql.settings()}, {"DBDEV_TIMEOUT": 2})
    # (A busy server may need a harder signal, which is said before.)
    said = project.manage("dbdev_startserver", status=1).err
    assert "CommandError: PostgreSQL wasn't ready in 2 s" in said
    assert (project.folder() / "data" / "PG_VERSION").exists()
    project.configure({"default": postgresql.settings()})
    shutil.rmtree(project.folder() / "data")
    project.manage("dbdev_init")
