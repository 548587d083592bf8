"""
The report as one HTML page: no network, no libraries, works from a file.

The page's own script draws it from the report, which is embedded as JSON. A
report holds texts of other people's programs, so the script puts them into the
page as text only, and a Content-Security-Policy lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def write_html(data: Mapping[str, Any], file: Path) -> None:
    """Write the page of a report, as ``write_json`` writes it, to a file."""
    file.write_text(render(data), "utf-8", newline="\n")


def render(data: Mapping[str, Any]) -> str:
    """The page of a report."""
    style = (_FOLDER / "report.css").read_text("utf-8")
    script = (_FOLDER / "report.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = (_FOLDER / "report.html").read_text("utf-8")
    # The data come last: nothing in them is taken for a place to fill.
    for name, text in {
        "policy": policy,
        "style": style,
        "script": script,
        "data": _embedded(_compact(data)),
    }.items():
        page = page.replace(f"@{name}@", text)
    return page


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that can't end the script element, or begin a comment, that it is in."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _compact(data: Mapping[str, Any]) -> dict[str, Any]:
    """
    The same with each text once, and a test as a short list.

    A test is its label's index, milliseconds, and indexes of texts: the page's
    script says in which order. What is empty at the end isn't there.
    """
    texts: dict[str, int] = {"": 0}

    def text(value: str) -> int:
        return texts.setdefault(value, len(texts))

    labels = {label["label"]: index for index, label in enumerate(data["labels"])}
    compared = {label["label"] for label in data["labels"] if label["comparison"]}
    tests = []
    for test in data["tests"]:
        # Only a dotted name has a path: not "setUpClass (a.b.C)".
        path, dot, _ = test["id"].rpartition(".") if " " not in test["id"] else [""] * 3
        row: list[Any] = [
            labels[test["label"]],
            text(path + dot),
            text(test["id"].removeprefix(path + dot)),
            text(test["verdict"]),
            round(test["seconds"] * 1000),
            text(test["baseline"] or ""),
            text(_passes_only(test) if test["label"] in compared else ""),
        ]
        if test["verdict"] != "passed":
            row += [
                text(test["reason"]),
                text(test["link"]),
                text(test["detail"]),
                [
                    [[text(name) for name in one["types"]], text(one["text"])]
                    for one in test["exceptions"]
                ],
            ]
        while not row[-1]:
            row.pop()
        tests.append(row)
    return {**data, "tests": tests, "texts": list(texts)}


def _passes_only(test: Mapping[str, Any]) -> str:
    """Where a test passes, if that is on one of the two backends."""
    here, there = test["outcome"] == "passed", test["baseline"] == "passed"
    if here == there:
        return ""
    return "here" if here else "there"
