"""
What a label's process wrote, as one result per test.

The process appends lines of JSON (see ``probe``)::

    {"event": "collect", "ids": [...]}               all tests of the label
    {"event": "start", "id": ...}
    {"event": "end", "id": ..., "outcome": ..., "seconds": ..., "detail": ...,
     "exceptions": [{"types": [...], "text": ...}]}
    {"event": "fixture", "id": "setUpClass (a.b.C)", "outcome": ..., "detail": ...,
     "exceptions": ...}
    {"event": "finish"}                              all tests ran

so that what is there is right, however the process ended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

# Characters of an exception's text.
_MAX_TEXT = 2_000


class Outcome(StrEnum):
    """How a test ended, in Django's process."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    #: Marked as an expected failure by Django or by the backend's features.
    XFAILED = "xfailed"
    #: Marked so, but it passed.
    XPASSED = "xpassed"
    #: Its process died in it, or was killed for its time; or it never began.
    LOST = "lost"

    @property
    def bad(self) -> bool:
        """Whether Django's own runner calls it a failure, or should."""
        return self in {Outcome.FAILED, Outcome.ERROR, Outcome.XPASSED, Outcome.LOST}


@dataclass(frozen=True)
class Raised:
    """An exception, as a text."""

    #: Qualified names of its class, and of the classes that it inherits from.
    types: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """What an exception is, in so many words."""
        bases = (base for base in type(error).__mro__ if base is not object)
        return cls(
            tuple(f"{base.__module__}.{base.__qualname__}" for base in bases),
            str(error)[:_MAX_TEXT],
        )


@dataclass(frozen=True)
class TestResult:
    """One test's outcome."""

    #: pytest collects classes by this name; this one holds no tests.
    __test__ = False

    id: str
    outcome: Outcome
    seconds: float = 0.0
    #: Traceback, or the reason of a skip.
    detail: str = ""
    #: What was raised: several by a test with subtests.
    exceptions: tuple[Raised, ...] = ()


class Recorder:
    """Reads a label's lines while they are written, over several attempts."""

    def __init__(self) -> None:
        self.collected: list[str] = []
        #: Whether the tests are known, though there may be none.
        self.began = False
        self.results: dict[str, TestResult] = {}
        #: The test that runs now.
        self.running: str | None = None
        self.finished = False
        self._file: Path | None = None
        self._offset = 0

    def follow(self, file: Path) -> None:
        """Read the lines of a new attempt."""
        self._file, self._offset = file, 0
        self.running, self.finished = None, False

    def poll(self) -> bool:
        """Read what is new; whether there was something."""
        if self._file is None or not self._file.exists():
            return False
        with self._file.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        # A line is there when it is there to its end.
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._event(json.loads(line))
        return bool(whole)

    def _event(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "collect":
                self.began = True
                # A second attempt collects the same tests.
                self.collected = self.collected or list(dict.fromkeys(event["ids"]))
            case "start":
                self.running = event["id"]
            case "end":
                self.running = None
                self.add(_result(event))
            case "fixture":
                self._fixture(_result(event))
            case "finish":
                self.finished = True

    def add(self, result: TestResult) -> None:
        """Keep a result; of two for the same id (a shared class) the worse one."""
        known = self.results.get(result.id)
        if known is None or (result.outcome.bad and not known.outcome.bad):
            self.results[result.id] = result

    def _fixture(self, result: TestResult) -> None:
        """What happens in setUpClass or setUpModule happens to all tests in it."""
        found = re.fullmatch(r"(\w+) \((.+)\)", result.id)
        name, owner = (found[1], found[2]) if found else ("", result.id)
        # Python qualifies the class, but for a module it's the bare name.
        below = [
            test
            for test in self.collected
            if test.startswith(owner + ".") and test not in self.results
        ]
        if not name.startswith("setUp") or not below:
            self.add(result)
            return
        for test in below:
            self.add(replace(result, id=test))

    def missing(self) -> list[str]:
        """Collected tests without a result."""
        return [test for test in self.collected if test not in self.results]


def _result(event: dict[str, Any]) -> TestResult:
    return TestResult(
        event["id"],
        Outcome(event["outcome"]),
        event.get("seconds", 0.0),
        event.get("detail", ""),
        tuple(
            Raised(tuple(raised["types"]), raised["text"])
            for raised in event.get("exceptions", ())
        ),
    )
