"""immudb."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from backendkit.backends.immudb import server
from backendkit.dbdev.base import Finding
from backendkit.dbdev.copying import CopiedServerBackend
from backendkit.dbdev.errors import DbdevError, MissingProgramError
from backendkit.dbdev.programs import version_of

DBSETTINGS = {
    "ENGINE": "backendkit.backends.immudb",
    "NAME": "dbdev",
    "USER": "immudb",
    "HOST": "127.0.0.1",
}

_ADMIN = "immudb"
_DEFAULT_DATABASE = "defaultdb"


class ImmudbBackend(CopiedServerBackend):
    """A server whose administrator, ``immudb``, has the password of the settings."""

    display_name = "immudb"
    url_scheme = "immudb"
    required_settings = ("NAME", "USER")

    def _program(self) -> str:
        try:
            return server.find()
        except server.ServerNotFound as error:
            raise MissingProgramError(str(error)) from error

    def check_programs(self) -> None:
        """Check that the server's program is there, and the user is the administrator."""
        self._program()
        if self.dbsettings.get("USER") != _ADMIN:
            raise DbdevError(
                f"DATABASES[{self.alias!r}]['USER'] has to be {_ADMIN!r}, the"
                " administrator of the server"
            )

    def version(self) -> str:
        """Return what the server's program says."""
        return version_of(self._program(), "version")

    def create_data(self, folder: Path) -> None:
        """Leave the folder empty: the server fills it when it starts."""

    def server_command(self) -> list[str]:
        """Return the server's command line; its other ports are closed."""
        return [
            self._program(),
            f"--dir={self.instance.data}",
            f"--address={self.host}",
            f"--port={self.port}",
            "--web-server=false",
            "--metrics-server=false",
            "--pgsql-server=false",
            # Data that come from a backup may know another one.
            "--force-admin-password",
        ]

    def server_environment(self) -> Mapping[str, str]:
        """Return ours, and the password."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith("IMMUDB_")}
        password = self.dbsettings.get("PASSWORD")
        return ours | {"IMMUDB_ADMIN_PASSWORD": str(password)} if password else ours

    def is_ready(self) -> bool:
        """Whether somebody can log in."""
        from backendkit.backends.immudb import driver  # noqa: PLC0415  # gRPC is slow to load

        try:
            with driver.connect(
                self.host,
                self.port,
                _DEFAULT_DATABASE,
                _ADMIN,
                str(self.dbsettings.get("PASSWORD") or _ADMIN),
                connect_timeout=1,
            ) as connection:
                connection.ping()
        except driver.Error:
            return False
        return True

    def set_up(self) -> None:
        """Make the database of the settings, if it isn't there."""
        # gRPC is slow to load.
        from backendkit.backends.immudb import driver  # noqa: PLC0415
        from backendkit.backends.immudb.creation import MAX_TX_ENTRIES  # noqa: PLC0415

        name = str(self.dbname)
        # As many as those of test databases: Django writes much at once.
        options = self.dbsettings.get("OPTIONS") or {}
        most = options.get("max_tx_entries", MAX_TX_ENTRIES)
        try:
            with driver.connect(
                self.host,
                self.port,
                _DEFAULT_DATABASE,
                _ADMIN,
                str(self.dbsettings.get("PASSWORD") or _ADMIN),
            ) as connection:
                if name not in {known.name for known in connection.databases()}:
                    connection.create_database(name, max_tx_entries=most)
        except driver.Error as error:
            raise DbdevError(f"{self.display_name}: {error}") from error

    def findings(self) -> Iterator[Finding]:
        """Look for the program, too."""
        try:
            path = self._program()
        except DbdevError as error:
            yield Finding(False, str(error))
        else:
            yield Finding(True, f"immudb: {path}, {self.version()}")
        yield from super().findings()
