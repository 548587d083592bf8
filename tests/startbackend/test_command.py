"""``startbackend``: what it refuses, and what it leaves then."""

import pytest
from django.core.management import CommandError, call_command

from backendkit.startbackend.management.commands.startbackend import Command

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)


def start(*arguments, **options):
    call_command(Command(), *arguments, **options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("json", "'json' conflicts with the name of an existing Python module"),
        ("backendkit", "'backendkit' conflicts with"),
        ("2nd", "'2nd' is not a valid backend name"),
        ("my-store", "'my-store' is not a valid backend name"),
        ("my store", "is not a valid backend name"),
        ("../store", "is not a valid backend name"),
        ("my.store", "is not a valid backend name"),
        ("", "is not a valid backend name"),
    ],
)
def test_names(tmp_path, name, message):
    """One that is taken, or can't be imported, makes nothing."""
    with pytest.raises(CommandError, match=message):
        start(name)
    assert not any(tmp_path.iterdir())


def test_a_keyword_is_no_name(tmp_path):
    """It is an identifier to str.isidentifier(), and can't be imported all the same."""
    with pytest.raises(CommandError, match="'class' is a Python keyword"):
        start("class")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["", "x", "Snapshot"])
def test_kinds(tmp_path, kind):
    with pytest.raises(CommandError, match="invalid choice"):
        start("my_store", "--kind", kind)
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    """A folder that has something in it stays as it is."""
    mine = tmp_path / "django-my-store" / "README.md"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(CommandError, match="already exists, and isn't empty"):
        start("my_store")
    assert mine.read_text() == "mine"
    assert [*mine.parent.iterdir()] == [mine]
    with pytest.raises(CommandError, match="already exists"):
        start("my_store", str(mine))


def test_a_folder_of_ones_own(tmp_path):
    """It may be there already, and may have any name."""
    (tmp_path / "json").mkdir()
    start("my_store", "json", verbosity=0)
    assert (tmp_path / "json" / "my_store" / "base.py").exists()


def test_what_fails_leaves_nothing(tmp_path, monkeypatch):
    """The folder is as it was before: not there, or empty."""

    def fail(*_, **__):
        raise OSError("the disk is full")

    monkeypatch.setattr(Command, "make_writeable", fail)
    monkeypatch.setattr(Command, "apply_umask", fail)
    monkeypatch.setattr("shutil.copyfile", fail)
    with pytest.raises(OSError, match="the disk is full"):
        start("my_store", "--kind", "readonly")
    assert not any(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="the disk is full"):
        start("my_store", "empty", "--kind", "readonly")
    assert not any((tmp_path / "empty").iterdir())
