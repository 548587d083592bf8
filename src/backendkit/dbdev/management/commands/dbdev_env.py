"""``manage.py dbdev_env``."""

import json
import pprint
import shlex

from django.core.management.base import CommandParser

from backendkit.dbdev.management.base import BaseDbdevCommand

#: What a person needs to connect; the rest are Django's defaults.
_KEYS = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")


class Command(BaseDbdevCommand):
    """A shell can read what it prints: ``eval "$(manage.py dbdev_env)"``."""

    help = (
        "Prints the URL of the development database as a line for a shell, and its"
        " settings as comments. Both include the password."
    )
    takes_lock = False

    def add_extra_arguments(self, parser: CommandParser) -> None:
        """Add ``--json``."""
        parser.add_argument(
            "--json", action="store_true", help="Print the result as JSON."
        )

    def dbdev_handle(self) -> None:
        """Print it."""
        backend = self.dbdev_backend
        url = backend.database_url()
        entry = backend.dbsettings
        settings = {key: str(entry[key]) for key in _KEYS if entry.get(key)}
        if self.options["json"]:
            document = {"DATABASE_URL": url, "settings": settings}
            self.stdout.write(json.dumps(document, indent=2))
            return
        self.stdout.write(f"export DATABASE_URL={shlex.quote(url)}")
        text = pprint.pformat({backend.alias: settings}, sort_dicts=False)
        self.stdout.write("# DATABASES =")
        for line in text.splitlines():
            self.stdout.write(f"# {line}")
