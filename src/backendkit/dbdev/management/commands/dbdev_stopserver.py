"""``manage.py dbdev_stopserver``."""

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """May be run again."""

    help = "Stops the database server if it is running."

    def dbdev_handle(self) -> None:
        """Stop it."""
        self.dbdev_backend.stop_database_server()
