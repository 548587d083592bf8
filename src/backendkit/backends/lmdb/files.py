"""The directory of a database: what is in it, and whether it is one of ours."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import lmdb

from backendkit.kv import check_format
from backendkit.kv.layout import FORMAT_KEY
from backendkit.stores import InterfaceError, OperationalError

from .options import LMDBOptions
from .pages import is_complete

DATA_FILE, LOCK_FILE, WRITER_FILE = "data.mdb", "lock.mdb", "writer.lock"
#: Bytes in LMDB's lock file: before the slots of the readers, and of each.
_LOCK_HEADER, _LOCK_SLOT = 128, 64
FILES = frozenset({DATA_FILE, LOCK_FILE, WRITER_FILE})


def writer_file(path: str) -> str:
    """Return the path of the file that writers lock."""
    return os.path.join(path, WRITER_FILE)


def lock_file(path: str) -> str:
    """Return the path of LMDB's lock file."""
    return os.path.join(path, LOCK_FILE)


def copy_modes(source: str, target: str) -> None:
    """
    Give a copy of a database its modes, whatever the umask is.

    :param source: path of the database.
    :param target: path of its copy, which only its owner can enter yet.
    """
    for name in os.listdir(target):
        of = os.path.join(source, name)
        mode = os.stat(of if os.path.exists(of) else source).st_mode & 0o666
        os.chmod(os.path.join(target, name), mode)
    os.chmod(target, os.stat(source).st_mode & 0o777)


def prepare(path: str, options: LMDBOptions) -> bool:
    """
    Make the directory if it isn't there; return whether it may be empty.

    :raises InterfaceError: there is something else. Nothing was changed.
    :raises OperationalError: it can't be made or read.
    """
    try:
        names = set(os.listdir(path))
    except FileNotFoundError:
        names = None
    except NotADirectoryError:
        raise InterfaceError(
            f"{path} is a file, but an LMDB database is a directory"
        ) from None
    except OSError as error:
        raise OperationalError(
            f"unable to open database {path}: {error.strerror}"
        ) from error
    if names and DATA_FILE in names:
        if WRITER_FILE in names:
            _check_data_file(path)
            return True
        # A copy of one of ours, or a stranger's: look before anything is made.
        check_directory(path)
        return False
    if names and names - FILES:
        raise InterfaceError(f"{path} contains other files, but no LMDB database")
    if options.readonly:
        raise OperationalError(f"unable to open database: {path} contains none")
    if names is None:
        try:
            os.mkdir(path)
        except FileExistsError:
            pass  # another process was faster
        except OSError as error:
            raise OperationalError(
                f"unable to create database {path}: {error.strerror}"
            ) from error
    return True


def _check_data_file(path: str) -> None:
    """
    Check that nothing was cut off the data file.

    :raises OperationalError: something was, or it can't be read.
    """
    try:
        complete = is_complete(os.path.join(path, DATA_FILE))
        # Who wrote there had a database: an empty file isn't a new one.
        if complete and not data_size(path):
            complete = not _size(writer_file(path))
    except OSError as error:
        raise OperationalError(
            f"unable to open database {path}: {error.strerror}"
        ) from error
    if not complete:
        raise OperationalError(
            f"unable to open database {path}: {DATA_FILE} is truncated, so a part of"
            " the data is missing. Restore a backup."
        )


def data_size(path: str) -> int:
    """Return the size of the data file in bytes, 0 if there is none."""
    return _size(os.path.join(path, DATA_FILE))


