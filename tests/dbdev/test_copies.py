"""A folder that is copied or moved, while its server runs or not."""

import os
import random
import shutil
import socket

import pytest

from tests.effort import effort

from .projects import started_at, wait_for
from .test_generic import SERVER, fetched

# It serves its working directory, wherever that is moved to.
WEB = SERVER.replace("'{data}'", "'.'")

SEEDS = range(effort(test=1, check=2, soak=100))
STEPS = effort(test=6, check=25, soak=40)


@pytest.fixture
def folders():
    """Closes projects at other paths than their own."""
    made = []
    yield made
    for project in made:
        project.close()


@pytest.fixture
def copied(folders):
    """Copies a project's folder as ``cp -a`` does."""

    def copied(project, name="copy"):
        path = project.beside(name)
        # A socket can't be copied by shutil, and nobody needs it.
        ignore = shutil.ignore_patterns("*.sock")
        shutil.copytree(project.path, path, symlinks=True, ignore=ignore)
        if os.geteuid() == 0:
            keep_owners(project.path, path)
        folders.append(project.at(path))
        return folders[-1]

    return copied


def keep_owners(source, target):
    for folder, names, files in os.walk(source):
        for name in [*names, *files, "."]:
            status = os.lstat(os.path.join(folder, name))
            path = os.path.join(target, os.path.relpath(folder, source), name)
            if os.path.lexists(path):
                os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)


@pytest.fixture
def web(make):
    project = make({"default": WEB})
    project.manage("dbdev_init")
    return project


def write(project, text):
    (project.folder() / "data" / "index.html").write_text(text)


def test_a_copy_leaves_the_server_alone(web, copied):
    """It says that it is one, and has a port and a server of its own."""
    port = web.info()["port"]
    copy = copied(web)
    write(copy, "copy")
    said = copy.manage("dbdev_serverinfo").err
    assert f"is a copy of {web.folder()}" in said
    assert "may be inconsistent" in said
    assert copy.info()["copy_of"] == str(web.folder())
    assert not copy.info()["running"]
    assert copy.info()["port"] != port
    assert "doesn't run" in copy.manage("dbdev_stopserver").out
    assert "may be inconsistent" in copy.manage("dbdev_startserver").err
    assert fetched(copy) == "copy"
    assert fetched(web) == "hello ann s3cret\n"
    copy.manage("dbdev_reinit", "--noinput")
    assert "inconsistent" not in copy.manage("dbdev_doctor").out
    copy.manage("dbdev_destroy", "--noinput")
    assert fetched(web) == "hello ann s3cret\n"
    assert web.info()["port"] == port


def test_a_copy_whose_original_is_stopped(web, copied):
    """Nothing may be wrong with its data, but the port is the original's."""
    web.manage("dbdev_stopserver")
    copy = copied(web)
    said = copy.manage("dbdev_startserver").err
    assert "is a copy of" in said
    assert "inconsistent" not in said
    web.manage("dbdev_startserver")
    write(copy, "copy")
    assert (fetched(copy), fetched(web)) == ("copy", "hello ann s3cret\n")


@pytest.mark.parametrize("running", [True, False])
def test_a_folder_that_was_moved(web, folders, running):
    """Its server goes on, and is known."""
    before = web.info()
    if not running:
        web.manage("dbdev_stopserver")
    web.path.rename(web.beside("moved"))
    moved = web.at(web.beside("moved"))
    folders.append(moved)
    answer = moved.manage("dbdev_serverinfo", "--json")
    assert ("Restart the server" in answer.err) is running
    assert moved.info()["pid"] == (before["pid"] if running else None)
    assert moved.info()["port"] == before["port"]
    assert "copy_of" not in moved.info()
    moved.manage("dbdev_stopserver")
    assert not running or started_at(before["pid"]) is None
    moved.manage("dbdev_startserver")
    assert fetched(moved) == "hello ann s3cret\n"


def test_another_path_of_the_same_folder(web):
    """A link to a folder is no copy."""
    link = web.beside("link")
    link.symlink_to(web.path)
    try:
        there = web.at(link)
        assert there.manage("dbdev_serverinfo").err == ""
        assert there.info()["pid"] == web.info()["pid"]
        assert web.manage("dbdev_stopserver").err == ""
    finally:
        link.unlink()


