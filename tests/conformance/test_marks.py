"""The expectations in Django's own runner: its runtests.py, with nothing of ours."""

import re
import shutil
import subprocess
import sys
import unittest
from importlib import import_module
from textwrap import dedent
from types import SimpleNamespace
from unittest import mock

import django
import pytest
from django.db.backends.base import creation
from django.db.utils import load_backend
from django.test.utils import iter_test_cases

from backendkit.conformance import _archive, _settings, marks
from backendkit.conformance._errors import UsageError
from backendkit.conformance._expectations import load

MODELS = """
from django.db import models

class Thing(models.Model):
    name = models.CharField(max_length=10, unique=True)
    part_of = models.ForeignKey("self", models.CASCADE, null=True)
"""

# Each test's outcome is in EXPECTED, and what is listed in LISTED.
TESTS = """
import os
from django.test import SimpleTestCase, TestCase, TransactionTestCase, skipUnlessDBFeature
from .models import Thing

class Single(TestCase):
    def test_unlisted(self):
        Thing.objects.create(name="a")

    def test_xfail(self):
        self.fail("as listed")

    async def test_xfail_async(self):
        self.fail("as listed")

    def test_raises(self):
        for _ in range(2):
            Thing.objects.create(name="a")

    async def test_raises_async(self):
        for _ in range(2):
            await Thing.objects.acreate(name="a")

    def test_raises_in_subtests(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(number, 1, "right")

    def test_raises_in_cleanup(self):
        self.addCleanup(self.fail, "right")

    def test_raises_in_django(self):
        Thing.objects.create(name="a", part_of_id=9)

    @skipUnlessDBFeature("gis_enabled")
    def test_raises_but_cannot_run(self):
        self.fail("never")

    def test_skip(self):
        os._exit(3)

class SetUp(TestCase):
    def setUp(self):
        raise ValueError("right")

    def test_raises(self):
        pass

    def test_xfail(self):
        pass

class PreSetUp(TransactionTestCase):
    available_apps = ["marked"]
    fixtures = []

    def test_1(self):
        type(self).fixtures = ["no such fixture"]

    def test_2_raises(self):
        pass

class Parent(SimpleTestCase):
    def test_inherited(self):
        self.assertNotEqual(type(self), Child, "right")

    def test_raises(self):
        self.test_inherited()

class Child(Parent):
    pass

class Grandchild(Child):
    pass

class Sibling(Parent):
    pass

class Shares(SimpleTestCase):
    test_inherited = Parent.test_inherited

class Whole(SimpleTestCase):
    def test_1(self):
        self.assertIs(type(self), BelowWhole)

    def test_2(self):
        self.assertIs(type(self), BelowWhole)

    def test_raises(self):
        self.assertIs(type(self), BelowWhole, "right")

class BelowWhole(Whole):
    pass

class Skipped(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls is Skipped:
            os._exit(3)

    def test_1(self):
        pass

class BelowSkipped(Skipped):
    pass
"""

LISTED = """
[[xfail]]
tests = [
    "marked.tests.Single.test_xfail",
    "marked.tests.Single.test_xfail_async",
    "marked.tests.SetUp.test_xfail",
    "marked.tests.Child.test_inherited",
    "marked.tests.Whole",
    "not_installed.tests.Nothing",
]
reason = "fails"

[[xfail]]
tests = ["marked.tests.Single.test_unlisted"]
django = "<5"
reason = "long ago"

[[xfail]]
tests = ["marked.tests.Single.test_unlisted"]
django = ">=5"
server = ">=99"
reason = "on no server that there is"

[[raises]]
tests = ["marked.tests.Single.test_raises", "marked.tests.Single.test_raises_async"]
exception = "DatabaseError"
match = "marked_thing.name"
reason = "raises"

[[raises]]
tests = ["marked.tests.Single.test_raises_in_django"]
exception = "IntegrityError"
match = "foreign key"
reason = "raises"

[[raises]]
tests = ["marked.tests.SetUp.test_raises"]
exception = "builtins.ValueError"
match = "right"
reason = "raises"

[[raises]]
tests = ["marked.tests.PreSetUp.test_2_raises"]
exception = "CommandError"
match = "no such fixture"
reason = "raises"

[[raises]]
tests = [
    "marked.tests.Single.test_raises_in_subtests",
    "marked.tests.Single.test_raises_in_cleanup",
    "marked.tests.Single.test_raises_but_cannot_run",
    "marked.tests.Child.test_raises",
    "marked.tests.Whole.test_raises",
]
exception = "AssertionError"
match = "right"
reason = "raises"

[[skip]]
tests = ["marked.tests.Single.test_skip", "marked.tests.Skipped"]
reason = "exits"
"""

