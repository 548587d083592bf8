"""The benchmark with many rows works. How fast anything is isn't tested."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backendkit.backends.immudb.server import ServerNotFound, find
from benchmarks import immudb_clients
from benchmarks import report as reporting
from benchmarks.immudb_million import report, rows
from benchmarks.immudb_million.__main__ import plan
from benchmarks.immudb_million.reads import READS

ROOT = Path(__file__).resolve().parents[2]
STEP = {"name": "load", "rows": 7, "seconds": 2.0, "processor": 1.0}
STEP |= {"peak": 2**26, "server": 2**27}
READ = {"name": "get", "django": [0.002, 0.004], "driver": [0.001, 0.001]}


@pytest.mark.check
def test_all_steps_do_what_they_should_and_reads_find_the_same(tmp_path):
    try:
        find()
    except ServerNotFound as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    path = tmp_path / "found.json"
    options = ["--rows", "2000", "--json", path, "--directory", tmp_path / "data"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.immudb_million", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "data").iterdir()) == []
    found = json.loads(path.read_text(encoding="utf-8"))
    named = [name for name, *_ in plan(2000) if name]
    assert [one["name"] for one in found["steps"]] == named
    assert all(one["seconds"] > 0 and one["peak"] > 2**20 for one in found["steps"])
    assert [one["name"] for one in found["reads"]] == list(READS.values())


def test_rows_are_the_same_in_each_run_and_no_two_have_one_time():
    every = [rows.event(number, 2000) for number in range(2000)]
    assert every == [rows.event(number, 2000) for number in range(2000)]
    times = [one["created"] for one in every]
    assert sorted(set(times)) == times
    for name in {one["name"] for one in every}:
        assert sum(one["name"] == name for one in every) == rows.ALIKE
        # What it begins with finds as many.
        assert sum(one["name"].startswith(name[:-1]) for one in every) == rows.ALIKE


def test_a_read_is_slow_if_it_misses_either_target():
    def line(django, driver):
        return report.Line("", [django] * 3, [driver] * 3).met

    assert line(0.003, 0.001)
    assert not line(0.0031, 0.001)
    assert line(2.9, 1.0)
    assert line(0.051, 0.02)
    assert not line(0.0501, 0.0099)


def test_the_page_has_one_section_among_others(tmp_path):
    (tmp_path / "internals").mkdir()
    page = tmp_path / "benchmarks.md"
    other = f"# Page\n\n{immudb_clients.HEADING}\n\nFORMER\n"
    page.write_text(other, encoding="utf-8")
    machine = reporting.Machine({"date": "today"})
    for number in (1, 2):
        report.write(page, report.section(number, [STEP], [READ], machine))
        text = page.read_text(encoding="utf-8")
        assert text.startswith(other)
        assert text.count(report.BEGIN) == text.count(report.END) == 1
        assert f"## {number:,} rows on immudb" in text
    immudb_clients.write(tmp_path, [], machine)
    text = page.read_text(encoding="utf-8")
    assert "FORMER" not in text
    assert text.index(immudb_clients.HEADING) < text.index("## 2 rows on immudb")
    page.write_text(f"{text}\n## more\n", encoding="utf-8")
    report.write(page, report.section(3, [STEP], [READ], machine))
    assert page.read_text(encoding="utf-8").endswith(f"{report.END}\n\n## more\n")


def test_a_step_that_failed_is_told():
    failed = {"name": "flush", "rows": 7, "error": "too large"}
    assert "FAILED" in report.terminal([STEP, failed], [READ])
