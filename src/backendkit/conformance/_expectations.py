"""
Expectations: which tests are known not to pass on a backend, and why.

``expectations.toml`` in the backend's package::

    [[raises]]                      # runs, and has to raise just that
    tests = ["composite_pk.tests.CompositePKTests.test_in_bulk_batching"]
    exception = "AssertionError"    # its name, with or without its module
    match = "1 queries executed, 2 expected"  # a regular expression for its text
    bucket = "statement-count"      # a reason that many backends have
    reason = "…"                    # or one of its own, or both

    [[xfail]]                       # runs, and has to fail, no matter how
    tests = ["queries.tests.QuerysetTests.test_explain"]
    reason = "Asserts SQLite's own EXPLAIN text."
    django = ">=6.0,<6.2"           # optional: releases that this is about
    server = "<16"                  # optional: versions of the server
    link = "https://…"              # optional

    [[skip]]                        # isn't run: it would hang or destroy something
    tests = ["servers.tests.LiveServerDatabase"]
    reason = "Waits for ever: …"

    [[inherits]]                    # what this package's file says holds here, too
    package = "backendkit.nonrel"
    except = ["dbshell.tests.DbshellCommandTestCase.test_command_missing"]  # optional

A test is the id of a test, or of a class: all tests in it. What the file says of a
test takes the place of what it inherits.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ._errors import UsageError
from ._results import Raised
from ._versions import in_range, possible

Kind = Literal["raises", "xfail", "skip"]

#: Releases that a range of Django's versions may be about.
SUPPORTED = ("5.2", "6.0", "6.1")

#: What ``--update`` writes, for a person to replace.
FIXME = "FIXME"

_KINDS: tuple[Kind, ...] = ("raises", "xfail", "skip")
_INHERITS = "inherits"
_KEYS = {"tests", "reason", "bucket", "django", "server", "link"}
_RAISES_KEYS = _KEYS | {"exception", "match"}


@dataclass(frozen=True)
class Entry:
    """One test id, or class, of an expectation."""

    kind: Kind
    test: str
    reason: str
    django: str = ""
    server: str = ""
    link: str = ""
    #: Of "raises".
    exception: str = ""
    match: str = ""
    #: Where it is written.
    place: str = ""

    def covers(self, test: str) -> bool:
        """Whether a test is this one, or in this class."""
        return test == self.test or test.startswith(self.test + ".")

    def applies(self, django: str, server: str | None) -> bool:
        """
        Whether it is about these versions.

        A range of servers holds none whose version isn't known.
        """
        if self.server and (server is None or not in_range(server, self.server)):
            return False
        return in_range(django, self.django)

    def overlaps(self, other: Entry) -> bool:
        """Whether some version has both of two entries for one test."""
        return possible(_both(self.django, other.django)) and possible(
            _both(self.server, other.server)
        )

    def expects(self, raised: Raised) -> bool:
        """Whether an exception is the one that has to be raised."""
        names = {*raised.types, *(name.rpartition(".")[2] for name in raised.types)}
        return self.exception in names and bool(re.search(self.match, raised.text))


class Expectations:
    """The entries for one Django release and server."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = {entry.test: entry for entry in entries}

    def __iter__(self) -> Iterator[Entry]:
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
        """Ids that aren't run."""
        return [entry.test for entry in self if entry.kind == "skip"]

    def unknown(self, collected: Iterable[str], labels: Iterable[str]) -> list[Entry]:
        """
        Entries that name no test of the labels that were collected whole.

        An entry of a label that wasn't run says nothing, and neither does one of
        which only a part was (``queries.tests.A`` ran, ``queries.tests`` is listed).
        """
        ids = set(collected)
        ids |= {test.rpartition(".")[0] for test in ids}
        ran = [Entry("xfail", label, "") for label in labels]
        return [
            entry
            for entry in self
            if any(label.covers(entry.test) for label in ran) and entry.test not in ids
        ]


def load(file: Path, django: str, server: str | None = None) -> Expectations:
    """
    Read the entries that are about one Django release and server.

    Raises:
        UsageError: the file says something that can't be meant; with its place.

    """
    return select(read(file), django, server)


def select(
    entries: Iterable[Entry], django: str, server: str | None = None
) -> Expectations:
    """The entries that are about one Django release and server."""
    return Expectations(entry for entry in entries if entry.applies(django, server))


def read(file: Path) -> list[Entry]:
    """
    Read and check a file, and what it inherits.

    Raises:
        UsageError: it can't be read; something in it can't be meant; a test is
            listed twice for the same versions; a range holds no version; there is
            nothing to inherit where it says so.

    """
    data = _data(file)
    own = _own(file, data)
    inherited: list[Entry] = []
    for number, table in enumerate(_tables(file, data, _INHERITS), 1):
        place = f"{file}: [[{_INHERITS}]] number {number}"
        parent, excepted = _inherits(table, place)
        entries = _own(parent, _data(parent, inherited=True))
        if unknown := excepted - {entry.test for entry in entries}:
            raise UsageError(f"{place}: {', '.join(sorted(unknown))} isn't in {parent}")
        inherited += [entry for entry in entries if entry.test not in excepted]
    tests: dict[str, list[Entry]] = {}
    for entry in own:
        tests.setdefault(entry.test, []).append(entry)
    return own + [
        entry
        for entry in inherited
        if not any(map(entry.overlaps, tests.get(entry.test, ())))
    ]


