"""The report for a person who waits for it."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from ._jobs import Job
from ._report import Label, Report
from ._verdicts import Comparison, Verdict, count

_TAIL = 12  # lines of a traceback


class Terminal:
    """Writes lines to a stream, and a progress line if it is a terminal."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = total
        self._live = stream.isatty()
        self._done = 0
        self._deviations = 0
        self._began = self._shown = time.monotonic()

    def header(self, report: Report) -> None:
        about = report.about
        server = f" {about['server']}" if about["server"] else ""
        self._line(
            f"{about['engine']} ({about['display_name']}{server}) on Django "
            f"{about['django']}, Python {about['python']}: {self._total} labels"
        )
        columns = f"{'label':<28}{'ran':>6}{'passed':>8}{'failed':>8}{'lost':>6}"
        columns += f"{'skipped':>9}{'expected':>10}"
        if report.baseline is not None:
            columns += f"{'both':>8}{'there':>7}{'here':>6}"
        self._line(f"{columns}{'seconds':>9}")

    def progress(self, running: Sequence[Job], what: str = "") -> None:
        now = time.monotonic()
        if not self._live or now - self._shown < 0.2:
            return
        self._shown = now
        names = ", ".join(
            f"{job.module} {len(job.recorder.results)}/"
            f"{len(job.recorder.collected) or '?'}"
            for job in running
        )
        state = f"[{self._done}/{self._total}] {now - self._began:.0f} s, "
        text = state + (what or f"{self._deviations} deviations") + f"; {names}"
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\x1b[K{text[:width]}")
        self._stream.flush()

    def label(self, label: Label) -> None:
        self._done += 1
        self._deviations += len(label.deviations)
        mark = "  <--" if label.deviations else ""
        counts = count(label.judged)
        row = _row(label.run.label, counts, label.comparison, label.run.seconds)
        self._line(row + mark)

    def note(self, text: str) -> None:
        self._line(text)

    def summary(self, report: Report) -> None:
        counts = report.counts()
        self._line(_row("total", counts, report.comparison(), report.seconds))
        for text in _deviations(report):
            self._line(text)
        self._line("")
        expected = counts[Verdict.XFAILED] + counts[Verdict.RAISED]
        there_too = counts[Verdict.THERE_TOO]
        if expected or there_too:
            self._line(
                f"Counted as skipped: {expected} tests that failed as expected,"
                f" {there_too} that fail on the baseline as well."
            )
        comparison = report.comparison()
        if comparison is not None and report.baseline is not None:
            self._line(_against(comparison, report.baseline["display_name"]))
        if report.too_few:
            self._line(f"This is less than the required {report.require:.2%}.")
        failed = sum(n for verdict, n in counts.items() if verdict.deviation)
        skipped = counts[Verdict.SKIPPED] + expected + there_too
        self._line(
            f"{counts[Verdict.PASSED]} passed, {failed + len(report.problems)} "
            f"failed, {skipped} skipped"
        )

    def _line(self, text: str) -> None:
        self._stream.write(("\r\x1b[K" if self._live else "") + text + "\n")
        self._stream.flush()


def _against(comparison: Comparison, name: str) -> str:
    there = comparison.both + comparison.there
    return (
        f"Of {there:,} tests that pass on {name}, {comparison.both:,} pass here: "
        f"{_percent(comparison.ratio)}. {comparison.here:,} pass here only."
    )


def _percent(ratio: float) -> str:
    """Rounded down: 100 % means all."""
    return f"{int(ratio * 10_000) / 100:.2f} %"


def _row(
    name: str,
    counts: Counter[Verdict],
    comparison: Comparison | None,
    seconds: float,
) -> str:
    skipped = counts[Verdict.SKIPPED]
    failed = sum(
        counts[verdict]
        for verdict in (Verdict.FAILED, Verdict.ERROR, Verdict.UNEXPECTED_PASS)
    )
    expected = sum(
        counts[verdict]
        for verdict in (Verdict.XFAILED, Verdict.RAISED, Verdict.THERE_TOO)
    )
    row = (
        f"{name:<28}{sum(counts.values()) - skipped:>6}{counts[Verdict.PASSED]:>8}"
        f"{failed:>8}{counts[Verdict.LOST]:>6}{skipped:>9}{expected:>10}"
    )
    if comparison is not None:
        row += f"{comparison.both:>8}{comparison.there:>7}{comparison.here:>6}"
    return f"{row}{seconds:>9.1f}"


def _deviations(report: Report) -> list[str]:
    """Each deviation with the end of its traceback; equal ones together."""
    groups: dict[tuple[str, Verdict, str], list[str]] = {}
    for label in report.labels:
        for one in label.deviations:
            detail = one.result.detail.strip()
            if one.verdict is Verdict.UNEXPECTED_PASS:
                detail = f"It is listed as failing: {one.reason}"
            elif one.reason:
                detail = f"{detail}\n{one.reason}"
            key = (label.run.label, one.verdict, detail)
            groups.setdefault(key, []).append(one.result.id)
    texts = []
    for (_, verdict, detail), tests in groups.items():
        more = f" (and {len(tests) - 1} more with the same text)" * (len(tests) > 1)
        tail = "\n".join(f"    {line}" for line in detail.splitlines()[-_TAIL:])
        texts.append(f"\n{verdict.upper()}: {tests[0]}{more}\n{tail}")
    texts += [
        f"\n{problem.kind.upper()}: {problem.text}\n    {problem.entry.place}"
        for problem in report.problems
    ]
    return texts
