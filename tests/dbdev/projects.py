"""
Django projects in folders of their own, and a process that runs their commands.

The process has all modules loaded, and forks for each command.
"""

import contextlib
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import backendkit

# Seconds; a machine may be busy.
PATIENT = {"DBDEV_TIMEOUT": 120}
SOURCE = os.path.dirname(os.path.dirname(backendkit.__file__))

MANAGE = """\
import sys
from pathlib import Path

from django.conf import settings

from backendkit.dbdev import DbdevError, dbsettings

BASE_DIR = Path(__file__).resolve().parent
{before}
settings.configure(
    BASE_DIR=BASE_DIR,
    SECRET_KEY="x",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["backendkit.dbdev", "shop"],
    DATABASES={databases},
    **{settings},
)
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""
MODELS = """\
from django.db import models

class Item(models.Model):
    name = models.CharField(max_length=100, unique=True)
    price = models.DecimalField(max_digits=9, decimal_places=2, null=True)
    made = models.DateTimeField()
    picture = models.BinaryField()

class Part(models.Model):
    item = models.ForeignKey(Item, models.CASCADE)
    number = models.IntegerField(default=7)
"""
LOAD = """\
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from django.core.management.base import BaseCommand
from shop.models import Item, Part

class Command(BaseCommand):
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("count", type=int)
        parser.add_argument("--database", default="default")

    def handle(self, count, database, **options):
        first = Item.objects.using(database).count()
        items = [
            Item(
                name=f"{number} ünï'\\"\\\\ code",
                price=Decimal(number) / 4 if number % 3 else None,
                made=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=number),
                picture=bytes(range(number % 256)),
            )
            for number in range(first, first + count)
        ]
        Item.objects.using(database).bulk_create(items)
        last = Item.objects.using(database).order_by("-pk").first()
        Part.objects.using(database).create(item=last)
"""
ROWS = """\
import json
from django.core.management.base import BaseCommand
from shop.models import Item, Part

class Command(BaseCommand):
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--database", default="default")

    def handle(self, database, **options):
        rows = [
            [*map(str, row[:-1]), bytes(row[-1]).hex()]
            for row in Item.objects.using(database).order_by("name").values_list(
                "name", "price", "made", "picture"
            )
        ]
        parts = Part.objects.using(database).values_list("item__name", "number")
        self.stdout.write(json.dumps([rows, sorted(parts)]))
"""
# Forks for each command. What is slow to import is imported once.
SERVER = """
import gc, json, logging.config, os, resource, runpy, signal, sys, traceback
import django.db.models, django.core.management.commands.migrate
import django.core.management.commands.loaddata, django.template, sqlparse
import django.template.defaulttags, django.template.loader_tags
import django.urls, django.utils.log, django.views.debug, django.views.generic
import backendkit.dbdev.engines.sqlite, backendkit.dbdev.early
import backendkit.dbdev.management.base, backendkit.backends.lmdb.base
backendkit.dbdev.backendregistry.engines()  # which reads all entry points, once
try:
    import psycopg
except ImportError:
    pass