def _size(path: str) -> int:
    """Return the size of a file, 0 if there is none."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def check_directory(path: str) -> None:
    """
    Check that a directory holds a database of ours, without a trace.

    :raises OperationalError: it doesn't, or can't be read.
    """
    _check_data_file(path)
    try:
        environment = lmdb.open(path, readonly=True, lock=False, create=False)
    except (lmdb.Error, OSError) as error:
        raise OperationalError(f"unable to open database {path}: {error}") from error
    try:
        with environment.begin() as transaction:
            marker = transaction.get(FORMAT_KEY)
    except lmdb.Error as error:
        raise OperationalError(f"unable to read database {path}: {error}") from error
    finally:
        environment.close()
    check_format(marker, path)


def _allocate_lock_file(path: str, max_readers: int) -> None:
    """
    Take the room for LMDB's lock file on the disk.

    LMDB writes it through a memory map, where a full disk is the end of the process.
    A file that is there keeps its size: other processes may have mapped it.
    """
    file = os.path.join(path, LOCK_FILE)
    with contextlib.suppress(FileNotFoundError):
        if os.stat(file).st_blocks * 512 >= os.stat(file).st_size > 0:
            # Not to be opened then: to close it would drop the locks on it of
            # whoever has the database open in this process, by LMDB alone.
            return
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(fd).st_size or _LOCK_HEADER + max_readers * _LOCK_SLOT
        os.posix_fallocate(fd, 0, size)
    except OSError:
        if not os.fstat(fd).st_size:
            os.remove(file)
        raise
    finally:
        os.close(fd)


def open_environment(path: str, options: LMDBOptions, reserve: int) -> lmdb.Environment:
    """
    Open LMDB itself, with as large a map as can be had.

    :param reserve: bytes to begin with; smaller maps are tried if it is too much.
    :raises OperationalError: it can't be opened.
    """
    if not options.readonly:
        _allocate_lock_file(path, options.max_readers)
    least = options.map_size
    for size in _map_sizes(path, options, reserve):
        try:
            return _opened(path, options, size)
        except lmdb.MemoryError:
            least = size
        except (lmdb.Error, OSError) as error:
            raise OperationalError(
                f"unable to open database {path}: {error}"
            ) from error
    raise OperationalError(
        f"unable to open database {path}: this process can't map the {least} bytes"
        " that it needs into its address space"
    )


def _opened(path: str, options: LMDBOptions, size: int) -> lmdb.Environment:
    """Open LMDB with a map of this size."""
    while True:
        file = _number_of_data_file(path)
        environment = lmdb.open(
            path,
            map_size=size,
            readonly=options.readonly,
            create=False,
            metasync=options.durability == "full",
            sync=options.durability != "none",
            max_readers=options.max_readers,
        )
        # Without the right to write, LMDB opens the data file before it waits for
        # those who replace it by another one: see management/compacting.py.
        if file in {None, _number_of_data_file(path)}:
            return environment
        environment.close()


def _number_of_data_file(path: str) -> int | None:
    """Return what tells the data file from another one there, None for no file."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(os.path.join(path, DATA_FILE)).st_ino
    return None


def _map_sizes(path: str, options: LMDBOptions, reserve: int) -> Iterator[int]:
    """Iterate over the sizes of the map to try, from large to small."""
    used = data_size(path)
    # LMDB itself refuses a map smaller than the file.
    least = max(options.map_size, used)
    size = max(reserve, least, 4 * used)
    if options.max_size is not None:
        size = min(size, options.max_size)
    while size > least:
        yield size
        size //= 2
    yield least if options.max_size is None else min(least, options.max_size)


def remove(path: str) -> None:
    """
    Remove a database's files, and its directory if nothing else is in it.

    :raises InterfaceError: it isn't one of ours.
    :raises OperationalError: it isn't one of ours, or can't be removed.
    """
    try:
        names = set(os.listdir(path))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise InterfaceError(
            f"{path} is a file, but an LMDB database is a directory"
        ) from None
    if DATA_FILE in names:
        check_directory(path)
    elif names - FILES:
        raise InterfaceError(f"{path} contains other files, but no LMDB database")
    try:
        # The data first: without it, what is left is an empty database.
        for name in (DATA_FILE, LOCK_FILE, WRITER_FILE):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(path, name))
        if not names - FILES:
            os.rmdir(path)
    except OSError as error:
        raise OperationalError(f"unable to remove {path}: {error.strerror}") from error
