"""Projects that Django itself can't load: the doctor answers, others say a line."""

import subprocess
import sys

import pytest

from .projects import environment

# A driver that isn't installed, whatever is installed here.
MISSING = "sys.modules['psycopg'] = sys.modules['psycopg2'] = None"
MISSING_LMDB = (
    "loaded = [name for name in sys.modules if 'backends.lmdb' in name]\n"
    "for name in loaded: del sys.modules[name]\n"
    "sys.modules['lmdb'] = None"
)
# Its folder has a module that is no Python.
SYNTAX_ERROR = """
sys.path.insert(0, str(BASE_DIR))
from backendkit.dbdev import backendregistry
backendregistry.register('broken', 'backendkit.dbdev.engines.sqlite.SqliteBackend')
"""
SQLITE = "dbsettings('sqlite', BASE_DIR)"
# Whether the project's models can't be imported; what the doctor says.
BROKEN = {
    "no driver": (
        MISSING,
        {"default": "dbsettings('postgresql', BASE_DIR)"},
        "the ENGINE 'django.db.backends.postgresql' can't be loaded: ",
    ),
    "no driver of another database": (
        MISSING,
        {"default": SQLITE, "two": "dbsettings('postgresql', BASE_DIR, 'two')"},
        "the ENGINE 'django.db.backends.postgresql' can't be loaded: ",
    ),
    "no lmdb": (
        MISSING_LMDB,
        {"default": "dbsettings('lmdb', BASE_DIR)"},
        "can't be loaded: import of lmdb halted",
    ),
    "no ENGINE": ("", {"default": "{'NAME': 'x'}"}, "['default'] has no ENGINE"),
    "an empty ENGINE": ("", {"default": "{'ENGINE': ''}"}, "has no ENGINE"),
    "no such ENGINE": (
        "",
        {"default": "{'ENGINE': 'no.such'}"},
        "no development backend for the engine 'no.such'",
    ),
    "a syntax error": (
        SYNTAX_ERROR,
        {"default": "{'ENGINE': 'broken', 'NAME': str(BASE_DIR / 'x')}"},
        "the ENGINE 'broken' can't be loaded: ",
    ),
    "no DATABASES": ("", {}, "has no ENGINE"),
    "no default": ("", {"two": SQLITE}, "You must define a 'default' database"),
    "no dictionary": ("", {"default": "None"}, "isn't a dictionary of dictionaries"),
}


@pytest.fixture(params=BROKEN.values(), ids=BROKEN)
def broken(make, request):
    before, databases, said = request.param
    project = make(databases, before=before)
    (project.path / "broken").mkdir()
    (project.path / "broken" / "base.py").write_text("class (:\n")
    return project, said


def test_doctor(broken):
    project, said = broken
    answer = project.manage("dbdev_doctor", status=1)
    assert said in answer.out + answer.err
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("CommandError: ")


def test_other_commands(broken):
    """They say what is wrong in one line, and do nothing."""
    project, _ = broken
    alias = "two" if "two" in project.databases else "default"
    for name in ("dbdev_init", "dbdev_guide"):
        answer = project.manage(name, f"--database={alias}", status=None)
        if answer.err:
            assert answer.err.count("\n") == 1
            assert answer.err.startswith("CommandError: ")


def test_doctor_of_a_working_project(make):
    project = make({"default": SQLITE})
    out = project.manage("dbdev_doctor").out
    assert out.startswith("default:\n  ok ")


SETTINGS = """
import sys
from pathlib import Path
from backendkit.dbdev import dbsettings
BASE_DIR = Path(__file__).resolve().parent
{before}
INSTALLED_APPS = ["backendkit.dbdev", "shop"]
DATABASES = {{"default": {entry}}}
SECRET_KEY = "x"
"""


def module(project, *arguments, status=0, settings="settings"):
    done = subprocess.run(
        [sys.executable, "-m", "backendkit.dbdev", *arguments],
        cwd=project.path,
        env=environment() | ({"DJANGO_SETTINGS_MODULE": settings} if settings else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def test_without_manage_py(make):
    """``python -m backendkit.dbdev`` does the same, whatever the settings are."""
    project = make({"default": SQLITE})
    settings = project.path / "settings.py"
    settings.write_text(SETTINGS.format(before="", entry=SQLITE))
    assert module(project, "doctor").startswith("default:\n  ok ")
    assert "Created " in module(project, "init")
    entry = "dbsettings('postgresql', BASE_DIR)"
    settings.write_text(SETTINGS.format(before=MISSING, entry=entry))
    assert "can't be loaded" in module(project, "doctor", status=1)
    settings.write_text("nonsense nonsense\n")
    said = module(project, "doctor", status=1)
    assert said.startswith("The settings can't be loaded: SyntaxError: ")
    said = module(project, "doctor", status=1, settings=None)
    assert "The settings can't be loaded: ImproperlyConfigured: " in said
    said = module(project, "doctor", "--settings=no_such", status=1)
    assert "No module named 'no_such'" in said
    assert "invalid choice: 'nonsense'" in module(project, "nonsense", status=2)
