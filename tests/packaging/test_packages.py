"""What would be published: the wheel, the sdist, and what is said about them."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import backendkit

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("in_a_clean_environment.py")
#: Files of the repository that the sdist leaves out: they are for its maintainers.
NOT_IN_SDIST = {".ci/run", ".pre-commit-config.yaml"}
#: What the tests of the sdist that are run here need.
TESTS_NEED = ["hypothesis>=6.130,<7", "pytest>=8.3,<10", "pytest-django>=4.11,<5"]


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_changes_begin_with_this_version():
    """A release has a date, what comes next has none; each change is an item."""
    text = (ROOT / "CHANGES.md").read_text()
    assert text.startswith("# Changes\n\n## ")
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert all(
        re.fullmatch(r"\d+\.\d+\.\d+, (not released|\d{4}-\d\d-\d\d)", heading)
        for heading in headings
    )
    number, when = headings[0].split(", ")
    released = backendkit.__version__ == number
    assert released or backendkit.__version__.startswith(f"{number}.dev")
    assert released is (when != "not released")
    assert "not released" not in "".join(headings[1:])


def test_metadata():
    meta = project()
    classifiers = meta["classifiers"]
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", meta["requires-python"]).groups()
    assert [c for c in classifiers if re.search(r":: 3\.\d+$", c)] == [
        f"Programming Language :: Python :: 3.{minor}"
        for minor in range(int(low), int(high))
    ]
    (tested,) = re.findall(r"^DJANGOS \?= (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert [c for c in classifiers if re.search(r"Django :: \d", c)] == [
        f"Framework :: Django :: {version}" for version in sorted(tested.split())
    ]
    # Each requirement has a lower bound, and an upper one where one is known to matter.
    for requirement in meta["dependencies"]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", requirement), requirement
    readme = (ROOT / "README.md").read_text().lower()
    extras = meta["optional-dependencies"]
    needed = [*meta["dependencies"], *extras["lmdb"], *extras["immudb"]]
    for requirement in needed:
        name = re.match(r"[\w-]+", requirement)[0].lower()
        assert re.search(rf"\b{name}\b", readme.partition("licence:")[2]), name


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links(page):
    """Each link leads to a file that the sdist has, too."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (ROOT / link).is_file()] == []
    assert links or page.name == "CHANGES.md"


def test_the_docs_build_of_a_host():
    """It names files and groups that there are, and a Python that is supported."""
    build = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())
    assert (ROOT / build["sphinx"]["configuration"]).exists()
    assert build["sphinx"]["fail_on_warning"]
    assert (
        f"Programming Language :: Python :: {build['build']['tools']['python']}"
        in (project()["classifiers"])
    )
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    install = " ".join(build["build"]["jobs"]["install"])
    assert set(re.findall(r"--group (\S+)", install)) <= set(groups)
    (extras,) = re.findall(r"'\.\[(.*?)\]'", install)
    assert set(extras.split(",")) <= set(project()["optional-dependencies"])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with wheel and sdist, of the files that git knows."""
    for needed in ("build", "hatchling"):
        pytest.importorskip(needed, reason="the dependency group 'package' isn't here")
    source = tmp_path_factory.mktemp("source")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source)
    return out


def tracked():
    """Files of the repository, or of the sdist that these tests are a part of."""
    if (ROOT / ".git").exists():
        listed = run("git", "-C", ROOT, "ls-files").splitlines()
        return [name for name in listed if (ROOT / name).exists()]
    return [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


def run(*command, cwd=None):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
    # What runs in another environment mustn't find this one's modules.
    if command[0] != sys.executable:
        kept.pop("PYTHONPATH", None)
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.check
def test_what_is_in_them(built):
    """The sdist is the repository, the wheel is its packages; both in full."""
    (sdist,) = built.glob("*.tar.gz")
    (wheel,) = built.glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    assert names - {"PKG-INFO"} == set(tracked()) - NOT_IN_SDIST - {"PKG-INFO"}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        meta = archive.read(
            next(name for name in archive.namelist() if name.endswith("/METADATA"))
        ).decode()
    sources = {name[4:] for name in tracked() if name.startswith("src/")}
    assert names == sources
    assert "License-Expression: BSD-3-Clause\n" in meta
    assert "License-File: LICENSE\n" in meta


@pytest.mark.check
def test_the_wheel_in_a_clean_environment(built, tmp_path):
    """It installs with its extras, imports, runs queries, and passes the sdist's tests."""
    (sdist,) = built.glob("*.tar.gz")
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    extras = "[lmdb,immudb,immudb-signature,conformance]"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}{extras}", cwd=tmp_path)
    said = run(python, "-W", "error::SyntaxWarning", SCRIPT, cwd=tmp_path)
    assert said.endswith("all is well\n")
    run(python, "-m", "pip", "check", cwd=tmp_path)

    run(python, "-m", "pip", "install", "--quiet", *TESTS_NEED, cwd=tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.glob("django_backendkit-*")
    # So that it's the wheel which is tested.
    shutil.rmtree(unpacked / "src")
    said = run(
        *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("tests/kv/test_session.py", "tests/engine/test_statements.py"),
        cwd=unpacked,
    )
    assert re.search(r"^\d+ passed", said, re.M), said
