"""``manage.py immudb_state``."""

from __future__ import annotations

import json
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from backendkit.backends.immudb.management.base import ImmudbCommand
from backendkit.backends.immudb.stating import Exported, read
from backendkit.nonrel.commands import REFUSED

_CONTRADICTION = 1


class Command(ImmudbCommand):
    """
    Moves the verified state of a database between clients.

    Exit status: 0, 1 if the server can't prove that an imported state is of the same
    history, 2 if the command can't do what it was asked to.
    """

    help = (
        "Shows the state of an immudb database that this client has verified, or"
        " exports it to a file, or imports the file of another client."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("action", choices=["show", "export", "import"])
        parser.add_argument(
            "file", nargs="?", help="The file to export to, or to import from."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        action, path = options["action"], options["file"]
        if (path is None) != (action == "show"):
            wrong = "takes no file" if action == "show" else "needs a file"
            raise CommandError(f"immudb_state {action} {wrong}", returncode=REFUSED)
        # Before it is connected to.
        given = self._read(path) if action == "import" else None
        with self.opened(options["database"]) as store, store.other() as connection:
            if given is not None:
                self._import(connection, given, path)
                return
            state = connection.verified_state()
            if action == "export":
                self._export(connection, state, path)
            elif state is None:
                self.stdout.write(
                    f"This client has no verified state of {connection.database}."
                )
            else:
                self.stdout.write(
                    f"{connection.database}: transaction {state[0]:,}, hash"
                    f" {state[1].hex()}"
                )

    def _read(self, path: str) -> Exported:
        with self.refusing():
            return read(path)

    def _export(
        self, connection: Any, state: tuple[int, bytes] | None, path: str
    ) -> None:
        if state is None:
            raise CommandError(
                f"This client has no verified state of {connection.database}. It has one"
                " after immudb_verify, or after a verified read.",
                returncode=REFUSED,
            )
        document = Exported(connection.database, *state).document()
        with self.refusing():
            try:
                with open(path, "x", encoding="utf-8") as file:
                    json.dump(document, file, indent=1)
                    file.write("\n")
                    file.flush()
                    os.fsync(file.fileno())
            except FileExistsError as error:
                raise CommandError(
                    f"{path} exists. Remove it, or choose another name.",
                    returncode=REFUSED,
                ) from error
        self.stdout.write(f"Exported the state of transaction {state[0]:,} to {path}")

    def _import(self, connection: Any, given: Exported, path: str) -> None:
        from backendkit.backends.immudb.driver import TamperedError  # noqa: PLC0415  # gRPC is loaded when it is used

        if given.database != connection.database:
            raise CommandError(
                f"{path} is a state of the database {given.database!r}, not of"
                f" {connection.database!r}. Nothing was changed.",
                returncode=REFUSED,
            )
        before = connection.verified_state()
        try:
            connection.adopt_state(given.tx, given.digest)
        except TamperedError as error:
            raise CommandError(
                f"The server can't prove that the state in {path} (transaction"
                f" {given.tx:,}) belongs to the history of this database: {error}"
                " Nothing was changed.",
                returncode=_CONTRADICTION,
            ) from error
        if before is None:
            said = "Imported it: this client had none."
        elif before[0] < given.tx:
            said = f"Imported it: this client had verified transaction {before[0]:,}."
        else:
            said = (
                f"Kept transaction {before[0]:,}, which this client has verified: it"
                " isn't an earlier one."
            )
        self.stdout.write(
            f"Transaction {given.tx:,} in {path} belongs to the history of this database."
            f" {said}"
        )