PASSES, FAILS, EXITS = "ok", "expected failure", "skipped 'exits'"
EXPECTED = {
    "Single.test_unlisted": PASSES,
    "Single.test_xfail": FAILS,
    "Single.test_xfail_async": FAILS,
    "Single.test_raises": FAILS,
    "Single.test_raises_async": FAILS,
    "Single.test_raises_in_subtests": FAILS,
    "Single.test_raises_in_cleanup": FAILS,
    "Single.test_raises_in_django": FAILS,
    "Single.test_raises_but_cannot_run": "skipped "
    '"Database doesn\'t support feature(s): gis_enabled"',
    "Single.test_skip": EXITS,
    "SetUp.test_raises": FAILS,
    "SetUp.test_xfail": FAILS,
    "PreSetUp.test_1": PASSES,
    "PreSetUp.test_2_raises": FAILS,
    "Parent.test_inherited": PASSES,
    "Parent.test_raises": PASSES,
    "Child.test_inherited": FAILS,
    "Child.test_raises": FAILS,
    "Grandchild.test_inherited": PASSES,
    "Grandchild.test_raises": PASSES,
    "Sibling.test_inherited": PASSES,
    "Sibling.test_raises": PASSES,
    "Shares.test_inherited": PASSES,
    "Whole.test_1": FAILS,
    "Whole.test_2": FAILS,
    "Whole.test_raises": FAILS,
    "BelowWhole.test_1": PASSES,
    "BelowWhole.test_2": PASSES,
    "BelowWhole.test_raises": PASSES,
    "Skipped.test_1": EXITS,
    "BelowSkipped.test_1": PASSES,
}

# What isn't as listed.
WRONG_TESTS = """
class Passes(TestCase):
    def test_xfail(self):
        pass

    def test_raises(self):
        pass

class HalfPasses(TestCase):
    def test_1(self):
        self.fail()

    def test_2(self):
        pass
"""

WRONG_RAISES = """
class Raises(TestCase):
    def test_other_text(self):
        raise ValueError("wrong")

    def test_other_class(self):
        raise LookupError("right")

    def test_one_subtest_of_two(self):
        for text in ("right", "wrong"):
            with self.subTest(text=text):
                raise ValueError(text)
"""

WRONG_LISTED = """
[[xfail]]
tests = ["marked.tests.Passes.test_xfail", "marked.tests.HalfPasses"]
reason = "as we thought"

[[raises]]
tests = ["marked.tests.Passes.test_raises"]
exception = "ValueError"
match = "right"
reason = "as we thought"
"""

WRONG_RAISES_LISTED = """
[[raises]]
tests = ["marked.tests.Raises"]
exception = "ValueError"
match = "right"
reason = "as we thought"
"""

WRONG_EXPECTED = {
    "Passes.test_xfail": "FAIL",
    "Passes.test_raises": "FAIL",
    "HalfPasses.test_1": FAILS,
    "HalfPasses.test_2": "FAIL",
}

SETTINGS = """
from test_sqlite import *
import multiprocessing

multiprocessing.set_start_method({start!r}, force=True)
DATABASES = {{
    alias: {{"ENGINE": "marked_engine", "NAME": {name!r} + alias}}
    for alias in ("default", "other")
}}
"""

