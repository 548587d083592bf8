"""
Expectations: which tests are known not to pass on a backend, and why.

``expectations.toml`` in the backend's package::

    [[xfail]]                       # runs, and has to fail
    tests = ["queries.tests.QuerysetTests.test_explain"]
    reason = "Asserts SQLite's own EXPLAIN text."
    django = ">=6.0,<6.2"           # optional: releases that this is about
    link = "https://…"              # optional

    [[skip]]                        # isn't run: it would hang or destroy something
    tests = ["servers.tests.LiveServerDatabase"]
    reason = "Waits for ever: …"

A test is the id of a test, or a prefix of ids: a class or a module.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ._errors import UsageError
from ._versions import in_range

Kind = Literal["xfail", "skip"]

_KINDS: tuple[Kind, ...] = ("xfail", "skip")
_KEYS = {"tests", "reason", "django", "link"}


@dataclass(frozen=True)
class Entry:
    """One test id, or prefix, of an expectation."""

    kind: Kind
    test: str
    reason: str
    django: str = ""
    link: str = ""

    def covers(self, test: str) -> bool:
        """Whether a test is this one, or in this class or module."""
        return test == self.test or test.startswith(self.test + ".")


class Expectations:
    """The entries for one Django release."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = {entry.test: entry for entry in entries}

    def __iter__(self) -> Any:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, test: str) -> Entry | None:
        """The most specific entry that covers a test."""
        name = test
        while name:
            if name in self._entries:
                return self._entries[name]
            name = name.rpartition(".")[0]
        return None

    def skipped(self) -> list[str]:
        """Ids and prefixes that aren't run."""
        return [entry.test for entry in self if entry.kind == "skip"]

    def unknown(self, collected: Iterable[str], labels: Iterable[str]) -> list[Entry]:
        """
        Entries that name no test of the labels that were collected whole.

        An entry of a label that wasn't run says nothing, and neither does one of
        which only a part was (``queries.tests.A`` ran, ``queries.tests`` is listed).
        """
        ids = set(collected)
        for test in collected:
            while test := test.rpartition(".")[0]:
                ids.add(test)
        ran = [Entry("xfail", label, "") for label in labels]
        return [
            entry
            for entry in self
            if any(label.covers(entry.test) for label in ran) and entry.test not in ids
        ]


def load(file: Path, django: str) -> Expectations:
    """
    Read the entries that are about one Django release.

    Raises:
        UsageError: the file says something that can't be meant; with its place.

    """
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as e:
        raise UsageError(f"{file}: {e}") from e
    if unknown := set(data) - set(_KINDS):
        raise UsageError(f"{file}: unknown section {', '.join(sorted(unknown))}")
    entries: dict[str, Entry] = {}
    for kind in _KINDS:
        for number, table in enumerate(data.get(kind, []), 1):
            place = f"{file}: [[{kind}]] number {number}"
            for entry in _entries(kind, table, place):
                try:
                    if not in_range(django, entry.django):
                        continue
                except ValueError as e:
                    raise UsageError(f"{place}: {e}") from e
                if entry.test in entries:
                    raise UsageError(f"{place}: {entry.test} is listed twice")
                entries[entry.test] = entry
    return Expectations(entries.values())


def _entries(kind: Kind, table: dict[str, Any], place: str) -> list[Entry]:
    if unknown := set(table) - _KEYS:
        raise UsageError(f"{place}: unknown key {', '.join(sorted(unknown))}")
    tests = table.get("tests")
    if not isinstance(tests, list) or not tests:
        raise UsageError(f"{place}: tests has to be a list of ids")
    if not str(table.get("reason", "")).strip():
        raise UsageError(f"{place}: an expectation needs a reason")
    return [
        Entry(
            kind,
            str(test),
            str(table["reason"]).strip(),
            str(table.get("django", "")),
            str(table.get("link", "")),
        )
        for test in tests
    ]
