import json
import os
import signal
import subprocess
import sys

import pytest

from backendkit.conformance.cli import main
from tests.waiting import PATIENCE, until

PLANS = {
    "good": {"good.T.a": "pass", "good.T.b": "skip"},
    "bad": {"bad.T.a": "pass", "bad.T.b": "fail", "bad.T.c": "pass"},
}


@pytest.fixture
def run(make_archive, tmp_path, capfd, monkeypatch):
    """Run the command on an archive; its status, output and JSON."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def run(plans, *args, expectations=""):
        listed = tmp_path / "expectations.toml"
        listed.write_text(expectations)
        report = tmp_path / "report.json"
        command = ["run", "fake_engine", "--archive", str(make_archive(plans))]
        command += ["--json", str(report), "--expectations", str(listed), *args]
        if "--baseline" not in args:
            command += ["--no-baseline"]
        status = main(command)
        out, err = capfd.readouterr()
        assert not list(tmp_path.glob("backendkit-*"))
        data = json.loads(report.read_text()) if report.exists() else {}
        return status, out + err, data

    return run


def verdicts(data):
    return {test["id"]: test["verdict"] for test in data["tests"]}


def test_all_as_expected(run):
    """Status 0, and the totals alone on the last line."""
    status, out, data = run(PLANS, "good")
    assert status == 0
    assert out.splitlines()[-1] == "1 passed, 0 failed, 1 skipped"
    assert data["ok"]
    assert (data["engine"], data["django"]) == ("fake_engine", "9.1.2")
    assert (data["server"], data["baseline"]) == ("16.4", None)
    assert verdicts(data) == {"good.T.a": "passed", "good.T.b": "skipped"}


def test_a_failure_deviates(run):
    status, out, data = run(PLANS, "all")
    assert status == 1
    assert "FAILED: bad.T.b\n    it did fail\n" in out
    assert out.splitlines()[-1] == "3 passed, 1 failed, 1 skipped"
    assert data["totals"] == {"passed": 3, "failed": 1, "skipped": 1}


def test_an_expected_failure_does_not(run):
    listed = '[[xfail]]\ntests = ["bad.T.b"]\nreason = "known"'
    status, out, data = run(PLANS, "bad", expectations=listed)
    assert status == 0
    assert out.splitlines()[-1] == "2 passed, 0 failed, 1 skipped"
    assert data["totals"] == {"passed": 2, "xfailed": 1}


def test_an_unexpected_pass_and_an_unknown_id_deviate(run):
    listed = '[[xfail]]\ntests = ["good.T.a", "good.T.x", "other.T"]\nreason = "known"'
    status, out, _ = run(PLANS, "good", expectations=listed)
    assert status == 1
    assert "UNEXPECTED PASS: good.T.a\n    It is listed as failing: known\n" in out
    assert "good.T.x is listed as" in out
    assert "other.T" not in out


def test_a_crash_and_a_hang_hide_no_other_test(run):
    """Each is an error of the test that ran; the label goes on without it."""
    plans = {
        "worse": {
            "worse.T.a": "pass",
            "worse.T.dies": "die",
            "worse.T.b": "pass",
            "worse.T.hangs": "hang",
            "worse.T.c": "pass",
        },
        **PLANS,
    }
    status, out, data = run(plans, "worse", "good", "--test-timeout", "0.7")
    assert status == 1
    assert verdicts(data) == {
        "worse.T.a": "passed",
        "worse.T.dies": "lost",
        "worse.T.b": "passed",
        "worse.T.hangs": "lost",
        "worse.T.c": "passed",
        "good.T.a": "passed",
        "good.T.b": "skipped",
    }
    assert "the process ended in this test, with status 3" in out
    assert "the test took more than 0.7 s" in out


def test_what_has_to_raise_is_looked_at(run):
    """The exception's name and text both count; an entry may say how a class fails."""
    plans = {
        "odd": {
            "odd.T.a": "raise django.db.utils.NotSupportedError: no NOWAIT here",
            "odd.T.b": "raise builtins.ValueError: no NOWAIT here",
            "odd.T.c": "raise django.db.utils.NotSupportedError: no SKIP LOCKED",
            "odd.T.d": "pass",
        }
    }
    listed = """
        [[raises]]
        tests = ["odd.T"]
        exception = "NotSupportedError"
        match = "no NO(WAIT|KEY)"
        bucket = "locking"
        reason = "Known."
    """
    status, out, data = run(plans, "odd", expectations=listed)
    assert status == 1
    assert verdicts(data) == {
        "odd.T.a": "raised",
        "odd.T.b": "failed",
        "odd.T.c": "failed",
        "odd.T.d": "unexpected pass",
    }
    assert "but it raised ValueError: no NOWAIT here" in out
    assert "but it raised django.db.utils.NotSupportedError: no SKIP LOCKED" in out
    assert data["tests"][0]["reason"].endswith("more than one row at a time. Known.")


def test_expectations_are_held_to_account(run):
    """What is listed and only skipped, or has no reason yet, fails the run."""
    listed = """
        [[xfail]]
        tests = ["good.T.b"]
        reason = "skipped by its own condition"
        [[xfail]]
        tests = ["bad.T.b"]
        reason = "FIXME: say why"
        [[xfail]]
        tests = ["bad.T.a"]
        reason = "another server"
        server = "<16"
        [[xfail]]
        tests = ["bad.T.c"]
        reason = "another Django"
        django = "<6"
    """
    listed = listed.replace("<6", "<6.0")
    status, out, data = run(PLANS, "all", expectations=listed)
    assert status == 1
    assert {problem["test"]: problem["kind"] for problem in data["problems"]} == {
        "good.T.b": "unproven",
        "bad.T.b": "unreviewed",
    }
    assert "UNPROVEN: good.T.b is listed as xfail, but was skipped" in out
    assert out.splitlines()[-1] == "3 passed, 2 failed, 2 skipped"


