"""
What there is to know of an ENGINE before a run: ``python -m …_engine ENGINE``.

Runs in a process of its own, on the Django of the archive, and prints JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path


def describe(engine: str) -> dict[str, str]:
    """Load an ENGINE as Django does; its names and its package's folder."""
    from django.db.utils import load_backend  # noqa: PLC0415  # in the child only

    wrapper = load_backend(engine).DatabaseWrapper
    file = import_module(engine).__file__ or ""
    return {
        "display_name": str(wrapper.display_name),
        "vendor": str(wrapper.vendor),
        "folder": str(Path(file).parent),
    }


if __name__ == "__main__":
    try:
        answer = describe(sys.argv[1])
    except Exception as e:  # noqa: BLE001  # whatever it is, it's the answer
        answer = {"error": f"{type(e).__name__}: {e}"}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
