"""Databases without a server: a file or a directory."""

from __future__ import annotations

from typing import Any

from backendkit.dbdev.base import BaseDbdevBackend


class EmbeddedBackend(BaseDbdevBackend):
    """Says that there is no server, wherever one would be started or stopped."""

    def _no_server(self) -> None:
        self.stdout.write(f"{self.display_name} has no server: nothing to do.")

    def run_database_server_in_foreground(self) -> None:
        """Say that there is no server."""
        self._no_server()

    def start_database_server(self) -> None:
        """Say that there is no server."""
        self._no_server()

    def stop_database_server(self) -> None:
        """Say that there is no server."""
        self._no_server()

    def info(self) -> dict[str, Any]:
        """Tell that there is no server, too."""
        return {**super().info(), "server": "none: the project opens it itself"}
