"""
Labels, each run in a process of its own, several at a time.

A test that hangs or kills its process is lost, and the label goes on without it in
a new process; so no test hides another one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _guard, _served
from ._archive import SourceTree, cache_folder
from ._results import Outcome, Recorder, TestResult
from ._settings import (
    MODULE,
    databases,
    environment,
    on_a_server,
    write_settings,
)

# Attempts of one label: each one but the first follows a crash or a hang.
MAX_ATTEMPTS = 20

_POLL = 0.05  # seconds


@dataclass(frozen=True)
class Plan:
    """What all jobs of a run have in common."""

    tree: SourceTree
    engine: str
    options: Mapping[str, Any]
    #: The run's temporary folder; each job gets one in it, below the plan's name.
    folder: Path
    name: str = "run"
    #: Seconds that one label may take.
    timeout: float = 1800.0
    #: Seconds in which one test has to end, or the next one to start.
    test_timeout: float = 300.0
    #: Ids and prefixes that aren't run.
    leave_out: Sequence[str] = ()
    #: Only find out which tests there are; no database is made.
    collect_only: bool = False
    #: Keep the jobs' folders.
    keep: bool = False

    @property
    def pycache(self) -> Path:
        return cache_folder() / "pycache"


@dataclass
class LabelRun:
    """What became of one label."""

    label: str
    #: Whether all of the label was asked for.
    whole: bool
    collected: list[str]
    results: list[TestResult]
    seconds: float
    #: Exit status of each attempt; None if it was killed for its time.
    statuses: list[int | None] = field(default_factory=list)
    #: The last lines of its output, if a process didn't end well.
    output: str = ""


class Job:
    """One label in a process, and its next attempts."""

    def __init__(self, plan: Plan, module: str, labels: Sequence[str]) -> None:
        self.plan = plan
        self.module = module
        self.labels = list(labels)
        self.folder = plan.folder / plan.name / module
        self.recorder = Recorder()
        self.statuses: list[int | None] = []
        self._output = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._attempt_began = self._last_line = time.monotonic()

    def start(self) -> None:
        """Start the next attempt, with the tests that have no result yet."""
        attempt = self.folder / str(len(self.statuses))
        # Databases are in here, so that no attempt sees what another one left.
        attempt.mkdir(parents=True)
        self._attempt = attempt
        log, stacks, job = attempt / "log", attempt / "stacks", attempt / "job.json"
        job.write_text(
            json.dumps(
                {
                    "log": str(log),
                    "stacks": str(stacks),
                    "leave_out": list(self.plan.leave_out),
                    "done": list(self.recorder.results),
                    "collect_only": self.plan.collect_only,
                }
            ),
            "utf-8",
        )
        name = f"backendkit_{uuid.uuid4().hex[:12]}"
        engine, options = self.plan.engine, self.plan.options
        served = not self.plan.collect_only and _served.is_served(engine, options)
        if served:
            options = _served.settings(options)
        tables = databases(engine, options, attempt, name)
        # A server of the job's own goes with its databases.
        left = not (self.plan.collect_only or served) and on_a_server(tables, attempt)
        settings = write_settings(attempt, tables, job)
        self.recorder.follow(log)
        command = [sys.executable, str(self.plan.tree.tests / "runtests.py")]
        command += [f"--settings={MODULE}", "--parallel=1", "--noinput", *self.labels]
        if served:
            command = _served.command(engine, attempt, settings, command)
        with (attempt / "output").open("wb") as output:
            self._process = _guard.start(
                command,
                str(self.plan.folder),
                output=output.fileno(),
                # The documented place to start the suite from.
                cwd=self.plan.tree.tests,
                env=environment(self.plan.tree, attempt, self.plan.pycache),
                to_clean=json.dumps(tables, default=str) if left else "",
            )
        self._attempt_began = self._last_line = time.monotonic()

    def poll(self) -> LabelRun | None:
        """Look after the process; the label's results once there are no more."""
        if self._process is None:
            return None
        if self.recorder.poll():
            self._last_line = time.monotonic()
        status = self._process.poll()
        if status is not None:
            self.recorder.poll()
            return self._ended(status)
        now = time.monotonic()
        if now - self._attempt_began > self.plan.timeout:
            return self._timed_out(f"the label took more than {self.plan.timeout:g} s")
        if now - self._last_line > self.plan.test_timeout:
            return self._timed_out(
                f"the test took more than {self.plan.test_timeout:g} s"
            )
        return None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def _ended(self, status: int) -> LabelRun | None:
        self.statuses.append(status)
        if status == 0 and self.recorder.finished:
            return self._complete()
        self._keep_output()
        if self.recorder.running is not None:
            why = f"the process ended in this test, with status {status}"
            return self._next_attempt(why)
        if not self.recorder.finished:
            return self._complete(f"the process ended with status {status}")
        results = self.recorder.results.values()
        if not any(result.outcome.bad for result in results):
            # All tests passed, so it is what comes after them that failed.
            name = f"{self.module} (after its tests)"
            why = f"{self._output}\nthe process ended with status {status}"
            self.recorder.add(TestResult(name, Outcome.LOST, 0.0, why))
        return self._complete()

    def _timed_out(self, why: str) -> LabelRun | None:
        self._ask_for_stacks()
        self.close()
        self.recorder.poll()
        self.statuses.append(None)
        self._keep_output()
        return self._next_attempt(why)

    def _next_attempt(self, why: str) -> LabelRun | None:
        """Blame the test that was running, and go on with the others."""
        blamed = self.recorder.running
        overdue = time.monotonic() - self._attempt_began > self.plan.timeout
        if blamed is None:
            return self._complete(why)
        detail = f"{self._output}\n{why}"
        self.recorder.add(TestResult(blamed, Outcome.LOST, 0.0, detail))
        if overdue or len(self.statuses) >= MAX_ATTEMPTS:
            return self._complete(f"not run: {why}, in {blamed}")
        self._remove_attempt()
        self.start()
        return None

    def _complete(self, why_missing: str = "the label wasn't run") -> LabelRun:
        self.close()
        recorder = self.recorder
        for entry in self.plan.leave_out:
            for test in recorder.missing():
                if test == entry or test.startswith(entry + "."):
                    recorder.add(TestResult(test, Outcome.SKIPPED))
        detail = f"{self._output}\n{why_missing}".strip()
        for test in recorder.missing():
            recorder.add(TestResult(test, Outcome.LOST, 0.0, detail))
        if not recorder.began and not recorder.results:
            # It didn't get as far as its tests.
            recorder.add(TestResult(self.module, Outcome.LOST, 0.0, detail))
        self._remove_attempt()
        return LabelRun(
            self.module,
            self.labels == [self.module],
            recorder.collected,
            list(recorder.results.values()),
            round(self.seconds, 2),
            self.statuses,
            self._output,
        )

    def _keep_output(self) -> None:
        parts = []
        for name, lines in (("output", 40), ("stacks", 200)):
            with contextlib.suppress(OSError):
                text = (self._attempt / name).read_text("utf-8", "replace")
                found = text.splitlines()
                if name == "stacks":
                    found = _most_recent_last(found)
                parts += found[-lines:]
        self._output = "\n".join(parts)

    def _ask_for_stacks(self) -> None:
        if self._process is not None and hasattr(signal, "SIGUSR1"):
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)

    def _remove_attempt(self) -> None:
        if not self.plan.keep:
            shutil.rmtree(self._attempt, ignore_errors=True)

    def release(self) -> None:
        """Have the process, and all that it started, end; don't wait for it."""
        if self._process is not None:
            _guard.release(self._process)

    def close(self) -> None:
        """End the process, and all that it started."""
        if self._process is not None:
            _guard.release(self._process)
            self._process.wait()
            self._process = None


