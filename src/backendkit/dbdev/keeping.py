"""Backups made and restored, and data replaced: all or nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from backendkit.dbdev import backups, serving
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import reason, remove, size_of, with_space
from backendkit.dbdev.replacing import Replacement

if TYPE_CHECKING:
    from backendkit.dbdev.base import BaseDbdevBackend


def make_directory(backend: BaseDbdevBackend, name: str | None) -> Path:
    """Make the directory of a backup that isn't finished, and return its path."""
    if name is not None:
        backups.check_name(name)
        if backend.find_named_backupdir(name) is not None:
            raise DbdevError(f"there is already a backup named {name!r}")
    directory = backend.root_backupdir / (
        backups.directory_name(name) + backups.UNFINISHED
    )
    try:
        directory.mkdir(parents=True, mode=0o700)
    except OSError as error:
        said = reason(error, directory.parent, named=False)
        raise DbdevError(f"{directory} can't be created: {said}") from error
    return directory


def create(backend: BaseDbdevBackend, name: str | None) -> Path:
    """Make a backup, and return its directory."""
    if not backend.is_initialised():
        raise DbdevError(
            f"there is no database. Create one with {backend.manage('dbdev_init')}"
        )
    backups.remove_unfinished(backend.root_backupdir)
    unfinished = backend.create_timestamped_backupdir(name)
    try:
        with ThreadPoolExecutor(1) as pool:
            # Programs take a while to tell it.
            version = pool.submit(backend.version)
            with backend.backing_up(unfinished):
                return backups.finish(
                    unfinished,
                    backend=type(backend).__name__,
                    engine=backend.dbsettings["ENGINE"],
                    version=version.result(),
                    alias=backend.alias,
                    stream=sys.stderr,
                )
    except OSError as error:
        said = reason(error, unfinished, _size(backend))
        raise DbdevError(f"the backup can't be written: {said}") from error
    except DbdevError as error:
        said = with_space(str(error), unfinished, _size(backend))
        if said == str(error):
            raise
        raise DbdevError(said) from error
    finally:
        remove(unfinished)


def restore(backend: BaseDbdevBackend, directory: Path) -> None:
    """Put a backup in the place of the data."""
    backend.verify_backup(directory)
    with replaced_data(backend):
        try:
            if backend.restores_into_new:
                backend.init()
            backend.restore(directory)
        except OSError as error:
            said = reason(error, backend.data_paths()[0].parent, size_of(directory))
            raise DbdevError(f"the backup can't be restored: {said}") from error
    serving.renewed(backend.instance)


def _size(backend: BaseDbdevBackend) -> int:
    return sum(size_of(path) for path in backend.data_paths())


@contextlib.contextmanager
def replaced_data(backend: BaseDbdevBackend) -> Iterator[Replacement]:
    """Set the data aside; they come back if the block raises an error."""
    was_running = backend.quiesce()
    replacement = _replacement(backend)
    try:
        replacement.begin()
        yield replacement
    except BaseException as error:
        said = _reason(error, replacement.paths[0].parent)
        backend.quiesce()
        replacement.roll_back()
        if was_running:
            backend.resume()
        if said is not None:
            raise DbdevError(f"{said}. The data are unchanged") from error
        raise
    replacement.commit()


def _reason(error: BaseException, folder: Path) -> str | None:
    """Return what is said of an error; None if it is no matter of ours."""
    if isinstance(error, OSError):
        return reason(error, folder)
    return with_space(str(error), folder) if isinstance(error, DbdevError) else None


def is_replacing(backend: BaseDbdevBackend) -> bool:
    """Whether data are set aside now."""
    return _replacement(backend).is_open


def recover(backend: BaseDbdevBackend) -> None:
    """Put in order what a command left that was killed while it replaced the data."""
    replacement = _replacement(backend)
    if replacement.is_open:
        backend.quiesce()
        replacement.roll_back()
        backend.stderr.write(
            "A command was killed while it replaced the data. The data of before that"
            " command were restored."
        )
    replacement.clean()
    backend.instance.file.clean()


def _replacement(backend: BaseDbdevBackend) -> Replacement:
    return Replacement(backend.instance.file, backend.data_paths())
