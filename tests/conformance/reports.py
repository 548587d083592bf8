"""Reports as the runner writes them, with what a test is about."""

from collections import Counter

DEVIATIONS = {"failed", "error", "lost", "unexpected pass"}
DATA_ERROR = {
    "types": [
        "django.db.utils.DataError",
        "django.db.utils.DatabaseError",
        "django.db.utils.Error",
        "builtins.Exception",
    ],
    "text": "Value is too long.",
}


def a_test(name, verdict="passed", label="queries", **values):
    """One test of a report."""
    outcome = {
        "passed": "passed",
        "unexpected pass": "passed",
        "skipped": "skipped",
        "error": "error",
    }.get(verdict, "failed")
    return {
        "id": name,
        "label": label,
        "outcome": outcome,
        "verdict": verdict,
        "seconds": 0.01,
        "detail": "",
        "exceptions": [],
        "reason": "",
        "link": "",
        "baseline": "passed",
        **values,
    }


def a_label(label, tests, **values):
    own = [test for test in tests if test["label"] == label]
    return {
        "label": label,
        "seconds": 5.25,
        "statuses": [0],
        "output": "",
        "totals": dict(Counter(test["verdict"] for test in own)),
        "comparison": comparison(own),
        **values,
    }


def a_report(tests, labels=None, problems=(), **values):
    """A report of tests, with all that is counted from them."""
    if labels is None:
        names = dict.fromkeys(test["label"] for test in tests)
        labels = [a_label(name, tests) for name in names]
    totals = Counter(test["verdict"] for test in tests)
    return {
        "schema": 1,
        "require": 0.0,
        "engine": "backendkit.backends.lmdb",
        "display_name": "LMDB",
        "server": "1.2.3",
        "django": "6.1.3",
        "archive_sha256": "ab" * 32,
        "python": "3.13.0",
        "platform": "Linux",
        "started": "2026-11-21T15:00:00+0000",
        "parallel": 2,
        "seconds": 321.0,
        "ok": not (problems or DEVIATIONS & totals.keys()),
        "baseline": {
            "engine": "django.db.backends.sqlite3",
            "display_name": "SQLite",
            "server": "3.45.1",
        },
        "totals": dict(totals),
        "comparison": comparison(tests),
        "labels": labels,
        "problems": list(problems),
        "tests": tests,
        **values,
    }


def comparison(tests):
    here = {test["id"] for test in tests if test["outcome"] == "passed"}
    there = {test["id"] for test in tests if test["baseline"] == "passed"}
    both = len(here & there)
    return {
        "both": both,
        "there": len(there - here),
        "here": len(here - there),
        "ratio": round(both / len(there), 6) if there else 1.0,
    }
