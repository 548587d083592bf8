"""
The command: ``python -m backendkit.conformance run ENGINE [label …]``, or ``lint``.

Exit status: 0 if all was as expected, 1 if something deviates, 2 if the run can't
start as asked, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _archive, _baseline, _labels, _update
from ._errors import UsageError
from ._html import write_html
from ._junit import write_junit
from ._lint import LintRequest, lint
from ._report import as_data, write_json
from ._run import Request, Run
from ._settings import merged, parse_options

# Options that name a file to write, with what writes it.
_WRITERS = {"json": write_json, "html": write_html, "junit": write_junit}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    args = _parse(argv)
    if args.command == "lint":
        wanted = LintRequest(args.engine, args.django, args.archive, args.expectations)
        return _in_folder(lambda folder: lint(wanted, folder, sys.stdout))
    return call(args)


def call(args: argparse.Namespace, settings: Mapping[str, Any] | None = None) -> int:
    """
    Do what parsed arguments say; the exit status.

    Args:
        args: what :func:`add_arguments` defines.
        settings: of the database, besides what the arguments say; from Django's
            settings, as ``manage.py`` knows them.

    """

    def work(folder: Path) -> int:
        options = merged(settings or {}, parse_options(args.option))
        return _run(args, options, folder)

    return _in_folder(work, keep=args.keep)


def _in_folder(work: Callable[[Path], int], *, keep: bool = False) -> int:
    """Work in a temporary folder; the exit status, of what can go wrong as well."""
    # SIGINT too: a shell's background jobs inherit that it is ignored.
    previous = {
        number: signal.signal(number, _interrupt)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    folder = Path(tempfile.mkdtemp(prefix="backendkit-"))
    try:
        return work(folder)
    except UsageError as e:
        sys.stderr.write(f"backendkit.conformance: {e}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        # All that is left to do is to end: pressed again, Ctrl-C changes nothing.
        previous.clear()
        return 130
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if keep:
            sys.stderr.write(f"Kept: {folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(args: argparse.Namespace, options: Mapping[str, Any], folder: Path) -> int:
    for name in _WRITERS:
        file = getattr(args, name)
        if file is not None and not file.resolve().parent.is_dir():
            raise UsageError(f"--{name} {file}: the folder doesn't exist")
    run = Run(
        Request(
            args.engine,
            options,
            labels=args.labels or ["all"],
            django=args.django,
            archive=args.archive,
            baseline=None if args.no_baseline else args.baseline,
            expectations=args.expectations,
            require=args.require / 100,
            update=args.update,
            parallel=args.parallel,
            timeout=args.timeout,
            test_timeout=args.test_timeout,
            keep=args.keep,
        ),
        folder,
    )
    listed = _update.prepare(run) if args.update else None
    report = run.go(sys.stdout)
    data = as_data(report)
    for name, write in _WRITERS.items():
        if (file := getattr(args, name)) is not None:
            write(data, file)
    if listed is not None:
        _update.update(run, report, listed, sys.stdout)
    return 0 if report.ok else 1


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    # argparse gives up on labels that come after an option.
    args, rest = parser.parse_known_args(argv)
    if wrong := [text for text in rest if text.startswith("-")]:
        parser.error(f"unknown option: {' '.join(wrong)}")
    if args.command == "run":
        args.labels = [*args.labels, *rest]
    elif rest:
        parser.error(f"unknown argument: {' '.join(rest)}")
    return args


def _interrupt(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m backendkit.conformance",
        description="Runs Django's own test suite, unpatched, against any database ENGINE.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="Run labels against an ENGINE.")
    run.add_argument(
        "engine", metavar="ENGINE", help="Dotted path of the ENGINE, as in DATABASES."
    )
    add_arguments(run)
    _add_lint(commands.add_parser("lint", help="Check a file of expectations."))
    return parser


def _add_lint(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("engine", metavar="ENGINE", help="Dotted path of the ENGINE, as in DATABASES.")
    add(
        "--django",
        nargs="+",
        action="extend",
        default=[],
        metavar="VERSION",
        help=(
            "Releases to check against (default: all supported releases that are"
            " available)."
        ),
    )
    add("--archive", type=Path, metavar="PATH", help="Path of Django's source archive.")
    add(
        "--expectations",
        type=Path,
        metavar="FILE",
        help=(
            "File of expectations to use instead of the backend's own"
            " expectations.toml."
        ),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a run's arguments, but for its ENGINE."""
    add = parser.add_argument
    add(
        "labels",
        nargs="*",
        default=[],
        metavar="LABEL",
        help=(
            "Labels as for Django's runtests.py, or a named set of them:"
            f" {', '.join(_labels.named_sets())}, all (default: all)."
        ),
    )
    add(
        "--django",
        default=_archive.INSTALLED,
        metavar="VERSION",
        help="Version of Django, such as 6.1 or 5.2.19 (default: the installed one).",
    )
    add("--archive", type=Path, metavar="PATH", help="Path of Django's source archive.")
    add(
        "--baseline",
        default=_baseline.ENGINE,
        metavar="ENGINE",
        help=(
            "ENGINE to compare with (default: Django's SQLite backend, whose results"
            " are cached)."
        ),
    )
    add("--no-baseline", action="store_true", help="Don't compare with another ENGINE.")
    add(
        "--require",
        type=_percent,
        default=0.0,
        metavar="PERCENT",
        help=(
            "Fail if less than this percentage of the tests that pass on the baseline"
            " pass on this ENGINE."
        ),
    )
    add(
        "--parallel",
        type=_positive(int),
        default=os.cpu_count() or 1,
        metavar="N",
        help="Number of labels to run at a time (default: one per CPU).",
    )
    add(
        "--timeout",
        type=_positive(float),
        default=1800.0,
        metavar="S",
        help="Timeout of a label, in seconds (default: 1800).",
    )
    add(
        "--test-timeout",
        type=_positive(float),
        default=300.0,
        metavar="S",
        help="Timeout of a test, in seconds (default: 300).",
    )
    add("--json", type=Path, metavar="FILE", help="Write all results to FILE, as JSON.")
    add("--html", type=Path, metavar="FILE", help="Write a report to FILE, as HTML.")
    add(
        "--junit",
        type=Path,
        metavar="FILE",
        help="Write the results to FILE, as JUnit XML.",
    )
    add(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=(
            "Set an entry of the database's settings (HOST=…, TEST.NAME=…), or of its"
            " OPTIONS if KEY isn't in capitals. {folder}, {alias} and {job} are"
            " replaced."
        ),
    )
    add(
        "--expectations",
        type=Path,
        metavar="FILE",
        help=(
            "File of expectations to use instead of the backend's own"
            " expectations.toml."
        ),
    )
    add(
        "--update",
        action="store_true",
        help="Update the file of expectations with the results of the run.",
    )
    add(
        "--keep",
        action="store_true",
        help="Keep the temporary folder, and print its path.",
    )


def _percent(text: str) -> float:
    value = float(text.rstrip("% "))
    if not 0 <= value <= 100:
        raise ValueError(text)
    return value


def _positive(kind: type[int] | type[float]) -> Any:
    def convert(text: str) -> int | float:
        value = kind(text)
        if value <= 0:
            raise ValueError(text)
        return value

    convert.__name__ = f"positive {kind.__name__}"
    return convert
