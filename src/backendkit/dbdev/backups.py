"""
Backups: directories with a manifest.

One is written to a directory with another name, gets its manifest last, and then its
own name. What has that name is therefore whole; what has the other is left over from
a command that was killed.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TextIO

from backendkit.dbdev.errors import BackupError, DbdevError
from backendkit.dbdev.files import checksum, files_in, remove, size_of, to_disk
from backendkit.progress import Progress

MANIFEST = "manifest.json"
#: Ends the name of a directory while the backup is being made.
UNFINISHED = ".unfinished"
_FORMAT = 1
_THREADS = 4
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_DIRECTORY = re.compile(r"backup-\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}(?:\.(.+))?")


@dataclass(frozen=True)
class File:
    """A file of a backup; ``size`` is in bytes."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """
    What a backup is.

    :param backend: the class name of the backend that made it.
    :param engine: as in ``DATABASES``.
    :param version: of the server or library.
    :param created: ISO 8601, UTC.
    :param size: of all files, in bytes.
    :param files: by path, with ``/``, relative to the backup.
    """

    backend: str
    engine: str
    version: str
    alias: str
    name: str
    created: str
    size: int
    files: dict[str, File]


def check_name(name: str) -> None:
    """
    Check the name of a backup.

    :raises DbdevError: it couldn't be one of a directory, or is no good one.
    """
    if not _NAME.fullmatch(name) or name.endswith(UNFINISHED):
        raise DbdevError(
            f"{name!r} can't be the name of a backup: a name has up to 100 letters,"
            " digits, '_', '-' and '.', and doesn't begin with '.'"
        )


def directory_name(name: str | None) -> str:
    """Return what a backup's directory is called that is made now."""
    text = f"backup-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    return text if name is None else f"{text}.{name}"


def name_of(directory: Path) -> str | None:
    """Return the name that a backup was given."""
    match = _DIRECTORY.fullmatch(directory.name)
    return match[1] if match else None


def listed(root: Path) -> list[Path]:
    """Return the directories of finished backups, the oldest first."""
    if not root.is_dir():
        return []
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir()
        and _DIRECTORY.fullmatch(path.name)
        and not path.name.endswith(UNFINISHED)
    )


def remove_unfinished(root: Path) -> None:
    """Remove what a killed command left."""
    for path in root.glob(f"backup-*{UNFINISHED}"):
        remove(path)


def finish(
    unfinished: Path,
    *,
    backend: str,
    engine: str,
    version: str,
    alias: str,
    stream: TextIO,
) -> Path:
    """
    Write the manifest of a backup, and give it its own name.

    :param stream: for a counter.
    :return: the directory.
    """
    final = unfinished.with_name(unfinished.name.removesuffix(UNFINISHED))
    files: dict[str, File] = {}
    paths = list(files_in(unfinished))
    with (
        Progress(stream, "checking", size_of(unfinished)) as progress,
        # The disk and the processors work at the same time.
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        # On the disk before anything says that it is.
        flushed = pool.map(to_disk, paths)
        sums = pool.map(lambda path: checksum(path, progress), paths)
        for path, digest in zip(paths, sums, strict=True):
            relative = path.relative_to(unfinished).as_posix()
            files[relative] = File(path.stat().st_size, digest)
        list(flushed)  # raises what went wrong
    manifest = Manifest(
        backend=backend,
        engine=engine,
        version=version,
        alias=alias,
        name=name_of(final) or "",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        size=sum(file.size for file in files.values()),
        files=files,
    )
    target = unfinished / MANIFEST
    target.write_text(
        json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1), "utf-8"
    )
    to_disk(target)
    to_disk(unfinished)
    unfinished.rename(final)
    to_disk(final.parent)
    return final


def read(directory: Path) -> Manifest:
    """
    Return what a backup says that it is.

    :raises BackupError: it isn't one, or can't be read.
    """
    if directory.name.endswith(UNFINISHED):
        raise BackupError(f"{directory} is an incomplete backup")
    path = directory / MANIFEST
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        what = "has no manifest.json" if directory.is_dir() else "isn't a directory"
        raise BackupError(f"{directory} isn't a backup: it {what}") from None
    except NotADirectoryError:
        raise BackupError(f"{directory} isn't a backup: it isn't a directory") from None
    except OSError as error:
        raise BackupError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise BackupError(f"{path} is damaged: {error}") from error
    try:
        if values.pop("format") != _FORMAT:
            raise BackupError(f"{directory} was made by another version of backendkit")
        files = {name: File(**file) for name, file in values.pop("files").items()}
        manifest = Manifest(files=files, **values)
    except (TypeError, KeyError, AttributeError) as error:
        raise BackupError(
            f"{path} isn't the manifest of a backup: {error!r}"
        ) from error
    for name in files:
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts:
            raise BackupError(f"{path} names a file outside of the backup: {name!r}")
    return manifest


def verify(directory: Path, backends: set[str], stream: TextIO) -> Manifest:
    """
    Check that a backup is whole, and made by one of these backends.

    :param backends: names of classes.
    :param stream: for a counter.
    :raises BackupError: it isn't.
    """
    manifest = read(directory)
    if manifest.backend not in backends:
        raise BackupError(
            f"{directory} is a backup of another database, made by {manifest.backend}"
            f" for the engine {manifest.engine}"
        )
    with Progress(stream, "checking", manifest.size) as progress:
        for name, file in manifest.files.items():
            path = directory / name
            try:
                size = path.stat().st_size
                right = size == file.size and checksum(path, progress) == file.sha256
            except FileNotFoundError:
                raise BackupError(
                    f"{directory} is damaged: {name} is missing"
                ) from None
            except OSError as error:
                raise BackupError(f"{path} can't be read: {error.strerror}") from error
            if not right:
                raise BackupError(
                    f"{directory} is damaged: {name} has changed since the backup was"
                    " made"
                )
    return manifest
