"""``manage.py dbdev_listbackups``."""

from backendkit.dbdev import backups
from backendkit.dbdev.errors import BackupError
from backendkit.dbdev.files import readable_size
from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """A line for each, with full path; nobody has to wait for it."""

    help = "Lists the backups of the development database, oldest first."
    takes_lock = False

    def dbdev_handle(self) -> None:
        """List them."""
        for directory in self.dbdev_backend.get_backupdirs():
            try:
                manifest = backups.read(directory)
                about = f"{readable_size(manifest.size)}, {manifest.version}"
            except BackupError as error:
                about = str(error)
            self.stdout.write(f"{directory}  {about}")
