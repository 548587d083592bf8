import json
import os
import signal
import subprocess
import sys
import time

import pytest

from backendkit.conformance.cli import main

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
    assert "UNEXPECTED PASS: good.T.a\n    It is listed as xfail: known\n" in out
    assert "no test is called good.T.x" in out
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
        "worse.T.dies": "error",
        "worse.T.b": "passed",
        "worse.T.hangs": "error",
        "worse.T.c": "passed",
        "good.T.a": "passed",
        "good.T.b": "skipped",
    }
    assert "the process ended in this test, with status 3" in out
    assert "no end for 0.7 s" in out


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
    assert verdicts(data) == {"slow.T.a": "error", "slow.T.b": "error"}
    assert "not run: the label took over 0.7 s, in slow.T.a" in out


def test_a_label_that_does_not_start_is_an_error(run):
    """With what its process said."""
    status, out, data = run({"broken": "end"}, "broken")
    assert status == 1
    assert verdicts(data) == {"broken": "error"}
    assert "no database" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope"], "unknown label 'nope'"),
        (["good", "--django", "1.1"], "but 1.1 was asked for"),
        (["good", "--option", "x"], "KEY=VALUE"),
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
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_nothing_outlives_the_run(make_archive, tmp_path, signum, status):
    """No process and no folder, however it ends."""
    archive = make_archive({"slow": {"slow.T.a": "hang"}})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "backendkit.conformance"]
    run = subprocess.Popen(
        [*command, "run", "fake_engine", "slow", "--archive", str(archive)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    # The job's log says that its test has begun.
    wait_for(lambda: any(p.stat().st_size for p in scratch.rglob("log")))
    run.send_signal(signum)
    assert run.wait(10) == status
    wait_for(lambda: not list(scratch.iterdir()))
    wait_for(lambda: not processes(str(scratch)))


def wait_for(condition):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it didn't happen in 10 seconds")


def processes(text):
    listing = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    )
    return [line for line in listing.stdout.splitlines() if text in line]
