"""``manage.py dbdev_loaddump``."""

from pathlib import Path

from django.core.management.base import CommandParser

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """All or nothing; asks before rows are replaced."""

    asks = True
    help = (
        "Loads what dbdev_createdump has written. .json and .jsonl need tables: migrate"
        " first; other formats need an empty database."
    )

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add the file."""
        parser.add_argument("dumpfile", type=Path, metavar="FILE", help="to load")

    def question(self) -> str | None:
        """Ask if there is something that the file may change."""
        backend = self.dbdev_backend
        dumpfile = self.options["dumpfile"].absolute()
        what = backend.overwritten_by(dumpfile)
        if what is None:
            return None
        return (
            f"There are {what} in {backend.data_paths()[0]} that {dumpfile} may replace."
            " Load it?"
        )

    def dbdev_handle(self) -> None:
        """Load it."""
        dumpfile = self.options["dumpfile"].absolute()
        self.dbdev_backend.load_dbdump(dumpfile)
        self.stdout.write(f"{dumpfile} is loaded.")
