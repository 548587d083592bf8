"""What management commands of one kind of database have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from backendkit import stores

#: Exit status: the command can't do what it was asked to.
REFUSED = 2


class DatabaseCommand(BaseCommand):
    """
    A command on a database of one backend.

    Exit status: 0, or 2 if the command can't do what it was asked to.
    """

    #: The backend's class.
    wrapper_class: type[BaseDatabaseWrapper]
    #: Errors of the backend's driver, beside Django's and the contract's.
    driver_errors: ClassVar[tuple[type[Exception], ...]] = ()
    # They look at a database in whatever state the project is.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what all of them take."""
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            metavar="ALIAS",
            help="Alias of the database (default: %(default)s).",
        )

    def wrapper(self, alias: str) -> Any:
        """
        Return Django's connection to a database, maybe not connected.

        :raises CommandError: there is none of this backend.
        """
        wrapper = _wrapper(alias)
        if not isinstance(wrapper, self.wrapper_class):
            ours = [
                other
                for other in connections.databases
                if isinstance(_wrapper(other), self.wrapper_class)
            ]
            known = ", ".join(sorted(ours)) or "none"
            problem = (
                f"DATABASES has no alias {alias!r}"
                if alias not in connections.databases
                else f"the database {alias!r} isn't one of "
                f"{self.wrapper_class.display_name}"
            )
            raise CommandError(
                f"{problem}. The aliases of such databases are: {known}",
                returncode=REFUSED,
            )
        return wrapper

    @contextlib.contextmanager
    def opened(self, alias: str) -> Iterator[Any]:
        """Open a database's store for a while; the connection stays as it was."""
        wrapper = self.wrapper(alias)
        was_open = wrapper.connection is not None
        with self.refusing():
            wrapper.ensure_connection()
            try:
                yield wrapper.connection.store
            finally:
                if not was_open:
                    wrapper.close()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Make errors of the database those of a command."""
        try:
            yield
        except (Error, stores.Error, OSError, *self.driver_errors) as error:
            raise CommandError(str(error), returncode=REFUSED) from error


def _wrapper(alias: str) -> BaseDatabaseWrapper | None:
    try:
        return connections[alias]
    except Exception:  # noqa: BLE001  # its ENGINE may raise anything, and isn't ours then
        return None
