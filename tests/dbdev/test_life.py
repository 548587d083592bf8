"""What a developer does with a database, on each kind, with real servers."""

import signal
import socket
import time

import pytest

from backendkit.dbdev import ports

from .projects import started_at, wait_for


def test_backup_and_restore(project):
    """All rows are there again after the database was destroyed."""
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    assert len(rows[0]) == 20
    project.manage("dbdev_backup", "--name", "one")
    project.manage("load_rows", 5)
    project.manage("dbdev_destroy", "--noinput")
    assert not project.info()["initialised"]
    project.manage("dbdev_restore", "--name", "one", "--noinput")
    assert project.rows() == rows
    # New rows get new numbers.
    project.manage("load_rows", 5)
    assert len(project.rows()[0]) == 25


def test_restore_over_data(project):
    """Old data are gone when the new ones are there, and so is their copy."""
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    project.manage("dbdev_backup")
    project.manage("load_rows", 5)
    project.manage("dbdev_restore", "--noinput")
    assert project.rows() == rows
    assert list(project.path.rglob("*aside*")) == []


def test_init_twice(project):
    """The second one leaves everything as it is."""
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    assert "There is a database" in project.manage("dbdev_init").out
    assert project.rows() == rows


def test_reinit(project):
    project.manage("dbdev_init")
    project.fill()
    project.manage("dbdev_reinit", "--noinput")
    project.fill(3)
    assert len(project.rows()[0]) == 3


def test_neutral_dump(project):
    """Django's own format goes from a database into another one."""
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    project.manage("dbdev_createdump", "rows.jsonl")
    project.manage("dbdev_reinit", "--noinput")
    project.manage("migrate", "--run-syncdb", "--verbosity=0")
    project.manage("dbdev_loaddump", "rows.jsonl")
    assert project.rows() == rows


def test_sql_dump(project):
    project.manage("dbdev_init")
    project.fill()
    (project.path / "new.sql").write_text(
        "-- a comment; with a semicolon\n"
        "CREATE TABLE note (id integer PRIMARY KEY, text varchar(99));\n"
        "INSERT INTO note VALUES (1, 'a;b');\n"
    )
    project.manage("dbdev_load_sqldump", "new.sql", "--noinput")
    # All that was there is gone, and the file's table is there.
    project.manage("migrate", "--run-syncdb", "--verbosity=0")
    assert project.rows() == [[], []]
    assert "class Note" in project.manage("inspectdb", "note").out


def test_sql_dump_without_reinit(project):
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    (project.path / "new.sql").write_text(
        "CREATE TABLE note (id integer PRIMARY KEY);\nINSERT INTO note VALUES (1);\n"
    )
    project.manage("dbdev_load_sqldump", "new.sql", "--no-reinit")
    assert project.rows() == rows
    assert "class Note" in project.manage("inspectdb", "note").out
    # The table is there now: the statements before the one that fails are undone.
    (project.path / "bad.sql").write_text("DELETE FROM shop_part;\nINSERT INTO no;\n")
    answer = project.manage("dbdev_load_sqldump", "bad.sql", "--no-reinit", status=1)
    assert answer.err.startswith("CommandError: ")
    assert project.rows() == rows


def test_bad_sql_leaves_the_data(project):
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    (project.path / "bad.sql").write_text(
        "CREATE TABLE note (id integer);\nNONSENSE;\n"
    )
    answer = project.manage("dbdev_load_sqldump", "bad.sql", "--noinput", status=1)
    assert "The data are unchanged" in answer.err
    assert project.rows() == rows


def test_guide_and_env(project, engine):
    project.manage("dbdev_init")
    assert project.manage("dbdev_guide").out.count("\n") > 5
    out = project.manage("dbdev_env").out
    assert out.startswith("export DATABASE_URL=")
    assert "# DATABASES" in out
    assert project.manage("dbdev_doctor").out.startswith("default:\n  ok ")


def test_server_steps_without_a_server(make, engine):
    """They say so, and have done nothing."""
    if engine.has_server:
        pytest.skip("it has a server")
    project = make({"default": engine.settings()}, before=engine.before)
    for command in ("startserver", "stopserver", "fgrunserver"):
        assert "has no server" in project.manage(f"dbdev_{command}").out


def test_start_and_stop(server_project):
    project = server_project
    project.manage("dbdev_init")
    project.fill()
    assert project.info()["running"]
    assert "is stopped" in project.manage("dbdev_stopserver").out
    assert not project.info()["running"]
    assert "doesn't run" in project.manage("dbdev_stopserver").out
    project.manage("dbdev_startserver")
    pid = project.info()["pid"]
    assert "already running" in project.manage("dbdev_startserver").out
    assert project.info()["pid"] == pid
    assert len(project.rows()[0]) == 20


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.check)],
)
def test_foreground(server_project, number):
    """Ctrl-C ends it in order, and other commands may work meanwhile."""
    project = server_project
    project.manage("dbdev_init")
    project.manage("dbdev_stopserver")
    with project.start("dbdev_fgrunserver") as process:
        # It runs before it can be used.
        wait_for(lambda: ports.answers(project.info()["port"]))
        pid = project.info()["pid"]
        project.fill()
        assert "already running" in project.manage("dbdev_fgrunserver", status=1).err
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.endswith("The server is stopped.\n")
    assert started_at(pid) is None
    assert not project.info()["running"]
    project.manage("dbdev_startserver")
    assert len(project.rows()[0]) == 20


