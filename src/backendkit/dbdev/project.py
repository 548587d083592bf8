"""A database of a project: its settings, its folder, its programs."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import load_backend

from backendkit.dbdev import old_settings
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import remove
from backendkit.dbdev.instance import Instance, root_of
from backendkit.dbdev.programs import Program

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


class ProjectDatabase:
    """What a backend finds in the project; the arguments are those of a backend."""

    def __init__(
        self,
        command: Command,
        alias: str = DEFAULT_DB_ALIAS,
        database: dict[str, Any] | None = None,
    ) -> None:
        self.command = command
        self.alias = alias
        #: The settings of this database.
        self.dbsettings = entry_of_alias(alias) if database is None else database
        meant = self.dbsettings.get("DBDEV", {}).get("ALIAS", alias)
        if meant != alias:
            raise DbdevError(
                f"DATABASES[{alias!r}] was created by dbsettings(…, {meant!r}). Pass"
                f" the alias {alias!r} to dbsettings()"
            )
        self.instance = Instance(root_of(self.dbsettings, _settings()), alias)

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
        return self.dbsettings.get("NAME", "")

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
        """Return one of Django's settings, also by its name in django_dbdev."""
        return old_settings.read(_settings(), name, default)

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

    @property
    def dbshell_command(self) -> str:
        """The command that opens a shell on the database."""
        return self.manage("dbshell")

    @property
    def template_name(self) -> str:
        """The name of its template for ``dbdev_guide``, without folder and ending."""
        return type(self).__name__.lower()

    # Programs

    def programs(self) -> Sequence[Program]:
        """Return the programs that it runs."""
        return ()

    def program_folders(self) -> Sequence[Path]:
        """Return where programs are looked for before PATH."""
        return ()

    def check_programs(self) -> None:
        """
        Check that all required programs are installed.

        :raises MissingProgramError: a program isn't installed.
        """
        old_settings.warn_of_unused(_settings())
        for program in self.programs():
            if not program.needed_for:
                self.program(program)

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


def entry_of_alias(alias: str) -> dict[str, Any]:
    """
    Return an entry of the project's ``DATABASES``.

    :raises DbdevError: there is none.
    """
    databases = known_databases()
    if alias not in databases:
        known = ", ".join(sorted(databases))
        raise DbdevError(f"DATABASES has no alias {alias!r}. The aliases are: {known}")
    return databases[alias]


def known_databases() -> dict[str, dict[str, Any]]:
    """
    Return the project's ``DATABASES``, with what Django adds.

    :raises DbdevError: they aren't as Django wants them.
    """
    try:
        found: dict[str, dict[str, Any]] = connections.databases
    except ImproperlyConfigured as error:
        raise DbdevError(str(error)) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise DbdevError(
            "DATABASES isn't a dictionary of dictionaries, one for each alias"
        ) from error
    return found


def loaded_engine(engine: str) -> Any:
    """
    Return the module ``base`` of an ``ENGINE``, which imports its driver.

    :raises DbdevError: it can't be loaded; the message says why.
    """
    try:
        return load_backend(engine)
    except Exception as error:
        # A module may raise anything, and Django hides an ImportError behind a list of
        # engines.
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        said = str(cause).partition("\n")[0] or repr(cause)
        raise DbdevError(f"the ENGINE {engine!r} can't be loaded: {said}") from error
