"""Servers whose backup is a copy of their folder."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backendkit.dbdev.files import copy_tree, size_of
from backendkit.dbdev.server import ServerBackend
from backendkit.progress import Progress

_COPY = "data"


class CopiedServerBackend(ServerBackend):
    """
    Stops the server for as long as its folder is copied.

    For servers that have no way to copy their data while they run.
    """

    restores_into_new = False

    def backup(self, directory: Path) -> None:
        """Copy the folder; the server is stopped meanwhile."""
        with self.backing_up(directory):
            pass

    @contextlib.contextmanager
    def backing_up(self, directory: Path) -> Iterator[None]:
        """Start the server again while the block looks at the copy."""
        was_running = self.quiesce()
        with ThreadPoolExecutor(1) as pool:
            try:
                size = size_of(self.instance.data)
                with Progress(sys.stderr, "copying", size) as shown:
                    copy_tree(self.instance.data, directory / _COPY, shown)
            finally:
                if was_running:
                    resumed = pool.submit(self.resume)
            yield
            if was_running:
                resumed.result()

    def restore(self, directory: Path) -> None:
        """Copy the folder back, and start the server."""
        self.instance.create()
        source = directory / _COPY
        with Progress(sys.stderr, "copying", size_of(source)) as shown:
            copy_tree(source, self.instance.data, shown)
        user = self.user
        if user is not None:
            user.own(self.instance.data)
        self.resume()
        self.set_up()
