import json
from pathlib import Path

import pytest

from backendkit.conformance import Outcome
from backendkit.conformance._archive import get_source
from backendkit.conformance._errors import UsageError
from backendkit.conformance._jobs import _most_recent_last
from backendkit.conformance._labels import expand, named_sets
from backendkit.conformance._results import Recorder
from backendkit.conformance._settings import databases, parse_options


def test_options_are_settings_or_entries_of_options():
    """Capitals say which; values are JSON or text."""
    assert parse_options(["HOST=db", "TEST.NAME=t", "size=3", "mode=fast=er"]) == {
        "HOST": "db",
        "TEST": {"NAME": "t"},
        "OPTIONS": {"size": 3, "mode": "fast=er"},
    }
    with pytest.raises(UsageError, match="isn't a table"):
        parse_options(["TEST=1", "TEST.NAME=t"])


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("django.db.backends.sqlite3", None),
        ("django.db.backends.postgresql", "job1_other"),
        ("someone.backend", "/tmp/f/other"),
    ],
)
def test_each_alias_has_a_database_of_its_own(engine, name):
    tables = databases(engine, {"OPTIONS": {"p": "{folder}"}}, Path("/tmp/f"), "job1")
    assert sorted(tables) == ["default", "other"]
    assert tables["other"].get("NAME") == name
    assert tables["other"]["OPTIONS"] == {"p": "/tmp/f"}


def test_labels_are_grouped_by_their_module(make_archive):
    """What is named whole includes what is named of it."""
    tests = get_source(archive=make_archive({"one": {}, "two": {}})).tests
    assert expand(["two.tests.A", "one/", "two.tests.B"], tests) == {
        "two": ["two.tests.A", "two.tests.B"],
        "one": ["one"],
    }
    assert expand(["one.tests", "one", "one.more"], tests) == {"one": ["one"]}
    assert expand(["all"], tests) == {"one": ["one"], "two": ["two"]}


def test_named_sets_name_each_label_once():
    for labels in named_sets().values():
        assert len(labels) == len(set(labels))


def recorded(file, *events):
    recorder = Recorder()
    recorder.follow(file)
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    recorder.poll()
    return recorder


def test_a_class_that_cannot_be_set_up_is_a_result_of_its_tests(tmp_path):
    """Those without one of their own, so that no test goes uncounted."""
    recorder = recorded(
        tmp_path / "log",
        {"event": "collect", "ids": ["a.C.x", "a.C.y", "a.Cx.z"]},
        {"event": "end", "id": "a.C.x", "outcome": "passed"},
        {"event": "fixture", "id": "setUpClass (a.C)", "outcome": "error"},
        {"event": "fixture", "id": "tearDownClass (a.Cx)", "outcome": "failed"},
    )
    assert {test: r.outcome for test, r in recorder.results.items()} == {
        "a.C.x": Outcome.PASSED,
        "a.C.y": Outcome.ERROR,
        "tearDownClass (a.Cx)": Outcome.FAILED,
    }
    assert recorder.missing() == ["a.Cx.z"]


def test_a_line_that_was_cut_is_read_when_it_is_whole(tmp_path):
    log = tmp_path / "log"
    recorder = recorded(log)
    line = json.dumps({"event": "end", "id": "a", "outcome": "passed"}) + "\n"
    with log.open("a") as file:
        file.write(line[:20])
        file.flush()
        assert not recorder.poll()
        file.write(line[20:])
        file.flush()
        assert recorder.poll()
    assert recorder.results["a"].outcome is Outcome.PASSED


def test_the_worse_of_two_results_is_kept(tmp_path):
    """A class that two modules import has its tests twice under one id."""
    ends = [
        {"event": "end", "id": "a", "outcome": outcome}
        for outcome in ("passed", "failed", "passed")
    ]
    assert recorded(tmp_path / "log", *ends).results["a"].outcome is Outcome.FAILED


def test_stacks_read_like_tracebacks():
    given = ["Thread 1 (most recent call first):", "  b", "  a", ""]
    given += ["Current thread 2 (most recent call first):", "  d", "  c"]
    assert _most_recent_last(given) == [
        *["Thread 1 (most recent last):", "  a", "  b"],
        *["Current thread 2 (most recent last):", "  c", "  d"],
    ]
