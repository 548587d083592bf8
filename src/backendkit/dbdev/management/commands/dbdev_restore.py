"""``manage.py dbdev_restore``."""

from django.core.management.base import CommandParser

from backendkit.dbdev.management.base import (
    BaseDbdevCommand,
    add_backup_arguments,
    chosen_backup,
)


class Command(BaseDbdevCommand):
    """All or nothing; asks before."""

    help = "Checks a backup, and replaces the development database with it."
    asks = True

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Let the backup be given by directory or name."""
        add_backup_arguments(parser)

    def question(self) -> str | None:
        """Ask if there is a database."""
        backend = self.dbdev_backend
        directory = chosen_backup(backend, self.options)
        if not backend.is_initialised():
            return None
        return f"Replace the database in {backend.data_paths()[0]} with {directory}?"

    def dbdev_handle(self) -> None:
        """Restore it."""
        backend = self.dbdev_backend
        directory = chosen_backup(backend, self.options)
        backend.restore_backup(directory)
        self.stdout.write(f"Restored {directory}.")
