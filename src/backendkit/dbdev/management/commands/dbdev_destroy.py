"""``manage.py dbdev_destroy``."""

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """Asks before."""

    help = (
        "Stops the server and removes the development database. The backups are kept."
    )
    asks = True

    def question(self) -> str | None:
        """Ask if there is a database."""
        backend = self.dbdev_backend
        if not backend.is_initialised():
            return None
        return f"Remove the database in {backend.data_paths()[0]}?"

    def dbdev_handle(self) -> None:
        """Remove it."""
        self.dbdev_backend.destroy()
