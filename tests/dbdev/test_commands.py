"""All commands have help, a docs page, and what they have in common."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from backendkit.dbdev.management import commands

NAMES = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))
DOCS = Path(__file__).parents[2] / "docs" / "ref" / "dbdev.rst"
ISSUE = """
    init destroy reinit startserver stopserver fgrunserver serverinfo guide backup
    restore listbackups clearbackups createdump loaddump load_sqldump env doctor
"""


def test_all_are_there():
    assert sorted(f"dbdev_{name}" for name in ISSUE.split()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_help_and_docs(name):
    module = importlib.import_module(f"{commands.__name__}.{name}")
    command = module.Command()
    assert command.help.endswith(".")
    assert f"manage.py {name}" in module.__doc__
    assert f":program:`{name}`" in DOCS.read_text()
    parser = command.create_parser("manage.py", name)
    options = {text for action in parser._actions for text in action.option_strings}
    assert {"--database", "--noinput"} <= options
    own = (action for action in parser._actions if action.dest != "help")
    assert all(action.help for action in own)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_alias(server_less, name):
    """One line that names those that there are, and exit status 1."""
    needs_file = re.search("dump$", name)
    arguments = ["README"] if needs_file else []
    answer = server_less.manage(name, *arguments, "--database", "no", status=1)
    assert (
        "DATABASES has no alias 'no'. The aliases are: default, odd"
        in answer.err + answer.out
    )


@pytest.mark.parametrize("name", NAMES)
def test_engine_without_a_backend(server_less, name):
    arguments = ["README"] if name.endswith("dump") else []
    answer = server_less.manage(name, *arguments, "--database", "odd", status=1)
    said = answer.err + answer.out
    assert "no development backend for the engine 'django.db.backends.oracle'" in said
    assert "django.db.backends.sqlite3" in said


@pytest.fixture(scope="module")
def server_less(server):
    from .projects import Project

    project = Project(
        server,
        {
            "default": "dbsettings('sqlite', BASE_DIR)",
            "odd": "{'ENGINE': 'django.db.backends.oracle'}",
        },
    )
    yield project
    project.close()


@pytest.mark.parametrize(
    "name",
    [
        "restore",
        *(
            pytest.param(name, marks=pytest.mark.check)
            for name in ("destroy", "reinit", "clearbackups")
        ),
    ],
)
def test_nothing_is_done_without_a_yes(make, name):
    project = make({"default": "dbsettings('sqlite', BASE_DIR)"})
    project.manage("dbdev_init")
    project.fill()
    rows = project.rows()
    project.manage("dbdev_backup")
    project.manage("load_rows", 1)
    for answer in ("", "\n", "n\n", "maybe\n"):
        said = project.manage(f"dbdev_{name}", answer=answer, status=1)
        assert "[y/N]" in said.out
        assert "Aborted" in said.err
        assert len(project.rows()[0]) == 21
        assert len(project.manage("dbdev_listbackups").out.splitlines()) == 1
    project.manage(f"dbdev_{name}", answer="y\n")
    if name == "restore":
        assert project.rows() == rows
    elif name == "clearbackups":
        assert project.manage("dbdev_listbackups").out == ""
    else:
        assert project.info()["initialised"] is (name == "reinit")