ENGINE = """
from backendkit.backends.{parent}.base import DatabaseWrapper as Parent

class DatabaseWrapper(Parent):
    pass
"""


@pytest.fixture(scope="module")
def release():
    """The installed release's sources: cached, or downloaded now."""
    try:
        return _archive.get_source()
    except UsageError as e:
        pytest.skip(str(e))


@pytest.fixture
def suite(release, tmp_path):
    """Run the release's own ``runtests.py``, on an engine with such a file."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")

    def run(tests, listed, *args, parent="memory", start="fork"):
        folder = tmp_path / "tests"
        if tests:
            # runtests.py takes its labels from the folder that it is in.
            for name in ("runtests.py", "test_sqlite.py", "urls.py"):
                write(f"tests/{name}", (release.root / "tests" / name).read_text())
            write("tests/marked/__init__.py", "")
            write("tests/marked/models.py", MODELS)
            write("tests/marked/tests.py", tests)
        else:
            folder = release.root / "tests"
        write("marked_engine/__init__.py", "")
        write("marked_engine/base.py", ENGINE.format(parent=parent))
        write("marked_engine/expectations.toml", listed)
        write(
            "marked_settings.py",
            SETTINGS.format(start=start, name=str(tmp_path / "data")),
        )
        result = subprocess.run(
            [sys.executable, "runtests.py", "--settings=marked_settings", "-v2", *args],
            cwd=folder,
            env=_settings.environment(release, tmp_path, tmp_path / "pycache"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        outcomes = re.findall(
            # A docstring has a line of its own.
            r"^test_\w+ \([\w.]*?tests\.([\w.]+)\)(?:\n.+)? \.\.\. (.+)$",
            # A worker that starts may write this into a line of the parent's.
            re.sub(r"Importing application marked\n?", "", result.stdout),
            re.M,
        )
        return result.returncode, dict(outcomes), result.stdout

    yield run
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_test_may_do_what_is_listed(suite):
    """That class's only, not what it inherits from or what inherits from it."""
    status, outcomes, output = suite(TESTS, LISTED, "marked", "--parallel=1")
    assert outcomes == EXPECTED, output
    assert status == 0, output


@pytest.mark.check
@pytest.mark.parametrize(("parent", "start"), [("memory", "fork"), ("lmdb", "spawn")])
def test_in_worker_processes(suite, parent, start):
    """And an unexpected pass fails there too."""
    pytest.importorskip(parent if parent == "lmdb" else "apsw")
    status, outcomes, output = suite(
        TESTS + WRONG_TESTS,
        LISTED + WRONG_LISTED,
        "marked",
        "--parallel=2",
        parent=parent,
        start=start,
    )
    assert outcomes == EXPECTED | WRONG_EXPECTED, output
    assert "FAILED (failures=3," in output
    assert status == 1


@pytest.mark.check
def test_what_is_not_as_listed_fails(suite):
    """An unexpected pass names its entry; another exception comes through."""
    status, outcomes, output = suite(
        "from django.test import TestCase\n" + WRONG_TESTS + WRONG_RAISES,
        WRONG_LISTED + WRONG_RAISES_LISTED,
        "marked",
        "--parallel=1",
    )
    assert status == 1
    assert "FAILED (failures=3, errors=4, expected failures=1)" in output, output
    assert outcomes == WRONG_EXPECTED | {
        "Raises.test_other_text": "ERROR",
        "Raises.test_other_class": "ERROR",
    }
    assert output.count("\nERROR: test_one_subtest_of_two") == 2
    file = re.escape("marked_engine/expectations.toml")
    for test, kind in {
        "Passes.test_xfail": "xfail",
        "Passes.test_raises": "raises",
        "HalfPasses": "xfail",
    }.items():
        assert re.search(
            rf"^AssertionError: marked\.tests\.{test} passed, but .*{file}:"
            rf" \[\[{kind}\]\] number 1 lists it as {kind}: as we thought$",
            output,
            re.M,
        ), output
    for said in ("ValueError: wrong", "LookupError: right"):
        assert re.search(
            rf"^{said}\n.*{file}: \[\[raises\]\] number 2: listed as raising"
            rf" ValueError that matches 'right', but it raised {said}$",
            output,
            re.M,
        ), output


