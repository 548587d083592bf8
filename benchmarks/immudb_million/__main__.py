"""
Load, migrate, change, read and empty one million rows on a stock immudb.

The server is started for this, in a temporary folder, with default limits. A step that
fails is told, and the others go on.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from backendkit.backends.immudb.server import ServerNotFound, find
from benchmarks import report as reporting
from benchmarks.measuring import ROOT, environment

from . import report
from .steps import CALL, CHANGED, LOADED, SESSIONS, status_bytes

ROWS = 1_000_000
#: The fewest that all steps have something to do with.
_FEWEST = 2_000


def plan(rows):
    """
    Yield what is done: a name, rows, words of the worker, and what is checked then.

    A step without a name isn't measured.
    """
    loaded, half, changed = rows // LOADED, rows // 2, rows // CHANGED
    sessions = rows // SESSIONS
    yield "", 0, ["first"], None
    name = f"bulk_create(), {CALL:,} rows a call"
    yield name, half, ["create_in_calls"], None
    name = "bulk_create(), all in one call"
    yield name, rows - half - loaded, ["create_at_once"], None
    yield "", 0, ["write_fixture"], None
    is_now = {"kind": "rows", "rows": rows, "notes": False, "text": False}
    is_now |= {"renamed": False, "weight": None}
    yield "loaddata", loaded, ["load"], is_now
    name = f"bulk_create() of sessions, {CALL:,} a call"
    check = {"kind": "sessions", "number": sessions}
    yield name, sessions, ["create_sessions"], check
    for number, name, becomes in (
        ("0002", "migrate: AddField with a default", {"weight": 1}),
        ("0003", "migrate: null to NOT NULL", {"notes": True}),
        ("0004", "migrate: an index on a text", {}),
        ("0005", "migrate: integer to text", {"text": True}),
        ("0006", "migrate: RenameField", {"renamed": True}),
    ):
        is_now = is_now | becomes
        yield name, rows, ["migrate", number, "--migrated"], is_now
    yield "update()", changed, ["update", "--migrated"], None
    is_now = is_now | {"changed": True}
    name = "update() of an indexed column"
    yield name, changed, ["update_indexed", "--migrated"], is_now
    yield "", rows, ["read", "--migrated"], None
    yield "delete()", changed, ["delete", "--migrated"], None
    check = {"kind": "sessions", "number": 0}
    yield "clearsessions", sessions, ["clear_sessions", "--migrated"], check
    yield "flush", rows - changed, ["flush", "--migrated"], None


def run(rows, places, process, say):
    """
    Do all steps.

    :param process: of the server.
    :return: what was measured of the steps, and of the reads.
    """
    steps, reads = [], []
    for name, number, words, check in plan(rows):
        say(name or words[0])
        command = [sys.executable, "-m", "benchmarks.immudb_million.steps", *words]
        command += ["--places", json.dumps(places), "--rows", str(rows)]
        if check:
            command += ["--check", json.dumps(check)]
        _forget_peak(process)
        started = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        found = {"name": name, "rows": number}
        if done.returncode:
            found["error"] = done.stderr.strip()
            found["name"] = name or words[0]
            found["seconds"] = time.perf_counter() - started
        elif words[0] == "read":
            reads = json.loads(done.stdout.splitlines()[-1])
            say(report.terminal([], reads))
        else:
            found |= json.loads(done.stdout.splitlines()[-1])
            found["server"] = _peak(process)
        say(f"    {found.get('seconds', time.perf_counter() - started):.1f} s")
        if done.stderr:
            say(done.stderr)
        if name or done.returncode:
            steps.append(found)
    return steps, reads


def _forget_peak(process):
    """Let the most memory be counted anew, where Linux does."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")


def _peak(process):
    with contextlib.suppress(OSError):
        return status_bytes(process)
    return None


@contextlib.contextmanager
def server(directory):
    """Run a server on new data; give where it is, its process and its version."""
    from backendkit.backends.immudb import driver
    from backendkit.dbdev.temporary import TemporaryServer

    with TemporaryServer("immudb", directory, NAME="defaultdb") as running:
        places = {"host": running.host, "port": running.port}
        places |= {"password": running.password, "directory": str(directory)}
        places["state"] = str(directory / "state.json")
        with driver.connect(
            running.host, running.port, password=running.password
        ) as connection:
            found = connection.server_info().version
        yield places, running.pid, found


def main():
    """Measure, print tables, and write them if that is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.immudb_million", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="events in all")
    parser.add_argument("--json", type=Path, help="write all values to this file")
    parser.add_argument(
        "--write", action="store_true", help="write the results to docs/benchmarks.md"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=ROOT / "build",
        help="on the disk to measure (default: build/)",
    )
    arguments = parser.parse_args()
    if arguments.rows < _FEWEST:
        parser.error(f"--rows has to be {_FEWEST:,} or more")
    try:
        find()
    except ServerNotFound as error:
        sys.exit(str(error))

    def say(what):
        print(what, file=sys.stderr, flush=True)

    arguments.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="rows-") as path:
        directory = Path(path)
        command = "python -m benchmarks.immudb_million"
        if arguments.rows != ROWS:
            command += f" --rows {arguments.rows}"
        machine = reporting.Machine.here(directory, command)
        with server(directory) as (places, process, immudb):
            steps, reads = run(arguments.rows, places, process, say)
    machine.after([f"immudb {immudb}", f"grpcio {version('grpcio')}"])
    print(report.terminal(steps, reads))
    for name, text in machine.facts.items():
        print(f"{name}: {text}")
    if arguments.json:
        found = {"facts": machine.facts, "steps": steps, "reads": reads}
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        arguments.json.write_text(text, encoding="utf-8")
    failed = [one["name"] for one in steps if "error" in one]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    if arguments.write:
        text = report.section(arguments.rows, steps, reads, machine)
        report.write(ROOT / "docs/benchmarks.md", text)


if __name__ == "__main__":
    main()
