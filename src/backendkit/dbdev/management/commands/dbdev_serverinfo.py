"""``manage.py dbdev_serverinfo``."""

import json

from django.core.management.base import CommandParser

from backendkit.dbdev.management.base import BaseDbdevCommand


class Command(BaseDbdevCommand):
    """Nobody has to wait for it."""

    help = (
        "Shows the location of the development database, and whether its server runs."
    )
    takes_lock = False

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add ``--json``."""
        parser.add_argument(
            "--json", action="store_true", help="Print the result as JSON."
        )

    def dbdev_handle(self) -> None:
        """Show it."""
        if self.options["json"]:
            self.stdout.write(json.dumps(self.dbdev_backend.info(), indent=2))
        else:
            self.dbdev_backend.serverinfo()
