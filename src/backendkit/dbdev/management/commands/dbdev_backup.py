"""``manage.py dbdev_backup``."""

from django.core.management.base import CommandParser

from backendkit.dbdev import backups
from backendkit.dbdev.files import readable_size
from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """All or nothing."""

    help = "Makes a backup of the development database."

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add ``--name``."""
        parser.add_argument(
            "-n", "--name", help="Name for the backup, to restore it by."
        )

    def dbdev_handle(self) -> None:
        """Make it, and tell where it is."""
        directory = self.dbdev_backend.create_backup(self.options["name"])
        size = readable_size(backups.read(directory).size)
        self.stdout.write(f"{directory} ({size})")