@pytest.mark.check
def test_in_the_releases_own_suite(suite):
    """A part of a label, of which nothing else was imported."""
    listed = """
    [[xfail]]
    tests = ["basic.tests.ModelTest.test_eq"]
    reason = "we thought so"
    [[skip]]
    tests = ["basic.tests.ModelRefreshTests", "queries.tests.Queries1Tests"]
    reason = "isn't looked at"
    [[raises]]
    tests = ["null_queries.tests.NullQueriesTests.test_none_as_null"]
    exception = "Exception"
    match = "."
    reason = "we thought so"
    """
    labels = ("basic.tests.ModelTest", "null_queries.tests")
    status, outcomes, output = suite(None, dedent(listed), *labels, "--parallel=1")
    assert status == 1, output
    failed = {test for test, outcome in outcomes.items() if outcome == "FAIL"}
    assert failed == {"ModelTest.test_eq", "NullQueriesTests.test_none_as_null"}, output
    assert "FAILED (failures=2" in output


# In this process.

CASES = """
import unittest

class Case(unittest.TestCase):
    def test_1(self): self.fail("right")
    def test_2(self): self.fail("right")
    def test_3(self): self.fail("never runs")
    def test_4(self): pass

class Below(Case):
    pass

class Whole(unittest.TestCase):
    def test_1(self): self.fail()
"""

CASES_LISTED = """
[[xfail]]
tests = ["{app}.cases.Case.test_1", "{app}.cases.Whole"]
reason = "fails"

[[raises]]
tests = ["{app}.cases.Case.test_2"]
exception = "AssertionError"
match = "right"
reason = "raises"

[[skip]]
tests = ["{app}.cases.Case.test_3"]
reason = "hangs"
"""


@pytest.fixture
def apps(tmp_path, monkeypatch):
    """Make installed apps with tests; one name is one module in this process."""
    installed = []
    fake = SimpleNamespace(INSTALLED_APPS=installed)
    monkeypatch.setattr(marks, "settings", fake)
    monkeypatch.setattr(creation, "settings", fake)
    monkeypatch.syspath_prepend(tmp_path)

    def make(name, text=CASES):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "cases.py").write_text(text)
        installed.append(name)
        return name

    yield SimpleNamespace(make=make, settings=fake)
    for name in [n for n in sys.modules if n.partition(".")[0] in installed]:
        del sys.modules[name]


@pytest.fixture
def connect(tmp_path, monkeypatch):
    """Make connections of a backend with such a file, or of one that inherits it."""

    def make(engine, listed, base=object, **attributes):
        folder = tmp_path / engine
        folder.mkdir(exist_ok=True)
        (folder / "base.py").write_text("")
        if listed is not None:
            (folder / "expectations.toml").write_text(listed)
        monkeypatch.syspath_prepend(tmp_path)
        module = import_module(f"{engine}.base")
        wrapper = type("DatabaseWrapper", (base,), {"__module__": module.__name__})
        connection = wrapper()
        connection.settings_dict = {"ENGINE": engine}
        connection.get_database_version = lambda: pytest.fail("isn't asked for")
        vars(connection).update(attributes)
        connection.features = SimpleNamespace(
            django_test_expected_failures=marks.expected_failures(connection),
            django_test_skips=marks.skips(connection),
        )
        connection.creation = creation.BaseDatabaseCreation(connection)
        return connection

    yield make
    for name in [n for n in sys.modules if n.startswith("made_engine")]:
        del sys.modules[name]


