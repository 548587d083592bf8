import sys

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
from backendkit.conformance._expectations import buckets, dead, load, read
from backendkit.conformance._results import Raised
from backendkit.conformance._versions import in_range, parse_version, possible

LISTED = Expectations(
    [
        Entry("xfail", "a.tests.Case.test_one", "known"),
        Entry("xfail", "a.tests.Broken", "all of it"),
        Entry("skip", "a.tests.Hangs", "waits for ever"),
        Entry("raises", "a.R", "known", exception="m.Err", match="^no .*here"),
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
        ("b.tests.Case.test_one", Outcome.XPASSED, Verdict.UNEXPECTED_PASS),
        ("b.tests.Case.test_one", Outcome.LOST, Verdict.LOST),
        ("a.tests.Case.test_one", Outcome.LOST, Verdict.LOST),
        ("a.R.test_one", Outcome.LOST, Verdict.LOST),
        ("a.R.test_one", Outcome.PASSED, Verdict.UNEXPECTED_PASS),
        ("a.R.test_one", Outcome.SKIPPED, Verdict.SKIPPED),
        ("a.R.test_one", Outcome.ERROR, Verdict.FAILED),
    ],
)
def test_a_result_is_held_against_what_is_listed(test, outcome, verdict):
    """Only what is listed may fail, and it has to."""
    assert judge(TestResult(test, outcome), LISTED).verdict is verdict


@pytest.mark.parametrize(
    ("raised", "verdict"),
    [
        ([Raised(("m.Err", "m.Base"), "no rows here")], Verdict.RAISED),
        ([Raised(("m.Sub", "m.Err"), "no rows here")], Verdict.RAISED),
        ([Raised(("n.Err",), "no rows here")], Verdict.FAILED),
        ([Raised(("m.Err",), "some rows")], Verdict.FAILED),
        ([Raised(("m.Err",), "no rows here"), Raised(("x.E",), "")], Verdict.FAILED),
    ],
)
def test_what_is_raised_has_to_be_what_is_listed(raised, verdict):
    """By its class or a base of it, and its text; each of several (subtests)."""
    result = TestResult("a.R.test", Outcome.ERROR, exceptions=tuple(raised))
    assert judge(result, LISTED).verdict is verdict


@pytest.mark.parametrize(
    ("outcome", "baseline", "verdict"),
    [
        (Outcome.FAILED, Outcome.FAILED, Verdict.THERE_TOO),
        (Outcome.FAILED, Outcome.ERROR, Verdict.THERE_TOO),
        (Outcome.FAILED, Outcome.PASSED, Verdict.FAILED),
        (Outcome.FAILED, Outcome.SKIPPED, Verdict.FAILED),
        (Outcome.ERROR, Outcome.LOST, Verdict.ERROR),
        (Outcome.LOST, Outcome.FAILED, Verdict.LOST),
        (Outcome.PASSED, Outcome.FAILED, Verdict.PASSED),
    ],
)
def test_what_fails_on_the_baseline_too_is_not_this_backends(
    outcome, baseline, verdict
):
    assert judge(TestResult("b.C.t", outcome), LISTED, baseline).verdict is verdict


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


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """A package whose expectations others inherit; its file."""
    package = tmp_path / "a_parent_of_expectations"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    file = package / "expectations.toml"
    file.write_text("""
        [[xfail]]
        tests = ["a.C.one", "a.C.two", "a.C.three"]
        reason = "the parent's"
        [[skip]]
        tests = ["a.Slow"]
        reason = "the parent's"
        django = "<6.0"
    """)
    return file


def test_a_file_inherits(parent, tmp_path):
    """Its own entries win, where they are about the same versions."""
    file = tmp_path / "expectations.toml"
    file.write_text("""
        [[inherits]]
        package = "a_parent_of_expectations"
        except = ["a.C.three"]
        [[xfail]]
        tests = ["a.C.one"]
        reason = "own"
        [[xfail]]
        tests = ["a.Slow"]
        reason = "own"
        django = ">=6.0"
    """)
    old, new = load(file, "5.2.19"), load(file, "6.1.3")
    assert {e.test: (e.kind, e.reason) for e in old} == {
        "a.C.one": ("xfail", "own"),
        "a.C.two": ("xfail", "the parent's"),
        "a.Slow": ("skip", "the parent's"),
    }
    assert new.find("a.Slow").reason == "own"
    assert new.find("a.C.three") is None
    assert str(parent) in new.find("a.C.two").place


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('package = "no.such.package"', "there is no package 'no.such.package'"),
        ('package = "a_parent_of_expectations.more"', "there is no package"),
        ('package = ""', "there is no package ''"),
        ("package = 3", "package has to be a string"),
        ('package = "json"', "expectations.toml"),
        ('package = "a_parent_of_expectations"\nexcept = "a"', "a list of ids"),
        (
            'package = "a_parent_of_expectations"\nexcept = ["a.Gone"]',
            "a.Gone isn't in",
        ),
        ('package = "a_parent_of_expectations"\ntests = []', "unknown key tests"),
    ],
)
@pytest.mark.usefixtures("parent")
def test_what_cant_be_inherited(table, message, tmp_path):
    """The error names the file, the table and what is wrong with it."""
    file = tmp_path / "expectations.toml"
    file.write_text(f"[[inherits]]\n{table}")
    with pytest.raises(UsageError, match=message) as caught:
        read(file)
    assert "expectations.toml" in str(caught.value)


