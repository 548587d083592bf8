"""``manage.py dbdev_fgrunserver``."""

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """Other commands may be run meanwhile."""

    help = "Runs the database server in the foreground. Stop it with Ctrl-C."
    takes_lock = False

    def dbdev_handle(self) -> None:
        """Run it to its end."""
        self.dbdev_backend.run_database_server_in_foreground()
