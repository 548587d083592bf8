"""The report as JUnit XML, which CI servers show test by test."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

# What XML 1.0 has no way to write, https://www.w3.org/TR/xml/#charsets.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: The element of a verdict; a test that passed has none.
_ELEMENTS = {
    "passed": None,
    "skipped": "skipped",
    "xfailed": "skipped",
    "raised": "skipped",
    "fails there too": "skipped",
    "failed": "failure",
    "unexpected pass": "failure",
    "error": "error",
    "lost": "error",
}


def write_junit(data: Mapping[str, Any], file: Path) -> None:
    """
    Write a report, as ``write_json`` writes it, as JUnit XML.

    A label is a suite. What failed as expected counts as skipped: JUnit has no
    word for it. Problems in the expectations are failures of a suite of their own.
    """
    tests: dict[str, list[Mapping[str, Any]]] = {}
    for test in data["tests"]:
        tests.setdefault(test["label"], []).append(test)
    suites = []
    for label in data["labels"]:
        cases = [_case(test) for test in tests.get(label["label"], [])]
        suite = _suite(label["label"], label["seconds"], cases)
        if label["output"]:
            ET.SubElement(suite, "system-out").text = _clean(label["output"])
        suites.append(suite)
    if data["problems"]:
        suites.append(_suite("expectations", 0.0, map(_problem, data["problems"])))
    compared = data["comparison"]
    if compared is not None and compared["ratio"] < data["require"]:
        case = _testcase("baseline", "enough of its tests pass here", 0.0)
        message = f"{compared['ratio']:.4%} pass, {data['require']:.4%} were asked for"
        ET.SubElement(case, "failure", {"type": "too few", "message": message})
        suites.append(_suite("baseline", 0.0, [case]))
    root = ET.Element(
        "testsuites",
        {
            "name": _clean(f"{data['engine']} on Django {data['django']}"),
            **_counts(root_case for suite in suites for root_case in suite),
            "time": _seconds(data["seconds"]),
        },
    )
    root.extend(suites)
    ET.indent(root)
    ET.ElementTree(root).write(file, "utf-8", xml_declaration=True)


def _suite(name: str, seconds: float, cases: Iterable[ET.Element]) -> ET.Element:
    cases = list(cases)
    suite = ET.Element(
        "testsuite",
        {"name": _clean(name), **_counts(cases), "time": _seconds(seconds)},
    )
    suite.extend(cases)
    return suite


def _counts(elements: Iterable[ET.Element]) -> dict[str, str]:
    """The attributes that count test cases."""
    cases = [element for element in elements if element.tag == "testcase"]
    found = Counter(child.tag for case in cases for child in case)
    return {
        "tests": str(len(cases)),
        "failures": str(found["failure"]),
        "errors": str(found["error"]),
        "skipped": str(found["skipped"]),
    }


def _case(test: Mapping[str, Any]) -> ET.Element:
    # Only a dotted name has a class in it: not "setUpClass (a.b.C)".
    path, _, name = test["id"].rpartition(".")
    if not path or " " in test["id"]:
        path, name = test["label"], test["id"]
    case = _testcase(path, name, test["seconds"])
    element = _ELEMENTS[test["verdict"]]
    if element == "skipped":
        ET.SubElement(case, element, {"message": _clean(_why_skipped(test))})
    elif element:
        kind, message = _what_happened(test)
        found = {"type": _clean(kind), "message": _clean(message)}
        ET.SubElement(case, element, found).text = _clean(test["detail"])
    return case


def _problem(problem: Mapping[str, str]) -> ET.Element:
    case = _testcase(f"expectations.{problem['kind']}", problem["test"], 0.0)
    message = f"listed as {problem['listed_as']}: {problem['text']}"
    found = {"type": problem["kind"], "message": _clean(message)}
    ET.SubElement(case, "failure", found)
    return case


def _testcase(classname: str, name: str, seconds: float) -> ET.Element:
    return ET.Element(
        "testcase",
        {
            "classname": _clean(classname),
            "name": _clean(name),
            "time": _seconds(seconds),
        },
    )


def _why_skipped(test: Mapping[str, Any]) -> str:
    if test["verdict"] == "skipped":
        return str(test["reason"] or test["detail"])
    parts = [test["verdict"], test["reason"], test["link"]]
    return ": ".join(part for part in parts if part)


def _what_happened(test: Mapping[str, Any]) -> tuple[str, str]:
    """The type and the message of a deviation."""
    if test["verdict"] == "unexpected pass":
        return "unexpected pass", f"passed, but is listed: {test['reason']}"
    if test["exceptions"]:
        last = test["exceptions"][-1]
        return last["types"][0], last["text"]
    lines = test["detail"].strip().splitlines()
    return test["verdict"], lines[-1] if lines else test["verdict"]


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _clean(text: str) -> str:
    r"""The text with what XML forbids written as Python would: ``\x1b``."""
    return _FORBIDDEN.sub(lambda found: ascii(found[0])[1:-1], text)
