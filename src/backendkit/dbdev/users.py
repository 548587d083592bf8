"""Who a server runs as: servers that may not run as root run as another user."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backendkit.dbdev.errors import DbdevError

_UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class User:
    """An account of the operating system, without its additional groups."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Return what makes ``subprocess.Popen`` run as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give this user a file, or a directory and what is in it."""
        os.chown(path, self.uid, self.gid)
        if path.is_dir():
            for folder, folders, files in os.walk(path):
                for name in folders + files:
                    os.lchown(os.path.join(folder, name), self.uid, self.gid)

    def check_reaches(self, folder: Path) -> None:
        """
        Check that this user may enter a directory.

        :raises DbdevError: a directory above is closed; it says which one.
        """
        for path in [*reversed(folder.parents), folder]:
            status = path.stat()
            bits = status.st_mode
            if status.st_uid == self.uid:
                bits >>= 6
            elif status.st_gid == self.gid:
                bits >>= 3
            if not bits & 1:
                raise DbdevError(
                    f"the server can't run as root, and the user {self.name} has no"
                    f" access to {path}. Set DBDEV_DATADIR to a directory that this"
                    " user can access, or DBDEV_USER to another user"
                )


def unprivileged(folder: Path, name: str | None) -> User | None:
    """
    Return who shall run a server that refuses root; None: who we are.

    :param folder: of the project. Its owner is taken, unless that is root.
    :param name: the setting ``DBDEV_USER``.
    :raises DbdevError: there is no such user.
    """
    if os.geteuid() != 0:
        return None
    while not folder.exists():
        folder = folder.parent
    owner = folder.stat().st_uid
    try:
        if name is not None:
            entry = pwd.getpwnam(name)
        elif owner:
            entry = pwd.getpwuid(owner)
        else:
            entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        if name is None and owner:
            # Of a folder that comes from another machine.
            return User(str(owner), owner, owner)
        raise DbdevError(
            f"there is no user {name or _UNPRIVILEGED} to run the server as. Set"
            " DBDEV_USER to the name of a user"
        ) from None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)
