"""``manage.py dbdev_guide``."""

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """Nobody has to wait for it."""

    help = "Shows useful commands and addresses for this database."
    takes_lock = False

    def dbdev_handle(self) -> None:
        """Show them."""
        self.dbdev_backend.guide()
