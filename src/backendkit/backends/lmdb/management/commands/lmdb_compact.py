"""``manage.py lmdb_compact``."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from backendkit.backends.lmdb.files import DATA_FILE
from backendkit.backends.lmdb.management import compacting
from backendkit.backends.lmdb.management.base import LMDBCommand
from backendkit.nonrel.commands import REFUSED


class Command(LMDBCommand):
    """Writes a copy without the free pages, to another place or in place."""

    help = (
        "Copies an LMDB database without its free pages. The database may be in use,"
        " unless the copy is to replace it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument(
            "--output",
            metavar="DIRECTORY",
            help="Directory to write the copy to. It must not exist.",
        )
        where.add_argument(
            "--in-place",
            action="store_true",
            help="Replace the database by the copy. No other process may have it open.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias, output = options["database"], options["output"]
        if options["in_place"]:
            before, after = self._in_place(alias)
        else:
            before, after = self._copy(alias, output)
        self.stdout.write(f"{before:,} bytes before, {after:,} bytes after")

    def _copy(self, alias: str, output: str) -> tuple[int, int]:
        with self.opened(alias) as store:
            store.clone(output)
            target = os.path.abspath(output)
            copy = os.path.join(target, DATA_FILE)
            for path in (copy, target, os.path.dirname(target)):
                compacting.to_disk(path)
            return _size(store.engine.environment.path), os.path.getsize(copy)

    def _in_place(self, alias: str) -> tuple[int, int]:
        wrapper = self.wrapper(alias)
        if wrapper.connection is not None:
            raise CommandError(
                "This process has the database open. Close the connection first.",
                returncode=REFUSED,
            )
        # The readonly backend around ours says so itself.
        if wrapper.settings_dict["OPTIONS"].get("readonly") or getattr(
            wrapper, "read_only", False
        ):
            raise CommandError(
                f"The database {alias!r} is opened with the option readonly.",
                returncode=REFUSED,
            )
        with self.refusing():
            path = os.path.realpath(wrapper.settings_dict["NAME"])
            before = _size(path)
            compacting.prepare(path)
            with contextlib.ExitStack() as stack:
                with self.opened(alias) as store:
                    environment = store.engine.environment.lmdb
                    transaction = environment.info()["last_txnid"]
                    copies = compacting.copied(environment, path)
                    copy = stack.enter_context(copies)
                compacting.swap(path, copy, transaction)
            return before, _size(path)


def _size(path: str) -> int:
    return os.path.getsize(os.path.join(path, DATA_FILE))
