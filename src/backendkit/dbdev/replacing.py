"""Old data stay until new ones run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backendkit.dbdev.files import remove
from backendkit.dbdev.state import StateFile

_ASIDE = ".dbdev-aside"


class Replacement:
    """
    Data that are set aside, until it is clear whether others take their place.

    The state file says that this is going on: what a killed command left is put back
    by :meth:`roll_back` of the next one.

    :param paths: files and directories which make up the data.
    """

    def __init__(self, file: StateFile, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._file = file
        self._paths = [(path, path.with_name(path.name + _ASIDE)) for path in paths]

    def aside(self, path: Path) -> Path:
        """Return where one of the paths is set aside."""
        return dict(self._paths)[path]

    @property
    def is_open(self) -> bool:
        """Whether data are set aside now."""
        return self._file.load().replacing is not None

    def begin(self) -> None:
        """Set the data aside. Nobody may be using them."""
        self.clean()
        state = self._file.load()
        # Names, not paths: the project's folder may be moved meanwhile.
        state.replacing = [path.name for path, _ in self._paths if path.exists()]
        self._file.save(state)
        for path, aside in self._paths:
            if path.exists():
                path.rename(aside)

    def commit(self) -> None:
        """Keep the new data, and remove the old ones."""
        state = self._file.load()
        state.replacing = None
        self._file.save(state)
        self.clean()

    def roll_back(self) -> None:
        """Remove the new data, and put the old ones back. Nobody may be using them."""
        state = self._file.load()
        if state.replacing is None:
            return
        # (Earlier versions noted paths.)
        there = {Path(name).name for name in state.replacing}
        for path, aside in self._paths:
            if aside.exists():
                remove(path)
                aside.rename(path)
            elif path.name not in there:
                # There was none. (One that was there, and isn't aside, never left.)
                remove(path)
        state.replacing = None
        self._file.save(state)

    def clean(self) -> None:
        """Remove old data that nobody needs any more."""
        if not self.is_open:
            for _, aside in self._paths:
                remove(aside)
