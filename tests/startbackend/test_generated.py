"""Each kind of package, as it is generated: its tests, Django's, the demo."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import backendkit
from backendkit.startbackend.management.commands.startbackend import KINDS

ROOT = Path(__file__).parent.parent.parent
SOURCE = Path(backendkit.__file__).parent.parent
WRITING = [kind for kind in KINDS if kind != "readonly"]


def run(folder, *arguments, **environment):
    """Run Python in a folder; return the process that has ended."""
    path = os.pathsep.join([str(SOURCE), *environment.pop("path", [])])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


@pytest.fixture(scope="module")
def generate(tmp_path_factory):
    """Makes a package of a kind, once."""
    made = {}

    def generate(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            done = run(
                *(folder, "-m", "backendkit.startbackend", f"{kind}_store"),
                *("--kind", kind),
            )
            assert done.returncode == 0, done.stderr
            made[kind] = folder / f"django-{kind}-store"
            assert str(made[kind]) in done.stdout
        return made[kind]

    return generate


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.check] * (kind != "buffered"))
        for kind in KINDS
    ],
)
def test_its_own_tests(generate, kind):
    """They pass before the author changes a line, and leave nothing."""
    folder = generate(kind)
    before = {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
    done = run(
        *(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
        *("-p", "no:randomly", "--basetemp", folder.parent / "tmp"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 15
    after = {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
    assert after == before


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_fill_in(generate, kind):
    """No mark of the template language is there, and its places for the author are."""
    folder = generate(kind)
    texts = {
        path: path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in {".py", ".toml", ".md", ".yml"}
    }
    for path, text in texts.items():
        assert "{%" not in text, path
        assert "{{" not in text.replace("${{ matrix.python }}", ""), path
        assert path.suffix != ".py" or compile(text, str(path), "exec")
        assert text.endswith("\n") or not text, path
    assert any("TODO: " in text for text in texts.values())
    names = {path.relative_to(folder).as_posix() for path in texts}
    assert {
        *("pyproject.toml", "README.md", "docs/index.md"),
        *(".github/workflows/tests.yml", f"{kind}_store/expectations.toml"),
    } <= names


@pytest.mark.check
@pytest.mark.parametrize("kind", WRITING)
def test_djangos_tests(generate, kind, tmp_path):
    """Five hundred of them, and none fails."""
    done = run(
        *(tmp_path, "-m", "backendkit.conformance", "run", f"{kind}_store"),
        *("queries", "basic", "--no-baseline", "--parallel", "1"),
        *("--json", tmp_path / "report.json"),
        path=[str(generate(kind))],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed = re.search(r"(\d+) passed, (\d+) failed", done.stdout).groups()
    assert int(passed) >= 500
    assert int(failed) == 0
    assert json.loads((tmp_path / "report.json").read_text())


@pytest.mark.check
def test_the_demo(generate, tmp_path):
    """The demo project runs on it: its migrations, and its data."""
    settings = tmp_path / "demo_on_it.py"
    settings.write_text(
        "from tracking.settings import *\n"
        'DATABASES = {"default": {"ENGINE": "snapshot_store",'
        f' "NAME": {str(tmp_path / "database")!r}}}}}\n'
    )
    done = run(
        *(tmp_path, ROOT / "demo" / "manage.py", "demo", "--no-serve"),
        DJANGO_SETTINGS_MODULE="demo_on_it",
        path=[str(generate("snapshot")), str(tmp_path)],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "database" / "current.json").exists()
