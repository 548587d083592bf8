"""``manage.py dbdev_clearbackups``."""

from backendkit.dbdev.files import remove
from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """Asks before."""

    help = "Removes all backups of the development database."
    asks = True

    def question(self) -> str | None:
        """Ask if there are some."""
        backend = self.dbdev_backend
        count = len(backend.get_backupdirs())
        if not count:
            return None
        return f"Remove {count} backups in {backend.root_backupdir}?"

    def dbdev_handle(self) -> None:
        """Remove them."""
        backend = self.dbdev_backend
        count = len(backend.get_backupdirs())
        remove(backend.root_backupdir)
        self.stdout.write(f"{count} backups are removed.")
