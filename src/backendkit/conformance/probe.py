"""
Inside Django's process: a test runner that writes down what each test did.

Django's ``runtests.py`` takes the runner from ``settings.TEST_RUNNER``, so nothing
of the suite is patched. The job's file (``settings.CONFORMANCE_JOB``) says::

    {"log": path, "stacks": path, "leave_out": [id or prefix …], "done": [id …],
     "collect_only": whether to write down only which tests there are}

Each line is written at once by one ``write()`` to a file opened for appending, so
that none is lost when the process dies.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import time
import unittest
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from django.conf import settings
from django.test.runner import DiscoverRunner
from django.test.utils import iter_test_cases  # type: ignore[attr-defined,unused-ignore]  # no stub knows it

from ._results import Raised

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]

# From best to worst: a test is as good as the worst thing that happened in it.
_SEVERITY = ["passed", "skipped", "xfailed", "xpassed", "failed", "error"]

_MAX_DETAIL = 20_000


class Log:
    """The file of events."""

    def __init__(self, path: str) -> None:
        # A bare descriptor: Django's suite makes errors of unclosed files.
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._pid = os.getpid()

    def write(self, event: str, **values: Any) -> None:
        if os.getpid() == self._pid:  # not in what a test forked
            line = json.dumps({"event": event, **values}) + "\n"
            os.write(self._fd, line.encode())


class RecordingResult(unittest.TextTestResult):
    """Writes one event when a test starts, and one when it ended."""

    events: Log

    def startTest(self, test: unittest.TestCase) -> None:
        self.events.write("start", id=test.id())
        self._current: str | None = test.id()
        self._outcome = ""
        self._details: list[str] = []
        self._exceptions: list[dict[str, Any]] = []
        self._started = time.perf_counter()
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._current = None
        self.events.write(
            "end",
            id=test.id(),
            # unittest always calls one of the methods below; if it doesn't, the
            # test proved nothing.
            outcome=self._outcome or "error",
            seconds=round(time.perf_counter() - self._started, 4),
            detail="\n".join(self._details)[-_MAX_DETAIL:],
            exceptions=self._exceptions,
        )

    def _note(
        self, test: Any, outcome: str, detail: str = "", err: ExcInfo | None = None
    ) -> None:
        raised = [asdict(Raised.of(err[1]))] if err else []
        if getattr(self, "_current", None) is None:
            # setUpClass and the like, outside of any test.
            self.events.write(
                "fixture",
                id=test.id(),
                outcome=outcome,
                detail=detail,
                exceptions=raised,
            )
            return
        self._exceptions += raised
        if detail:
            self._details.append(detail)
        known = _SEVERITY.index(self._outcome) if self._outcome else -1
        if _SEVERITY.index(outcome) > known:
            self._outcome = outcome

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._note(test, "passed")

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._note(test, "error", self.errors[-1][1], err)

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed", self.failures[-1][1], err)

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "xfailed", self.expectedFailures[-1][1], err)

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, "xpassed", "marked as an expected failure, but it passed")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            kind, entries = (
                ("failed", self.failures) if failed else ("error", self.errors)
            )
            detail = f"{subtest._subDescription()}\n{entries[-1][1]}"
            self._note(test, kind, detail, err)


class RecordingRunner(DiscoverRunner):
    """Django's own runner, with the result class above."""

    _claimed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.events: Log | None = None
        # The tests of Django's runner may make one more of this class.
        if not RecordingRunner._claimed:
            RecordingRunner._claimed = True
            job = json.loads(Path(settings.CONFORMANCE_JOB).read_text("utf-8"))
            self.events = Log(job["log"])
            self.done = set(job["done"])
            self.leave_out = tuple(job["leave_out"])
            self.collect_only = job["collect_only"]
            _dump_stacks_on_signal(job["stacks"])

    def get_resultclass(self) -> Any:
        if self.events is None:
            return super().get_resultclass()
        return type("Result", (RecordingResult,), {"events": self.events})

    def run_tests(self, test_labels: Any, **kwargs: Any) -> Any:
        if self.events is None or not self.collect_only:
            return super().run_tests(test_labels, **kwargs)
        self.build_suite(test_labels)
        self.events.write("finish")
        return 0

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        suite = super().build_suite(*args, **kwargs)
        if self.events is None:
            return suite
        tests = list(iter_test_cases(suite))
        self.events.write("collect", ids=[test.id() for test in tests])
        return type(suite)(self._chosen(tests))

    def _chosen(self, tests: list[Any]) -> Iterator[Any]:
        for test in tests:
            name = test.id()
            left_out = any(
                name == entry or name.startswith(entry + ".")
                for entry in self.leave_out
            )
            if not left_out and name not in self.done:
                yield test

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        result = super().run_suite(suite, **kwargs)
        if self.events is not None:
            self.events.write("finish")
        return result


def _dump_stacks_on_signal(path: str) -> None:
    """A process that hangs says where, before it is killed."""
    if hasattr(signal, "SIGUSR1"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        faulthandler.register(signal.SIGUSR1, file=fd, all_threads=True)