def _data(file: Path, *, inherited: bool = False) -> dict[str, Any]:
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise UsageError(f"{file}: {e}") from e
    sections = _KINDS if inherited else (*_KINDS, _INHERITS)
    if unknown := set(data) - set(sections):
        raise UsageError(
            f"{file}: unknown section {', '.join(sorted(unknown))}. The sections are"
            f" {', '.join(sections)}"
        )
    return data


def _tables(file: Path, data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = data.get(kind, [])
    if not isinstance(tables, list):
        raise UsageError(f"{file}: {kind} has to be a table in [[double brackets]]")
    return tables


def _inherits(table: dict[str, Any], place: str) -> tuple[Path, set[str]]:
    """Return the file to inherit from, and the tests that aren't inherited."""
    if unknown := set(table) - {"package", "except"}:
        raise UsageError(f"{place}: unknown key {', '.join(sorted(unknown))}")
    package, excepted = _text(table, "package", place), table.get("except", [])
    if not isinstance(excepted, list) or not all(isinstance(t, str) for t in excepted):
        raise UsageError(f"{place}: except has to be a list of ids")
    try:
        spec = find_spec(package) if package else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise UsageError(f"{place}: there is no package {package!r}")
    return Path(spec.origin).with_name("expectations.toml"), set(excepted)


def _own(file: Path, data: dict[str, Any]) -> list[Entry]:
    entries: list[Entry] = []
    by_test: dict[str, list[Entry]] = {}
    for kind in _KINDS:
        for number, table in enumerate(_tables(file, data, kind), 1):
            for entry in _entries(kind, table, f"{file}: [[{kind}]] number {number}"):
                for other in by_test.setdefault(entry.test, []):
                    if entry.overlaps(other):
                        raise UsageError(
                            f"{entry.place}: {entry.test} is listed twice, see "
                            f"{other.place.rpartition(': ')[2]}"
                        )
                by_test[entry.test].append(entry)
                entries.append(entry)
    return entries


def dead(entries: Iterable[Entry], django: str) -> list[Entry]:
    """Entries about no release of Django that is supported, or the one that runs."""
    return [
        entry
        for entry in entries
        if not in_range(django, entry.django)
        and not any(possible(_both(entry.django, f"=={v}")) for v in SUPPORTED)
    ]


@cache
def buckets() -> dict[str, str]:
    """Reasons that many backends have, by name: ``reasons.toml``."""
    text = (Path(__file__).parent / "reasons.toml").read_text("utf-8")
    found: dict[str, str] = tomllib.loads(text)
    return found


def _entries(kind: Kind, table: dict[str, Any], place: str) -> Iterator[Entry]:
    allowed = _RAISES_KEYS if kind == "raises" else _KEYS
    if unknown := set(table) - allowed:
        raise UsageError(f"{place}: unknown key {', '.join(sorted(unknown))}")
    tests = table.get("tests")
    if not isinstance(tests, list) or not tests:
        raise UsageError(f"{place}: tests has to be a list of ids")
    texts = {key: _text(table, key, place) for key in allowed - {"tests"}}
    bucket = texts.pop("bucket")
    if bucket and bucket not in buckets():
        raise UsageError(
            f"{place}: unknown bucket {bucket!r}. The buckets are"
            f" {', '.join(buckets())}"
        )
    parts = (buckets().get(bucket, ""), texts.pop("reason"))
    if not (reason := " ".join(filter(None, parts))):
        raise UsageError(f"{place}: an expectation needs a reason or a bucket")
    if kind == "raises":
        _check_raises(texts, place)
    for key in ("django", "server"):
        try:
            if not possible(texts[key]):
                raise UsageError(f"{place}: {key} = {texts[key]!r} matches no version")
        except ValueError as e:
            raise UsageError(f"{place}: {key}: {e}") from e
    for test in tests:
        if not isinstance(test, str) or not re.fullmatch(r"\w+(\.\w+)+", test):
            raise UsageError(f"{place}: {test!r} isn't the id of a test or class")
        yield Entry(kind, test, reason, place=place, **texts)


def _check_raises(texts: dict[str, str], place: str) -> None:
    if not texts["exception"] or not texts["match"]:
        raise UsageError(f"{place}: raises needs exception and match")
    try:
        re.compile(texts["match"])
    except re.error as e:
        raise UsageError(f"{place}: match isn't a regular expression: {e}") from e


def _text(table: dict[str, Any], key: str, place: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{place}: {key} has to be a string")
    return value.strip()


def _both(*specs: str) -> str:
    return ",".join(filter(None, specs))


def why_not(entry: Entry, exceptions: Sequence[Raised]) -> str:
    """Why what was raised isn't what a "raises" wants; empty if it is."""
    wanted = f"listed as raising {entry.exception} that matches {entry.match!r}"
    if not exceptions:
        return f"{wanted}, but no exception is known"
    for raised in exceptions:
        if not entry.expects(raised):
            name = raised.types[0].removeprefix("builtins.")
            return f"{wanted}, but it raised {name}: {raised.text[:500]}"
    return ""
