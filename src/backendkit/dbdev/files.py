"""Files: copied, counted and checked with a counter on the terminal."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from backendkit.progress import Progress

# What systems, databases and programs say when a disk is full.
_FULL = re.compile(r"no space left|disk quota|disk (is )?full|errno:? 28", re.I)
_CHUNK = 1 << 20  # bytes


def files_in(folder: Path) -> Iterator[Path]:
    """Iterate over the files in a folder and below it, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 if it isn't there."""
    if path.is_dir():
        total = 0
        for file in path.rglob("*"):
            try:
                total += file.lstat().st_size
            except OSError:
                continue  # a server removed it meanwhile
        return total
    return path.stat().st_size if path.exists() else 0


def checksum(path: Path, progress: Progress) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            progress.add(len(chunk))
    return digest.hexdigest()


def copy_tree(source: Path, target: Path, progress: Progress) -> None:
    """Copy a folder, its access rights too; sockets and the like are left out."""
    target.mkdir()
    shutil.copystat(source, target)
    for entry in os.scandir(source):
        to = target / entry.name
        if entry.is_symlink():
            to.symlink_to(os.readlink(entry.path))
        elif entry.is_dir():
            copy_tree(Path(entry.path), to, progress)
        elif entry.is_file():
            shutil.copy2(entry.path, to)
            progress.add(entry.stat().st_size)


def remove(path: Path) -> None:
    """Remove a file, or a folder with what is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until a file, or what a directory lists, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reason(
    error: OSError,
    folder: Path | None = None,
    needed: int | None = None,
    *,
    named: bool = True,
) -> str:
    """
    Return what went wrong with a file, for a person.

    :param folder: that was being written to. When its disk is full, the message has it
        and the space that is left.
    :param needed: about how many bytes had to be written.
    :param named: whether to name the file.
    """
    text = error.strerror or str(error)
    if error.filename is not None:
        text = f"{text}: {os.fsdecode(error.filename)}" if named else text
        folder = folder or Path(os.fsdecode(error.filename)).absolute().parent
    return text if folder is None else with_space(text, folder, needed)


def with_space(text: str, folder: Path, needed: int | None = None) -> str:
    """
    Return an error's text, with the space that is left if it says that there is none.

    Programs and libraries say so in words of their own.
    """
    if not _FULL.search(text):
        return text
    while not folder.exists():
        folder = folder.parent
    free = readable_size(shutil.disk_usage(folder).free)
    text = f"{text}. The file system of {folder} has {free} left"
    return text if needed is None else f"{text}, but {readable_size(needed)} are needed"


def counted(number: int, noun: str) -> str:
    """Return a number of things for a person: ``1 backup``, ``2 backups``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def readable_size(size: float) -> str:
    """Return a number of bytes for a person."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
