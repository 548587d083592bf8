"""``manage.py dbdev_startserver``."""

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """May be run again."""

    help = "Starts the database server in the background, and waits until it answers."

    def dbdev_handle(self) -> None:
        """Start it."""
        self.dbdev_backend.start_database_server()
