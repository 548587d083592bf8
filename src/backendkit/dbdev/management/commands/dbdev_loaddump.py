"""``manage.py dbdev_loaddump``."""

from pathlib import Path

from django.core.management.base import CommandParser

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """All or nothing."""

    help = (
        "Loads what dbdev_createdump has written. .json and .jsonl need tables: migrate"
        " first; other formats need an empty database."
    )

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add the file."""
        parser.add_argument("dumpfile", type=Path, metavar="FILE", help="to load")

    def dbdev_handle(self) -> None:
        """Load it."""
        dumpfile = self.options["dumpfile"].absolute()
        self.dbdev_backend.load_dbdump(dumpfile)
        self.stdout.write(f"{dumpfile} is loaded.")
