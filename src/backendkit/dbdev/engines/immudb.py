"""immudb."""

from __future__ import annotations

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
        """Return the server's command line."""
        return server.command_line(
            self._program(),
            self.instance.data,
            self.port,
            [
                # Data that come from a backup may know another one.
                "--force-admin-password",
                *self.server_options("DBDEV_IMMUDB_OPTIONS"),
            ],
        )

    def server_environment(self) -> Mapping[str, str]:
        """Return ours, and the password."""
        return server.environment(self._password)

    @property
    def _password(self) -> str:
        # What the server itself has it be without any.
        return str(self.dbsettings.get("PASSWORD") or _ADMIN)

    def is_ready(self) -> bool:
        """Whether it answers."""
        return server.answers(self.port)

    def set_up(self) -> None:
        """Make the database of the settings, if it isn't there."""
        if self.dbname == _DEFAULT_DATABASE:
            return
        # gRPC is slow to load.
        from backendkit.backends.immudb import creation, driver  # noqa: PLC0415  # needs grpc

        name = str(self.dbname)
        # As many as those of test databases: Django writes much at once.
        options = self.dbsettings.get("OPTIONS") or {}
        most = options.get("max_tx_entries", creation.MAX_TX_ENTRIES)
        try:
            with driver.connect(
                self.host,
                self.port,
                _DEFAULT_DATABASE,
                _ADMIN,
                self._password,
            ) as connection:
                if name not in {known.name for known in connection.databases()}:
                    connection.create_database(
                        name,
                        max_tx_entries=most,
                        max_read_set=creation.MAX_READ_SET,
                    )
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
