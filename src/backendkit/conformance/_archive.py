"""
The source archive of a Django release: fetched through pip, checked, unpacked.

Wheels don't contain the tests. The cache is ``django-backendkit/django`` in the
user's cache folder::

    django-6.1.3.tar.gz           as pip gave it (and checked it against the index)
    django-6.1.3.tar.gz.sha256    its hash at that time
    src/<hash>/django-6.1.3/      unpacked; never written to again
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ._errors import UsageError
from ._versions import Version, parse_version

INSTALLED = "installed"


@dataclass(frozen=True)
class SourceTree:
    """An unpacked Django release."""

    root: Path
    version: str
    #: Of the archive, in hexadecimal; empty if a folder was given.
    sha256: str = ""

    @property
    def tests(self) -> Path:
        return self.root / "tests"


def cache_folder() -> Path:
    """Where archives are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "django-backendkit" / "django"


def installed_django() -> str | None:
    """The version of the installed Django, if there is one."""
    try:
        return importlib.metadata.version("django")
    except importlib.metadata.PackageNotFoundError:
        return None


def get_source(wanted: str = INSTALLED, archive: Path | None = None) -> SourceTree:
    """
    The sources of the wanted Django.

    Args:
        wanted: ``"installed"``, a series (``"6.1"``: the installed release of it,
            else the newest that is cached, else the newest of the index), or an
            exact version.
        archive: A source archive, or a folder with an unpacked one: nothing is
            fetched. Its version has to be the wanted one, if not "installed".

    """
    if archive is not None:
        tree = open_folder(archive) if archive.is_dir() else unpack(archive)
        if wanted != INSTALLED and not _matches(tree.version, wanted):
            raise UsageError(
                f"{archive} is Django {tree.version}, but {wanted} was asked for"
            )
    else:
        tree = unpack(_find(wanted))
    _check_python(tree)
    return tree


def open_folder(root: Path) -> SourceTree:
    """A release that someone else unpacked."""
    root = root.resolve()
    info = root / "PKG-INFO"
    if not (root / "tests" / "runtests.py").is_file() or not info.is_file():
        raise UsageError(
            f"{root} isn't Django's source archive: no tests/runtests.py or PKG-INFO"
        )
    return SourceTree(root, _header(info, "Version"))


def unpack(archive: Path) -> SourceTree:
    """Unpack an archive into the cache, once, and check its hash each time."""
    try:
        digest = _sha256(archive)
    except OSError as e:
        raise UsageError(f"can't read {archive}: {e.strerror}") from e
    beside = archive.with_name(archive.name + ".sha256")
    if beside.is_file() and beside.read_text("utf-8").strip() != digest:
        raise UsageError(
            f"{archive} isn't what was downloaded (its SHA-256 changed): delete it "
            f"and {beside.name}"
        )
    target = cache_folder() / "src" / digest[:16]
    if not target.is_dir():
        _extract(archive, target)
    tree = open_folder(_only_child(target))
    return SourceTree(tree.root, tree.version, digest)


def _extract_safely(tar: tarfile.TarFile, target: Path) -> None:
    """Extract files and folders; refuse absolute paths, ".." and bad links."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(target, filter="data")
        return
    # Python 3.11 before 3.11.4 has no filters. A release needs no links.
    root = target.resolve()
    for member in tar.getmembers():
        inside = (root / member.name).resolve().is_relative_to(root)
        if not inside or not (member.isfile() or member.isdir()):
            raise tarfile.ExtractError(
                f"{member.name!r} is a link, or outside of the folder"
            )
    tar.extractall(target)  # noqa: S202  # all members were checked


def _extract(archive: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpacking-"))
    try:
        with tarfile.open(archive) as tar:
            _extract_safely(tar, scratch)
        open_folder(_only_child(scratch))
        # Two runs may unpack at once: the first one wins, both have the same.
        with contextlib.suppress(OSError):
            scratch.rename(target)
    except (tarfile.TarError, EOFError) as e:
        raise UsageError(f"can't unpack {archive}: {e}") from e
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _only_child(folder: Path) -> Path:
    children = list(folder.iterdir())
    if len(children) != 1:
        raise UsageError(
            "it isn't a source archive, which has to contain a single folder"
        )
    return children[0]


def _find(wanted: str) -> Path:
    """The archive of a version in the cache, downloaded if it isn't there."""
    installed = installed_django()
    if wanted == INSTALLED:
        if installed is None:
            raise UsageError(
                "Django isn't installed. Name a version, such as --django 6.1"
            )
        wanted = installed
    elif not re.fullmatch(r"\d+\.\d+(\.\d+|(a|b|rc)\d+)?", wanted):
        raise UsageError(
            f"--django has to be a version such as 6.1 or 6.1.3, not {wanted!r}"
        )
    elif installed is not None and _matches(installed, wanted):
        wanted = installed
    cached = [
        (parse_version(found[1]), path)
        for path in cache_folder().glob("*.tar.gz")
        if (found := re.fullmatch(r"[Dd]jango-(.+)\.tar\.gz", path.name))
        and _matches(found[1], wanted)
    ]
    if cached:
        return max(cached)[1]
    return _download(wanted)


def _download(wanted: str) -> Path:
    """Let pip fetch the sdist; it checks it against the index's hash."""
    exact = wanted == installed_django() or not re.fullmatch(r"\d+\.\d+", wanted)
    requirement = f"Django=={wanted}" if exact else f"Django=={wanted}.*"
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pip-") as scratch:
        # pip prepares the metadata of an sdist, in an isolated build environment
        # that it makes itself: a plain venv is enough.
        command = [sys.executable, "-m", "pip", "download", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-binary", "Django"]
        command += ["--dest", scratch, requirement]
        sys.stderr.write(f"Downloading the sources of {requirement} through pip …\n")
        done = subprocess.run(  # noqa: S603  # arguments of our own, no shell
            command, capture_output=True, text=True, check=False
        )
        found = list(Path(scratch).glob("*.tar.gz"))
        if done.returncode or len(found) != 1:
            lines = (done.stderr or done.stdout).strip().splitlines()
            reason = next((ln for ln in reversed(lines) if "ERROR" in ln), "")
            raise UsageError(
                f"pip can't download the sources of {requirement}"
                f" ({reason or 'no message'}). Without a network, pass the archive"
                f" django-{wanted}….tar.gz with --archive PATH"
            )
        digest = _sha256(found[0])
        target = folder / found[0].name
        # The hash first: an archive in the cache always has one.
        target.with_name(target.name + ".sha256").write_text(digest + "\n", "utf-8")
        found[0].replace(target)
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(info: Path, name: str) -> str:
    """One header of a PKG-INFO file."""
    text = info.read_text("utf-8").split("\n\n", 1)[0]
    found = re.search(rf"^{name}: *(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _matches(version: str, wanted: str) -> bool:
    """Whether 6.1.3 is 6.1.3, or of 6.1."""
    return version == wanted or (
        wanted.count(".") == 1 and parse_version(version)[:2] == parse_version(wanted)
    )


def _check_python(tree: SourceTree) -> None:
    required = _header(tree.root / "PKG-INFO", "Requires-Python")
    found = re.fullmatch(r">=\s*([\d.]+)", required)
    running: Version = tuple(sys.version_info[:3])
    if found and running < parse_version(found[1]):
        raise UsageError(
            f"Django {tree.version} needs Python {required}, but this is"
            f" {'.'.join(map(str, running))}"
        )
