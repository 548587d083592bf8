"""
Measure Django on LMDB beside Django on SQLite, and on immudb beside other clients.

Each operation is done on both engines, and has to give the same on both, before it
is measured. Both are durable: SQLite with a write-ahead log and synchronous=FULL,
LMDB as it comes.
"""

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path

from backendkit.backends.immudb.server import ServerNotFound

from . import immudb_clients, report
from .measuring import ROOT, DifferentAnswersError, mean_of, measure


def main():
    """Measure, print a table, and write what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the rows, few rounds: a test"
    )
    parser.add_argument("--json", type=Path, help="write all values to this file")
    parser.add_argument(
        "--only", choices=["lmdb", "immudb"], help="leave the other one out"
    )
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
    command = shlex.join(sys.orig_argv)
    if arguments.write:
        only = f" ONLY={arguments.only}" if arguments.only else ""
        command = f"make bench{only} WRITE=1"
    found = {}
    if arguments.only != "immudb":
        found |= files(arguments, command, say)
    if arguments.only != "lmdb":
        found["immudb"] = servers(arguments, command, say)
    if arguments.json:
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        arguments.json.write_text(text, encoding="utf-8")


def files(arguments, command, say):
    """Measure LMDB beside SQLite; return all values."""
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
    if arguments.write:
        report.write(ROOT / "docs", results, mean, machine)
    return report.data(results, mean, machine)


def servers(arguments, command, say):
    """Measure immudb beside its other clients; return all values, or None."""
    try:
        lines, machine = immudb_clients.run(
            arguments.directory, command, quick=arguments.quick, say=say
        )
    except (ServerNotFound, ImportError) as error:
        print(f"\nimmudb isn't measured: {error}")
        if arguments.only:
            sys.exit(1)
        return None
    except immudb_clients.DifferentRowsError as error:
        sys.exit(f"The clients of immudb differ, nothing is measured: {error}")
    say("")
    print(f"\n{immudb_clients.terminal(lines)}\n\n{immudb_clients.summary(lines)}")
    for name, text in machine.facts.items():
        print(f"{name}: {text}")
    if arguments.write:
        immudb_clients.write(ROOT / "docs", lines, machine)
    return immudb_clients.data(lines, machine)


if __name__ == "__main__":
    main()
