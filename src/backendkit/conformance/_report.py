"""What a run found out, and as data: the JSON that all written reports are made of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ._expectations import Entry
from ._jobs import LabelRun
from ._verdicts import Comparison, Judged, Verdict, count

#: Of the JSON; raised when something changes its meaning.
SCHEMA = 1


@dataclass
class Label:
    """A label's run with its verdicts."""

    run: LabelRun
    judged: list[Judged]
    #: None without a baseline.
    comparison: Comparison | None = None

    @property
    def deviations(self) -> list[Judged]:
        return [one for one in self.judged if one.verdict.deviation]


@dataclass(frozen=True)
class Problem:
    """Something wrong with an expectation itself."""

    #: "unknown" (names no test), "unproven" (all its tests were skipped by their own
    #: conditions), or "unreviewed" (written by --update, without a reason yet).
    kind: str
    entry: Entry

    @property
    def text(self) -> str:
        test, kind = self.entry.test, self.entry.kind
        match self.kind:
            case "unknown":
                return f"{test} is listed as {kind}, but there is no such test"
            case "unproven":
                return f"{test} is listed as {kind}, but was skipped. Remove the entry"
            case _:
                return f"{test} is listed as {kind} without a reason. Add one"


@dataclass
class Report:
    """Everything that a run found out."""

    #: What was run: engine, Django, Python …
    about: dict[str, Any]
    labels: list[Label] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    #: The baseline's engine and names; None without one.
    baseline: dict[str, Any] | None = None
    #: The least ratio of Comparison that is asked for, 0 to 1.
    require: float = 0.0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether all was as expected, and enough of it passed."""
        return not (
            self.problems
            or any(label.deviations for label in self.labels)
            or self.too_few
        )

    @property
    def too_few(self) -> bool:
        """Whether fewer tests pass than was asked for."""
        comparison = self.comparison()
        return comparison is not None and comparison.ratio < self.require

    def judged(self) -> Iterator[Judged]:
        for label in self.labels:
            yield from label.judged

    def counts(self) -> Counter[Verdict]:
        return count(self.judged())

    def comparison(self) -> Comparison | None:
        """All labels against the baseline; None without one."""
        if self.baseline is None:
            return None
        known = [label.comparison for label in self.labels if label.comparison]
        return sum(known, Comparison())


def as_data(report: Report) -> dict[str, Any]:
    """A report as the JSON has it, with whole tracebacks; see the reference."""
    return {
        "schema": SCHEMA,
        **report.about,
        "ok": report.ok,
        "seconds": report.seconds,
        "require": report.require,
        "baseline": report.baseline,
        "totals": dict(report.counts()),
        "comparison": _comparison(report.comparison()),
        "labels": [
            {
                "label": label.run.label,
                "seconds": label.run.seconds,
                "statuses": label.run.statuses,
                "totals": dict(count(label.judged)),
                "comparison": _comparison(label.comparison),
                "output": label.run.output,
            }
            for label in report.labels
        ],
        "problems": [
            {
                "kind": problem.kind,
                "test": problem.entry.test,
                "listed_as": problem.entry.kind,
                "text": problem.text,
            }
            for problem in report.problems
        ],
        "tests": [
            {
                **asdict(one.result),
                "label": label.run.label,
                "verdict": one.verdict,
                "reason": one.reason,
                "link": one.link,
                "baseline": one.baseline,
            }
            for label in report.labels
            for one in label.judged
        ],
    }


def _comparison(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    return {**asdict(comparison), "ratio": round(comparison.ratio, 6)}


def write_json(data: dict[str, Any], file: Path) -> None:
    """Write what ``as_data`` gave."""
    file.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
