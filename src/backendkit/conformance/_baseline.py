"""
The baseline: what the same tests do on Django's own SQLite backend.

Its results depend on nothing of the backend under test, so those of labels that ran
whole are kept in the cache: ``baseline/<hash>.json``, one file for one release,
Python, set of installed packages, and kind of user (some tests fail for root).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ._archive import SourceTree, cache_folder
from ._jobs import LabelRun
from ._results import Outcome

ENGINE = "django.db.backends.sqlite3"

Outcomes = dict[str, Outcome]


class BaselineCache:
    """Outcomes per label, by test."""

    def __init__(self, tree: SourceTree, engine: str) -> None:
        packages = sorted(
            f"{found.metadata['Name']}=={found.version}"
            for found in importlib.metadata.distributions()
        )
        key = {
            "format": 1,
            "archive": tree.sha256,
            "engine": engine,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "sqlite": sqlite3.sqlite_version,
            "packages": packages,
            "root": hasattr(os, "geteuid") and os.geteuid() == 0,
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        self._file = cache_folder() / "baseline" / f"{digest[:16]}.json"
        # A folder that someone unpacked may have been changed, and another engine
        # may be anything: SQLite comes with Python.
        self._usable = bool(tree.sha256) and engine == ENGINE

    def get(self, labels: Iterable[str]) -> dict[str, Outcomes]:
        """What is known of some labels."""
        known = self._read()
        return {label: known[label] for label in labels if label in known}

    def add(self, runs: Iterable[LabelRun]) -> None:
        """Keep labels that ran whole, and in which no test was lost."""
        if not self._usable:
            return
        known = self._read()
        for run in runs:
            found = outcomes(run)
            if run.whole and Outcome.LOST not in found.values():
                known[run.label] = found
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=self._file.parent, delete=False, encoding="utf-8"
        ) as scratch:
            json.dump(known, scratch)
        Path(scratch.name).replace(self._file)

    def _read(self) -> dict[str, Outcomes]:
        if not self._usable or not self._file.is_file():
            return {}
        data = json.loads(self._file.read_text("utf-8"))
        return {
            label: {test: Outcome(outcome) for test, outcome in found.items()}
            for label, found in data.items()
        }


def outcomes(run: LabelRun) -> Outcomes:
    """A label's outcomes by test."""
    return {result.id: result.outcome for result in run.results}
