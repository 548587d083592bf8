"""``manage.py dbdev_clearbackups``."""

from backendkit.dbdev.files import counted, remove
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
        return f"Remove {counted(count, 'backup')} in {backend.root_backupdir}?"

    def dbdev_handle(self) -> None:
        """Remove them."""
        backend = self.dbdev_backend
        count = len(backend.get_backupdirs())
        remove(backend.root_backupdir)
        what = counted(count, "backup")
        self.stdout.write(f"{what} {'is' if count == 1 else 'are'} removed.")
