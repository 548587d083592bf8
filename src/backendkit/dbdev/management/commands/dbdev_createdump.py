"""``manage.py dbdev_createdump``."""

from pathlib import Path

from django.core.management.base import CommandParser

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """The name says the format."""

    help = (
        "Writes the rows of the development database to a file. Databases of any"
        " engine can load files whose names end with .json or .jsonl."
    )

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add the file."""
        parser.add_argument(
            "dumpfile", type=Path, metavar="FILE", help="File to write."
        )

    def dbdev_handle(self) -> None:
        """Write it."""
        dumpfile = self.options["dumpfile"].absolute()
        self.dbdev_backend.create_dbdump(dumpfile)
        self.stdout.write(f"Wrote {dumpfile}.")
