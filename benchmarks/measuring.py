"""Measuring both engines in turn: A B, B A, A B …, operation by operation."""

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .engines import ENGINES
from .groups import FLOOR, MEAN_TARGET, PROCESS, TARGETS

ROOT = Path(__file__).resolve().parents[1]


class DifferentAnswersError(Exception):
    """The engines don't do the same: their times can't be compared."""


class Worker:
    """A process that takes commands and answers them, in JSON, line by line."""

    def __init__(self, command):
        self._command = command
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words):
        """Give a command and return its answer."""
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise subprocess.CalledProcessError(self._process.wait(), self._command)
        return json.loads(line)

    def close(self):
        """Let the process end."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def command(engine, directory, *options):
    """Return the command line of an engine's worker."""
    return [sys.executable, "-m", "benchmarks.worker", engine, str(directory), *options]


def environment():
    """Return the environment of a worker: bytecode is kept, as pip does."""
    found = os.environ.copy()
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


@dataclass(frozen=True)
class Effort:
    """
    How much is measured.

    :param rounds: samples of each operation on each engine.
    :param processes: new processes on each engine, for start-up and memory.
    :param seconds: what a sample takes at least: calls are repeated until then.
    """

    rounds: int = 21
    processes: int = 7
    seconds: float = 0.05

    @classmethod
    def of(cls, quick):
        """Return the effort of a quick run or of a whole one."""
        return cls(3, 2, 0.005) if quick else cls()


@dataclass(frozen=True)
class Result:
    """
    What was measured of an operation.

    :param values: for each engine, seconds a call (or bytes), one for each round.
    """

    name: str
    group: str
    unit: str
    calls: int
    values: dict[str, list[float]]

    def median(self, engine):
        """Return the median of an engine's values."""
        return statistics.median(self.values[engine])

    @property
    def ratios(self):
        """LMDB : SQLite, for each round: what slowed down one slowed down both."""
        pairs = zip(self.values["lmdb"], self.values["sqlite"], strict=True)
        return [ours / theirs for ours, theirs in pairs]

    @property
    def ratio(self):
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self):
        """The lower and the upper quartile of the rounds' ratios."""
        low, _, high = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return low, high

    @property
    def target(self):
        """The most that the ratio may be; None for no bound."""
        return TARGETS.get(self.group)

    @property
    def met(self):
        """Whether it meets its target; None if it has none."""
        return None if self.target is None else self.ratio <= self.target


@dataclass(frozen=True)
class Mean:
    """The geometric mean of operations' ratios."""

    ratio: float
    target: float = MEAN_TARGET

    @property
    def met(self):
        """Whether it meets its target."""
        return self.ratio <= self.target


def mean_of(results):
    """Return the mean of all operations of Django."""
    ratios = [one.ratio for one in results if one.group not in (FLOOR, PROCESS)]
    return Mean(math.exp(statistics.fmean(map(math.log, ratios))))


def measure(directory, *, quick, say):
    """
    Measure everything and return the results and the versions.

    :param directory: an empty one, on the disk to measure.
    :param say: called with what is done now.
    :raises DifferentAnswersError: an operation isn't the same on both engines.
    """
    effort = Effort.of(quick)
    options = ["--quick"] if quick else []
    with contextlib.ExitStack() as stack:
        say("filling")
        workers = {}
        for engine in ENGINES:
            worker = Worker(command(engine, directory, "--fill", *options))
            stack.callback(worker.close)
            workers[engine] = worker
            # One after the other; an answer says that it's done.
            worker.ask("versions")
        known = _same(workers, "list")
        results = []
        for number, (name, group, _) in enumerate(known):
            say(name)
            _same(workers, "answer", number)
            results.append(_measured(workers, number, name, group, effort))
        # What was written was the same, too.
        _same(workers, "contents")
        versions = [workers[engine].ask("versions") for engine in ENGINES]
    reading = [number for number, (_, _, reads) in enumerate(known) if reads]
    say("processes")
    results += _processes(directory, options, reading, effort)
    return results, versions


def _same(workers, *words):
    answers = {engine: worker.ask(*words) for engine, worker in workers.items()}
    if answers["sqlite"] != answers["lmdb"]:
        raise DifferentAnswersError(f"{words}: {answers}")
    return answers["lmdb"]


def _measured(workers, number, name, group, effort):
    calls = _calls(workers, number, effort.seconds)
    values = {engine: [] for engine in ENGINES}
    for engines in _turns(effort.rounds):
        for engine in engines:
            seconds = workers[engine].ask("sample", number, calls)
            values[engine].append(seconds / calls)
    return Result(name, group, "s", calls, values)


def _turns(rounds):
    """Yield the engines in the order of each round: none always comes first."""
    for number in range(rounds):
        yield ENGINES if number % 2 else ENGINES[::-1]


def _calls(workers, number, least):
    """Return how often to call; the same for both, which stay alike by that."""
    calls = 1
    while True:
        seconds = min(
            worker.ask("sample", number, calls) for worker in workers.values()
        )
        if seconds >= least:
            return calls
        # One more than doubled, and never much more than needed.
        calls = min(calls * 10, max(calls * 2, math.ceil(calls * least / seconds)))


def _processes(directory, options, reading, effort):
    start = {engine: [] for engine in ENGINES}
    memory = {engine: [] for engine in ENGINES}
    anonymous = {engine: [] for engine in ENGINES}
    for engines in _turns(effort.processes):
        for engine in engines:
            started = time.perf_counter()
            subprocess.run(
                command(engine, directory, "--first-query"),
                cwd=ROOT,
                env=environment(),
                check=True,
            )
            start[engine].append(time.perf_counter() - started)
        for engine in engines:
            worker = Worker(command(engine, directory, *options))
            try:
                for number in reading:
                    worker.ask("sample", number, 3)
                resident = worker.ask("resident")
            finally:
                worker.close()
            if resident is not None:
                memory[engine].append(resident[0])
                anonymous[engine].append(resident[1])
    yield Result("start-up: import, set-up, first query", PROCESS, "s", 1, start)
    if memory["lmdb"]:
        yield Result("resident memory after all reads", PROCESS, "B", 1, memory)
        yield Result("… without pages of files", FLOOR, "B", 1, anonymous)
