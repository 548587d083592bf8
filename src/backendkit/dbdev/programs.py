"""Programs that others install: where they are, or how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backendkit.dbdev import old_settings
from backendkit.dbdev.errors import MissingProgramError

#: Package managers, and how a person installs a package with each.
MANAGERS = {
    "apt-get": "apt-get install --no-install-recommends",
    "dnf": "dnf install",
    "pacman": "pacman -S",
    "apk": "apk add",
    "brew": "brew install",
}
#: Folders of servers that are often not on PATH.
_MORE_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_TIMEOUT = 20  # seconds for a program to tell its version


@dataclass(frozen=True)
class Program:
    """
    A program that a backend runs.

    :param names: one of these; the first is the one in messages.
    :param setting: Django setting with its path.
    :param packages: what has it, by package manager.
    :param needed_for: what can't be done without it; None: anything.
    :param version_argument: with which it tells its version and does nothing else;
        None: there is none.
    """

    names: tuple[str, ...]
    setting: str
    packages: Mapping[str, str] = field(default_factory=dict)
    needed_for: str | None = None
    version_argument: str | None = "--version"

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.names[0]

    def find(self, settings: Any, folders: Sequence[Path] = ()) -> str | None:
        """
        Return its path: of the setting, in the folders, on PATH; None: it isn't there.

        :param settings: Django's, or any object with such attributes.
        :raises MissingProgramError: the setting names something else.
        """
        named = old_settings.read(settings, self.setting)
        if named:
            found = shutil.which(os.fspath(named))
            if found is None:
                raise MissingProgramError(f"{self.setting} = {named!r} isn't a program")
            return found
        for folder in folders:
            for name in self.names:
                found = shutil.which(name, path=str(folder))
                if found is not None:
                    return found
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_FOLDERS])
        for name in self.names:
            found = shutil.which(name, path=path)
            if found is not None:
                return found
        return None

    def describe(self, path: str) -> str:
        """Return where it is, and its version."""
        if self.version_argument is None:
            return path
        return f"{path}, {version_of(path, self.version_argument)}"

    def hint(self) -> str:
        """Return how to install it on this machine, as a line to type."""
        return install_hint(self.packages)

    def missing(self) -> MissingProgramError:
        """Return the error that says that it isn't there."""
        for_what = f", which {self.needed_for} needs," if self.needed_for else ""
        return MissingProgramError(
            f"the program {self.name}{for_what} isn't installed. To install it:"
            f" {self.hint()}. If it is installed in an unusual place, set"
            f" {self.setting} to its path"
        )


def install_hint(packages: Mapping[str, str]) -> str:
    """
    Return how to install a package on this machine, as a line to type.

    :param packages: its name, by package manager.
    """
    for manager, how in MANAGERS.items():
        if manager in packages and shutil.which(manager):
            root = manager == "brew" or os.geteuid() == 0
            return f"{'' if root else 'sudo '}{how} {packages[manager]}"
    known = ", ".join(f"{manager}: {name}" for manager, name in packages.items())
    return f"install a package that contains it ({known})" if known else "install it"


def version_of(path: str, argument: str = "--version") -> str:
    """Return the first line that a program prints about its version."""
    try:
        answer = subprocess.run(  # noqa: S603  # the path is one that was found
            [path, argument],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown version"
    lines = (answer.stdout + answer.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown version"
