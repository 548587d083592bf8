"""PostgreSQL with PostGIS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from backendkit.dbdev.base import Finding
from backendkit.dbdev.engines.postgresql import DBSETTINGS as _POSTGRESQL
from backendkit.dbdev.engines.postgresql import POSTGRES, PostgresBackend
from backendkit.dbdev.errors import DbdevError, MissingProgramError
from backendkit.dbdev.process import run
from backendkit.dbdev.programs import install_hint

DBSETTINGS = {**_POSTGRESQL, "ENGINE": "django.contrib.gis.db.backends.postgis"}


class PostGisBackend(PostgresBackend):
    """
    All databases of the cluster have the extension ``postgis``.

    Only an administrator may add it, so it is in the template that test databases
    are made from, too.
    """

    display_name = "PostGIS"
    url_scheme = "postgis"
    extensions = ("postgis",)

    def check_programs(self) -> None:
        """Check that the server knows the extension, before a cluster is made."""
        super().check_programs()
        if not self._control_file().exists():
            raise self._missing()

    def _control_file(self) -> Path:
        """Return the file by which the server knows the extension."""
        postgres = Path(self.program(POSTGRES)).resolve()
        try:
            pg_config = run([str(postgres.with_name("pg_config")), "--sharedir"])
        except DbdevError:
            # Not all installations have it. Debian's folders, and those of others.
            version = postgres.parent.parent.name
            places = [
                Path("/usr/share/postgresql", version),
                postgres.parent.parent / "share",
                postgres.parent.parent / "share" / "postgresql",
            ]
            found = [path for path in places if (path / "extension").is_dir()]
            share = found[0] if found else places[0]
        else:
            share = Path(pg_config.decode().strip())
        return share / "extension" / "postgis.control"

    def _missing(self) -> MissingProgramError:
        packages = {
            "apt-get": "postgresql-postgis",
            "dnf": "postgis",
            "pacman": "postgis",
            "apk": "postgis",
            "brew": "postgis",
        }
        return MissingProgramError(
            f"PostgreSQL here has no PostGIS ({self._control_file()} is missing). To"
            f" install it: {install_hint(packages)}"
        )

    def findings(self) -> Iterator[Finding]:
        """Look for the extension, too."""
        yield from super().findings()
        try:
            self.check_programs()
        except DbdevError as error:
            yield Finding(False, str(error))
        else:
            yield Finding(True, f"PostGIS: {self._control_file()}")
