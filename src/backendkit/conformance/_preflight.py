"""Before the first test: what an ENGINE is, and whether it can be used at all."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import _guard, _served
from ._archive import SourceTree, cache_folder
from ._errors import UsageError
from ._settings import databases, environment, on_a_server

# Seconds that a server may take to make, open and drop a database.
_PATIENCE = 120.0


def describe(
    engine: str, options: Mapping[str, Any], tree: SourceTree, folder: Path
) -> dict[str, Any]:
    """
    Ask a child, on the archive's Django, what the ENGINE is, and whether it works.

    Raises:
        UsageError: it doesn't; with the reason, in one line.

    """
    job = f"backendkit_{uuid.uuid4().hex[:12]}"
    scratch = folder / f"describe-{job}"
    scratch.mkdir()
    served = _served.is_served(engine, options)
    if served:
        options = _served.settings(options)
    tables = databases(engine, options, scratch, job)
    given = scratch / "given.json"
    given.write_text(
        json.dumps({"engine": engine, "databases": tables}, default=str), "utf-8"
    )
    on_server = on_a_server(tables, scratch) and not served
    # -P: nothing in the current folder is meant.
    command = [sys.executable, "-P", "-m", "backendkit.conformance._engine"]
    command += ["describe", str(scratch)]
    if served:
        command = _served.command(engine, scratch, given, command)
    with (scratch / "output").open("wb") as output:
        child = _guard.start(
            command,
            str(folder),
            output=output.fileno(),
            env=environment(tree, scratch, cache_folder() / "pycache"),
            to_clean=json.dumps(tables, default=str) if on_server else "",
        )
    try:
        child.wait(_PATIENCE)
    except subprocess.TimeoutExpired as e:
        raise UsageError(
            f"ENGINE {engine!r} didn't create a test database within {_PATIENCE:g} s"
        ) from e
    finally:
        _guard.release(child)
        child.wait()
    answer = _answer(engine, scratch)
    if "error" in answer:
        raise UsageError(answer["error"])
    return answer


def _answer(engine: str, scratch: Path) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(
            (scratch / "answer.json").read_text("utf-8")
        )
    except FileNotFoundError:
        # It died, whatever it said last.
        lines = (scratch / "output").read_text("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else "no message"
        return {"error": f"ENGINE {engine!r} can't be used: {said}"}
    return answer
