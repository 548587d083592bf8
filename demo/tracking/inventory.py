"""What is installed, read from the packaging metadata. No database here."""

import base64
import datetime
import email.utils
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from .licences import licence_of


@dataclass(frozen=True)
class FileRecord:
    path: str
    kind: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Requirement:
    slug: str
    specifier: str
    marker: str
    extra: str


@dataclass
class Installed:
    """An installed distribution."""

    name: str
    slug: str
    version: str
    location: str
    summary: str
    home_page: str
    requires_python: str
    licence: str
    licence_category: str
    authors: list[tuple[str, str]]
    requirements: list[Requirement]
    installed_on: datetime.date | None
    details: dict[str, object] = field(default_factory=dict)
    files: list[FileRecord] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(file.size or 0 for file in self.files)

    @property
    def fingerprint(self) -> bytes:
        """Equal fingerprints: the same files."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.path}\0{file.size}\0{file.sha256}\n".encode())
        return digest.digest()


def site_directories() -> list[str]:
    """
    Return the directories of all Pythons found: this one, the one that it was
    made from, and those whose ``python3`` is on PATH.
    """
    prefixes = [Path(sys.prefix), Path(sys.base_prefix)]
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        if directory:
            found = sorted(Path(directory).glob("python3*"))
            prefixes.extend(exe.resolve().parent.parent for exe in found)
    directories = [entry for entry in sys.path if Path(entry).is_dir()]
    for prefix in dict.fromkeys(prefixes):
        for pattern in ("site-packages", "dist-packages"):
            directories.extend(map(str, sorted(prefix.glob(f"lib/python3*/{pattern}"))))
    return list(dict.fromkeys(str(Path(entry).resolve()) for entry in directories))


def installed(paths: Iterable[str] | None = None) -> Iterator[Installed]:
    """
    Yield every distribution once: where several directories have the same
    version, the first one counts.

    :param paths: directories to look in; None for ``sys.path``.
    """
    seen = set()
    found = (
        metadata.distributions()
        if paths is None
        else metadata.distributions(path=list(paths))
    )
    for distribution in found:
        name = distribution.metadata["Name"]
        version = distribution.metadata["Version"]
        # A directory that pip left half removed has neither.
        if not name or not version:
            continue
        identity = (slugify(name), version)
        if identity not in seen:
            seen.add(identity)
            yield read(distribution)


def slugify(name: str) -> str:
    """Normalise a name as packaging tools do."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(distribution: metadata.Distribution) -> Installed:
    """Read one distribution's metadata and file list."""
    headers = distribution.metadata
    classifiers = headers.get_all("Classifier") or []
    licence, category = licence_of(
        headers.get("License-Expression"), classifiers, headers.get("License")
    )
    location = Path(str(distribution.locate_file("")))
    urls = dict(
        [part.strip() for part in url.split(",", 1)]
        for url in headers.get_all("Project-URL") or []
        if "," in url
    )
    homepage = headers.get("Home-page") or next(
        (url for label, url in urls.items() if label.lower() in {"homepage", "source"}),
        "",
    )
    files = list(_files(distribution))
    name = headers["Name"]
    requires = distribution.requires or []
    return Installed(
        name=name,
        slug=slugify(name),
        version=headers["Version"],
        location=str(location),
        summary=_known(headers.get("Summary")),
        home_page=_known(homepage)[:500],
        requires_python=headers.get("Requires-Python") or "",
        licence=licence,
        licence_category=category,
        authors=list(_people(headers)),
        requirements=list(_requirements(slugify(name), requires)),
        installed_on=_installed_on(distribution),
        details={
            "classifiers": classifiers,
            "keywords": re.split(r"[,\s]+", headers.get("Keywords") or "")
            if headers.get("Keywords")
            else [],
            "urls": urls,
            "requires": requires,
            "commands": sorted(
                entry.name
                for entry in distribution.entry_points
                if entry.group == "console_scripts"
            ),
            "installer": (distribution.read_text("INSTALLER") or "").strip() or None,
        },
        files=files,
    )


def _known(text: str | None) -> str:
    """Old tools wrote UNKNOWN for what they weren't told."""
    return "" if text in {None, "UNKNOWN"} else str(text).strip()


def _people(headers) -> Iterator[tuple[str, str]]:
    seen = set()
    for role in ("Author", "Maintainer"):
        addresses = email.utils.getaddresses(headers.get_all(f"{role}-email") or [])
        people = [(name.strip(), address.strip()) for name, address in addresses]
        names = [
            name.strip()
            for name in _known(headers.get(role)).replace(" and ", ",").split(",")
            if name.strip()
        ]
        if len(names) == 1 and len(people) == 1 and not people[0][0]:
            people = [(names[0], people[0][1])]
        elif not people:
            people = [(name, "") for name in names]
        for name, address in people:
            valid = (
                address if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", address) else ""
            )
            person = (name[:200], valid.lower()[:254])
            if any(person) and person not in seen:
                seen.add(person)
                yield person


REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*\])?\s*"
    r"(?P<specifier>[^;]*?)\s*(;\s*(?P<marker>.*))?$",
    re.DOTALL,
)
EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def _requirements(owner: str, requires: Iterable[str]) -> Iterator[Requirement]:
    seen = set()
    for text in requires:
        match = REQUIREMENT.match(text)
        if match is None:
            continue
        slug = slugify(match["name"])
        marker = match["marker"] or ""
        extra = EXTRA.search(marker)
        identity = (slug, extra[1] if extra else "")
        # `all = ["owner[a,b]"]` is how extras are summed up: no dependency.
        if slug == owner or identity in seen:
            continue
        seen.add(identity)
        yield Requirement(
            slug=slug,
            specifier=match["specifier"].strip("() ")[:200],
            marker=marker[:500],
            extra=identity[1][:100],
        )


def _installed_on(distribution: metadata.Distribution) -> datetime.date | None:
    for file in distribution.files or []:
        if file.name in {"METADATA", "PKG-INFO"}:
            try:
                changed = Path(str(file.locate())).stat().st_mtime
            except OSError:
                return None
            return datetime.datetime.fromtimestamp(changed, datetime.UTC).date()
    return None


def _files(distribution: metadata.Distribution) -> Iterator[FileRecord]:
    seen = set()
    for file in distribution.files or []:
        path = str(file)
        if path in seen:
            continue
        seen.add(path)
        size = file.size
        if size is None:
            try:
                size = Path(str(file.locate())).stat().st_size
            except OSError:
                size = None  # listed, but not there
        digest = None
        if file.hash is not None and file.hash.mode == "sha256":
            padded = file.hash.value + "=" * (-len(file.hash.value) % 4)
            digest = base64.urlsafe_b64decode(padded).hex()
        yield FileRecord(path, kind_of(path), size, digest)


KINDS = {
    "python": {".py", ".pyi"},
    "compiled": {".so", ".pyd", ".dll", ".dylib", ".pyc", ".exe", ".a"},
    "web": {".html", ".css", ".js", ".svg", ".png", ".gif", ".ico", ".woff", ".woff2"},
    "locale": {".mo", ".po", ".pot"},
    "text": {".txt", ".md", ".rst", ".json", ".toml", ".xml", ".csv", ".yaml", ".cfg"},
}
SUFFIXES = {suffix: kind for kind, suffixes in KINDS.items() for suffix in suffixes}


def kind_of(path: str) -> str:
    """Return the ``File.Kind`` of a path."""
    if ".dist-info/" in path or ".egg-info/" in path:
        return "metadata"
    return SUFFIXES.get(Path(path).suffix.lower(), "other")
