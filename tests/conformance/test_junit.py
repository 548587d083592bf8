"""JUnit XML, read back as a CI server does."""

from xml.etree import ElementTree as ET

import pytest

from backendkit.conformance._junit import write_junit

from .reports import DATA_ERROR, a_label, a_report, a_test


@pytest.fixture
def read_back(tmp_path):
    """Return a function that writes a report and parses it."""

    def read_back(report):
        write_junit(report, tmp_path / "junit.xml")
        return ET.parse(tmp_path / "junit.xml").getroot()

    return read_back


def only(root, path):
    """The one element at a path."""
    (element,) = root.findall(path)
    return element


def counted(element):
    return {
        name: int(element.get(name))
        for name in ("tests", "failures", "errors", "skipped")
    }


def test_counts_and_times(read_back):
    """
    A label is a suite; the attributes say what is in it.
    """
    tests = [
        a_test("queries.tests.Q.test_a", seconds=0.25),
        a_test("queries.tests.Q.test_b", "failed"),
        a_test("queries.tests.Q.test_c", "unexpected pass"),
        a_test("queries.tests.Q.test_d", "error"),
        a_test("queries.tests.Q.test_e", "lost"),
        a_test("basic.tests.B.test_f", "skipped", "basic"),
        a_test("basic.tests.B.test_g", "xfailed", "basic"),
        a_test("basic.tests.B.test_h", "raised", "basic"),
        a_test("basic.tests.B.test_i", "fails there too", "basic"),
    ]
    root = read_back(a_report(tests))

    queries, basic = root
    assert (root.tag, queries.tag) == ("testsuites", "testsuite")
    assert root.get("name") == "backendkit.backends.lmdb on Django 6.1.3"
    assert (queries.get("name"), basic.get("name")) == ("queries", "basic")
    assert counted(queries) == {"tests": 5, "failures": 2, "errors": 2, "skipped": 0}
    assert counted(basic) == {"tests": 4, "failures": 0, "errors": 0, "skipped": 4}
    assert counted(root) == {"tests": 9, "failures": 2, "errors": 2, "skipped": 4}
    assert (root.get("time"), queries.get("time")) == ("321.000", "5.250")

    passed = queries[0]
    assert dict(passed.attrib) == {
        "classname": "queries.tests.Q",
        "name": "test_a",
        "time": "0.250",
    }
    assert list(passed) == []


def test_deviations_say_what_happened(read_back):
    """
    A deviation has the exception's type and text, and the traceback.
    """
    tests = [
        a_test("a.T.raises", "error", exceptions=[DATA_ERROR], detail="Trace\nback"),
        a_test("a.T.dies", "lost", detail="...\nthe process ended with status -9\n"),
        a_test("a.T.says_nothing", "lost"),
        a_test("a.T.passes", "unexpected pass", reason="no such function"),
    ]
    root = read_back(a_report(tests))

    raises, dies, says_nothing = root.findall(".//error")
    assert raises.get("type") == "django.db.utils.DataError"
    assert raises.get("message") == "Value is too long."
    assert raises.text == "Trace\nback"
    assert dies.get("type") == "lost"
    assert dies.get("message") == "the process ended with status -9"
    assert says_nothing.get("message") == "lost"
    failure = only(root, ".//failure")
    assert failure.get("type") == "unexpected pass"
    assert failure.get("message") == "passed, but is listed: no such function"


def test_skips_say_why(read_back):
    """
    What failed as expected is a skip, whose message says which kind, and why.
    """
    tests = [
        a_test("a.T.skips", "skipped", reason="needs PostgreSQL"),
        a_test("a.T.fails", "xfailed", reason="no NOWAIT", link="https://e.org/1"),
        a_test("a.T.raises", "raised", reason="no files"),
        a_test("a.T.root", "fails there too"),
    ]
    root = read_back(a_report(tests))

    assert [skip.get("message") for skip in root.findall(".//skipped")] == [
        "needs PostgreSQL",
        "xfailed: no NOWAIT: https://e.org/1",
        "raised: no files",
        "fails there too",
    ]


def test_problems_fail(read_back):
    """
    A problem in the expectations is a failing test of its own suite.
    """
    problem = {
        "kind": "unknown",
        "test": "a.b.C.d",
        "listed_as": "xfail",
        "text": "no test is called so",
    }
    root = read_back(a_report([a_test("a.T.passes")], problems=[problem]))

    suite = only(root, "testsuite[@name='expectations']")
    assert counted(suite) == {"tests": 1, "failures": 1, "errors": 0, "skipped": 0}
    assert counted(root) == {"tests": 2, "failures": 1, "errors": 0, "skipped": 0}
    case = only(suite, "testcase")
    assert case.get("classname") == "expectations.unknown"
    assert case.get("name") == "a.b.C.d"
    message = only(case, "failure").get("message")
    assert message == "listed as xfail: no test is called so"


def test_output_of_a_label(read_back):
    """
    A label's output is the suite's; a label without tests is there too.
    """
    labels = [a_label("gis", [], output="no GDAL\nat all"), a_label("basic", [])]
    root = read_back(a_report([], labels))

    gis, basic = root
    assert only(gis, "system-out").text == "no GDAL\nat all"
    assert list(basic) == []
    assert counted(gis)["tests"] == 0


def test_names_that_have_no_class(read_back):
    """
    What isn't a test's dotted name belongs to its label.
    """
    tests = [
        a_test("setUpClass (servers.tests.S)", "error", "servers"),
        a_test("servers", "lost", "servers"),
    ]
    root = read_back(a_report(tests))

    assert [(c.get("classname"), c.get("name")) for c in root.iter("testcase")] == [
        ("servers", "setUpClass (servers.tests.S)"),
        ("servers", "servers"),
    ]


def test_any_text_can_be_parsed(read_back):
    """
    Markup is text, and what XML can't write is written as Python would.
    """
    markup = """</testcase><failure message="&amp;'"/><![CDATA[ ]]> <?x?> <!-- -->"""
    control = "\x00\x1b[31m\x0b\x7f\ud800\ufffe\U0001f600 é\ttab"
    shown = "\\x00\\x1b[31m\\x0b\x7f\\ud800\\ufffe\U0001f600 é\ttab"
    text, expected = f"{markup}{control}", f"{markup}{shown}"
    exception = {"types": [text], "text": text}
    problem = {"kind": "unknown", "test": text, "listed_as": "skip", "text": text}
    label = "queries" + text
    tests = [
        a_test(text, "failed", label, detail=text, exceptions=[exception]),
        a_test(text, "skipped", label, reason=text),
    ]
    labels = [a_label(label, tests, output=text)]
    root = read_back(a_report(tests, labels, [problem]))

    assert counted(root) == {"tests": 3, "failures": 2, "errors": 0, "skipped": 1}
    suite = root[0]
    assert suite.get("name") == f"queries{expected}"
    assert only(suite, "system-out").text == expected
    assert suite[0].get("name") == expected
    failure = only(suite, ".//failure")
    assert failure.get("message") == failure.get("type") == failure.text == expected
    assert only(suite, ".//skipped").get("message") == expected
    assert root[1][0].get("name") == expected


def test_too_few_pass(read_back):
    """
    What --require asked for is a test of its own.
    """
    fine = a_test("basic.tests.B.test_fine")
    root = read_back(a_report([fine], ok=False, require=1.01))
    case = only(root, "testsuite[@name='baseline']/testcase")
    assert case.find("failure").get("message").startswith("100.0000% pass, 101")
    assert read_back(a_report([fine], require=1.0)).find(".//failure") is None