def mark(connection):
    with marks.marking(connection):
        connection.creation.mark_expected_failures_and_skips()


def run(app):
    """What became of each test; a tuple, for it should be one thing."""
    cases = import_module(f"{app}.cases")
    outcomes = {}
    for test in iter_test_cases(unittest.defaultTestLoader.loadTestsFromModule(cases)):
        test(result := unittest.TestResult())
        assert result.testsRun == 1
        outcomes[test.id().removeprefix(f"{app}.cases.")] = (
            *("xfailed" for _ in result.expectedFailures),
            *(f"skipped: {reason}" for _, reason in result.skipped),
            *(text.splitlines()[-1] for _, text in result.failures + result.errors),
        )
    return outcomes


AS_LISTED = {
    "Case.test_1": ("xfailed",),
    "Case.test_2": ("xfailed",),
    "Case.test_3": ("skipped: hangs",),
    "Case.test_4": (),
    "Below.test_1": ("AssertionError: right",),
    "Below.test_2": ("AssertionError: right",),
    "Below.test_3": ("AssertionError: never runs",),
    "Below.test_4": (),
    "Whole.test_1": ("xfailed",),
}


def test_marking_twice_is_marking_once(apps, connect):
    """Another connection, or a worker process, does it again."""
    app = apps.make("made_app")
    connection = connect("made_engine", CASES_LISTED.format(app=app))
    mark(connection)
    assert run(app) == AS_LISTED
    cls = import_module(f"{app}.cases").Case
    once = {name: type(value) for name, value in vars(cls).items()}
    first, judged = cls.test_3.__wrapped__.__wrapped__, vars(cls)["__call__"]
    mark(connection)
    mark(connect("made_engine", None))
    assert run(app) == AS_LISTED
    assert {name: type(value) for name, value in vars(cls).items()} == once
    assert vars(cls)["__call__"] is judged
    # Django's skip() around our copy of the function itself, as before.
    assert cls.test_3.__wrapped__.__wrapped__ is first
    assert not hasattr(first, "__wrapped__")


@pytest.mark.parametrize(
    ("test", "outcome"),
    [("1", "addExpectedFailure"), ("3", "addSkip"), ("4", "addSuccess")],
)
def test_a_result_is_told_in_order(apps, connect, test, outcome):
    """What it prints, and the output that it holds back, depends on that."""
    app = apps.make("made_app")
    mark(connect("made_engine", CASES_LISTED.format(app=app)))
    result = mock.Mock(wraps=unittest.TestResult())
    import_module(f"{app}.cases").Case(f"test_{test}")(result)
    told = [name for name, *_ in result.method_calls if name != "addDuration"]
    assert told == ["startTest", outcome, "stopTest"]


def test_two_engines_mark_their_own(apps, connect):
    """The other database's entries don't undo those of the default one."""
    app = apps.make("made_app")
    mark(connect("made_engine", CASES_LISTED.format(app=app)))
    listed = f'[[xfail]]\ntests = ["{app}.cases.Case.test_4"]\nreason = "so"'
    mark(connect("made_engine_2", listed))
    said = run(app)
    assert "test_4 passed, but" in said.pop("Case.test_4")[0]
    assert said == {k: v for k, v in AS_LISTED.items() if k != "Case.test_4"}


@pytest.mark.parametrize(
    "test",
    ["made_app.cases.Case.test_9", "made_app.cases.Nothing", "made_app.nothing.Case"],
)
@pytest.mark.parametrize("kind", ["xfail", "skip", "raises"])
def test_an_unknown_test_is_named(apps, connect, kind, test):
    apps.make("made_app")
    text = f'[[{kind}]]\ntests = ["{test}"]\nreason = "so"\n'
    if kind == "raises":
        text += 'exception = "E"\nmatch = "m"\n'
    with pytest.raises(UsageError) as e:
        mark(connect("made_engine", text))
    assert re.search(
        rf"made_engine/expectations.toml: \[\[{kind}\]\] number 1: Django"
        rf" {django.get_version()} has no test or class of tests {re.escape(test)}$",
        str(e.value),
    )


