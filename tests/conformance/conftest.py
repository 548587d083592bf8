"""A small imitation of a Django release, without a database; and a real one."""

import io
import json
import tarfile
import textwrap

import pytest

from backendkit.conformance import _archive
from backendkit.conformance._errors import UsageError

# Writes the events that the real suite's probe would write, as the label's
# plan.json says: "pass", "fail", "raise TYPE: TEXT", "skip", "die", "hang"; for all
# engines, or by their names. "end" instead of a plan: before any test.
RUNTESTS = """
import json, os, sys, time
from pathlib import Path
module = next(a for a in sys.argv if a.startswith("--settings=")).partition("=")[2]
settings = __import__(module)
engine = settings.DATABASES["default"]["ENGINE"]
assert settings.SECRET_KEY == "of the release"
job = json.loads(Path(settings.CONFORMANCE_JOB).read_text())
log = open(job["log"], "a", buffering=1)

def write(event, **values):
    log.write(json.dumps({"event": event, **values}) + "\\n")

tests = {}
for label in sys.argv[4:]:
    module = Path(__file__).parent / label.split(".")[0]
    plan = json.loads((module / "plan.json").read_text())
    if plan == "end":
        sys.exit("no database")
    whole = label == module.name
    tests |= {t: w for t, w in plan.items() if whole or f"{t}.".startswith(f"{label}.")}
write("collect", ids=list(tests))
if job["collect_only"]:
    tests = {}
failed = False
for test, what in tests.items():
    if test in job["done"] or test in job["leave_out"]:
        continue
    if isinstance(what, dict):
        what = what[engine]
    write("start", id=test)
    if what == "die":
        os._exit(3)
    if what == "hang":
        time.sleep(60)
    word, _, rest = what.partition(" ")
    failed = failed or word in ("fail", "raise")
    name, _, text = rest.partition(": ")
    write(
        "end",
        id=test,
        outcome={"pass": "passed", "fail": "failed", "skip": "skipped"}.get(
            word, "error"
        ),
        seconds=0.1,
        detail=f"it did {what}",
        exceptions=[{"types": [name, "builtins.Exception"], "text": text}] * bool(rest),
    )
write("finish")
sys.exit(failed)
"""

DB = """
from django.conf import settings

class Creation:
    def create_test_db(self, **kwargs):
        if settings.DATABASES["default"].get("HOST") == "down":
            raise OSError("connection refused")

    def destroy_test_db(self, name, **kwargs):
        pass

class Connection:
    creation = Creation()

    @property
    def settings_dict(self):
        return settings.DATABASES["default"]

    def ensure_connection(self):
        pass

    def get_database_version(self):
        return (16, 4)

connection = Connection()
connections = {"default": connection}
"""

CONF = """
class settings:
    @classmethod
    def configure(cls, **values):
        for name, value in values.items():
            setattr(cls, name, value)
"""

LOAD_BACKEND = """
def load_backend(name):
    class Wrapper:
        display_name, vendor = name.capitalize(), "fake"
    class module:
        DatabaseWrapper = Wrapper
    if name not in ("fake_engine", "base_engine", "own_engine"):
        raise ImportError(f"no {name}")
    return module
"""


def release(plans, version="9.1.2"):
    """The files of an archive, by name."""
    files = {
        "PKG-INFO": f"Name: Django\nVersion: {version}\nRequires-Python: >=3.11\n\nHi",
        "django/__init__.py": "def setup(): pass",
        "django/conf.py": CONF,
        "django/db/__init__.py": DB,
        "django/db/utils.py": LOAD_BACKEND,
        "fake_engine.py": "",
        "base_engine.py": "",
        "tests/runtests.py": RUNTESTS,
        "tests/test_sqlite.py": 'SECRET_KEY = "of the release"',
    }
    for label, plan in plans.items():
        files[f"tests/{label}/__init__.py"] = ""
        files[f"tests/{label}/plan.json"] = json.dumps(plan)
    return {name: textwrap.dedent(text) for name, text in files.items()}


def pack(path, files, folder="django-9.1.2"):
    """Write files as a source archive."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory):
    """Where children find modules compiled, Python's own among them."""
    return tmp_path_factory.mktemp("bytecode")


@pytest.fixture
def cache(tmp_path, monkeypatch, bytecode):
    """An empty cache folder, but for bytecode: to compile it takes longer than a run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "django-backendkit" / "django"
    folder.mkdir(parents=True)
    (folder / "pycache").symlink_to(bytecode)
    return folder


@pytest.fixture
def make_archive(tmp_path, cache):
    """Make an archive with labels whose tests do as planned."""

    def make(plans, **kwargs):
        return pack(tmp_path / "django-9.1.2.tar.gz", release(plans, **kwargs))

    return make


@pytest.fixture(scope="session")
def archive():
    """The installed release's archive: cached, or downloaded now."""
    try:
        return str(_archive.get_source().root)
    except UsageError as e:
        pytest.skip(str(e))
