"""Code of the documentation's pages, as files of a project."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import backendkit

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(
    r"^\.\. code-block:: python\n   :caption: (.+)\n\n((?:   .*\n|\n)+)", re.M
)


def blocks(page):
    """Return a page's Python code with a caption, by caption; of several, joined."""
    found = {}
    for name, text in _BLOCK.findall((DOCS / page).read_text()):
        found[name] = found.get(name, "") + textwrap.dedent(text)
    return found


def commands(page):
    """Return the commands of a page's consoles, each with what it prints there."""
    pattern = r"^\.\. code-block:: console\n\n((?:   .*\n|\n)+)"
    found = []
    for text in re.findall(pattern, (DOCS / page).read_text(), re.M):
        for part in re.split(r"^\$ ", textwrap.dedent(text), flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append((command.split(), output.strip()))
    return found


def write(files, folder):
    """Write files, by path; those in a folder are modules of a package."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py" and path.parent != folder:
            (path.parent / "__init__.py").touch()
        path.write_text(text)


def run(folder, *arguments):
    """Run Python in a folder; return what it printed."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "PG", "DBDEV_"))
    }
    source = os.path.dirname(os.path.dirname(backendkit.__file__))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": f"{source}{os.pathsep}{folder}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
