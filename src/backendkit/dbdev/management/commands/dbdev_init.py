"""``manage.py dbdev_init``."""

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """Makes what isn't there yet; may be run again."""

    help = (
        "Creates the development database, and starts its server. An existing"
        " database is left as it is."
    )

    def dbdev_handle(self) -> None:
        """Make it."""
        self.dbdev_backend.init()