def test_a_folder_that_went_to_another_disk(web, copied):
    """It was copied and removed: the old server has lost its files, and is stopped."""
    pid = web.info()["pid"]
    copy = copied(web)
    shutil.rmtree(web.path)
    assert not copy.info()["running"]
    assert f"was removed (process {pid})" in copy.manage("dbdev_startserver").err
    wait_for(lambda: started_at(pid) is None)
    assert fetched(copy) == "hello ann s3cret\n"


def test_a_copy_in_the_place_of_the_original(web, folders, copied):
    """The folder was moved away and copied back: the server is the moved one's."""
    pid = web.info()["pid"]
    web.path.rename(web.beside("old"))
    old = web.at(web.beside("old"))
    folders.append(old)
    shutil.copytree(old.path, web.path)
    write(web, "new")
    assert not web.info()["running"]
    assert web.info()["port"] != old.info()["port"]
    assert old.info()["pid"] == pid
    web.manage("dbdev_startserver")
    assert (fetched(web), fetched(old)) == ("new", "hello ann s3cret\n")


def test_a_copy_with_a_port_of_its_settings(make, copied):
    """Nothing in it may use the original's server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = WEB.replace("USER='ann'", f"USER='ann', PORT='{port}'")
    project = make({"default": settings})
    project.manage("dbdev_init")
    copy = copied(project)
    with copy.start("dbdev_destroy", "--noinput") as process:
        err = process.communicate()[1]
    assert process.returncode == 1
    assert f"Set the PORT of 'default' to another one than {port}" in err
    assert fetched(project) == "hello ann s3cret\n"


def test_a_copy_from_another_machine(web, copied):
    """Its server may have run there; nobody here has its port."""
    port = web.info()["port"]
    copy = copied(web)
    web.close()
    copy.change_state(started="another boot 1")
    said = copy.manage("dbdev_serverinfo").err
    assert "may be inconsistent" in said
    assert copy.info()["port"] == port
    assert "may be inconsistent" in copy.manage("dbdev_startserver").err


@pytest.mark.parametrize("seed", SEEDS)
def test_each_folder_has_its_own_server(web, folders, copied, seed):
    """Whatever is copied, moved, started, stopped and killed, in any order."""
    chance = random.Random(seed)
    write(web, web.path.name)
    places, done = [web], []
    for step in range(STEPS):
        what = chance.choice(["start", "start", "stop", "kill", "copy", "move"])
        number = chance.randrange(len(places))
        project = places[number]
        done.append((step, what, project.path.name))
        if what == "start":
            project.manage("dbdev_startserver")
        elif what == "stop":
            project.manage("dbdev_stopserver")
        elif what == "kill" and project.info()["running"]:
            project.kill_server()
        elif what == "copy" and len(places) < 4:
            places.append(copied(project, str(step)))
            write(places[-1], places[-1].path.name)
        elif what == "move":
            path = web.beside(f"{step}")
            project.path.rename(path)
            places[number] = project.at(path)
            folders.append(places[number])
            write(places[number], path.name)
        infos = [place.info() for place in places]
        assert len({info["port"] for info in infos}) == len(places), (seed, done)
        for place, info in zip(places, infos, strict=True):
            if info["running"]:
                assert fetched(place) == place.path.name, (seed, done)


@pytest.mark.check
def test_rows_of_a_copy(server_project, copied):
    """Emptying a table in the copy leaves those of the original."""
    server_project.manage("dbdev_init")
    server_project.fill(5)
    rows = server_project.rows()
    copy = copied(server_project)
    code = "from shop.models import Part; Part.objects.all().delete()"
    # There is no server yet.
    copy.manage("shell", "-v0", "-c", code, status=99, traceback=True)
    copy.manage("dbdev_startserver")
    copy.manage("shell", "-v0", "-c", code)
    assert copy.rows() == [rows[0], []]
    copy.manage("dbdev_destroy", "--noinput")
    assert server_project.rows() == rows
