import pytest

from backendkit.conformance import (
    Entry,
    Expectations,
    Outcome,
    TestResult,
    Verdict,
    judge,
)
from backendkit.conformance._errors import UsageError
from backendkit.conformance._expectations import load
from backendkit.conformance._versions import in_range, parse_version

LISTED = Expectations(
    [
        Entry("xfail", "a.tests.Case.test_one", "known"),
        Entry("xfail", "a.tests.Broken", "all of it"),
        Entry("skip", "a.tests.Hangs", "waits for ever"),
    ]
)


@pytest.mark.parametrize(
    ("test", "outcome", "verdict"),
    [
        ("a.tests.Case.test_one", Outcome.FAILED, Verdict.XFAILED),
        ("a.tests.Case.test_one", Outcome.ERROR, Verdict.XFAILED),
        ("a.tests.Case.test_one", Outcome.PASSED, Verdict.UNEXPECTED_PASS),
        ("a.tests.Case.test_one", Outcome.SKIPPED, Verdict.SKIPPED),
        ("a.tests.Case.test_one", Outcome.XPASSED, Verdict.XFAILED),
        ("a.tests.Case.test_one_more", Outcome.FAILED, Verdict.FAILED),
        ("a.tests.Broken.test_any", Outcome.FAILED, Verdict.XFAILED),
        ("a.tests.Broken.test_any", Outcome.PASSED, Verdict.UNEXPECTED_PASS),
        ("a.tests.BrokenToo.test_any", Outcome.ERROR, Verdict.ERROR),
        ("a.tests.Hangs.test_any", Outcome.SKIPPED, Verdict.SKIPPED),
        ("b.tests.Case.test_one", Outcome.PASSED, Verdict.PASSED),
        ("b.tests.Case.test_one", Outcome.XFAILED, Verdict.XFAILED),
        ("b.tests.Case.test_one", Outcome.XPASSED, Verdict.FAILED),
    ],
)
def test_a_result_is_held_against_what_is_listed(test, outcome, verdict):
    """Only what is listed may fail, and it has to."""
    assert judge(TestResult(test, outcome), LISTED).verdict is verdict


def test_the_most_specific_entry_counts():
    """A test's own entry goes before the one of its class."""
    listed = Expectations(
        [Entry("xfail", "a.C", "class"), Entry("xfail", "a.C.test", "test")]
    )
    assert judge(TestResult("a.C.test", Outcome.FAILED), listed).reason == "test"
    assert judge(TestResult("a.C.other", Outcome.FAILED), listed).reason == "class"


def test_an_entry_without_a_test_is_found():
    """Of the labels that ran whole; about the others nothing is known."""
    listed = Expectations(
        Entry("xfail", name, "r")
        for name in ("a.C.test", "a.C", "a.Gone", "a.C.gone", "b.Gone", "ab.C")
    )
    collected = ["a.C.test", "a.C.test_more"]
    unknown = {entry.test for entry in listed.unknown(collected, ["a"])}
    assert unknown == {"a.Gone", "a.C.gone"}
    assert [e.test for e in listed.unknown(collected, ["a.C"])] == ["a.C.gone"]


def test_a_file_is_read_for_one_release(tmp_path):
    """Entries for other releases don't exist; the same id may have two ranges."""
    file = tmp_path / "expectations.toml"
    file.write_text("""
        [[xfail]]
        tests = ["a.C.one", "a.C.two"]
        reason = "old"
        django = "<6.0"
        [[skip]]
        tests = ["a.C.one"]
        reason = "new"
        django = ">=6.0,<6.2"
    """)
    assert {e.test: e.kind for e in load(file, "5.2.19")} == {
        "a.C.one": "xfail",
        "a.C.two": "xfail",
    }
    assert load(file, "6.1.3").skipped() == ["a.C.one"]
    assert len(load(file, "6.2")) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[xfail]]\ntests = ["a"]', "needs a reason"),
        ('[[xfail]]\ntests = ["a"]\nreason = " "', "needs a reason"),
        ('[[xfail]]\nreason = "r"', "list of ids"),
        ('[[xfail]]\ntests = "a"\nreason = "r"', "list of ids"),
        ('[[xfail]]\ntests = ["a", "a"]\nreason = "r"', "listed twice"),
        ('[[xfail]]\ntests = ["a"]\nreason = "r"\nwhy = "x"', "unknown key why"),
        ('[[xfail]]\ntests = ["a"]\nreason = "r"\ndjango = "6"', "not a range"),
        ('[[excuse]]\ntests = ["a"]\nreason = "r"', "unknown section excuse"),
        ("[[xfail]", "expectations.toml"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path, text, message):
    """With the place in the file."""
    file = tmp_path / "expectations.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        load(file, "6.1")


@pytest.mark.parametrize(
    ("version", "spec", "expected"),
    [
        ("6.1.3", "", True),
        ("6.1.3", ">=6.0,<6.2", True),
        ("6.1.3", "==6.1", True),
        ("6.1.3", ">6.1", False),
        ("6.1.3", "<=6.1", True),
        ("6.1.3", "<6.1.3", False),
        ("6.1", "<6.1.1", True),
        ("6.2a1", ">=6.2", True),
        ("5.2.19", "!=5.2", False),
        ("5.2.19", ">=5.2.9", True),
    ],
)
def test_versions_compare_by_the_numbers_of_the_range(version, spec, expected):
    assert in_range(version, spec) is expected


def test_a_version_is_its_leading_numbers():
    assert parse_version("6.1.3") == (6, 1, 3)
    assert parse_version("6.1rc1") == (6, 1)
    assert parse_version("10.0") == (10, 0)