def _most_recent_last(stacks: list[str]) -> list[str]:
    """The stacks of faulthandler as a traceback has them; the main thread is last."""
    ordered: list[str] = []
    calls: list[str] = []
    # It gives each thread's name before its calls, and the main thread at the end.
    for line in [*stacks, "Thread"]:
        if line.startswith(("Thread", "Current thread")):
            ordered += reversed(calls)
            ordered.append(line.replace("most recent call first", "most recent last"))
            calls = []
        elif line.strip():
            calls.append(line)
    return ordered[:-1]


def run_jobs(
    jobs: Sequence[Job], parallel: int
) -> Generator[LabelRun | list[Job], None, None]:
    """
    Run jobs, ``parallel`` of them at a time.

    Yields:
        a label's run when it has ended, and in between, again and again, the jobs
        that are running (for a progress line).

    """
    waiting, running = list(reversed(jobs)), list[Job]()
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                job = waiting.pop()
                job._began = time.monotonic()
                # First: whatever interrupts us, it's among those that are ended.
                running.append(job)
                job.start()
            for job in list(running):
                done = job.poll()
                if done is not None:
                    running.remove(job)
                    yield done
            yield running
            time.sleep(_POLL)
    finally:
        # All of them at once: each may have databases to drop.
        for job in running:
            job.release()
        for job in running:
            job.close()