def test_what_inherits_has_no_heirs(parent, tmp_path):
    """One level: who reads a file knows where to look."""
    parent.write_text('[[inherits]]\npackage = "backendkit.nonrel"')
    file = tmp_path / "expectations.toml"
    file.write_text('[[inherits]]\npackage = "a_parent_of_expectations"')
    with pytest.raises(UsageError, match="unknown section inherits"):
        read(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[xfail]]\ntests = ["a.b"]', "needs a reason"),
        ('[[xfail]]\ntests = ["a.b"]\nreason = " "', "needs a reason"),
        ('[[xfail]]\nreason = "r"', "list of ids"),
        ('[[xfail]]\ntests = "a.b"\nreason = "r"', "list of ids"),
        ('[[xfail]]\ntests = ["a.b", "a.b"]\nreason = "r"', "listed twice"),
        ('[[xfail]]\ntests = ["a.b"]\nreason = "r"\nwhy = "x"', "unknown key why"),
        ('[[xfail]]\ntests = ["a.b"]\nreason = "r"\ndjango = "6"', "not a range"),
        ('[[xfail]]\ntests = ["a b"]\nreason = "r"', "isn't the id of a test"),
        ('[[xfail]]\ntests = ["a.b"]\nreason = 3', "reason has to be a string"),
        ('[[xfail]]\ntests = ["a.b"]\nbucket = "x"', "unknown bucket 'x'"),
        ('[[xfail]]\ntests = ["a.b"]\nreason = "r"\nmatch = "x"', "unknown key"),
        ('[[raises]]\ntests = ["a.b"]\nreason = "r"', "needs exception and match"),
        (
            '[[raises]]\ntests = ["a.b"]\nreason = "r"\nexception = "E"\nmatch = "("',
            "isn't a regular expression",
        ),
        (
            '[[xfail]]\ntests = ["a.b"]\nreason = "r"\ndjango = ">=6.1,<6.0"',
            "matches no version",
        ),
        (
            '[[xfail]]\ntests = ["a.b"]\nreason = "r"\nserver = ">2,<2"',
            "matches no version",
        ),
        ('xfail = "a"', "double brackets"),
        ('[[excuse]]\ntests = ["a.b"]\nreason = "r"', "unknown section excuse"),
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


def test_the_same_test_may_be_listed_for_other_versions_only(tmp_path):
    """Two entries that could both apply contradict each other."""
    file = tmp_path / "expectations.toml"
    one = '[[xfail]]\ntests = ["a.b"]\nreason = "r"\n'
    for first, second, refused in [
        ('django = "<6.1"', 'django = ">=6.1"', False),
        ('django = "<=6.1"', 'django = ">=6.1"', True),
        ('django = "<6.1"', "", True),
        ('server = "<16"', 'server = ">=16"', False),
        ('server = "<16"\ndjango = "<6.0"', 'django = ">=6.0"', False),
        ('server = "<16"', 'django = ">=6.0"', True),
    ]:
        file.write_text(one + first + "\n" + one + second)
        if refused:
            with pytest.raises(UsageError, match=r"listed twice, see .* number 1"):
                read(file)
        else:
            assert len(read(file)) == 2


def test_an_entry_about_another_server_does_not_apply():
    """Nor does it where the server's version isn't known."""
    entry = Entry("xfail", "a.b", "r", server=">=15,<17")
    assert entry.applies("6.1", "16.4")
    assert not entry.applies("6.1", "17.0")
    assert not entry.applies("6.1", None)


def test_a_range_about_no_supported_release_is_dead():
    """But the release that runs may be another one."""
    entries = [Entry("xfail", "a.b", "r", django=d) for d in ("", "<5.2", "==6.2")]
    assert dead(entries, "6.1.3") == entries[1:]
    assert dead(entries, "6.2.1") == entries[1:2]
    assert not dead([Entry("xfail", "a.b", "r", django=">=5.2.5,<6.0")], "6.1.3")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", True),
        ("<6.0", True),
        (">=6.0,<6.0", False),
        (">6.0,<6.1", False),
        (">6.0.1,<6.1", True),
        (">=6.0,<6.1", True),
        (">6.1,<6.0", False),
        ("==6.0,!=6.0", False),
        ("==6.0,!=6.0.1", True),
        ("<1", True),
        ("<0", False),
    ],
)
def test_a_range_may_hold_no_version(spec, expected):
    assert possible(spec) is expected


def test_buckets_are_sentences():
    assert all(text.endswith(".") and len(text) > 40 for text in buckets().values())


def test_a_version_is_its_leading_numbers():
    assert parse_version("6.1.3") == (6, 1, 3)
    assert parse_version("6.1rc1") == (6, 1)
    assert parse_version("10.0") == (10, 0)
