"""MariaDB, or MySQL where there is no MariaDB."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from backendkit.dbdev import dumps, process
from backendkit.dbdev.copying import CopiedServerBackend
from backendkit.dbdev.errors import BackupError
from backendkit.dbdev.programs import Program, version_of
from backendkit.dbdev.project import loaded_engine
from backendkit.progress import Progress

DBSETTINGS = {
    "ENGINE": "django.db.backends.mysql",
    "NAME": "dbdev",
    "USER": "dbdev",
    "HOST": "127.0.0.1",
}

_SERVER_PACKAGES = {
    "apt-get": "mariadb-server-core",
    "dnf": "mariadb-server",
    "pacman": "mariadb",
    "apk": "mariadb",
    "brew": "mariadb",
}
_CLIENT_PACKAGES = _SERVER_PACKAGES | {
    "apt-get": "mariadb-client-core",
    "dnf": "mariadb",
    "apk": "mariadb-client",
}
MYSQLD = Program(
    ("mariadbd", "mysqld"), "DBDEV_MYSQL_MYSQLD_EXECUTABLE", _SERVER_PACKAGES
)
# MySQL's server does it by itself. (With any argument that it doesn't know, such as
# --version, it makes data in the system's own folder.)
INSTALL_DB = Program(
    ("mariadb-install-db", "mysql_install_db"),
    "DBDEV_MYSQL_INSTALL_DB_EXECUTABLE",
    _SERVER_PACKAGES,
    "creating MariaDB's data",
    version_argument=None,
)
MYSQL = Program(
    ("mariadb", "mysql"), "DBDEV_MYSQL_EXECUTABLE", _CLIENT_PACKAGES, "loading SQL"
)
MYSQLDUMP = Program(
    ("mariadb-dump", "mysqldump"),
    "DBDEV_MYSQL_MYSQLDUMP_EXECUTABLE",
    _CLIENT_PACKAGES | {"apt-get": "mariadb-client"},
    "backups without stopping the server",
)
_DUMP = "backup.sql"
# How mariadb-dump ends a file.
_END = b"-- Dump completed"
_ADMIN = "root"


class MySqlBackend(CopiedServerBackend):
    """
    A server with the user of the settings, who owns the database and test databases.

    Its administrator is ``root``, who may connect from this machine alone.
    """

    display_name = "MariaDB"
    url_scheme = "mysql"
    required_settings = ("NAME", "USER")
    refuses_root = True

    def programs(self) -> Sequence[Program]:
        """Return the server's and the clients' programs."""
        return MYSQLD, INSTALL_DB, MYSQL, MYSQLDUMP

    def check_programs(self) -> None:
        """Check that the driver is there, too, before anything is made."""
        super().check_programs()
        loaded_engine(self.dbsettings["ENGINE"])

    def program_folders(self) -> Sequence[Path]:
        """Return the folder of the setting."""
        named = self.setting("DBDEV_MYSQL_BASEDIR")
        return [Path(named, name) for name in ("bin", "sbin")] if named else []

    def version(self) -> str:
        """Return what the server's program says."""
        return version_of(self.program(MYSQLD))

    def create_data(self, folder: Path) -> None:
        """Make the tables of the server itself."""
        server = self.program(MYSQLD)
        if "MariaDB" in version_of(server):
            command = [
                self.program(INSTALL_DB),
                "--no-defaults",
                f"--datadir={folder}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                f"--tmpdir={self._temporary()}",
            ]
        else:
            command = [
                server,
                "--no-defaults",
                "--initialize-insecure",
                f"--datadir={folder}",
                f"--tmpdir={self._temporary()}",
            ]
        with Progress(sys.stderr, "creating the data") as progress:
            process.run(command, user=self.user, cwd=folder, tick=progress.add)

    def _temporary(self) -> Path:
        """
        Return a folder for the server's temporary files.

        A server that starts removes those of all others in the same folder.
        """
        folder = self.instance.folder / "tmp"
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user is not None:
            self.user.own(folder)
        return folder

    def server_command(self) -> list[str]:
        """Return the server's command line."""
        data = self.instance.data
        command = [
            self.program(MYSQLD),
            "--no-defaults",
            f"--datadir={data}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            # In its folder, which nobody else may enter; relative to it, since the
            # names of sockets have to be short.
            "--socket=server.sock",
            f"--tmpdir={self._temporary()}",
            f"--pid-file={data / 'server.pid'}",
            "--skip-name-resolve",
            f"--init-file={self._users_file()}",
            "--character-set-server=utf8mb4",
        ]
        # The last moments before a power failure are worth nothing here.
        command.append("--innodb-flush-log-at-trx-commit=2")
        return command + self.server_options("DBDEV_MYSQL_OPTIONS")

    def before_start(self) -> None:
        """Remove the socket of a server that is gone; MySQL minds its lock file."""
        for path in self.instance.data.glob("server.sock*"):
            path.unlink(missing_ok=True)

    def _users_file(self) -> Path:
        """
        Write what the server runs as it starts, and return where.

        Data that come from a backup may know other passwords, or none.
        """
        login = str(self.dbsettings["USER"])
        password = str(self.dbsettings.get("PASSWORD") or "")
        name = f"`{str(self.dbname).replace('`', '``')}`"
        pattern = re.sub(r"([_%\\])", r"\\\1", str(self.dbname)).replace("`", "``")
        statements = [f"CREATE DATABASE IF NOT EXISTS {name}"]
        accounts = {_ADMIN: self.admin_password(), login: password}
        for user, secret in accounts.items():
            for host in ("127.0.0.1", "localhost"):
                account = f"{_text(user)}@'{host}'"
                statements += [
                    f"CREATE USER IF NOT EXISTS {account}",
                    f"ALTER USER {account} IDENTIFIED BY {_text(secret)}",
                ]
                if user == _ADMIN:
                    statements.append(
                        f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION"
                    )
                    continue
                # Django's test runner makes and drops test databases.
                statements += [
                    f"GRANT ALL PRIVILEGES ON `{granted}`.* TO {account}"
                    for granted in (pattern, f"test\\_{pattern}%")
                ]
        path = self.instance.data / "users.sql"
        path.unlink(missing_ok=True)
        with open(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
        ) as file:
            # The server reads a statement a line.
            file.write("".join(f"{statement};\n" for statement in statements))
        if self.user is not None:
            self.user.own(path)
        return path

    def is_ready(self) -> bool:
        """Whether the user of the settings can connect."""
        connection: BaseDatabaseWrapper = load_backend(
            "django.db.backends.mysql"
        ).DatabaseWrapper(
            {**self.dbsettings, "OPTIONS": {"connect_timeout": 5}}, alias=self.alias
        )
        try:
            # The driver's own connection: test suites guard Django's.
            with connection.wrap_database_errors:
                connection.get_new_connection(
                    connection.get_connection_params()
                ).close()
        except DatabaseError:
            return False
        return True

    # Backups and dumps

    @contextlib.contextmanager
    def _options_file(self, user: str, password: str) -> Iterator[str]:
        """Write a file for a client, and give the option that names it."""
        with tempfile.NamedTemporaryFile("w", prefix="dbdev-", suffix=".cnf") as file:
            file.write(
                f"[client]\nhost={self.host}\nport={self.port}\nprotocol=tcp\n"
                f"user={_option(user)}\npassword={_option(password)}\n"
                "default-character-set=utf8mb4\n"
            )
            file.flush()
            yield f"--defaults-file={file.name}"

    @contextlib.contextmanager
    def backing_up(self, directory: Path) -> Iterator[None]:
        """
        Let mariadb-dump write the database while the server runs, if it is there.

        Otherwise the folder is copied, as that of a server which doesn't run.
        """
        if not self.is_running() or self.find_program(MYSQLDUMP) is None:
            with super().backing_up(directory):
                yield
            return
        self._client(
            MYSQLDUMP,
            # All tables as of one moment.
            "--single-transaction",
            "--routines",
            "--events",
            "--hex-blob",
            f"--result-file={directory / _DUMP}",
            as_admin=True,
        )
        _check_complete(directory / _DUMP)
        yield

    def verify_backup(self, directory: Path) -> None:
        """Check that a dump has its end, too."""
        super().verify_backup(directory)
        if (directory / _DUMP).exists():
            _check_complete(directory / _DUMP)

    def restore(self, directory: Path) -> None:
        """Load the dump into a new database, or copy the folder back."""
        if not (directory / _DUMP).exists():
            super().restore(directory)
            return
        self.init()
        with (directory / _DUMP).open("rb") as file:
            self._client(MYSQL, stdin=file, as_admin=True)

    def create_dbdump(self, dumpfile: Path) -> None:
        """Write SQL; ``.json`` and ``.jsonl``: Django's own format."""
        if dumps.is_neutral(dumpfile):
            super().create_dbdump(dumpfile)
            return
        with dumps.written(dumpfile) as unfinished:
            self._client(
                MYSQLDUMP, "--single-transaction", f"--result-file={unfinished}"
            )

    def load_dbdump(self, dumpfile: Path) -> None:
        """Load what :meth:`create_dbdump` has written."""
        if dumps.is_neutral(dumpfile):
            super().load_dbdump(dumpfile)
        else:
            self.load_sql_dbdump(dumpfile)

    def load_sql_dbdump(self, dumpfile: Path) -> None:
        """
        Let the client run a file, all or nothing.

        MariaDB can't undo statements that define tables, so they change a copy.
        """
        dumps.check_readable(dumpfile)
        with self.copied_data(), dumpfile.open("rb") as file:
            self._client(MYSQL, stdin=file)

    def _client(
        self, program: Program, *arguments: str, as_admin: bool = False, **more: Any
    ) -> bytes:
        """Run a client's program on the database, by default as the settings' user."""
        self.check_running()
        user, password = str(self.dbsettings["USER"]), self.dbsettings.get("PASSWORD")
        if as_admin:
            user, password = _ADMIN, self.admin_password()
        with (
            self._options_file(user, str(password or "")) as options,
            Progress(sys.stderr, program.name) as progress,
        ):
            return process.run(
                [self.program(program), options, *arguments, str(self.dbname)],
                tick=progress.add,
                environment=_environment(),
                **more,
            )

    def info(self) -> dict[str, Any]:
        """Tell the administrator's name, too."""
        return {**super().info(), "administrator": _ADMIN}


def _check_complete(dumpfile: Path) -> None:
    """
    Check that a dump has its end.

    :raises BackupError: it hasn't.
    """
    with dumpfile.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 200))
        if _END not in file.read():
            raise BackupError(f"{dumpfile} is damaged: it isn't complete")


def _text(value: str) -> str:
    """Return a text as SQL has it."""
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    return f"'{escaped}'"


def _option(value: str) -> str:
    """Return a text as option files have it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _environment() -> Mapping[str, str]:
    """Return ours, without what is meant for MySQL's programs."""
    return {name: value for name, value in os.environ.items() if name[:6] != "MYSQL_"}
