"""Stores with a defect, and whether Django's suite finds it: it is why we run it."""

import json
import unittest
from pathlib import Path

import pytest

from backendkit.conformance import _archive
from backendkit.conformance._errors import UsageError
from backendkit.conformance.cli import main
from backendkit.stores.testing import StoreContract

from .broken import stores

# By defect: labels where it has to show, and a test of each that is about it. Which
# rows DropsRows loses depends on what was read before, so none can be named.
SHOWS = {
    "DropsRows": {"aggregation": "", "lookup": ""},
    "WantsNullEqual": {
        "lookup": "tests.LookupQueryingTests.test_isnull_lookup_in_filter",
        "null_fk": "tests.NullFkTests.test_null_fk",
    },
    "NullsCollide": {
        "model_forms.tests.UniqueTest": "test_unique_null",
        "one_to_one": "tests.OneToOneTests.test_get_reverse_on_unsaved_object",
    },
    "ForgetsUnique": {
        "constraints": "tests.UniqueConstraintTests.test_database_constraint",
        "one_to_one": "tests.OneToOneTests.test_multiple_o2o",
    },
    "KeepsRolledBack": {"transactions": "tests.AtomicTests.test_rollback"},
    "KeepsSavepoint": {"transactions": "tests.AtomicTests.test_nested_commit_rollback"},
}
LABELS = sorted({label for labels in SHOWS.values() for label in labels})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run an ENGINE on labels of the installed release; exit status and report."""
    try:
        archive = str(_archive.get_source().root)
    except UsageError as e:
        pytest.skip(str(e))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    report = tmp_path / "report.json"

    def run(engine, labels, *options):
        args = ["run", engine, *labels, "--no-baseline", "--archive", archive]
        status = main([*args, "--json", str(report), *options])
        return status, json.loads(report.read_text("utf-8"))

    return run


def failed(report):
    """Ids of the tests that ran, and failed."""
    bad = {"failed", "error"}
    return {test["id"] for test in report["tests"] if test["verdict"] in bad}


@pytest.mark.check
def test_the_intact_store_passes(run):
    """What is found below isn't there without the defects."""
    status, report = run("backendkit.backends.memory", LABELS)
    assert status == 0
    assert failed(report) == set()
    assert report["totals"]["passed"] > 400


@pytest.mark.parametrize(
    "defect",
    [
        # One is enough to see that a defect makes a run fail.
        pytest.param(defect, marks=[pytest.mark.check] * (defect != "KeepsRolledBack"))
        for defect in SHOWS
    ],
)
def test_a_defect_is_found(run, defect):
    """Tests that are about it run to their end, and fail."""
    labels = SHOWS[defect]
    status, report = run("broken", labels, "--option", f"defect={defect}")
    assert status == 1
    found = failed(report)
    for label, test in labels.items():
        assert any(name.startswith(f"{label}.{test}") for name in found)
    # Most others aren't about it: it isn't just all of the store that is down.
    assert report["totals"]["passed"] > len(found)
    assert report["totals"].get("lost", 0) == 0


def test_what_the_engine_hides_the_contract_finds():
    """
    Django's suite doesn't see that NULL is less than numbers to NullIsLeast.

    SQLite evaluates ``<>`` itself, hands over no comparison with NULL, and leaves to
    the store alone only ``<`` and ``<=`` of numbers. No test of Django's compares a
    column in which there is a NULL so. Those of a store's contract do.
    """

    class Contract(StoreContract, unittest.TestCase):
        def make_store(self):
            return stores.NullIsLeast(timeout=0.05)

    result = unittest.TestResult()
    Contract("test_comparisons").run(result)
    assert len(result.failures) == 1
    assert not result.errors
