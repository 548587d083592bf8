"""The run's report: text for a terminal, and JSON for everything else."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ._expectations import Entry
from ._jobs import Job, LabelRun
from ._verdicts import Judged, Verdict, count

_TAIL = 12  # lines of a traceback in the terminal


@dataclass
class Label:
    """A label's run with its verdicts."""

    run: LabelRun
    judged: list[Judged]

    @property
    def deviations(self) -> list[Judged]:
        return [one for one in self.judged if one.verdict.deviation]


@dataclass
class Report:
    """Everything that a run found out."""

    #: What was run: engine, Django, Python …
    about: dict[str, Any]
    labels: list[Label] = field(default_factory=list)
    #: Expectations that name no test.
    unknown: list[Entry] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether all was as expected."""
        return not self.unknown and not any(label.deviations for label in self.labels)

    def counts(self) -> Counter[Verdict]:
        return count(one for label in self.labels for one in label.judged)


class Terminal:
    """Writes lines to a stream, and a progress line if it is a terminal."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = total
        self._live = stream.isatty()
        self._done = 0
        self._deviations = 0
        self._began = self._shown = time.monotonic()

    def header(self, about: dict[str, Any]) -> None:
        self._line(
            f"{about['engine']} ({about['display_name']}) on Django {about['django']}, "
            f"Python {about['python']}: {self._total} labels"
        )
        self._line(
            f"{'label':<28}{'ran':>6}{'passed':>8}{'failed':>8}{'errors':>8}"
            f"{'skipped':>9}{'xfailed':>9}{'seconds':>9}"
        )

    def progress(self, running: Sequence[Job]) -> None:
        now = time.monotonic()
        if not self._live or now - self._shown < 0.2:
            return
        self._shown = now
        names = ", ".join(
            f"{job.module} {len(job.recorder.results)}/"
            f"{len(job.recorder.collected) or '?'}"
            for job in running
        )
        text = (
            f"[{self._done}/{self._total}] {now - self._began:.0f} s, "
            f"{self._deviations} deviations; {names}"
        )
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\x1b[K{text[:width]}")
        self._stream.flush()

    def label(self, label: Label) -> None:
        self._done += 1
        self._deviations += len(label.deviations)
        mark = "  <--" if label.deviations else ""
        row = _row(label.run.label, count(label.judged), label.run.seconds)
        self._line(row + mark)

    def summary(self, report: Report) -> None:
        self._line(_row("total", report.counts(), report.seconds))
        for text in _deviations(report):
            self._line(text)
        counts = report.counts()
        failed = sum(n for verdict, n in counts.items() if verdict.deviation)
        skipped = counts[Verdict.SKIPPED] + counts[Verdict.XFAILED]
        if counts[Verdict.XFAILED]:
            self._line(
                f"\nCounted as skipped: {counts[Verdict.XFAILED]} that failed as "
                "expected."
            )
        self._line(
            f"\n{counts[Verdict.PASSED]} passed, {failed + len(report.unknown)} "
            f"failed, {skipped} skipped"
        )

    def _line(self, text: str) -> None:
        self._stream.write(("\r\x1b[K" if self._live else "") + text + "\n")
        self._stream.flush()


def _row(name: str, counts: Counter[Verdict], seconds: float) -> str:
    skipped = counts[Verdict.SKIPPED]
    failed = counts[Verdict.FAILED] + counts[Verdict.UNEXPECTED_PASS]
    return (
        f"{name:<28}{sum(counts.values()) - skipped:>6}{counts[Verdict.PASSED]:>8}"
        f"{failed:>8}{counts[Verdict.ERROR]:>8}{skipped:>9}"
        f"{counts[Verdict.XFAILED]:>9}{seconds:>9.1f}"
    )


def _deviations(report: Report) -> list[str]:
    """Each deviation with the end of its traceback; equal ones together."""
    groups: dict[tuple[str, Verdict, str], list[str]] = {}
    for label in report.labels:
        for one in label.deviations:
            detail = one.result.detail.strip()
            if one.verdict is Verdict.UNEXPECTED_PASS:
                detail = f"It is listed as xfail: {one.reason}"
            key = (label.run.label, one.verdict, detail)
            groups.setdefault(key, []).append(one.result.id)
    texts = []
    for (_, verdict, detail), tests in groups.items():
        more = f" (and {len(tests) - 1} more with the same text)" * (len(tests) > 1)
        tail = "\n".join(f"    {line}" for line in detail.splitlines()[-_TAIL:])
        texts.append(f"\n{verdict.upper()}: {tests[0]}{more}\n{tail}")
    texts += [
        f"\nUNKNOWN: no test is called {entry.test}, which is listed as {entry.kind}"
        for entry in report.unknown
    ]
    return texts


def write_json(report: Report, file: Path) -> None:
    """Everything, with whole tracebacks."""
    data = {
        **report.about,
        "ok": report.ok,
        "seconds": report.seconds,
        "totals": report.counts(),
        "labels": [
            {
                "label": label.run.label,
                "seconds": label.run.seconds,
                "statuses": label.run.statuses,
                "totals": count(label.judged),
                "output": label.run.output,
            }
            for label in report.labels
        ],
        "unknown": [asdict(entry) for entry in report.unknown],
        "tests": [
            {
                **asdict(one.result),
                "label": label.run.label,
                "verdict": one.verdict,
                "reason": one.reason,
            }
            for label in report.labels
            for one in label.judged
        ],
    }
    file.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
