"""What the management commands have in common."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, Error
from django.db.utils import ConnectionDoesNotExist

from backendkit.dbdev import backups
from backendkit.dbdev.base import BaseDbdevBackend, backend_of
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import reason


class BaseDbdevCommand(BaseCommand):
    """
    A command on one database.

    A subclass adds arguments in :meth:`add_extra_arguments`, and works in
    :meth:`dbdev_handle`. Exit status: 0, or 1 with a line that says why.
    """

    # They are run where there is no database yet.
    requires_system_checks: list[str] = []
    #: Whether other commands have to wait while it runs.
    takes_lock = True
    #: Whether it changes what can't be got back, and asks before.
    asks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what all of them take."""
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            metavar="ALIAS",
            help="Alias of the database (default: %(default)s).",
        )
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Do not prompt for confirmation.",
        )
        self.add_extra_arguments(parser)

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add the command's own arguments."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Find the backend and do the work, one command at a time."""
        self.options = options
        with one_line():
            backend = self.dbdev_backend
            if self.asks and options["interactive"]:
                question = self.question()
                if question is not None:
                    self._confirm(question)
            with backend.locked() if self.takes_lock else contextlib.nullcontext():
                self.dbdev_handle()

    @property
    def dbdev_backend(self) -> BaseDbdevBackend:
        """
        The backend of the database that was asked for.

        :raises DbdevError: there is no such alias, or its engine has none.
        """
        if not hasattr(self, "_backend"):
            self._backend = backend_of(self, self.options["database"])
        return self._backend

    def dbdev_handle(self) -> None:
        """Do the work."""
        raise NotImplementedError

    def question(self) -> str | None:
        """Return what to ask before; None if there is nothing to lose."""
        return None

    def _confirm(self, question: str) -> None:
        try:
            # Django's prompts are on standard output, too.
            answer = input(f"{question} [y/N] ")
        except EOFError:
            # The prompt has no end of its line, which the error would go on with.
            self.stdout.write("")
            raise DbdevError(
                "Aborted: no terminal to confirm on. Pass --noinput to skip the"
                " question."
            ) from None
        if answer.strip().lower() not in {"y", "yes"}:
            raise DbdevError("Aborted. Nothing was changed.")


def add_backup_arguments(parser: CommandParser) -> None:
    """Let a backup be given by its directory or its name."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "directory",
        nargs="?",
        metavar="DIRECTORY",
        help="Directory of the backup (default: the last backup).",
    )
    which.add_argument("-n", "--name", help="Name of the backup.")


def chosen_backup(backend: BaseDbdevBackend, options: dict[str, Any]) -> Path:
    """
    Return the directory of the backup that was asked for.

    :raises DbdevError: there is none.
    """
    found: Path | None
    if options["directory"] is not None:
        return Path(options["directory"]).resolve()
    name = options["name"]
    if name is not None:
        backups.check_name(name)
        found = backend.find_named_backupdir(name)
        if found is None:
            names = [backups.name_of(path) for path in backend.get_backupdirs()]
            known = ", ".join(sorted(name for name in names if name)) or "none"
            raise DbdevError(
                f"there is no backup named {name!r}. The names are: {known}"
            )
        return found
    found = backend.get_last_backupdir()
    if found is None:
        raise DbdevError(f"there is no backup in {backend.root_backupdir}")
    return found


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Make errors that aren't faults of a program those of a command."""
    try:
        yield
    except (
        DbdevError,
        # Of a database or an ENGINE.
        ConnectionDoesNotExist,
        Error,
        ImproperlyConfigured,
        ImportError,
    ) as error:
        said = str(error) or repr(error)
        # Django lists its engines on a line of their own.
        said = said if isinstance(error, DbdevError) else " ".join(said.split())
        raise CommandError(said) from error
    except OSError as error:
        raise CommandError(reason(error)) from error
    except NotImplementedError as error:
        said = str(error) or "the development backend doesn't implement this command"
        raise CommandError(said) from error
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise CommandError("interrupted") from None
