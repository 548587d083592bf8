"""
The command: ``python -m backendkit.conformance run ENGINE [label …]``.

Exit status: 0 if all was as expected, 1 if something deviates, 2 if the run can't
start as asked, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import _archive, _labels
from ._errors import UsageError
from ._expectations import Expectations, load
from ._jobs import Job, LabelRun, Plan, run_jobs
from ._report import Label, Report, Terminal, write_json
from ._settings import environment, parse_options
from ._verdicts import judge


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    args = _parse(argv)
    # SIGINT too: a shell's background jobs inherit that it is ignored.
    previous = {
        number: signal.signal(number, _interrupt)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    folder = Path(tempfile.mkdtemp(prefix="backendkit-"))
    try:
        report = run(args, folder)
    except UsageError as e:
        sys.stderr.write(f"backendkit.conformance: {e}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return 130
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if args.keep:
            sys.stderr.write(f"Kept: {folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if report.ok else 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    # argparse gives up on labels that come after an option.
    args, rest = parser.parse_known_args(argv)
    if wrong := [text for text in rest if text.startswith("-")]:
        parser.error(f"unknown option: {' '.join(wrong)}")
    args.labels = [*args.labels, *rest] or ["core"]
    return args


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m backendkit.conformance",
        description="Django's own test suite, unpatched, against any database ENGINE.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("run", help="run labels against an ENGINE").add_argument
    add("engine", metavar="ENGINE", help="as in DATABASES, a dotted path")
    add(
        "labels",
        nargs="*",
        default=[],
        metavar="LABEL",
        help="labels as for Django's runtests.py, or a named set of them: "
        f"{', '.join(_labels.named_sets())}, all (default: core)",
    )
    add(
        "--django",
        default=_archive.INSTALLED,
        metavar="VERSION",
        help="6.1, 5.2.19, or installed (default)",
    )
    add("--archive", type=Path, metavar="PATH", help="Django's source archive")
    add(
        "--parallel",
        type=_positive(int),
        default=os.cpu_count() or 1,
        metavar="N",
        help="labels that run at a time (default: one per CPU)",
    )
    add(
        "--timeout",
        type=_positive(float),
        default=1800.0,
        metavar="S",
        help="seconds that one label may take (default: 1800)",
    )
    add(
        "--test-timeout",
        type=_positive(float),
        default=300.0,
        metavar="S",
        help="seconds that one test may take (default: 300)",
    )
    add("--json", type=Path, metavar="FILE", help="write all results to FILE")
    add(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the database's settings (HOST=…, TEST.NAME=…), or, if KEY isn't in "
        "capitals, of its OPTIONS; {folder}, {alias} and {job} are filled in",
    )
    add(
        "--expectations",
        type=Path,
        metavar="FILE",
        help="instead of the backend's own expectations.toml",
    )
    add("--keep", action="store_true", help="keep the temporary folder, and say where")
    return parser


def _positive(kind: type[int] | type[float]) -> Any:
    def convert(text: str) -> int | float:
        value = kind(text)
        if value <= 0:
            raise ValueError(text)
        return value

    convert.__name__ = f"positive {kind.__name__}"
    return convert


def run(args: argparse.Namespace, folder: Path) -> Report:
    """Run what the command's arguments say, in a temporary folder."""
    began = time.monotonic()
    options = parse_options(args.option)
    if args.json is not None and not args.json.resolve().parent.is_dir():
        raise UsageError(f"--json {args.json}: there is no such folder")
    tree = _archive.get_source(args.django, args.archive)
    groups = _labels.expand(args.labels, tree.tests)
    engine = _describe(args.engine, tree, folder)
    expectations = _find_expectations(args, Path(engine["folder"]), tree.version)
    plan = Plan(
        tree,
        args.engine,
        options,
        folder,
        timeout=args.timeout,
        test_timeout=args.test_timeout,
        leave_out=expectations.skipped(),
        keep=args.keep,
    )
    jobs = [
        Job(plan, module, groups[module])
        for module in _labels.longest_first(groups, tree.tests)
    ]
    report = Report(
        {
            "engine": args.engine,
            "display_name": engine["display_name"],
            "django": tree.version,
            "archive_sha256": tree.sha256,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "parallel": args.parallel,
        }
    )
    terminal = Terminal(sys.stdout, len(jobs))
    terminal.header(report.about)
    with contextlib.closing(run_jobs(jobs, args.parallel)) as events:
        for event in events:
            if isinstance(event, LabelRun):
                _refuse_unknown(event)
                judged = [judge(result, expectations) for result in event.results]
                label = Label(event, judged)
                report.labels.append(label)
                terminal.label(label)
            else:
                terminal.progress(event)
    collected = [test for label in report.labels for test in label.run.collected]
    report.unknown = expectations.unknown(
        collected, [label for labels in groups.values() for label in labels]
    )
    report.seconds = round(time.monotonic() - began, 2)
    terminal.summary(report)
    if args.json is not None:
        write_json(report, args.json)
    return report


def _describe(engine: str, tree: _archive.SourceTree, folder: Path) -> dict[str, str]:
    """Ask a child, on the archive's Django, what the ENGINE is."""
    done = subprocess.run(  # noqa: S603  # our own module, no shell
        [sys.executable, "-m", "backendkit.conformance._engine", engine],
        env=environment(tree, folder, folder / "pycache"),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        lines = done.stderr.strip().splitlines() or ["no message"]
        answer = {"error": lines[-1]}
    if "error" in answer:
        reason = " ".join(answer["error"].split())
        raise UsageError(f"ENGINE {engine!r} can't be loaded: {reason}")
    return answer


def _refuse_unknown(run: LabelRun) -> None:
    """A class or method that isn't there; only the loading of tests finds out."""
    for result in run.results:
        last = result.detail.strip().rpartition("\n")[2]
        # How unittest's loader hands over what it didn't find.
        if result.id.startswith("unittest.loader._FailedTest.") and re.match(
            rf"AttributeError: .* has no attribute|"
            rf"ModuleNotFoundError: No module named '{run.label}\.",
            last,
        ):
            raise UsageError(f"unknown label in {run.label}: {last}")


def _find_expectations(
    args: argparse.Namespace, package: Path, django: str
) -> Expectations:
    """Those of the backend's package, or the ones that we have for others'."""
    if args.expectations is not None:
        return load(args.expectations, django)
    ours = Path(__file__).parent / "expectations" / f"{args.engine}.toml"
    for file in (package / "expectations.toml", ours):
        if file.is_file():
            return load(file, django)
    return Expectations()
