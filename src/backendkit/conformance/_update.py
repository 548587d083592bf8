"""
``run … --update``: what a run found out, written into the file of expectations.

It excuses nothing: a test that is added gets a reason that still fails the run, until
a person has replaced it. It forgets nothing either: the run was on one release, and
what may hold on another one stays for that.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from . import _expectations
from ._edit import Table, Text, quote, tomlkit
from ._errors import UsageError
from ._expectations import FIXME, SUPPORTED, Entry, Expectations
from ._report import Label, Report
from ._results import Outcome, TestResult
from ._run import Run
from ._verdicts import Judged, Verdict, judge
from ._versions import in_range, parse_version, possible

#: The reason of what is added.
REASON = f"{FIXME}: say why"

_NEW_FILE = "# Django's own tests that fail on this backend, with the reasons.\n"

# Characters of an exception's text that are asked for.
_WIDTH = 120


def prepare(run: Run) -> Path:
    """
    Check all that can be checked before the run; the file that it will be.

    Raises:
        UsageError: tomlkit is missing; the file can't be edited or made; or the
            release isn't one that expectations are kept for.

    """
    tomlkit()
    file = run.file or Path(run.engine["folder"]) / "expectations.toml"
    series = _series(run.tree.version)
    if series not in SUPPORTED:
        raise UsageError(
            f"--update: expectations are kept for Django {', '.join(SUPPORTED)}, "
            f"not for {run.tree.version}"
        )
    if run.file is None and file.is_relative_to(run.tree.root):
        raise UsageError(
            f"--update: {run.request.engine} is Django's own backend. Name a file"
            " with --expectations FILE"
        )
    if not os.access(file.parent, os.W_OK):
        raise UsageError(f"--update: {file.parent} can't be written to")
    _read(file)
    return file


def update(run: Run, report: Report, file: Path, stream: TextIO) -> None:
    """
    Rewrite the file, and show the difference; say what is left alone.

    Raises:
        UsageError: it can't be written.

    """
    try:
        if file.is_file() and _expectations.read(file) != run.entries:
            stream.write(f"{file} was changed during the run, so it isn't updated\n")
            return
        text, newline = _read(file)
        before = str(text) if file.is_file() else ""
        changes = _Changes(run, report)
        changes.apply(text)
        stream.writelines(f"{note}\n" for note in dict.fromkeys(changes.notes))
        after = str(text)
        if after == before or not (before or text.tables):
            stream.write(f"{file}: nothing to update\n")
            return
        _write(file, after.replace("\n", newline))
    except (OSError, UsageError) as e:
        raise UsageError(f"{file} isn't updated: {e}") from e
    stream.writelines(
        difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            str(file),
            str(file),
        )
    )
    stream.write(f"{file}: updated\n")


def _read(file: Path) -> tuple[Text, str]:
    """A file to edit, and how its lines end."""
    if not file.is_file():
        return Text(_NEW_FILE), "\n"
    try:
        text = file.read_bytes().decode()
        newline = "\r\n" if "\r\n" in text else "\n"
        return Text(text.replace("\r\n", "\n")), newline
    except (OSError, UsageError) as e:
        raise UsageError(f"{file} {e}") from e


def _write(file: Path, text: str) -> None:
    """Replace a file by a text that can be read as one, at once."""
    target = file.resolve()
    handle, name = tempfile.mkstemp(".toml", ".expectations-", target.parent)
    scratch = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(text.encode())
        _expectations.read(scratch)
        if target.exists():
            shutil.copymode(target, scratch)
        else:
            scratch.chmod(0o644)
        scratch.replace(target)
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


class _Changes:
    """What a run says about its expectations."""

    def __init__(self, run: Run, report: Report) -> None:
        self.run = run
        self.series = _series(run.tree.version)
        #: What wasn't done, and why.
        self.notes: list[str] = []
        #: Entries that don't hold here, with the ids that take their place.
        self.dropped: dict[Entry, list[str]] = {}
        #: Tests that fail, and in no way that is listed.
        self.failed: dict[str, TestResult] = {}
        self._unknown(report)
        known = -1
        # What is taken out of one entry may be in another one's class.
        while known < len(self.dropped):
            known = len(self.dropped)
            self._look(report)
        #: Entries as they will be, but for what is added.
        self.kept = list(self._kept())

    def _unknown(self, report: Report) -> None:
        runs = {label.run.label: label.run for label in report.labels}
        for problem in report.problems:
            if problem.kind == "unknown":
                run = runs.get(problem.entry.test.partition(".")[0])
                collected = run.collected if run else []
                # What can't be imported has no tests, and says nothing.
                known = not any(i.startswith("unittest.loader.") for i in collected)
                self._drop(problem.entry, (), known=known and bool(collected))

    def _look(self, report: Report) -> None:
        """Hold the results against what is still listed."""
        self.failed = {}
        listed = Expectations(self._listed())
        found: dict[Entry, list[Judged]] = {}
        for label in report.labels:
            for judged in label.judged:
                one = judge(judged.result, listed, judged.baseline)
                entry = listed.find(one.result.id)
                if entry is not None:
                    found.setdefault(entry, []).append(one)
                elif one.verdict in {Verdict.FAILED, Verdict.ERROR}:
                    self._fails(one, label)
        for entry, results in found.items():
            if entry.kind != "skip":
                self._held(entry, results)

    def _listed(self) -> Iterator[Entry]:
        for entry in self.run.expectations:
            if entry not in self.dropped:
                yield entry
            for test in self.dropped.get(entry, ()):
                yield replace(entry, test=test)

    def _fails(self, one: Judged, label: Label) -> None:
        name = one.result.id
        if re.fullmatch(rf"{label.run.label}(\.\w+)+", name):
            self.failed[name] = one.result
        else:
            self.notes.append(f"{name} isn't the id of a test, so it can't be listed")

    def _held(self, entry: Entry, judged: Sequence[Judged]) -> None:
        """A test, or a class with its tests but for those with entries of their own."""
        wrong = [one for one in judged if one.verdict is Verdict.FAILED]
        ours = [
            one for one in wrong if one.baseline not in {Outcome.FAILED, Outcome.ERROR}
        ]
        passes = [one for one in judged if one.verdict is Verdict.UNEXPECTED_PASS]
        holds = [
            one.result.id
            for one in judged
            if one.verdict in {Verdict.XFAILED, Verdict.RAISED, Verdict.LOST}
        ]
        self.failed |= {one.result.id: one.result for one in ours}
        # A test that fails in another way gets an entry of its own, and that takes it
        # out of its class.
        if passes or len(ours) < len(wrong) or not holds:
            self._drop(entry, holds)

    def _drop(self, entry: Entry, others: Sequence[str], *, known: bool = True) -> None:
        labels = self.run.groups.get(entry.test.partition(".")[0], [])
        whole = any(f"{entry.test}.".startswith(f"{label}.") for label in labels)
        if known and whole:
            self.dropped[entry] = sorted(others)
        else:
            self.notes.append(
                f"{entry.test} didn't run completely, so its entry is unchanged"
            )

    def apply(self, text: Text) -> None:
        by_place = {
            f"{self.run.file}: [[{table.kind}]] number {table.number}": table
            for table in text.tables
        }
        dropped: dict[str, list[Entry]] = {}
        for entry in self.dropped:
            dropped.setdefault(entry.place, []).append(entry)
        for place, entries in dropped.items():
            if place in by_place:
                self._take_out(text, by_place[place], entries)
                continue
            self.notes += [
                f"{entry.test} is inherited from {place}, but doesn't apply here."
                " List it under except"
                for entry in entries
                if entry.test not in self.failed
            ]
        groups: dict[Entry, list[str]] = {}
        for _, result in sorted(self.failed.items()):
            if (added := self._narrowed(_entry(result))) is not None:
                groups.setdefault(replace(added, test=""), []).append(added.test)
        for entry, ids in groups.items():
            keys = ("exception", "match", "reason", "django", "server")
            text.add(entry.kind, _written(entry, keys), ids)

    def _take_out(self, text: Text, table: Table, entries: Sequence[Entry]) -> None:
        """Have a table say no more of some tests, of this release."""
        stay: dict[str, list[str]] = {}
        moved: dict[Entry, list[str]] = {}
        for entry in entries:
            stay[entry.test] = []
            for test in self.dropped[entry]:
                other = self._narrowed(replace(entry, test=test))
                if other == replace(entry, test=test):
                    stay[entry.test].append(test)
                elif other is not None:
                    moved.setdefault(replace(other, test=""), []).append(test)
        about = table.written()
        for other, ids in moved.items():
            ranges = _written(other, ("django", "server"))
            text.add(table.kind, {**about, **ranges}, ids, table)
        all_of_it = set(table.tests) == set(stay)
        django = table.about.get("django", "")
        if self._elsewhere(django):
            rest = _both(django, f"!={self.series}")
            if all_of_it:
                table.set("django", rest)
                return
            text.add(table.kind, {**about, "django": quote(rest)}, list(stay), table)
        if all_of_it and not any(stay.values()):
            text.remove(table)
        else:
            table.replace(stay)

    def _narrowed(self, entry: Entry) -> Entry | None:
        """
        An entry for one test, about no more than what nothing else is about.

        Returns:
            None if it would be about what another entry is, too.

        """
        covers = [other for other in self.kept if other.covers(entry.test)]
        version, server = self.run.tree.version, self.run.engine["server"]
        if any(self._elsewhere(other.django) for other in covers):
            entry = replace(entry, django=_both(entry.django, f"=={self.series}"))
        if any(self._earlier_or_later(other.django) for other in covers):
            entry = replace(entry, django=f"=={_numbers(version)}")
        if (known := _numbers(server or "")) and any(o.server for o in covers):
            entry = replace(entry, server=f"=={known}")
        if any(o.test == entry.test and o.overlaps(entry) for o in covers):
            self.notes.append(
                f"{entry.test} fails, but is only listed for other versions of the"
                " server, and the version of this one is unknown"
            )
            return None
        return entry

    def _kept(self) -> Iterable[Entry]:
        for entry in self.run.entries:
            if entry not in self.dropped:
                yield entry
            elif self._elsewhere(entry.django):
                yield replace(entry, django=_both(entry.django, f"!={self.series}"))

    def _earlier_or_later(self, django: str) -> bool:
        """Whether a range holds other releases of the series, but not this one."""
        return not in_range(self.run.tree.version, django) and possible(
            _both(django, f"=={self.series}")
        )

    def _elsewhere(self, django: str) -> bool:
        """Whether a range holds another release that is supported."""
        return any(
            possible(_both(django, f"=={series}"))
            for series in SUPPORTED
            if series != self.series
        )


def _entry(result: TestResult) -> Entry:
    """An entry for what a test did, and nothing more general."""
    raised = {(error.types[0], _match(error.text)) for error in result.exceptions}
    if len(raised) == 1:
        name, match = raised.pop()
        if match:
            exception = name.removeprefix("builtins.")
            return Entry("raises", result.id, REASON, exception=exception, match=match)
    return Entry("xfail", result.id, REASON)


def _match(text: str) -> str:
    """A regular expression for a text's first line; empty if it has none."""
    line = next(filter(str.strip, text.split("\n")), "")
    if not line:
        return ""
    start = "^" if text.startswith(line) else r"^\s*"
    end = "$" if text.endswith(line) else r"\n"
    if len(line) > _WIDTH:
        line, end = line[:_WIDTH], ""
    # Not re.escape(), which escapes spaces as well.
    escaped = re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", line)
    # Half a surrogate pair can't be written to a file.
    return start + re.sub("[\ud800-\udfff]", ".", escaped) + end


def _written(entry: Entry, keys: Iterable[str]) -> dict[str, str]:
    """What an entry says under some keys, as TOML."""
    values = {key: getattr(entry, key) for key in keys}
    return {key: quote(value) for key, value in values.items() if value}


def _series(version: str) -> str:
    return _numbers(version, 2)


def _numbers(version: str, count: int | None = None) -> str:
    """A version as a range can name it."""
    return ".".join(map(str, parse_version(version)[:count]))


def _both(*ranges: str) -> str:
    return ",".join(filter(None, ranges))
