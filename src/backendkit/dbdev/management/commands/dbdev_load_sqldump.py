"""``manage.py dbdev_load_sqldump``."""

from pathlib import Path

from django.core.management.base import CommandParser

from backendkit.dbdev import dumps
from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """All or nothing; asks before data are replaced."""

    help = (
        "Replaces the development database with the result of a file of SQL statements."
    )
    asks = True

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add the file and ``--no-reinit``."""
        parser.add_argument(
            "dumpfile", type=Path, metavar="FILE", help="File of SQL statements."
        )
        parser.add_argument(
            "--no-reinit",
            action="store_true",
            help="Run the statements on the existing database.",
        )

    def question(self) -> str | None:
        """Ask if there is a database that is to be replaced."""
        backend = self.dbdev_backend
        dumps.check_readable(self.options["dumpfile"])
        if self.options["no_reinit"] or not backend.is_initialised():
            return None
        return f"Replace the database in {backend.data_paths()[0]}?"

    def dbdev_handle(self) -> None:
        """Load it."""
        backend = self.dbdev_backend
        dumpfile = self.options["dumpfile"].absolute()
        dumps.check_readable(dumpfile)
        if self.options["no_reinit"]:
            backend.load_sql_dbdump(dumpfile)
        else:
            backend.replace_by_sql_dbdump(dumpfile)
        self.stdout.write(f"Loaded {dumpfile}.")
