"""The benchmarks work. How fast anything is isn't tested: machines differ."""

import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from backendkit.backends.immudb.server import ServerNotFound, find
from benchmarks import immudb_clients, measuring, profile_get, report
from benchmarks.groups import FLOOR, KEY, PROCESS, TARGETS

ROOT = Path(__file__).resolve().parents[2]


def run_quickly(directory, part):
    """Measure one part quickly; return what was printed and what was measured."""
    path = directory / "results.json"
    options = ["--only", part, "--json", path, "--directory", directory / "data"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list((directory / "data").iterdir()) == []
    return done.stdout, json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A quick run: what it printed and what it measured."""
    return run_quickly(tmp_path_factory.mktemp("bench"), "lmdb")


@pytest.fixture(scope="module")
def results(quick):
    """What a quick run measured."""
    keys = ("name", "group", "unit", "calls", "values")
    return [
        measuring.Result(*(one[key] for key in keys)) for one in quick[1]["results"]
    ]


@pytest.mark.check
def test_django_on_immudb_finds_what_other_clients_find(tmp_path):
    """A quick run ends well, with all lines; and no page but its own is touched."""
    try:
        find()
    except ServerNotFound as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    pytest.importorskip("immudb")
    pytest.importorskip("psycopg")
    printed, measured = run_quickly(tmp_path, "immudb")
    found = measured["immudb"]
    assert len(found["results"]) == 4
    lines = [
        immudb_clients.Line(
            one["name"], one["values"], one["calls"], one["target"], one["most calls"]
        )
        for one in found["results"]
    ]
    for line in lines:
        assert line.name in printed
        assert line.calls >= 1
    assert lines[0].calls <= 2  # the other one is whether the tables are the same
    assert [line.met is None for line in lines] == [False] * 4
    page = tmp_path / "benchmarks.md"
    (tmp_path / "internals").mkdir()
    page.write_text(f"before\n\n{immudb_clients.HEADING}\n\nFORMER\n", encoding="utf-8")
    immudb_clients.write(tmp_path, lines, report.Machine(found["facts"]))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n\n## immudb\n\nThis table")
    assert "FORMER" not in text
    fragment = tmp_path / "internals/benchmarks-immudb.txt"
    for line in lines:
        assert line.name in text
        assert line.name in fragment.read_text(encoding="utf-8")


def result(group, ratio):
    """A result with a ratio of its own."""
    return measuring.Result(
        "one", group, "s", 1, {"sqlite": [1.0, 2.0, 4.0], "lmdb": [ratio, 2 * ratio, 9]}
    )


@pytest.mark.check
def test_every_operation_is_measured_on_both_engines(quick, results):
    # The answers were compared by the run itself, which ended well.
    assert {one.group for one in results} == {*TARGETS, FLOOR}
    for one in results:
        assert one.calls >= 1
        assert all(math.isfinite(ratio) and ratio > 0 for ratio in one.ratios), one
        assert one.name in quick[0]
    assert quick[1]["geometric mean"] == measuring.mean_of(results).ratio


@pytest.mark.check
def test_the_documentation_gets_table_plot_and_facts(quick, results, tmp_path):
    (tmp_path / "internals").mkdir()
    other = "## immudb\n\nAnother part writes this.\n"
    (tmp_path / "benchmarks.md").write_text(f"FORMER\n\n{other}", encoding="utf-8")
    mean = measuring.mean_of(results)
    report.write(tmp_path, results, mean, report.Machine(quick[1]["facts"]))
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert page.endswith(other)
    assert "FORMER" not in page
    fragment = (tmp_path / "internals/benchmarks.txt").read_text(encoding="utf-8")
    for one in results:
        assert one.name in page
        assert one.name in fragment
    for text in quick[1]["facts"].values():
        assert text in page
    plot = ET.parse(tmp_path / "benchmarks.svg")
    bars = [one for one in plot.iter() if one.tag.endswith("rect")]
    assert len(bars) == 1 + sum(one.target is not None for one in results)


def test_a_ratio_above_its_target_is_not_met():
    assert result(KEY, 1.0).met
    assert not result(KEY, 1.001).met
    assert result(PROCESS, 1.2).met
    assert result(FLOOR, 5.0).met is None


def test_the_mean_is_of_operations_alone():
    results = [result(KEY, 0.5), result(KEY, 2.0), result(PROCESS, 9), result(FLOOR, 9)]
    assert measuring.mean_of(results).ratio == pytest.approx(1.0)


def test_different_answers_end_the_run():
    class Fake:
        def __init__(self, answer):
            self.answer = answer

        def ask(self, *words):
            return self.answer

    with pytest.raises(measuring.DifferentAnswersError, match="answer"):
        measuring._same({"sqlite": Fake("1"), "lmdb": Fake("2")}, "answer", 0)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0000123, "s", "12.3 µs"),
        (0.000123, "s", "123 µs"),
        (0.00123, "s", "1.23 ms"),
        (12.3, "s", "12.3 s"),
        (3 * 2**20, "B", "3.0 MiB"),
    ],
)
def test_amounts_have_three_digits(value, unit, text):
    assert report.amount(value, unit) == text


@pytest.mark.check
def test_the_profile_has_all_layers():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.profile_get", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = {
        line[:-18].rstrip(): line[-18:].split() for line in done.stdout.splitlines()
    }
    assert set(profile_get.LAYERS) < set(lines)
    for layer in (profile_get.LMDB, profile_get.SQLITE, profile_get.CODEC):
        assert len(lines[layer]) == 1
    for layer in (profile_get.QUERYSET, profile_get.PLAN, profile_get.INSTANCE):
        assert all(float(time) > 0 for time in lines[layer])
