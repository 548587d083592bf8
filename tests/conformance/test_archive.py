import subprocess
import sys

import pytest

from backendkit.conformance import _archive
from backendkit.conformance._errors import UsageError

from .conftest import pack, release


def test_an_archive_is_unpacked_once(make_archive, cache):
    """Beside the cache's archives, under its hash."""
    archive = make_archive({"basic": {}})
    tree = _archive.get_source(archive=archive)
    assert tree.version == "9.1.2"
    assert (tree.tests / "basic" / "__init__.py").is_file()
    assert tree.root == cache / "src" / tree.sha256[:16] / "django-9.1.2"
    before = tree.root.stat().st_ctime_ns
    assert _archive.get_source("9.1", archive) == tree
    assert tree.root.stat().st_ctime_ns == before
    assert [p.name for p in (cache / "src").iterdir()] == [tree.sha256[:16]]


def test_an_unpacked_release_is_taken_as_it_is(make_archive):
    root = _archive.get_source(archive=make_archive({})).root
    tree = _archive.get_source(archive=root)
    assert (tree.root, tree.version, tree.sha256) == (root, "9.1.2", "")


def test_a_changed_archive_is_refused(make_archive):
    """The hash of the download is beside it."""
    archive = make_archive({"basic": {}})
    archive.with_name(archive.name + ".sha256").write_text("0" * 64)
    with pytest.raises(UsageError, match="SHA-256 changed"):
        _archive.get_source(archive=archive)


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py"])
def test_an_archive_cannot_write_elsewhere(tmp_path, cache, name):
    archive = pack(tmp_path / "evil.tar.gz", release({}))
    files = {f"django-9.1.2/{key}": text for key, text in release({}).items()}
    pack(archive, {name: "", **files}, folder="")
    before = set(tmp_path.rglob("evil.py"))
    with pytest.raises(UsageError):
        _archive.get_source(archive=archive)
    assert set(tmp_path.rglob("evil.py")) == before
    assert list((cache / "src").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00cut"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, cache, content):
    archive = tmp_path / "django.tar.gz"
    archive.write_bytes(content)
    with pytest.raises(UsageError, match="can't unpack"):
        _archive.get_source(archive=archive)
    with pytest.raises(UsageError, match="No such file"):
        _archive.get_source(archive=tmp_path / "none.tar.gz")


def test_an_archive_of_something_else_is_refused(tmp_path, cache):
    archive = pack(tmp_path / "other.tar.gz", {"setup.py": ""})
    with pytest.raises(UsageError, match="isn't Django's source archive"):
        _archive.get_source(archive=archive)


def test_the_version_has_to_be_the_wanted_one(make_archive):
    with pytest.raises(UsageError, match=r"is Django 9\.1\.2, but 6\.1 was asked"):
        _archive.get_source("6.1", make_archive({}))


def test_a_release_for_a_newer_python_is_refused(tmp_path, cache):
    files = release({})
    files["PKG-INFO"] = files["PKG-INFO"].replace(">=3.11", ">=3.99")
    with pytest.raises(UsageError, match=r"needs Python >=3\.99"):
        _archive.get_source(archive=pack(tmp_path / "new.tar.gz", files))


class FakePip:
    """Stands in for subprocess.run: downloads an archive, or fails."""

    def __init__(self, archive=None):
        self.archive = archive
        self.commands = []

    def __call__(self, command, **kwargs):
        self.commands.append(command)
        if self.archive is None:
            error = "WARNING: retrying\nERROR: no matching distribution\nbye\n"
            return subprocess.CompletedProcess(command, 1, "", error)
        folder = command[command.index("--dest") + 1]
        (_archive.Path(folder) / self.archive.name).write_bytes(
            self.archive.read_bytes()
        )
        return subprocess.CompletedProcess(command, 0, "", "")


def test_pip_downloads_a_release_once(make_archive, cache, monkeypatch):
    """Then it is in the cache, with its hash beside it."""
    pip = FakePip(make_archive({}))
    monkeypatch.setattr(_archive.subprocess, "run", pip)
    tree = _archive.get_source("9.1")
    assert pip.commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert pip.commands[0][-1] == "Django==9.1.*"
    assert (cache / "django-9.1.2.tar.gz.sha256").read_text().strip() == tree.sha256
    assert _archive.get_source("9.1.2") == _archive.get_source("9.1") == tree
    assert len(pip.commands) == 1


def test_the_installed_release_is_the_default(make_archive, cache, monkeypatch):
    pip = FakePip(make_archive({}))
    monkeypatch.setattr(_archive.subprocess, "run", pip)
    monkeypatch.setattr(_archive, "installed_django", lambda: "9.1.2")
    _archive.get_source()
    assert pip.commands[0][-1] == "Django==9.1.2"


def test_without_a_network_it_says_what_to_do(cache, monkeypatch):
    monkeypatch.setattr(_archive.subprocess, "run", FakePip())
    with pytest.raises(UsageError, match=r"no matching distribution.*--archive PATH"):
        _archive.get_source("9.1")


@pytest.mark.parametrize("wanted", ["", "6", "latest", "6.1; rm", "--pre"])
def test_a_version_that_is_none_is_refused(cache, wanted):
    with pytest.raises(UsageError, match="a version such as"):
        _archive.get_source(wanted)
