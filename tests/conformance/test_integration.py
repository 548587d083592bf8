"""The real thing: a release's own suite on Django's own SQLite backend."""

import json

import pytest

from backendkit.conformance.cli import main

ENGINE = """
from django.db.backends.sqlite3 import base

class DatabaseOperations(base.DatabaseWrapper.ops_class):
    # Nothing is ever NULL.
    def lookup_cast(self, lookup_type, internal_type=None):
        cast = super().lookup_cast(lookup_type, internal_type)
        return "COALESCE(%s, 0)" if lookup_type == "isnull" else cast

class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations
"""


def test_stock_sqlite_passes(archive, tmp_path, capfd):
    report = tmp_path / "report.json"
    args = ["run", "django.db.backends.sqlite3", "basic", "--archive", archive]
    assert main([*args, "--json", str(report)]) == 0
    out = capfd.readouterr().out
    assert out.splitlines()[-1].endswith("passed, 0 failed, 3 skipped")
    tests = {test["id"]: test for test in json.loads(report.read_text())["tests"]}
    assert len(tests) > 75
    assert tests["basic.tests.ModelTest.test_eq"]["verdict"] == "passed"


@pytest.mark.check
def test_a_broken_backend_is_found_out(archive, tmp_path, capfd, monkeypatch):
    """And a class that isn't there is a wrong call."""
    (tmp_path / "broken_engine").mkdir()
    (tmp_path / "broken_engine" / "__init__.py").write_text("")
    (tmp_path / "broken_engine" / "base.py").write_text(ENGINE)
    monkeypatch.chdir(tmp_path)
    args = ["run", "broken_engine", "--option", "NAME=", "--archive", archive]
    assert main([*args, "null_queries"]) == 1
    assert "FAILED: null_queries.tests.NullQueriesTests." in capfd.readouterr().out
    assert main([*args, "basic.tests.Nope"]) == 2
    assert "unknown label in basic" in capfd.readouterr().err
