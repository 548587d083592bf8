"""Where an instance is: one for each project and alias."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from backendkit.dbdev import ports
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import reason
from backendkit.dbdev.state import Lock, State, StateFile

#: The folder in a project when ``DBDEV_DATADIR`` names no other one.
DEFAULT_FOLDER = "dbdev_tempdata"

#: Seconds; what is done while settings are imported is short.
LOCK_TIMEOUT = 30.0


class Instance:
    """
    The folder of one database, and what is in it.

    :param root: of all instances of a project.
    :param alias: as in ``DATABASES``.
    """

    def __init__(self, root: Path, alias: str) -> None:
        self.root = root
        self.alias = alias
        # Any text may be an alias; these two are no names of folders.
        name = quote(alias, safe="") if alias.strip(".") else alias.replace(".", "%2E")
        self.folder = root / name
        self.data = self.folder / "data"
        self.backups = self.folder / "backups"
        self.log = self.folder / "server.log"
        self.file = StateFile(self.folder / "state.json")
        self.lock = Lock(self.folder / "lock")

    def create(self) -> None:
        """
        Make the folder; nothing in it goes into version control.

        :raises DbdevError: it can't be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            said = reason(error, self.root.parent, named=False)
            raise DbdevError(
                f"{self.folder} can't be created: {said}. Set DBDEV_DATADIR to"
                " another directory"
            ) from error

    def reserved(self) -> State:
        """
        Return a state that has a port and a password, made when it hasn't.

        :raises DbdevError: it can't be kept.
        """
        state = self.file.load()
        if state.port is None or state.password is None:
            self.create()
            with self.lock.held(LOCK_TIMEOUT):
                state = self.file.load()
                if state.port is None:
                    state.port = ports.choose(str(self.folder))
                if state.password is None:
                    state.password = secrets.token_urlsafe(16)
                state.folder = os.path.realpath(self.folder)
                self.file.save(state)
        return state


def root_of(database: Mapping[str, Any], settings: Any) -> Path:
    """
    Return the folder of all instances.

    :param database: the entry of ``DATABASES``; ``dbsettings`` notes the folder there.
    :param settings: Django's. ``DBDEV_DATADIR``, if relative, is so to ``BASE_DIR``,
        or else to the current directory.
    """
    noted = database.get("DBDEV", {}).get("DATADIR")
    if noted:
        return Path(noted)
    named = os.fspath(getattr(settings, "DBDEV_DATADIR", None) or DEFAULT_FOLDER)
    project = Path(getattr(settings, "BASE_DIR", None) or ".").resolve()
    return project / named