# A child that collects garbage would copy all of this.
gc.freeze()
for line in sys.stdin:
    folder, arguments, answer, limit, environment = json.loads(line)
    pid = os.fork()
    if not pid:
        os.chdir(folder)
        os.environ |= environment
        sys.path.insert(0, folder)
        sys.argv = ["manage.py", *arguments]
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(answer or os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open("stdout", flags), 1)
        os.dup2(os.open("stderr", flags), 2)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        status = 99
        try:
            runpy.run_path("manage.py", run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def started(folder, *arguments, **how):
    """Start Python in a folder."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        stdin=how.pop("stdin", subprocess.PIPE),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def environment():
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "PG", "DBDEV_"))
    }
    paths = [SOURCE, os.environ.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@dataclass
class Answer:
    """What a command printed."""

    out: str
    err: str

    @property
    def line(self):
        """The one line of an error."""
        lines = self.err.strip().splitlines()
        assert lines, self
        return lines[-1]


class Project:
    """A folder with ``manage.py``, an app, and databases."""

    def __init__(self, server, databases, settings=None, before=""):
        # Not in pytest's folder, which nobody else may enter: root can't run a server.
        self.path = Path(tempfile.mkdtemp(prefix="dbdev-"))
        self.path.chmod(0o755)
        self.server = server
        self.databases = databases
        self.configure(databases, settings, before)
        commands = self.path / "shop" / "management" / "commands"
        commands.mkdir(parents=True)
        for folder in (commands, commands.parent, commands.parent.parent):
            (folder / "__init__.py").touch()
        (self.path / "shop" / "models.py").write_text(MODELS)
        (commands / "load_rows.py").write_text(LOAD)
        (commands / "rows.py").write_text(ROWS)

    def configure(self, databases, settings=None, before=""):
        """
        Write ``manage.py``.

        :param databases: Python text of an entry, by alias.
        """
        entries = ", ".join(f"{alias!r}: {text}" for alias, text in databases.items())
        text = MANAGE.replace("{databases}", f"{{{entries}}}")
        text = text.replace("{settings}", repr(PATIENT | (settings or {})))
        (self.path / "manage.py").write_text(text.replace("{before}", before))

    def manage(
        self,
        *arguments,
        status=0,
        answer=None,
        limit=None,
        environment=None,
        traceback=False,
    ):
        """
        Run a command; return what it printed. ``status``: None if any will do.

        :param answer: what somebody types.
        :param limit: the greatest size of a file that it may write, in bytes.
        :param traceback: whether it ends with one, as other people's commands may.
        """
        typed = None
        if answer is not None:
            typed = str(self.path / "typed")
            Path(typed).write_text(answer)
        request = [str(self.path), list(map(str, arguments)), typed, limit]
        self.server.stdin.write(json.dumps([*request, environment or {}]) + "\n")
        self.server.stdin.flush()
        self.ended = found = int(self.server.stdout.readline())
        answer = Answer(*((self.path / f).read_text() for f in ("stdout", "stderr")))
        assert status in {None, found}, (arguments, found, answer.out, answer.err)
        assert ("Traceback" in answer.err) is traceback, answer.err
        return answer

    def status(self, *arguments, environment):
        """Run a command that ends well or is killed; return which it was."""
        answer = self.manage(*arguments, status=None, environment=environment)
        assert self.ended in {0, -9}, (self.ended, answer.out, answer.err)
        return self.ended

    def with_full_disk(self, *arguments, folder):
        """Run a command that finds a disk of 8 KB on a folder; what became of it."""
        own = ["unshare", "-m" if os.geteuid() == 0 else "-rm"]
        mount = "mount -t tmpfs -o size=8k none"
        tried = [*own, "sh", "-c", f"{mount} /mnt"]
        if not shutil.which("unshare") or subprocess.run(tried, check=False).returncode:
            pytest.skip("needs unshare, and a kernel that lets this user mount a tmpfs")
        # It is gone when the last process ends that sees it.
        script = f'{mount} {folder} && exec "$@"'
        command = [*own, "sh", "-c", script, "sh", sys.executable, "manage.py"]
        return subprocess.run(
            [*command, *arguments],
            cwd=self.path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    @contextlib.contextmanager
    def start(self, *arguments):
        """Start a command in a process of its own, which doesn't outlive the block."""
        with started(self.path, "manage.py", *arguments) as process:
            try:
                yield process
            finally:
                process.kill()

    def at(self, path):
        """The same project, of which the folder was copied or moved to another path."""
        other = copy.copy(self)
        other.path = Path(path)
        return other

    def beside(self, name):
        """A path for a copy of the folder; whoever makes it closes it."""
        return self.path.with_name(f"{self.path.name}-{name}")

    def fill(self, count=20, alias="default"):
        """Make tables and rows."""
        on = f"--database={alias}"
        self.manage("migrate", "--run-syncdb", "--verbosity=0", on)
        self.manage("load_rows", count, on)

    def rows(self, alias="default"):
        return json.loads(self.manage("rows", f"--database={alias}").out)

    def info(self, alias="default"):
        return json.loads(
            self.manage("dbdev_serverinfo", "--json", f"--database={alias}").out
        )

    def folder(self, alias="default"):
        """Where everything of a database is."""
        return self.path / "dbdev_tempdata" / alias

    def state(self, alias="default"):
        return json.loads((self.folder(alias) / "state.json").read_text())

    def change_state(self, alias="default", **changes):
        path = self.folder(alias) / "state.json"
        path.write_text(json.dumps(self.state(alias) | changes))

    def kill_server(self, alias="default"):
        """End it as a crash would."""
        pid = self.info(alias)["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: started_at(pid) is None)

    def close(self):
        """End the servers, and remove all."""
        for path in self.path.glob("dbdev_tempdata/*/state.json"):
            state = json.loads(path.read_text())
            if state["pid"] and started_at(state["pid"]) == state["started"]:
                os.kill(state["pid"], signal.SIGKILL)
                # Its helpers notice soon, and may write until then.
                wait_for(lambda: started_at(state["pid"]) is None)  # noqa: B023  # used at once
        for pid in self.unknown():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: started_at(pid) is None)  # noqa: B023  # used at once
        shutil.rmtree(self.path, ignore_errors=True)
        wait_for(lambda: not self.path.exists() or shutil.rmtree(self.path, True))

    def below(self, pid):
        """A process and all that it has started, on Linux."""
        found = {pid}
        parents = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                fields = path.read_text(errors="replace").rpartition(")")[2].split()
                parents[int(path.parent.name)] = int(fields[1])
        while more := {one for one in parents if parents[one] in found} - found:
            found |= more
        return found

    def unknown(self):
        """Servers of a command that was killed before it noted their id, on Linux."""
        folder = f"{self.path}/".encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                arguments = path.read_bytes().split(b"\0")
                if any(
                    b"=" + folder in one or one.startswith(folder) for one in arguments
                ):
                    yield int(path.parent.name)


def started_at(pid):
    from backendkit.dbdev import process

    return process.started(pid)


def wait_for(what, seconds=120):
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not in {seconds} s"
        time.sleep(0.02)
