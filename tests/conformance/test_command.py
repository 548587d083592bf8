"""``manage.py conformance``, in a project with an ENGINE of its own."""

import json
import os
import subprocess
import sys
from enum import IntEnum
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.utils.functional import lazystr

import backendkit
from backendkit.conformance._errors import UsageError
from backendkit.conformance.management.commands.conformance import database

from .conftest import pack, release

SECRET = "s3cret-of-the-project"

MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

SETTINGS = f"""
from pathlib import Path
INSTALLED_APPS = ["backendkit.conformance"]
SECRET_KEY = "of the project"
DATABASES = {{
    "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "/data/mine.db"}},
    "ledger": {{
        "ENGINE": "ledger",
        "NAME": "of_the_project",
        "HOST": "db.example",
        "PORT": 3322,
        "USER": "anna",
        "PASSWORD": {SECRET!r},
        "OPTIONS": {{"ca": Path("/etc/ca.pem"), "timeout": 3}},
        "TEST": {{"NAME": "of_the_project_too"}},
        "ATOMIC_REQUESTS": True,
    }},
    "odd": {{"ENGINE": "ledger", "OPTIONS": {{"password": lambda: {SECRET!r}}}}},
}}
"""

# Writes down what a child that runs tests is told, and what others can see of it.
ENGINE = """
import json, os, sys
from pathlib import Path

def commands():
    yield " ".join(sys.orig_argv)
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield file.read_text()
        except OSError:  # it has ended
            pass

class DatabaseWrapper:
    display_name, vendor = "Ledger", "ledger"

here = Path(__file__).parent
with (here / "visible").open("a") as file:
    file.write("\\n".join([*commands(), *os.environ.values()]))
if job := sys.modules.get("backendkit_conformance_settings"):
    (here / "told.json").write_text(json.dumps(job.DATABASES))
"""


@pytest.fixture
def manage(tmp_path, cache):
    """Run manage.py from elsewhere; what it has done, and the report if there is one."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (project / "ledger").mkdir(parents=True)
    elsewhere.mkdir()
    (project / "manage.py").write_text(MANAGE)
    (project / "project_settings.py").write_text(SETTINGS)
    (project / "ledger" / "__init__.py").write_text("")
    (project / "ledger" / "base.py").write_text(ENGINE)
    files = release({"one": {"one.T.a": "pass"}, "two": {"two.T.b": "fail"}})
    load = (
        "import importlib\nimport_base = lambda n: importlib.import_module(n + '.base')"
    )
    files["django/db/utils.py"] = f"{load}\nload_backend = import_base\n"
    files["tests/runtests.py"] = files["tests/runtests.py"].replace(
        "\nassert", f"\n{load}\nimport_base(engine)\nassert", 1
    )
    archive = pack(tmp_path / "django-9.1.2.tar.gz", files)
    report = elsewhere / "report.json"

    def manage(*args, run=True):
        done = subprocess.run(
            [sys.executable, project / "manage.py", "conformance", *args]
            + ["--archive", archive, "--no-baseline", "--json", "report.json"] * run,
            cwd=elsewhere,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(backendkit.__file__).parents[1]),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        data = json.loads(report.read_text()) if report.exists() else None
        return done, data

    manage.ledger = project / "ledger"
    return manage


def test_a_project_s_own_engine(manage):
    """It is found beside manage.py, and told how to reach its server."""
    done, report = manage("--database", "ledger", "one")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"
    assert (report["engine"], report["display_name"]) == ("ledger", "Ledger")
    told = json.loads((manage.ledger / "told.json").read_text())
    name = told["default"].pop("NAME")
    assert name.startswith("backendkit_")
    assert name != told["other"]["NAME"]
    assert told["default"] == {
        "ENGINE": "ledger",
        "HOST": "db.example",
        "PORT": 3322,
        "USER": "anna",
        "PASSWORD": SECRET,
        "OPTIONS": {"ca": "/etc/ca.pem", "timeout": 3},
    }


def test_passwords_stay_secret(manage):
    """No list of processes shows them, no report, and no message."""
    done, report = manage("--database", "ledger", "one", "two")
    assert done.returncode == 1
    assert len(report["tests"]) == 2
    visible = (manage.ledger / "visible").read_text()
    assert "runtests.py" in visible
    assert SECRET not in visible + json.dumps(report) + done.stdout + done.stderr


@pytest.mark.check
def test_options_of_the_run_come_on_top(manage):
    """One entry of OPTIONS replaces that one; labels may stand on both sides."""
    done, _ = manage("one", "--database", "ledger", "--option", "timeout=9", "two")
    assert done.returncode == 1
    assert "FAILED: two.T.b" in done.stdout
    assert "1 passed, 1 failed" in done.stdout
    told = json.loads((manage.ledger / "told.json").read_text())
    assert told["default"]["OPTIONS"] == {"ca": "/etc/ca.pem", "timeout": 9}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--database", "nope"],
            "has no alias 'nope'. The aliases are: default, ledger, odd",
        ),
        (
            ["--database", "odd"],
            "settings.DATABASES['odd']['OPTIONS']['password'] can't be passed to",
        ),
        (["--database", "ledger", "nope"], "unknown label 'nope'"),
        (["--no-such-thing"], "unrecognized arguments: --no-such-thing"),
    ],
)
def test_a_wrong_call(manage, args, message):
    """It says what is wrong, in one line, and no test is run."""
    done, report = manage(*args)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr
    assert report is None


def test_options_of_every_command(manage):
    """Django's own options are there beside the run's."""
    done, _ = manage("--help", run=False)
    assert done.returncode == 0
    assert {"--database", "--settings", "--traceback", "--test-timeout"} <= set(
        done.stdout.replace("[", " ").split()
    )


def test_no_checks_of_the_project():
    """A project whose database is down can find out about the ENGINE."""
    command = load_command_class("backendkit.conformance", "conformance")
    assert command.requires_system_checks == []
    assert command.requires_migrations_checks is False


class Level(IntEnum):
    SERIALIZABLE = 4


class TestSettings:
    def taken(self, **settings):
        return database({"default": {"ENGINE": "some.engine", **settings}}, "default")

    def test_values_of_settings(self):
        """Paths and lazy texts are texts, enumerations are their values."""
        engine, taken = self.taken(
            HOST=Path("/run/db"),
            PASSWORD=lazystr("secret"),
            PORT="",
            OPTIONS={
                "isolation_level": Level.SERIALIZABLE,
                "pool": {"sizes": (1, 2.5), "on": True, "name": None},
            },
        )
        assert engine == "some.engine"
        # As text, because equality of what was lazy proves nothing.
        assert repr(taken) == repr(
            {
                "HOST": "/run/db",
                "PASSWORD": "secret",
                "OPTIONS": {
                    "isolation_level": 4,
                    "pool": {"sizes": [1, 2.5], "on": True, "name": None},
                },
            }
        )

    @pytest.mark.parametrize("value", [object(), b"bytes", float("nan"), {1: "key"}])
    def test_what_no_child_can_be_told(self, value):
        """The message names the key, and not the value."""
        with pytest.raises(UsageError) as caught:
            self.taken(OPTIONS={"hosts": ["a", value]})
        where = "settings.DATABASES['default']['OPTIONS']['hosts'][1]"
        assert str(caught.value).startswith(where)

    def test_no_engine(self):
        """And no databases at all."""
        with pytest.raises(UsageError, match="has no ENGINE"):
            self.taken(ENGINE="")
        with pytest.raises(UsageError, match="The aliases are: none"):
            database({}, "default")
