"""
Measure Django on LMDB beside Django on SQLite, in one run.

Each operation is done on both engines, and has to give the same on both, before it
is measured. Both are durable: SQLite with a write-ahead log and synchronous=FULL,
LMDB as it comes.
"""

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from . import report
from .measuring import ROOT, DifferentAnswersError, mean_of, measure


def main():
    """Measure, print a table, and write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the rows, few rounds: a test"
    )
    parser.add_argument("--json", type=Path, help="write all values to this file")
    parser.add_argument(
        "--write", action="store_true", help="write the results to docs/"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=ROOT / "build",
        help="on the disk to measure (default: build/)",
    )
    arguments = parser.parse_args()
    if arguments.quick and arguments.write:
        parser.error("--quick measures too little for the documentation")

    def say(what):
        if sys.stderr.isatty():
            print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)

    arguments.directory.mkdir(parents=True, exist_ok=True)
    # What goes into the documentation has a way of its own to be made.
    command = "make bench WRITE=1" if arguments.write else shlex.join(sys.orig_argv)
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="bench-") as path:
        directory = Path(path)
        machine = report.Machine.here(directory, command)
        try:
            results, versions = measure(directory, quick=arguments.quick, say=say)
        except DifferentAnswersError as error:
            sys.exit(f"The engines differ, nothing is measured: {error}")
    say("")
    machine.after(versions)
    mean = mean_of(results)
    print(report.terminal(report.cells(results, mean)))
    print(f"\n{report.summary(results, mean)}")
    for name, text in machine.facts.items():
        print(f"{name}: {text}")
    if arguments.json:
        arguments.json.write_text(report.data(results, mean, machine), encoding="utf-8")
    if arguments.write:
        report.write(ROOT / "docs", results, mean, machine)


if __name__ == "__main__":
    main()
