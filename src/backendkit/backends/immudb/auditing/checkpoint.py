"""
A checkpoint: what an audit has proven, from which the next one goes on.

The file has a line of JSON, with the digest of the rest, and then the file of
:mod:`.versions`. It is replaced as a whole, so that a crash leaves the old one or the new
one. It is trusted, as the file of states is: whoever can write it can hide what was
changed before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from backendkit.backends.immudb.driver._catalog import Catalog
from backendkit.backends.immudb.driver._proofs import ProofError, State
from backendkit.stores import OperationalError

from .history import History
from .versions import Versions

FORMAT = 1
_WHAT = "checkpoint of django-backendkit's immudb_verify"
_BLOCK = 1 << 20
#: Bytes that the first line may have.
_LINE = 1_000

_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, ProofError)


def load(path: str, database: str) -> History | None:
    """
    Return what a checkpoint has; None if there is no such file.

    :param database: the name under which the client remembers its state.
    :raises OperationalError: the file can't be read, isn't a checkpoint or is damaged, or
        is one of another database.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115  # closed below
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperationalError(f"{path} can't be read: {error}") from error
    with file:
        content = _content(path, file)
        next(content)  # before a file is made
        versions = Versions(_folder(path), content)
    try:
        return _history(path, database, versions)
    except BaseException:
        versions.close()
        raise


def _content(path: str, file: IO[bytes]) -> Iterator[bytes]:
    """Return the file behind the first line, in parts; the first one is empty."""
    try:
        header = json.loads(file.readline(_LINE))
        if header["what"] != _WHAT:
            raise ValueError("it is something else")
        version, size, digest = header["format"], header["size"], header["sha256"]
    except _UNREADABLE as error:
        raise _damaged(path, f"it doesn't begin as one ({error!r})") from error
    except OSError as error:
        raise OperationalError(f"{path} can't be read: {error}") from error
    if version != FORMAT:
        raise OperationalError(
            f"{path} has format {version}, which only a newer version of"
            " django-backendkit can read. Name another file"
        )
    yield b""
    found = hashlib.sha256()
    length = 0
    while part := file.read(_BLOCK):
        found.update(part)
        length += len(part)
        yield part
    if (length, found.hexdigest()) != (size, digest):
        raise _damaged(path, "its content has another digest than it says")


def _damaged(path: str, why: str) -> OperationalError:
    return OperationalError(
        f"{path} isn't a checkpoint, or is damaged: {why}. Restore it from a backup, or"
        " remove it: then all transactions are proven again"
    )


def _history(path: str, database: str, versions: Versions) -> History:
    try:
        about = versions.notes()
        of = about["database"]
        state = State(int(about["tx"]), bytes.fromhex(about["hash"]))
        history = History(versions, Catalog.of(json.loads(about["catalog"])), state)
        history.others = int(about["others"])
    except _UNREADABLE as error:
        raise _damaged(path, repr(error)) from error
    if of != database:
        raise OperationalError(
            f"{path} is a checkpoint of {of}, not of {database}. Name another file for"
            " each database"
        )
    return history


def save(path: str, database: str, history: History) -> None:
    """
    Write a checkpoint in place of the one that is there.

    :param history: all that is proven, at least one transaction.
    :raises OperationalError: it can't be written; the old one is as it was.
    """
    state = history.state
    assert state is not None
    versions = history.versions
    versions.note(
        database=database,
        tx=str(state.tx),
        hash=state.hash.hex(),
        catalog=json.dumps(history.catalog.document()),
        others=str(history.others),
    )
    versions.settle()
    try:
        _replace(path, versions.path)
    except OSError as error:
        raise OperationalError(
            f"{path} can't be written: {error}. What it had before is still there"
        ) from error


def _replace(path: str, source: str) -> None:
    with open(source, "rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    header: dict[str, Any] = {
        "what": _WHAT,
        "format": FORMAT,
        "size": os.path.getsize(source),
        "sha256": digest,
    }
    descriptor, fresh = tempfile.mkstemp(prefix=".checkpoint-", dir=_folder(path))
    try:
        with open(descriptor, "wb") as file, open(source, "rb") as content:
            file.write(json.dumps(header).encode() + b"\n")
            while part := content.read(_BLOCK):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        raise
    folder = os.open(_folder(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _folder(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))