@pytest.mark.check
def test_stopped_elsewhere(server_project):
    project = server_project
    project.manage("dbdev_init")
    project.manage("dbdev_stopserver")
    with project.start("dbdev_fgrunserver") as process:
        wait_for(lambda: project.info()["running"])
        project.manage("dbdev_stopserver")
        _out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def test_killed_in_the_foreground(server_project):
    """The command is killed: its server is known, and can be stopped."""
    project = server_project
    project.manage("dbdev_init")
    project.manage("dbdev_stopserver")
    with project.start("dbdev_fgrunserver") as process:
        wait_for(lambda: project.info()["running"])
        process.kill()
        process.wait()
        # (As long as somebody reads what it prints: that would end it, too.)
        assert project.info()["running"]
        assert "is stopped" in project.manage("dbdev_stopserver").out


@pytest.mark.check
def test_killed_server(server_project):
    """It is started again, with what was committed."""
    project = server_project
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    for _ in range(2):
        project.kill_server()
        project.manage("dbdev_startserver")
        assert project.rows() == rows


def test_after_a_reboot(server_project):
    """The id that was noted is another process's now; that is left alone."""
    project = server_project
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    project.kill_server()
    with project.start("shell", "-c", "import time; time.sleep(60)") as other:
        project.change_state(pid=other.pid, started="another boot 1")
        pid_file = project.folder() / "data" / "postmaster.pid"
        if pid_file.exists():
            lines = pid_file.read_text().split("\n")
            pid_file.write_text("\n".join([str(other.pid), *lines[1:]]))
        assert not project.info()["running"]
        assert "doesn't run" in project.manage("dbdev_stopserver").out
        project.manage("dbdev_startserver")
        assert project.rows() == rows
        project.manage("dbdev_destroy", "--noinput")
        assert other.poll() is None
        other.kill()


@pytest.mark.check
def test_two_projects_and_two_aliases(make, server_engine):
    """None of them gets in the way of another one."""
    databases = {alias: server_engine.settings(alias) for alias in ("default", "two")}
    before = server_engine.before
    one, other = make(databases, before=before), make(databases, before=before)
    places = [(one, "default"), (one, "two"), (other, "default"), (other, "two")]
    for project, alias in places:
        project.manage("dbdev_init", "--database", alias)
    for number, (project, alias) in enumerate(places, 1):
        project.fill(number, alias)
    assert len({project.info(alias)["port"] for project, alias in places}) == 4
    for project, alias in places:
        project.manage("dbdev_backup", "--database", alias)
    one.manage("dbdev_destroy", "--noinput", "--database", "two")
    for number, (project, alias) in enumerate(places, 1):
        if number != 2:
            assert len(project.rows(alias)[0]) == number
    one.manage("dbdev_restore", "--database", "two")
    assert len(one.rows("two")[0]) == 2


def test_two_commands_at_once(server_project):
    """The second waits for the first, and finds what it has made."""
    project = server_project
    with project.start("dbdev_init") as one, project.start("dbdev_init") as two:
        said = sorted(process.communicate(timeout=120) for process in (one, two))
    assert [one.returncode, two.returncode] == [0, 0], said
    assert sum("There is a database" in out for out, _ in said) == 1
    project.fill(1)
    assert len(project.rows()[0]) == 1


def test_taken_port(make, server_engine):
    """One that was chosen is replaced; one that the settings name is an error."""
    project = make({"default": server_engine.settings()}, before=server_engine.before)
    project.manage("dbdev_init")
    project.fill()
    project.manage("dbdev_stopserver")
    port = project.info()["port"]
    with socket.create_server(("127.0.0.1", port)):
        answer = project.manage("dbdev_startserver")
        assert f"Another program uses port {port}" in answer.err
        assert project.info()["port"] != port
        assert len(project.rows()[0]) == 20
        project.manage("dbdev_stopserver")
        project.configure(
            {"default": server_engine.settings(PORT=str(port))},
            before=server_engine.before,
        )
        answer = project.manage("dbdev_startserver", status=1)
        assert f"another program uses port {port}" in answer.line


@pytest.mark.check
def test_time_of_init(make, server_engine, record_property):
    """It is no matter of minutes. (The machine may be busy.)"""
    project = make({"default": server_engine.settings()}, before=server_engine.before)
    began = time.monotonic()
    project.manage("dbdev_init")
    record_property("seconds", time.monotonic() - began)
    assert time.monotonic() - began < 120
