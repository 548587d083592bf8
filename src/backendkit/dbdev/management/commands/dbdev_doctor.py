"""``manage.py dbdev_doctor``."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from backendkit.dbdev import backendregistry
from backendkit.dbdev.base import backend_of
from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.management.base import BaseDbdevCommand, one_line
from backendkit.dbdev.project import known_databases


class Command(BaseDbdevCommand):
    """Nobody has to wait for it, and it changes nothing."""

    help = (
        "Shows which programs the development databases need, which of them are"
        " missing, and how to install those. The exit status is 1 if something is"
        " missing."
    )
    takes_lock = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Let all databases be meant."""
        super().add_arguments(parser)
        parser.set_defaults(database=None)
        for action in parser._actions:
            if action.dest == "database":
                action.help = "Alias of the database (default: all databases)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Look at each database."""
        with one_line():
            self._look(options["database"])

    def _look(self, database: str | None) -> None:
        aliases = [database] if database else [*known_databases()]
        wrong = 0
        for alias in aliases:
            self.stdout.write(f"{alias}:")
            try:
                findings = list(backend_of(self, alias).findings())
            except DbdevError as error:
                wrong += 1
                self.stdout.write(f"  MISSING  {error}")
                continue
            for finding in findings:
                wrong += not finding.ok
                mark = "ok     " if finding.ok else "MISSING"
                self.stdout.write(f"  {mark}  {finding.text}")
                if finding.remedy:
                    self.stdout.write(f"           {finding.remedy}")
        self.stdout.write(f"Engines: {', '.join(backendregistry.engines())}")
        if wrong:
            what = "one thing is" if wrong == 1 else f"{wrong} things are"
            raise CommandError(f"{what} missing or wrong. See above.")
