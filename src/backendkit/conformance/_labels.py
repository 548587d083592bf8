"""Which of Django's test labels to run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ._errors import UsageError

# As tests/runtests.py does: packages in tests/ that aren't labels. gis_tests
# need a spatial database.
NOT_LABELS = {"gis_tests", "import_error_package", "test_runner_apps"}


def _data() -> dict[str, Any]:
    text = (Path(__file__).parent / "labels.toml").read_text("utf-8")
    return tomllib.loads(text)


def named_sets() -> Mapping[str, list[str]]:
    """The sets of ``labels.toml``."""
    sets: dict[str, list[str]] = _data()["sets"]
    return sets


def all_labels(tests: Path) -> list[str]:
    """Every label of the release, sorted."""
    return sorted(
        folder.name
        for folder in tests.iterdir()
        if "." not in folder.name
        and folder.name not in NOT_LABELS
        and (folder / "__init__.py").is_file()
    )


def expand(names: Iterable[str], tests: Path) -> dict[str, list[str]]:
    """
    Labels by the module of ``tests/`` that they are in; sets are expanded.

    ``["queries.tests.A", "basic", "queries.tests.B"]`` gives
    ``{"queries": ["queries.tests.A", "queries.tests.B"], "basic": ["basic"]}``.

    Raises:
        UsageError: a label isn't in this release.

    """
    sets = {**named_sets(), "all": all_labels(tests)}
    known = set(sets["all"])
    groups: dict[str, list[str]] = {}
    for name in names:
        for label in sets.get(name, [name.rstrip("/").replace("/", ".")]):
            module = label.split(".")[0]
            if module not in known:
                raise UsageError(
                    f"unknown label {label!r}: {tests} has no such package. The named"
                    f" sets are {', '.join(sorted(sets))}"
                )
            group = groups.setdefault(module, [])
            if label == module:
                # The whole module includes what was named of it.
                group[:] = [module]
            elif group != [module] and label not in group:
                group.append(label)
    return groups


def longest_first(modules: Iterable[str], tests: Path) -> list[str]:
    """Labels in the order to start them, guessed by the size of their tests."""
    slow: list[str] = _data()["slow"]

    def rank(module: str) -> tuple[int, int, str]:
        files = (tests / module).rglob("test*.py")
        size = sum(file.stat().st_size for file in files)
        place = slow.index(module) if module in slow else len(slow)
        return (place, -size, module)

    return sorted(modules, key=rank)
