"""
A backend's ``expectations.toml``, for who runs Django's ``tests/runtests.py`` by hand.

The file reaches Django through the backend's own classes::

    class DatabaseFeatures(BaseDatabaseFeatures):
        @cached_property
        def django_test_expected_failures(self):
            return marks.expected_failures(self.connection)

        @cached_property
        def django_test_skips(self):
            return marks.skips(self.connection)

    class DatabaseCreation(BaseDatabaseCreation):
        def mark_expected_failures_and_skips(self):
            with marks.marking(self.connection):
                super().mark_expected_failures_and_skips()

        def setup_worker_connection(self, worker):
            super().setup_worker_connection(worker)
            marks.mark_in_worker(self.connection)  # only for Django 5.2

A test then means what it means in ``python -m backendkit.conformance run``: one that
is listed and fails as listed is an expected failure, and an unexpected pass fails.
Exceptions count wherever a test has them: in setUp(), a subtest, tearDown() or a
cleanup. Two things only our own runner can do: what setUpClass() and setUpModule()
raise belongs to no test here, so it is an error; and Django asks for the marks when it
makes a test database, so not for a run in which no test uses one.

Under our own runner the file isn't read here: the runner judges the bare results,
and may have been given another file.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial, update_wrapper
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import django
from django.conf import settings

from ._engine import _version
from ._errors import UsageError
from ._expectations import Entry, Expectations, read, select
from ._results import Outcome, Raised, TestResult
from ._verdicts import Verdict, judge

FILE = "expectations.toml"

# What unittest's decorators set on a class.
_OF_CLASSES = (
    "__unittest_expecting_failure__",
    "__unittest_skip__",
    "__unittest_skip_why__",
)
_MISSING = object()


def find_file(connection: Any) -> Path | None:
    """
    The backend's file: beside its ENGINE, or else beside a class that it inherits from.

    A backend that is made from another one, and has no file of its own, inherits the
    other's. One that has its own has all of it there: nothing is merged.
    """
    modules = [f"{connection.settings_dict['ENGINE']}.base"]
    modules += [cls.__module__ for cls in type(connection).__mro__]
    for name in modules:
        origin = getattr(sys.modules.get(name), "__file__", None)
        if origin and (file := Path(origin).with_name(FILE)).is_file():
            return file
    return None


def expected_failures(connection: Any) -> set[str]:
    """For ``django_test_expected_failures``: tests and classes listed as xfail."""
    return {entry.test for entry in _listed(connection) if entry.kind == "xfail"}


def skips(connection: Any) -> dict[str, set[str]]:
    """For ``django_test_skips``: tests and classes listed as skip, by reason."""
    found: dict[str, set[str]] = {}
    for entry in _listed(connection):
        if entry.kind == "skip":
            found.setdefault(entry.reason, set()).add(entry.test)
    return found


@contextmanager
def marking(connection: Any) -> Iterator[None]:
    """
    Around ``super().mark_expected_failures_and_skips()``: mark the listed tests.

    Django marks what the features say. A mark then holds for the class that is
    named, not for those it inherits from or those that inherit from it; marking
    twice is the same as marking once.

    Raises:
        UsageError: no such test is in an app that is installed.

    """
    listed = [(entry, _find(entry)) for entry in _listed(connection)]
    entries = [(entry, found[0]) for entry, found in listed if found]
    changed = [change for mark in _django(connection) for change in _prepare(*mark)]
    yield
    for cls, name, before in changed:
        after = vars(cls).get(name, _MISSING)
        if after is not before:
            setattr(cls, name, _Here(cls, name, after, before))
    for entry, cls in entries:
        if entry.kind != "skip":
            judged = vars(cls).get("__call__")
            if not isinstance(judged, _Judged):
                judged = _Judged(cls, "__call__", None, judged or _MISSING)
                setattr(cls, "__call__", judged)  # noqa: B010  # mypy knows no such slot
            judged.entries[entry.test] = entry


def mark_in_worker(connection: Any) -> None:
    """Call the hook in a spawned process of Django 5.2, which doesn't do it itself."""
    if (
        django.VERSION < (6,)
        and multiprocessing.get_start_method() != "fork"
        and os.environ.get("RUNNING_DJANGOS_TEST_SUITE") == "true"
    ):
        connection.creation.mark_expected_failures_and_skips()


def _listed(connection: Any) -> Expectations:
    file = find_file(connection)
    if file is None or getattr(settings, "CONFORMANCE_JOB", None):
        return Expectations()
    entries = _read(file)
    # Whether there is a server to ask costs nothing where nobody wants to know.
    server = _version(connection) if any(e.server for e in entries) else None
    return select(entries, django.get_version(), server)


@cache
def _read(file: Path) -> list[Entry]:
    return read(file)


def _django(connection: Any) -> Iterator[tuple[type, str | None]]:
    """What Django is about to mark: classes, and methods of them."""
    features = connection.features
    tests = set(features.django_test_expected_failures)
    tests.update(*features.django_test_skips.values())
    place = f"{type(features).__module__}.{type(features).__qualname__}"
    for test in sorted(tests):
        if found := _find(Entry("xfail", test, "", place=place)):
            yield found


