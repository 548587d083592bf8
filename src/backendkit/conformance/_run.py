"""One run: the suite on an ENGINE, beside the baseline, held against expectations."""

from __future__ import annotations

import contextlib
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from . import _archive, _baseline, _expectations, _labels
from ._errors import UsageError
from ._expectations import Entry, Expectations
from ._jobs import Job, LabelRun, Plan, run_jobs
from ._preflight import describe
from ._report import Label, Problem, Report
from ._results import Outcome
from ._terminal import Terminal
from ._verdicts import Judged, compare, judge


@dataclass
class Request:
    """What is asked for."""

    engine: str
    #: Settings of the database besides ENGINE; see ``_settings.databases``.
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[str] = ("all",)
    django: str = _archive.INSTALLED
    archive: Path | None = None
    #: ENGINE of the baseline; None for none.
    baseline: str | None = _baseline.ENGINE
    #: Instead of the backend's own.
    expectations: Path | None = None
    #: Part of the baseline's passes that have to pass here, 0 to 1.
    require: float = 0.0
    #: The file of expectations is going to be written: there may be none yet.
    update: bool = False
    parallel: int = 1
    #: Seconds.
    timeout: float = 1800.0
    test_timeout: float = 300.0
    #: Keep the temporary folder.
    keep: bool = False


class Run:
    """Everything of one run: ``Run(request, folder).go(stream)``."""

    def __init__(self, request: Request, folder: Path) -> None:
        """Check all that can be checked before a test runs."""
        self.request = request
        self.folder = folder
        self.tree = _archive.get_source(request.django, request.archive)
        self.groups = _labels.expand(request.labels, self.tree.tests)
        self.engine = describe(request.engine, request.options, self.tree, folder)
        inherited = self.engine["expectations"]
        self.file = request.expectations or (
            Path(inherited)
            if inherited
            else expectations_file(request.engine, Path(self.engine["folder"]))
        )
        self.entries: list[Entry] = []
        if self.file is not None and (self.file.is_file() or not request.update):
            self.entries = _expectations.read(self.file)
            if dead := _expectations.dead(self.entries, self.tree.version):
                raise UsageError(
                    f"{dead[0].place}: django = {dead[0].django!r} matches no"
                    f" supported release ({', '.join(_expectations.SUPPORTED)})"
                )
        self.expectations = _expectations.select(
            self.entries, self.tree.version, self.engine["server"]
        )
        self._terminal: Terminal

    def go(self, stream: TextIO) -> Report:
        """Run it, and tell a stream about it."""
        began = time.monotonic()
        request = self.request
        report = Report(
            {
                "engine": request.engine,
                "display_name": self.engine["display_name"],
                "server": self.engine["server"],
                "django": self.tree.version,
                "archive_sha256": self.tree.sha256,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "parallel": request.parallel,
            },
            require=request.require,
        )
        self._terminal = Terminal(stream, len(self.groups))
        known: dict[str, _baseline.Outcomes] = {}
        if request.baseline is not None:
            base = describe(request.baseline, {}, self.tree, self.folder)
            report.baseline = {
                "engine": request.baseline,
                "display_name": base["display_name"],
                "server": base["server"],
            }
            known = self._baseline(request.baseline)
        self._terminal.header(report)
        plan = self._plan(request.engine, request.options, "run")
        for run in self._labels(plan, list(self.groups)):
            _refuse_unknown(run)
            there = known.get(run.label, {})
            judged = [
                judge(result, self.expectations, there.get(result.id))
                for result in run.results
            ]
            label = Label(run, judged)
            if report.baseline is not None:
                label.comparison = compare(judged, there)
            report.labels.append(label)
            self._terminal.label(label)
        report.problems = self._problems(report)
        report.seconds = round(time.monotonic() - began, 2)
        self._terminal.summary(report)
        return report

    def _plan(self, engine: str, options: Mapping[str, Any], name: str) -> Plan:
        request = self.request
        return Plan(
            self.tree,
            engine,
            options,
            self.folder,
            name=name,
            timeout=request.timeout,
            test_timeout=request.test_timeout,
            leave_out=self.expectations.skipped() if name == "run" else (),
            keep=request.keep,
        )

    def _labels(self, plan: Plan, modules: Sequence[str], what: str = "") -> Any:
        jobs = [
            Job(plan, module, self.groups[module])
            for module in _labels.longest_first(modules, self.tree.tests)
        ]
        with contextlib.closing(run_jobs(jobs, self.request.parallel)) as events:
            for event in events:
                if isinstance(event, LabelRun):
                    yield event
                else:
                    self._terminal.progress(event, what)

    def _baseline(self, engine: str) -> dict[str, _baseline.Outcomes]:
        """What the baseline does: from the cache, or run now."""
        store = _baseline.BaselineCache(self.tree, engine)
        known = store.get(self.groups)
        missing = [module for module in self.groups if module not in known]
        if missing:
            self._terminal.note(f"The baseline, {engine}: {len(missing)} labels …")
        runs = []
        for run in self._labels(
            self._plan(engine, {}, "baseline"), missing, "baseline"
        ):
            _refuse_unknown(run)
            known[run.label] = _baseline.outcomes(run)
            runs.append(run)
        store.add(runs)
        return known

    def _problems(self, report: Report) -> list[Problem]:
        collected = [test for label in report.labels for test in label.run.collected]
        labels = [label for group in self.groups.values() for label in group]
        unknown = self.expectations.unknown(collected, labels)
        problems = [Problem("unknown", entry) for entry in unknown]
        judged = list(report.judged())
        problems += [
            Problem("unproven", entry)
            for entry in _unproven(self.expectations, judged)
            if any(Entry("xfail", label, "").covers(entry.test) for label in labels)
        ]
        problems += [
            Problem("unreviewed", entry)
            for entry in self.expectations
            if entry.reason.startswith(_expectations.FIXME)
        ]
        return problems


def _unproven(expectations: Expectations, judged: Sequence[Judged]) -> list[Entry]:
    """Entries all of whose tests were skipped by their own conditions."""
    ran: dict[Entry, bool] = {}
    for one in judged:
        entry = expectations.find(one.result.id)
        if entry is not None and entry.kind != "skip":
            skipped = one.result.outcome is Outcome.SKIPPED
            ran[entry] = ran.get(entry, False) or not skipped
    return [entry for entry, proven in ran.items() if not proven]


def _refuse_unknown(run: LabelRun) -> None:
    """A class or method that isn't there; only the loading of tests finds out."""
    for result in run.results:
        last = result.detail.strip().rpartition("\n")[2]
        # How unittest's loader hands over what it didn't find.
        if result.id.startswith("unittest.loader._FailedTest.") and re.match(
            rf"AttributeError: .* has no attribute|"
            rf"ModuleNotFoundError: No module named '{run.label}\.",
            last,
        ):
            raise UsageError(f"unknown label in {run.label}: {last}")


def expectations_file(engine: str, package: Path) -> Path | None:
    """The backend's own file, or the one that we have for others'."""
    ours = Path(__file__).parent / "expectations" / f"{engine}.toml"
    for file in (package / "expectations.toml", ours):
        if file.is_file():
            return file
    return None
