"""
An expectations file against real releases, without running a test.

Django itself says which tests there are: one child per release collects those of
the labels that are listed. No database is made, so no server has to be up.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from . import _archive, _expectations, _labels
from ._archive import SourceTree
from ._errors import UsageError
from ._expectations import Entry
from ._jobs import Job, LabelRun, Plan, run_jobs
from ._run import expectations_file
from ._versions import in_range

# How unittest's loader calls a module that can't be imported.
_FAILED = "unittest.loader._FailedTest."


@dataclass
class LintRequest:
    """What is asked for."""

    engine: str
    #: Versions; none for all that are supported and can be had.
    django: Sequence[str] = ()
    archive: Path | None = None
    #: Instead of the backend's own.
    expectations: Path | None = None


def lint(request: LintRequest, folder: Path, stream: TextIO) -> int:
    """
    Write what is wrong with a file, one finding a line; the exit status.

    Raises:
        UsageError: the file, a release that was asked for, or all of them can't be
            had; the ENGINE can't be loaded.

    """
    file = request.expectations or _own_file(request.engine)
    if file is None:
        stream.write(f"{request.engine} has no file of expectations\n")
        return 0
    if not file.is_file():
        raise UsageError(f"{file} doesn't exist")
    trees = _releases(request, stream)
    entries: list[Entry] = []
    try:
        entries = _expectations.read(file)
    except UsageError as e:
        findings = [str(e)]
    else:
        findings = _findings(request.engine, trees, entries, folder)
    stream.writelines(f"{finding}\n" for finding in findings)
    tables = len({entry.place for entry in entries})
    versions = ", ".join(tree.version for tree in trees)
    stream.write(
        f"{file}: {len(entries)} tests or classes in {tables} entries, "
        f"Django {versions}: {len(findings)} findings\n"
    )
    return 1 if findings else 0


def _own_file(engine: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(engine)
    except (ImportError, ValueError) as e:
        raise UsageError(f"ENGINE {engine!r} can't be found: {e}") from e
    if spec is None or spec.origin is None:
        raise UsageError(f"ENGINE {engine!r} can't be found: there is no such package")
    return expectations_file(engine, Path(spec.origin).parent)


def _releases(request: LintRequest, stream: TextIO) -> list[SourceTree]:
    if request.archive is not None or request.django:
        wanted = request.django or [_archive.INSTALLED]
        trees = [_archive.get_source(v, request.archive) for v in wanted]
    else:
        trees = []
        for version in _expectations.SUPPORTED:
            try:
                trees.append(_archive.get_source(version))
            except UsageError as e:
                stream.write(f"Django {version} is left out: {e}\n")
        if not trees:
            raise UsageError(
                "there is no release to check against. Pass one with --archive PATH"
            )
    return list({tree.root: tree for tree in trees}.values())


def _findings(
    engine: str, trees: Sequence[SourceTree], entries: Sequence[Entry], folder: Path
) -> list[str]:
    collected = _collect(engine, trees, entries, folder)
    dead = set(_expectations.dead(entries, _expectations.SUPPORTED[-1]))
    findings: list[str] = []
    for entry in entries:
        applies = [tree for tree in trees if in_range(tree.version, entry.django)]
        if entry in dead and not applies:
            findings.append(
                f"{entry.place}: django = {entry.django!r} matches no supported"
                f" release ({', '.join(_expectations.SUPPORTED)})"
            )
        if entry.reason.startswith(_expectations.FIXME):
            findings.append(
                f"{entry.place}: the entry has no reason yet: {entry.reason}"
            )
        versions: dict[str, list[str]] = {}
        for tree in applies:
            if wrong := _wrong(entry.test, tree, collected[tree.version]):
                versions.setdefault(wrong, []).append(tree.version)
        findings += [
            f"{entry.place}: {wrong.format(', '.join(found))}"
            for wrong, found in versions.items()
        ]
    # What is said of an entry, and not of one of its tests, is said once.
    return list(dict.fromkeys(findings))


def _wrong(test: str, tree: SourceTree, ids: set[str]) -> str:
    """What is wrong with an id; "{}" stands for the releases."""
    label = test.partition(".")[0]
    if label not in _labels.all_labels(tree.tests):
        return f"{test}: there is no label {label} in Django {{}}"
    if test in ids:
        return ""
    for name in ids:
        module = name.removeprefix(_FAILED)
        if module != name and f"{test}.".startswith(f"{module}."):
            return f"{test}: {module} can't be imported, on Django {{}}"
    return f"{test}: there is no such test or class in Django {{}}"


def _collect(
    engine: str, trees: Sequence[SourceTree], entries: Iterable[Entry], folder: Path
) -> dict[str, set[str]]:
    """The ids of the tests and classes of what is listed, by release."""
    found: dict[str, set[str]] = {tree.version: set() for tree in trees}
    jobs = []
    for tree in trees:
        labels = {
            entry.test.partition(".")[0]
            for entry in entries
            if in_range(tree.version, entry.django)
        }
        if labels := labels.intersection(_labels.all_labels(tree.tests)):
            plan = Plan(tree, engine, {}, folder, name="lint", collect_only=True)
            jobs.append(Job(plan, tree.version, sorted(labels)))
    with contextlib.closing(run_jobs(jobs, len(trees))) as events:
        for event in events:
            if isinstance(event, LabelRun):
                found[event.label] |= _ids(event, engine)
    return found


def _ids(run: LabelRun, engine: str) -> set[str]:
    if run.statuses != [0]:
        # A message may go on in lines that are indented.
        lines = [line for line in run.output.splitlines() if line.strip() == line != ""]
        raise UsageError(
            f"the tests of Django {run.label} can't be collected with ENGINE "
            f"{engine!r}: {lines[-1] if lines else 'no message'}"
        )
    classes = {
        test.rpartition(".")[0]
        for test in run.collected
        if not test.startswith(_FAILED)
    }
    return classes.union(run.collected)