def test_a_range_without_a_release_is_a_wrong_call(run):
    listed = '[[xfail]]\ntests = ["good.T.a"]\nreason = "r"\ndjango = "<5.2"'
    status, out, _ = run(PLANS, "good", expectations=listed)
    assert status == 2
    assert "[[xfail]] number 1: django = '<5.2' matches no supported release" in out


BOTH = {
    "mixed": {
        "mixed.T.both": "pass",
        "mixed.T.there": {"fake_engine": "fail", "base_engine": "pass"},
        "mixed.T.here": {"fake_engine": "pass", "base_engine": "skip"},
        "mixed.T.neither": {"fake_engine": "fail", "base_engine": "fail"},
        "mixed.T.skipped_here": {"fake_engine": "skip", "base_engine": "pass"},
        "mixed.T.dies": {"fake_engine": "die", "base_engine": "fail"},
    },
    "empty": {},
}


def test_the_baseline_says_what_is_the_backends_doing(run):
    """What fails there too doesn't deviate, but a crash always does."""
    status, out, data = run(BOTH, "all", "--baseline", "base_engine")
    assert status == 1
    assert verdicts(data) == {
        "mixed.T.both": "passed",
        "mixed.T.there": "failed",
        "mixed.T.here": "passed",
        "mixed.T.neither": "fails there too",
        "mixed.T.skipped_here": "skipped",
        "mixed.T.dies": "lost",
    }
    assert data["baseline"]["engine"] == "base_engine"
    expected = {"both": 1, "there": 2, "here": 1, "ratio": 0.333333}
    assert data["comparison"] == expected
    assert [label["comparison"] for label in data["labels"]] in (
        [expected, {"both": 0, "there": 0, "here": 0, "ratio": 1.0}],
        [{"both": 0, "there": 0, "here": 0, "ratio": 1.0}, expected],
    )
    assert "Of 3 tests that pass on Base_engine, 1 pass here: 33.33 %. 1 pass" in out
    assert out.splitlines()[-1] == "2 passed, 2 failed, 2 skipped"


def test_enough_has_to_pass_if_that_is_asked_for(run):
    plans = {"mixed": {**BOTH["mixed"], "mixed.T.dies": "pass"}}
    listed = '[[xfail]]\ntests = ["mixed.T.there"]\nreason = "known"'
    args = ["mixed", "--baseline", "base_engine", "--require"]
    assert run(plans, *args, "50", expectations=listed)[0] == 0
    status, out, data = run(plans, *args, "50.1", expectations=listed)
    assert (status, data["ok"]) == (1, False)
    assert "This is less than the required 50.10%." in out


def test_what_is_listed_as_skip_is_not_run(run):
    plans = {"worse": {"worse.T.hangs": "hang", "worse.T.a": "pass"}}
    listed = '[[skip]]\ntests = ["worse.T.hangs"]\nreason = "hangs"'
    status, _, data = run(plans, "worse", expectations=listed)
    assert status == 0
    assert verdicts(data) == {"worse.T.hangs": "skipped", "worse.T.a": "passed"}


def test_a_label_may_not_take_for_ever(run):
    """After its time the tests that didn't run are errors too."""
    plans = {"slow": {"slow.T.a": "hang", "slow.T.b": "pass"}}
    status, out, data = run(plans, "slow", "--timeout", "0.7")
    assert status == 1
    assert verdicts(data) == {"slow.T.a": "lost", "slow.T.b": "lost"}
    assert "not run: the label took more than 0.7 s, in slow.T.a" in out


def test_a_label_that_does_not_start_is_an_error(run):
    """With what its process said."""
    status, out, data = run({"broken": "end"}, "broken")
    assert status == 1
    assert verdicts(data) == {"broken": "lost"}
    assert "no database" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "unknown label 'nope'"),
        (["good", "--django", "1.1"], "but 1.1 was asked for"),
        (["good", "--option", "x"], "KEY=VALUE"),
        (["good", "--option", "HOST=down"], "OSError: connection refused. Is the"),
        (["good", "--baseline", "nope"], "ENGINE 'nope' can't be loaded"),
    ],
)
def test_a_wrong_call_is_one_clear_line(run, args, message):
    status, out, _ = run(PLANS, *args)
    assert status == 2
    (line,) = out.splitlines()
    assert message in line


def test_an_engine_that_cannot_be_loaded_is_one_clear_line(make_archive, capfd):
    archive = make_archive(PLANS)
    assert main(["run", "no.such", "good", "--archive", str(archive)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "ENGINE 'no.such' can't be loaded: ImportError: no no.such" in line


@pytest.mark.parametrize(
    ("signum", "status"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 130, marks=pytest.mark.check),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_nothing_outlives_the_run(make_archive, tmp_path, signum, status):
    """No process and no folder, however it ends."""
    archive = make_archive({"slow": {"slow.T.a": "hang"}})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "backendkit.conformance", "run", "fake_engine"]
    command += ["slow", "--no-baseline"]
    run = subprocess.Popen(
        [*command, "--archive", str(archive)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    with run:
        # The job's log says that its test has begun.
        until(lambda: any(p.stat().st_size for p in scratch.rglob("log")))
        run.send_signal(signum)
        assert run.wait(PATIENCE) == status
    until(lambda: not list(scratch.iterdir()))
    until(lambda: not processes(str(scratch)))


def processes(text):
    listing = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    )
    return [line for line in listing.stdout.splitlines() if text in line]
