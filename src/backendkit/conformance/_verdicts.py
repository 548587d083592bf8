"""Results held against expectations, and against the baseline's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ._expectations import Expectations, why_not
from ._results import Outcome, TestResult


class Verdict(StrEnum):
    """What a result means; the last four are deviations."""

    PASSED = "passed"
    SKIPPED = "skipped"
    #: Failed, as listed with a reason.
    XFAILED = "xfailed"
    #: Raised what it is listed to raise, with a reason.
    RAISED = "raised"
    #: Fails on the baseline as well, so it isn't this backend's doing.
    THERE_TOO = "fails there too"
    FAILED = "failed"
    ERROR = "error"
    #: Its process died in it, it took too long, or it never began.
    LOST = "lost"
    UNEXPECTED_PASS = "unexpected pass"  # noqa: S105  # no password

    @property
    def deviation(self) -> bool:
        """Whether the run fails because of it."""
        return self in {
            Verdict.FAILED,
            Verdict.ERROR,
            Verdict.LOST,
            Verdict.UNEXPECTED_PASS,
        }


@dataclass(frozen=True)
class Judged:
    """A result, what it means, and the reason of what was expected."""

    result: TestResult
    verdict: Verdict
    reason: str = ""
    link: str = ""
    #: What the baseline did with the test; None if that isn't known.
    baseline: Outcome | None = None


def judge(
    result: TestResult, expectations: Expectations, baseline: Outcome | None = None
) -> Judged:
    """
    One result's meaning.

    A test that Django or the backend's features mark as an expected failure, and
    that fails, needs no entry. A test that is expected to fail and was skipped by
    its own condition proves nothing either way: it is a skip. A test whose process
    died or hung is never excused: who wants that lists it as skip.
    """
    entry = expectations.find(result.id)
    if entry is None:
        verdict, reason = _unlisted(result, baseline)
        return Judged(result, verdict, reason, "", baseline)
    verdict, reason = Verdict.SKIPPED, entry.reason
    match result.outcome:
        case _ if entry.kind == "skip":
            pass
        case Outcome.SKIPPED:
            reason = result.detail
        case Outcome.LOST:
            verdict = Verdict.LOST
        case Outcome.PASSED:
            verdict = Verdict.UNEXPECTED_PASS
        case Outcome.XPASSED if entry.kind == "raises":
            verdict = Verdict.UNEXPECTED_PASS
        case _ if entry.kind == "xfail":
            verdict = Verdict.XFAILED
        case _:
            wrong = why_not(entry, result.exceptions)
            verdict = Verdict.FAILED if wrong else Verdict.RAISED
            reason = wrong or reason
    return Judged(result, verdict, reason, entry.link, baseline)


def _unlisted(result: TestResult, baseline: Outcome | None) -> tuple[Verdict, str]:
    match result.outcome:
        case Outcome.PASSED:
            return Verdict.PASSED, ""
        case Outcome.SKIPPED:
            return Verdict.SKIPPED, result.detail
        case Outcome.XFAILED:
            return Verdict.XFAILED, "marked in Django or the features"
        case Outcome.LOST:
            return Verdict.LOST, ""
        case _ if baseline in {Outcome.FAILED, Outcome.ERROR}:
            return Verdict.THERE_TOO, "fails on the baseline as well"
        case Outcome.ERROR:
            return Verdict.ERROR, ""
        case Outcome.XPASSED:
            return Verdict.UNEXPECTED_PASS, "marked in Django or the features"
        case _:
            return Verdict.FAILED, ""


def count(judged: Iterable[Judged]) -> Counter[Verdict]:
    """How many of each verdict."""
    return Counter(one.verdict for one in judged)


@dataclass(frozen=True)
class Comparison:
    """How many tests pass on the baseline and here."""

    both: int = 0
    #: On the baseline only.
    there: int = 0
    #: Here only.
    here: int = 0

    @property
    def ratio(self) -> float:
        """The part of those that pass on the baseline that passes here, 0 to 1."""
        return self.both / (self.both + self.there) if self.both + self.there else 1.0

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.both + other.both, self.there + other.there, self.here + other.here
        )


def compare(judged: Iterable[Judged], baseline: Mapping[str, Outcome]) -> Comparison:
    """
    A label's tests against the baseline's.

    A test that doesn't exist here, or is skipped, doesn't pass here.
    """
    here = {one.result.id for one in judged if one.result.outcome is Outcome.PASSED}
    there = {test for test, outcome in baseline.items() if outcome is Outcome.PASSED}
    return Comparison(len(here & there), len(there - here), len(here - there))
