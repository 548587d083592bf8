"""``manage.py track``: take stock of what is installed."""

import os

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from tracking.inventory import installed, site_directories
from tracking.progress import Progress
from tracking.recorder import record


class Command(BaseCommand):
    help = "Record the Python distributions that are installed, as a new scan."

    def add_arguments(self, parser):
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            "--path",
            action="append",
            dest="paths",
            metavar="DIRECTORY",
            help="look in this directory only; may be given more than once "
            "(default: where this Python imports from)",
        )
        where.add_argument(
            "--machine",
            action="store_true",
            help="look in the directories of all Pythons on PATH too",
        )

    def handle(self, *, paths, machine, **options):
        for path in paths or ():
            if not os.path.isdir(path):
                raise CommandError(f"{path} isn't a directory")
        quiet = options["verbosity"] == 0
        if not quiet:
            self.stdout.write("Reading what is installed")
        found = list(installed(site_directories() if machine else paths))
        bar = None
        if not quiet:
            files = sum(len(item.files) for item in found)
            store = getattr(connection, "display_name", connection.vendor)
            self.stdout.write(f"Writing {len(found)} distributions to {store}")
            bar = Progress(self.stdout, "files", files)
        scan = record(found, bar.add if bar else lambda count: None)
        if bar:
            bar.close()
            self.stdout.write(
                self.style.SUCCESS(
                    f"Scan {scan.pk}: {len(found)} distributions, "
                    f"{scan.details['files']:,} files in {scan.seconds} s"
                )
            )
