"""``manage.py dbdev_loaddump``."""

from pathlib import Path

from django.core.management.base import CommandParser

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """All or nothing; asks before rows are replaced."""

    asks = True
    help = (
        "Loads a file that dbdev_createdump has written, in one transaction. For"
        " files that end with .json or .jsonl, run migrate first. The command asks"
        " for confirmation before it changes rows or replaces tables."
    )

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add the file."""
        parser.add_argument("dumpfile", type=Path, metavar="FILE", help="File to load.")

    def question(self) -> str | None:
        """Ask if there is something that the file may change."""
        backend = self.dbdev_backend
        dumpfile = self.options["dumpfile"].absolute()
        what = backend.overwritten_by(dumpfile)
        if what is None:
            return None
        return f"{dumpfile} may replace {what} in {backend.data_paths()[0]}. Load it?"

    def dbdev_handle(self) -> None:
        """Load it."""
        dumpfile = self.options["dumpfile"].absolute()
        self.dbdev_backend.load_dbdump(dumpfile)
        self.stdout.write(f"Loaded {dumpfile}.")
