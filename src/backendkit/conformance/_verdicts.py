"""Results held against expectations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ._expectations import Expectations
from ._results import Outcome, TestResult


class Verdict(StrEnum):
    """What a result means; the last three are deviations."""

    PASSED = "passed"
    SKIPPED = "skipped"
    #: Failed, as expected with a reason.
    XFAILED = "xfailed"
    FAILED = "failed"
    ERROR = "error"
    UNEXPECTED_PASS = "unexpected pass"  # noqa: S105  # no password

    @property
    def deviation(self) -> bool:
        """Whether the run fails because of it."""
        return self in {Verdict.FAILED, Verdict.ERROR, Verdict.UNEXPECTED_PASS}


@dataclass(frozen=True)
class Judged:
    """A result, what it means, and the reason of what was expected."""

    result: TestResult
    verdict: Verdict
    reason: str = ""


def judge(result: TestResult, expectations: Expectations) -> Judged:
    """
    One result's meaning.

    A test that Django or the backend's features mark as an expected failure, and
    that fails, needs no entry. A test that is expected to fail and was skipped by
    its own condition proves nothing either way: it is a skip.
    """
    entry = expectations.find(result.id)
    if entry is not None and entry.kind == "skip":
        return Judged(result, Verdict.SKIPPED, entry.reason)
    if entry is not None:
        if result.outcome.bad:
            return Judged(result, Verdict.XFAILED, entry.reason)
        if result.outcome is Outcome.PASSED:
            return Judged(result, Verdict.UNEXPECTED_PASS, entry.reason)
    match result.outcome:
        case Outcome.PASSED:
            return Judged(result, Verdict.PASSED)
        case Outcome.SKIPPED:
            return Judged(result, Verdict.SKIPPED, result.detail)
        case Outcome.XFAILED:
            return Judged(result, Verdict.XFAILED, "marked in Django or the features")
        case Outcome.ERROR:
            return Judged(result, Verdict.ERROR)
        case _:
            return Judged(result, Verdict.FAILED)


def count(judged: Iterable[Judged]) -> Counter[Verdict]:
    """How many of each verdict."""
    return Counter(one.verdict for one in judged)