def test_an_unknown_test_of_the_features_is_named(apps, connect):
    apps.make("made_app")
    connection = connect("made_engine", "")
    connection.features.django_test_expected_failures = {"made_app.cases.Case.test_9"}
    with pytest.raises(
        UsageError, match=r"SimpleNamespace: Django .* has no test .*test_9"
    ):
        mark(connection)


def test_apps_that_are_not_installed_are_left_alone(apps, connect):
    app = apps.make("made_app", "raise Exception")
    apps.settings.INSTALLED_APPS.clear()
    mark(connect("made_engine", CASES_LISTED.format(app=app)))
    assert f"{app}.cases" not in sys.modules
    apps.settings.INSTALLED_APPS.append(app)


def test_our_own_runner_judges_by_itself(apps, connect):
    """It may have been given another file."""
    app = apps.make("made_app")
    apps.settings.CONFORMANCE_JOB = "job.json"
    connection = connect("made_engine", CASES_LISTED.format(app=app))
    assert connection.features.django_test_expected_failures == set()
    assert connection.features.django_test_skips == {}
    mark(connection)
    assert run(app)["Case.test_1"] == ("AssertionError: right",)


def test_a_backend_inherits_the_file(apps, connect):
    """Of the nearest class that has one, if it has none itself."""
    text = '[[xfail]]\ntests = ["{}.Case"]\nreason = "so"'
    parent = connect("made_engine", text.format("parent"))
    child = connect("made_engine_2", None, base=type(parent))
    own = connect("made_engine_3", text.format("own"), base=type(child))
    none = connect("made_engine_4", None)
    assert marks.find_file(child) == marks.find_file(parent)
    assert marks.expected_failures(child) == {"parent.Case"}
    assert marks.expected_failures(own) == {"own.Case"}
    assert marks.find_file(none) is None
    assert marks.expected_failures(none) == set()


def test_a_backend_may_be_defined_elsewhere(apps, connect):
    """The file is beside the ENGINE's base, for the runner as for the marks."""
    parent = connect("made_engine", '[[xfail]]\ntests = ["a.B"]\nreason = "so"')
    type(parent).__module__ = "unittest"
    assert marks.expected_failures(parent) == {"a.B"}


def test_the_server_is_asked_if_that_matters(apps, connect):
    text = '[[xfail]]\ntests = ["a.B"]\nserver = "{}"\nreason = "so"'
    version = {"get_database_version": lambda: (16, 4)}
    older = connect("made_engine", text.format("<16"), **version)
    newer = connect("made_engine_2", text.format(">=16"), **version)
    assert marks.expected_failures(older) == set()
    assert marks.expected_failures(newer) == {"a.B"}
    # Where there is one apart from what reads the SQL, it is that one's.
    store = connect("made_engine_2", None, **version, get_server_version=lambda: (9, 1))
    assert marks.expected_failures(store) == set()


@pytest.mark.parametrize("name", ["lmdb", "memory"])
def test_our_features_say_what_the_files_say(apps, name):
    """And no connection is opened for that."""
    pytest.importorskip(name if name == "lmdb" else "apsw")
    engine = f"backendkit.backends.{name}"
    wrapper = load_backend(engine).DatabaseWrapper
    connection = wrapper({"ENGINE": engine, "NAME": "/none/at/all"}, "default")
    file = marks.find_file(connection)
    assert file.parent.name == name
    entries = list(load(file, django.get_version()))
    features = connection.features
    xfail = {entry.test for entry in entries if entry.kind == "xfail"}
    assert features.django_test_expected_failures == xfail
    assert features.django_test_skips == {
        entry.reason: {e.test for e in entries if e.reason == entry.reason}
        for entry in entries
        if entry.kind == "skip"
    }
    assert connection.connection is None