def _find(entry: Entry) -> tuple[type, str | None] | None:
    """
    The class that an entry is about, and the method if it is about one.

    None if its app isn't installed. Modules are imported on the way: a Django before
    6.1 expects it of those that have a class listed.
    """
    first, *rest = entry.test.split(".")
    if first not in settings.INSTALLED_APPS:
        return None
    module = import_module(first)
    while rest and _is_module(name := f"{module.__name__}.{rest[0]}", module):
        module = import_module(name)
        del rest[0]
    cls = getattr(module, rest[0], None) if rest else None
    method = rest[1] if len(rest) == 2 else None
    if not (
        isinstance(cls, type)
        and issubclass(cls, unittest.TestCase)
        and (len(rest) == 1 or callable(getattr(cls, method or "", None)))
    ):
        raise UsageError(
            f"{entry.place}: Django {django.get_version()} has no test or class of"
            f" tests {entry.test}"
        )
    return cls, method


def _is_module(name: str, parent: ModuleType) -> bool:
    return hasattr(parent, "__path__") and find_spec(name) is not None


def _prepare(cls: type, method: str | None) -> Iterator[tuple[type, str, Any]]:
    """
    Take earlier marks away, and say what Django may change, with its value before.

    A method becomes the class's own: Django marks the function, which other classes
    may have as well.
    """
    for name in [method] if method else _OF_CLASSES:
        before = vars(cls).get(name, _MISSING)
        if isinstance(before, _Here):
            before = before.original
            if before is _MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, before)
        if method and isinstance(function := getattr(cls, name), FunctionType):
            setattr(cls, name, _copy(function))
        yield cls, name, before


def _copy(function: FunctionType) -> Any:
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return update_wrapper(copy, function)


class _Here:
    """An attribute of one class that the classes below don't inherit."""

    def __init__(self, cls: type, name: str, value: Any, original: Any) -> None:
        self.cls, self.name = cls, name
        self.value = value
        #: The class's own value before.
        self.original = original

    def __get__(self, instance: Any, owner: type) -> Any:
        if owner is self.cls:
            return self.here(instance, owner)
        return self.elsewhere(instance, owner)

    def here(self, instance: Any, owner: type) -> Any:
        return _bind(self.value, instance, owner)

    def elsewhere(self, instance: Any, owner: type) -> Any:
        """What it would be without this."""
        if self.original is not _MISSING:
            return _bind(self.original, instance, owner)
        above = owner if instance is None else instance
        return getattr(super(self.cls, above), self.name)


def _bind(value: Any, instance: Any, owner: type) -> Any:
    get = getattr(type(value), "__get__", None)
    return get(value, instance, owner) if get else value


class _Judged(_Here):
    """A test class's ``__call__``, which holds its tests against their entries."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.entries: dict[str, Entry] = {}

    def here(self, instance: Any, owner: type) -> Any:
        call = self.elsewhere(instance, owner)
        if instance is None:
            return call
        entry = Expectations(self.entries.values()).find(instance.id())
        return partial(_run, instance, call, entry) if entry else call


def _run(test: Any, call: Any, entry: Entry, result: Any) -> None:
    outcomes = _Outcomes(result)
    try:
        call(outcomes)
        if not outcomes.started:
            result.startTest(test)
        outcomes.report(test, entry)
    finally:
        result.stopTest(test)


class _Outcomes:
    """
    A test's result that keeps what happened, until the test has come to its end.

    All else is the real result's.
    """

    def __init__(self, result: Any) -> None:
        self._result = result
        self._kept: list[tuple[str, tuple[Any, ...]]] = []
        #: What was raised, as sys.exc_info() has it.
        self._raised: list[Any] = []
        self._outcome = Outcome.PASSED
        self.started = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    def startTest(self, test: Any) -> None:
        self.started = True
        self._result.startTest(test)

    def stopTest(self, test: Any) -> None:
        """Not yet: Django tears the test down after that."""

    def addSuccess(self, test: Any) -> None:
        """Whether it is one is seen at the end."""

    def addUnexpectedSuccess(self, test: Any) -> None:
        """As above."""

    def addSkip(self, test: Any, reason: str) -> None:
        self._outcome = Outcome.SKIPPED
        self._kept.append(("addSkip", (test, reason)))

    def addError(self, test: Any, err: Any) -> None:
        self._raised.append(err)
        self._kept.append(("addError", (test, err)))

    def addFailure(self, test: Any, err: Any) -> None:
        self._raised.append(err)
        self._kept.append(("addFailure", (test, err)))

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        # If it wasn't the right one, it is an error.
        self.addError(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self._raised.append(err)
        self._kept.append(("addSubTest", (test, subtest, err)))

    def report(self, test: Any, entry: Entry) -> None:
        """Tell the real result what it comes to."""
        judged = judge(
            TestResult(
                test.id(),
                Outcome.ERROR if self._raised else self._outcome,
                exceptions=tuple(Raised.of(err[1]) for err in self._raised),
            ),
            Expectations([entry]),
        )
        match judged.verdict:
            case Verdict.XFAILED | Verdict.RAISED:
                self._result.addExpectedFailure(test, self._raised[0])
            case Verdict.UNEXPECTED_PASS:
                error = AssertionError(
                    f"{entry.test} passed, but {entry.place} lists it as {entry.kind}:"
                    f" {entry.reason}"
                )
                # No traceback: it would be this module's, and can't be pickled.
                self._result.addFailure(test, (AssertionError, error, None))
            case _:
                for _, error, _ in self._raised:
                    error.add_note(f"{entry.place}: {judged.reason}")
                for name, args in self._kept:
                    getattr(self._result, name)(*args)
