"""``manage.py dbdev_reinit``."""

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """Asks before."""

    help = "Removes the development database, and creates a new, empty one."
    asks = True

    def question(self) -> str | None:
        """Ask if there is a database."""
        backend = self.dbdev_backend
        if not backend.is_initialised():
            return None
        return (
            f"Remove the database in {backend.data_paths()[0]}, and create a new one?"
        )

    def dbdev_handle(self) -> None:
        """Remove it and make a new one."""
        self.dbdev_backend.reinit()
