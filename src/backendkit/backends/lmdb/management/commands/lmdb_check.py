"""``manage.py lmdb_check``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import lmdb
from django.core.management.base import CommandError, CommandParser

from backendkit.backends.lmdb.management.base import LMDBCommand
from backendkit.engine.database import Database
from backendkit.engine.declarations import is_view
from backendkit.engine.foreign_keys import ForeignKeys
from backendkit.engine.item_check import index_differences
from backendkit.engine.items import item_indexes
from backendkit.kv import RecordSession
from backendkit.kv.checking import DAMAGE, Checker
from backendkit.nonrel.commands import REFUSED
from backendkit.stores import InternalError

_FOUND = 1


class Command(LMDBCommand):
    """
    Checks a database, in a snapshot; nobody has to wait.

    Exit status: 0 if nothing is wrong (any more), 1 if something is, 2 if the
    database can't be checked.
    """

    help = (
        "Checks an LMDB database for consistency: rows, indexes, row counts,"
        " automatic numbers, foreign keys and the definitions of the tables."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--repair",
            action="store_true",
            help=(
                "Rebuild what can be derived from the rows, in one transaction: index"
                " entries, row counts and automatic numbers. Rows are never changed."
            ),
        )
        parser.add_argument(
            "--limit",
            type=int,
            default=100,
            metavar="N",
            help="Maximum number of findings to print (default: %(default)s).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        repair, limit = options["repair"], options["limit"]
        if limit < 0:
            raise CommandError("--limit must be 0 or more.", returncode=REFUSED)
        with self.opened(options["database"]) as store:
            session = store.session()
            try:
                session.begin(write=repair)
                checker = Checker(session.active(), session.max_key, repair=repair)
                found = repaired = 0
                for finding in checker.findings():
                    found += 1
                    repaired += finding.repaired
                    if found <= limit:
                        end = " (repaired)" if finding.repaired else ""
                        self.stdout.write(f"{finding}{end}")
                for text, done in self._item_indexes(session, repair=repair):
                    found += 1
                    repaired += done
                    if found <= limit:
                        self.stdout.write(f"{text}{' (repaired)' if done else ''}")
                for text in self._foreign_keys(session):
                    found += 1
                    if found <= limit:
                        self.stdout.write(text)
                if repaired:
                    session.commit()
            except (
                InternalError,
                lmdb.CorruptedError,
                lmdb.PageNotFoundError,
            ) as error:
                # Not what is in the pages is wrong, but the pages are.
                raise CommandError(
                    f"The data file is damaged: {error}. Restore a backup.",
                    returncode=_FOUND,
                ) from error
            finally:
                session.close()
        if found > limit:
            self.stdout.write(f"… and {found - limit:,} more")
        summary = f"{checker.tables:,} tables with {checker.rows:,} rows: "
        if not found:
            self.stdout.write(summary + "no problems found")
            return
        summary += f"{found:,} findings"
        if repair:
            summary += f", {repaired:,} of them repaired"
        self.stdout.write(summary)
        if repaired < found:
            sys.exit(_FOUND)

    def _item_indexes(
        self, session: RecordSession, *, repair: bool
    ) -> Iterator[tuple[str, bool]]:
        """Check the indexes on items, where what is read allows it."""
        try:
            catalog = session.catalog()
            indexes = item_indexes(catalog)
        except DAMAGE as error:
            self.stderr.write(f"Indexes on items aren't checked: {error}")
            return
        sqlite = Database(few=True)
        try:
            for name, some in indexes.items():
                base = catalog.tables[name]
                for index in some:
                    own = index.table.name
                    try:
                        for text, done in index_differences(
                            session, base, index, lambda: sqlite, repair=repair
                        ):
                            yield f"{name}: index {own}: {text}", done
                    except DAMAGE:
                        self.stderr.write(
                            f"{own}: not all items are checked: a row can't be read"
                        )
        finally:
            sqlite.close()

    def _foreign_keys(self, session: RecordSession) -> Iterator[str]:
        """Check foreign keys, where what is read allows it."""
        try:
            catalog = session.catalog()
        except DAMAGE:
            self.stderr.write("Foreign keys aren't checked: the catalog is damaged.")
            return
        keys = ForeignKeys()
        for table in catalog.tables.values():
            if is_view(table):
                continue
            try:
                for _, key, row in keys.violations(session, catalog, table):
                    at = ", ".join(map(repr, table.key_of(row)))
                    values = ", ".join(
                        repr(row[table.positions[name]]) for name in key.columns
                    )
                    yield (
                        f"{table.name}: row {at}: {', '.join(key.columns)} = {values}"
                        f" has no corresponding row in {key.table}"
                    )
            except DAMAGE:
                # Which row it is was said before.
                self.stderr.write(
                    f"{table.name}: a row can't be read, so not all foreign keys are"
                    " checked"
                )
