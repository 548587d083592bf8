"""What the management commands of the LMDB backend have in common."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import lmdb
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from backendkit import stores
from backendkit.backends.lmdb.base import DatabaseWrapper
from backendkit.backends.lmdb.files import DATA_FILE

if TYPE_CHECKING:
    from backendkit.backends.lmdb.store import LMDBStore

#: Exit status: the command can't do what it was asked to.
REFUSED = 2


class LMDBCommand(BaseCommand):
    """
    A command on a database of this backend.

    Exit status: 0, or 2 if the command can't do what it was asked to.
    """

    # They look at a database in whatever state the project is.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what all of them take."""
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            metavar="ALIAS",
            help="which of the project's DATABASES (default: %(default)s)",
        )

    def wrapper(self, alias: str) -> DatabaseWrapper:
        """
        Return Django's connection to a database that exists, maybe not connected.

        :raises CommandError: there is none of this backend.
        """
        wrapper = _wrapper(alias)
        if not isinstance(wrapper, DatabaseWrapper):
            ours = [
                other
                for other in connections.databases
                if isinstance(_wrapper(other), DatabaseWrapper)
            ]
            known = ", ".join(sorted(ours)) or "none"
            problem = (
                f"DATABASES has no {alias!r}"
                if alias not in connections.databases
                else f"the database {alias!r} isn't one of LMDB"
            )
            raise CommandError(
                f"{problem}; those that are: {known}", returncode=REFUSED
            )
        name = str(wrapper.settings_dict["NAME"])
        # To connect would make it.
        if not os.path.exists(os.path.join(name, DATA_FILE)):
            raise CommandError(f"there is no database in {name}", returncode=REFUSED)
        return wrapper

    @contextlib.contextmanager
    def opened(self, alias: str) -> Iterator[LMDBStore]:
        """Open a database for a while; the connection stays as it was."""
        wrapper = self.wrapper(alias)
        was_open = wrapper.connection is not None
        with refusing():
            wrapper.ensure_connection()
            try:
                yield wrapper.connection.store
            finally:
                if not was_open:
                    wrapper.close()


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Make errors of the database those of a command."""
    try:
        yield
    except (Error, stores.Error, lmdb.Error, OSError) as error:
        raise CommandError(str(error), returncode=REFUSED) from error


def _wrapper(alias: str) -> BaseDatabaseWrapper | None:
    try:
        return connections[alias]
    except Exception:  # noqa: BLE001  # its ENGINE may raise anything, and isn't ours then
        return None
