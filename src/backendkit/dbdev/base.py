"""What a development backend is, and what all of them share."""

from __future__ import annotations

import abc
import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import quote

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.template import Context, Engine, TemplateDoesNotExist
from django.template.base import Template

from backendkit.dbdev import backendregistry, backups, dumps
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import remove, size_of
from backendkit.dbdev.instance import Instance, root_of
from backendkit.dbdev.programs import Program
from backendkit.dbdev.replacing import Replacement

#: Seconds that a server, or another command, may take: the setting DBDEV_TIMEOUT.
DEFAULT_TIMEOUT = 30.0

# What Django finds its settings by.
_MODULE = "DJANGO_SETTINGS_MODULE"


class Writer(Protocol):
    """Takes lines for a person, as Django's ``OutputWrapper`` does."""

    def write(self, msg: str, /) -> object:
        """Write a line."""


class Command(Protocol):
    """What a backend needs of a management command."""

    stdout: Writer
    stderr: Writer


@dataclass(frozen=True)
class Finding:
    """One line of ``dbdev_doctor``; ``remedy`` is what to do if it isn't ``ok``."""

    ok: bool
    text: str
    remedy: str = ""


class BaseDbdevBackend(abc.ABC):
    """
    Keeps the development database of one alias.

    The module of a subclass has a dictionary ``DBSETTINGS``: the entry of
    ``DATABASES`` that :func:`backendkit.dbdev.dbsettings` starts from.

    :param command: the management command, for its ``stdout`` and ``stderr``.
    :param alias: as in ``DATABASES``.
    :param database: its entry, if it isn't that of the project's ``DATABASES``.
    :raises DbdevError: there is no such alias, or its entry was made for another one.
    """

    #: What the database is called in texts.
    display_name: ClassVar[str]
    #: Scheme of a DATABASE_URL.
    url_scheme: ClassVar[str]
    #: Whether ``restore`` wants a database that ``init`` has made.
    restores_into_new: ClassVar[bool] = True

    def __init__(
        self,
        command: Command,
        alias: str = DEFAULT_DB_ALIAS,
        database: dict[str, Any] | None = None,
    ) -> None:
        self.command = command
        self.alias = alias
        #: The settings of this database.
        self.dbsettings = _entry(alias) if database is None else database
        meant = self.dbsettings.get("DBDEV", {}).get("ALIAS", alias)
        if meant != alias:
            raise DbdevError(
                f"the entry DATABASES[{alias!r}] comes from dbsettings(…, {meant!r}):"
                " give it this alias"
            )
        self.instance = Instance(root_of(self.dbsettings, _settings()), alias)

    # What a backend implements

    @abc.abstractmethod
    def init(self) -> None:
        """
        Create the database, and give its user the rights that are needed.

        What is there already stays as it is. A server runs afterwards.
        """

    @abc.abstractmethod
    def destroy(self) -> None:
        """Stop the server, and remove the database's files. Backups stay."""

    @abc.abstractmethod
    def run_database_server_in_foreground(self) -> None:
        """Run the server until it ends, or Ctrl-C stops it."""

    @abc.abstractmethod
    def start_database_server(self) -> None:
        """Start the server in the background, unless it runs."""

    @abc.abstractmethod
    def stop_database_server(self) -> None:
        """Stop the server, if it runs."""

    @abc.abstractmethod
    def backup(self, directory: Path) -> None:
        """
        Write a backup to a directory that is there, and empty.

        Checksums and a manifest are added by who calls this.
        """

    @abc.abstractmethod
    def restore(self, directory: Path) -> None:
        """
        Fill the database from what :meth:`backup` has written.

        The backup has been checked. There are no data: those that were there are set
        aside, and come back if this raises an error. :meth:`init` has run, unless
        :attr:`restores_into_new` is False.
        """

    # What a backend may override

    def programs(self) -> Sequence[Program]:
        """Return the programs that it runs."""
        return ()

    def program_folders(self) -> Sequence[Path]:
        """Return where programs are looked for before PATH."""
        return ()

    def version(self) -> str:
        """Return the version of the server or library, for people."""
        return "unknown version"

    def data_paths(self) -> list[Path]:
        """Return the files and directories that make up the data."""
        return [self.instance.data]

    def is_initialised(self) -> bool:
        """Whether there is a database."""
        path = self.data_paths()[0]
        return any(path.iterdir()) if path.is_dir() else path.exists()

    def is_running(self) -> bool:
        """Whether a server runs; False where there is none."""
        return False

    def quiesce(self) -> bool:
        """Stop what uses the data; return whether a server ran. Says nothing."""
        self.close_connection()
        return False

    def resume(self) -> None:
        """Start the server again that :meth:`quiesce` stopped. Says nothing."""

    def backend_names(self) -> set[str]:
        """Return the class names of backends whose backups it can restore."""
        return {type(self).__name__}

    def info(self) -> dict[str, Any]:
        """Return what ``dbdev_serverinfo`` tells."""
        found = backups.listed(self.root_backupdir)
        return {
            "alias": self.alias,
            "engine": self.dbsettings["ENGINE"],
            "name": str(self.dbname),
            "initialised": self.is_initialised(),
            "data": str(self.data_paths()[0]),
            "size": sum(size_of(path) for path in self.data_paths()),
            "backups": len(found),
            "version": self._version_or_reason(),
        }

    def _version_or_reason(self) -> str:
        try:
            return self.version()
        except DbdevError as error:
            return str(error)

    def findings(self) -> Iterator[Finding]:
        """Iterate over what ``dbdev_doctor`` tells."""
        for program in self.programs():
            try:
                path = self.find_program(program)
            except DbdevError as error:
                yield Finding(False, str(error))
                continue
            if path is not None:
                yield Finding(True, f"{program.name}: {program.describe(path)}")
            elif program.needed_for:
                yield Finding(
                    True,
                    f"{program.name} isn't installed: {program.needed_for} can't be"
                    f" done without. To install it: {program.hint()}",
                )
            else:
                yield Finding(
                    False, f"{program.name} isn't installed", remedy=program.hint()
                )
        try:
            driver_version = connections[self.alias].Database.__name__
            yield Finding(True, f"Python driver: {driver_version}")
        except Exception as error:  # noqa: BLE001  # an ENGINE may raise anything; it is what is told
            yield Finding(False, f"the ENGINE can't be loaded: {error}")
        what = "there is a database" if self.is_initialised() else "no database yet"
        yield Finding(True, f"{what} in {self.data_paths()[0]}")

    def check_programs(self) -> None:
        """
        Check that all programs are there without which nothing works.

        :raises MissingProgramError: one isn't.
        """
        for program in self.programs():
            if not program.needed_for:
                self.program(program)

    # Where things are

    @property
    def stdout(self) -> Writer:
        """For messages."""
        return self.command.stdout

    @property
    def stderr(self) -> Writer:
        """For errors and warnings."""
        return self.command.stderr

    @property
    def dbname(self) -> Any:
        """``NAME`` in the settings."""
        return self.dbsettings["NAME"]

    @property
    def timeout(self) -> float:
        """Seconds that a server, or another command, may take."""
        own = self.dbsettings.get("DBDEV", {}).get("TIMEOUT")
        return float(own or self.setting("DBDEV_TIMEOUT", DEFAULT_TIMEOUT))

    @property
    def datadir(self) -> Path:
        """The folder of the data; made if it isn't there."""
        self.create_datadir_if_not_exists()
        return self.instance.data

    def create_datadir_if_not_exists(self) -> None:
        """Make :attr:`datadir` if it isn't there."""
        self.instance.create()
        self.instance.data.mkdir(exist_ok=True)

    def remove_datadir(self) -> None:
        """Remove :attr:`datadir`."""
        remove(self.instance.data)

    @property
    def root_backupdir(self) -> Path:
        """The folder of this database's backups."""
        return self.instance.backups

    def program(self, program: Program) -> str:
        """
        Return the path of a program.

        :raises MissingProgramError: it isn't installed.
        """
        path = self.find_program(program)
        if path is None:
            raise program.missing()
        return path

    def find_program(self, program: Program) -> str | None:
        """Return the path of a program; None if it isn't installed."""
        return program.find(_settings(), self.program_folders())

    def setting(self, name: str, default: Any = None) -> Any:
        """Return one of Django's settings."""
        return getattr(_settings(), name, default)

    def close_connection(self) -> None:
        """Close Django's own connection of this process."""
        with contextlib.suppress(Exception):
            # An ENGINE that can't be loaded has no connection to close.
            if connections.databases.get(self.alias) is self.dbsettings:
                connections[self.alias].close()

    def manage(self, command: str) -> str:
        """Return a command to type, for this alias."""
        if self.alias == DEFAULT_DB_ALIAS:
            return f"manage.py {command}"
        return f"manage.py {command} --database {shlex.quote(self.alias)}"

    @property
    def env_command(self) -> str:
        """The command that prints address and password."""
        return self.manage("dbdev_env")

    # One command at a time

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """
        Keep other commands from this database for a while.

        What a killed command left is put in order first.

        :raises DbdevError: another one has it for longer than ``DBDEV_TIMEOUT``.
        """
        self.instance.create()
        with self.instance.lock.held(self.timeout) as first:
            if first:
                self._recover()
            yield

    def _replacement(self) -> Replacement:
        return Replacement(self.instance.file, self.data_paths())

    def _recover(self) -> None:
        replacement = self._replacement()
        if replacement.is_open:
            self.quiesce()
            replacement.roll_back()
            self.stderr.write(
                "A command that was to replace the data was killed; they are as they"
                " were before it."
            )
        replacement.clean()

    @contextlib.contextmanager
    def replaced_data(self) -> Iterator[None]:
        """
        Set the data aside; they come back if the block raises an error.

        A server that ran is stopped, and runs again if they come back.
        """
        was_running = self.quiesce()
        replacement = self._replacement()
        replacement.begin()
        try:
            yield
        except BaseException as error:
            self.quiesce()
            replacement.roll_back()
            if was_running:
                self.resume()
            if isinstance(error, DbdevError):
                raise DbdevError(f"{error}. The data are as they were") from error
            raise
        replacement.commit()

    # Backups

    def reinit(self) -> None:
        """Destroy the database, and create it anew."""
        self.destroy()
        self.init()

    def create_timestamped_backupdir(self, name: str | None = None) -> Path:
        """
        Make the directory of a backup, and return its path.

        Its name says that the backup isn't finished; :meth:`create_backup` renames it.

        :raises DbdevError: the name is no good one, or another backup has it.
        """
        if name is not None:
            backups.check_name(name)
            if self.find_named_backupdir(name) is not None:
                raise DbdevError(f"there is a backup named {name!r} already")
        directory = self.root_backupdir / (
            backups.directory_name(name) + backups.UNFINISHED
        )
        try:
            directory.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise DbdevError(f"{directory} can't be made: {error.strerror}") from error
        return directory

    def get_backupdirs(self) -> list[Path]:
        """Return the directories of all backups, the oldest first."""
        return backups.listed(self.root_backupdir)

    def get_last_backupdir(self) -> Path | None:
        """Return the directory of the newest backup; None if there is none."""
        found = self.get_backupdirs()
        return found[-1] if found else None

    def find_named_backupdir(self, name: str) -> Path | None:
        """Return the directory of the backup with this very name."""
        for path in self.get_backupdirs():
            if backups.name_of(path) == name:
                return path
        return None

    def create_backup(self, name: str | None = None) -> Path:
        """
        Make a backup, all or nothing, and return its directory.

        :raises DbdevError: it can't be made. Nothing is left of it.
        """
        if not self.is_initialised():
            raise DbdevError(
                f"there is no database; {self.manage('dbdev_init')} makes one"
            )
        backups.remove_unfinished(self.root_backupdir)
        unfinished = self.create_timestamped_backupdir(name)
        try:
            self.backup(unfinished)
            return backups.finish(
                unfinished,
                backend=type(self).__name__,
                engine=self.dbsettings["ENGINE"],
                version=self.version(),
                alias=self.alias,
                stream=sys.stderr,
            )
        except OSError as error:
            raise DbdevError(f"the backup can't be written: {error}") from error
        finally:
            remove(unfinished)

    def verify_backup(self, directory: Path) -> None:
        """
        Check a backup before anything is done with it.

        :raises BackupError: it is damaged, or another kind of thing.
        """
        backups.verify(directory, self.backend_names(), sys.stderr)

    def restore_backup(self, directory: Path) -> None:
        """
        Put a backup in the place of the data, all or nothing.

        :raises DbdevError: it can't be done. The data are as they were.
        """
        self.verify_backup(directory)
        with self.replaced_data():
            try:
                if self.restores_into_new:
                    self.init()
                self.restore(directory)
            except OSError as error:
                raise DbdevError(f"the backup can't be restored: {error}") from error

    # Dumps

    def create_dbdump(self, dumpfile: Path) -> None:
        """
        Write all rows to a file.

        ``.json`` and ``.jsonl``: Django's own format, which any engine loads. What
        other endings mean is the backend's matter.

        :raises DbdevError: it can't be written; a file that was there is as it was.
        """
        if not dumps.is_neutral(dumpfile):
            raise DbdevError(
                f"{self.display_name} has no dump format of its own: use a name that"
                " ends with .json or .jsonl"
            )
        dumps.create(self.alias, dumpfile)

    def load_dbdump(self, dumpfile: Path) -> None:
        """
        Load what :meth:`create_dbdump` has written, all or nothing.

        ``.json`` and ``.jsonl`` need tables: ``migrate`` first.

        :raises DbdevError: it can't be loaded.
        """
        if not dumps.is_neutral(dumpfile):
            raise DbdevError(
                f"{self.display_name} has no dump format of its own: only files whose"
                " name ends with .json or .jsonl can be loaded"
            )
        dumps.load(self.alias, dumpfile)

    def load_sql_dbdump(self, dumpfile: Path) -> None:
        """
        Run the SQL statements of a file, all or nothing.

        :raises DbdevError: one fails.
        """
        dumps.run_sql(self.alias, dumpfile)

    def replace_by_sql_dbdump(self, dumpfile: Path) -> None:
        """
        Make the database anew from the SQL statements of a file, all or nothing.

        :raises DbdevError: it can't be done. The data are as they were.
        """
        with self.replaced_data():
            self.init()
            self.load_sql_dbdump(dumpfile)

    # For people

    def serverinfo(self) -> None:
        """Write what the server is, and whether it runs."""
        for key, value in self.info().items():
            shown = {"True": "yes", "False": "no", "None": "-"}.get(f"{value}", value)
            self.stdout.write(f"{key + ':':<15}{shown}")

    def guide(self) -> None:
        """
        Write the commands and addresses that are of use with this database.

        The template is ``dbdev/<class name in lower case>.rst``, of this class or
        else of one that it inherits from. It gets ``backend``, ``dbsettings`` and
        ``info``.
        """
        text = self._guide_template().render(
            Context(
                {
                    "backend": self,
                    "dbsettings": self.dbsettings,
                    "info": self.info(),
                    "url": self.database_url(),
                },
                autoescape=False,
            )
        )
        self.stdout.write(text.strip())

    def _guide_template(self) -> Template:
        engine = Engine(app_dirs=True)
        for cls in type(self).__mro__:
            with contextlib.suppress(TemplateDoesNotExist):
                return engine.get_template(f"dbdev/{cls.__name__.lower()}.rst")
        raise DbdevError(
            f"there is no template dbdev/{type(self).__name__.lower()}.rst"
        )

    def database_url(self) -> str:
        """Return the database as one URL, its password included."""
        database = self.dbsettings
        login = quote(str(database.get("USER") or ""), safe="")
        if database.get("PASSWORD"):
            login += f":{quote(str(database['PASSWORD']), safe='')}"
        host = database.get("HOST") or ""
        port = f":{database['PORT']}" if database.get("PORT") else ""
        name = quote(str(self.dbname).lstrip("/"), safe="/")
        return f"{self.url_scheme}://{login + '@' if login else ''}{host}{port}/{name}"

    # For settings

    @classmethod
    def module_dbsettings(cls) -> dict[str, Any]:
        """Return the ``DBSETTINGS`` of the module of this class, or of one above."""
        for owner in cls.__mro__:
            found = getattr(sys.modules[owner.__module__], "DBSETTINGS", None)
            if found is not None:
                return dict(found)
        return {}

    @classmethod
    def complete_dbsettings(
        cls, entry: dict[str, Any], instance: Instance
    ) -> dict[str, Any]:
        """
        Return an entry of ``DATABASES`` with what differs for each instance.

        Runs while settings are imported: they aren't there yet.
        """
        return entry


def _settings() -> Any:
    """Return Django's settings; a server for tests may do without any."""
    return settings if settings.configured or os.environ.get(_MODULE) else object()


def _entry(alias: str) -> dict[str, Any]:
    databases: dict[str, dict[str, Any]] = connections.databases
    if alias not in databases:
        known = ", ".join(sorted(databases))
        raise DbdevError(f"DATABASES has no {alias!r}; there are: {known}")
    return databases[alias]


def backend_of(command: Command, alias: str = DEFAULT_DB_ALIAS) -> BaseDbdevBackend:
    """
    Return the backend of a database of the project.

    :param command: for what it writes.
    :raises DbdevError: there is no such alias, or its engine has none.
    """
    return backendregistry.for_database(_entry(alias))(command, alias)
