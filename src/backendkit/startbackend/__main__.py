"""``python -m backendkit.startbackend NAME``: as ``manage.py startbackend NAME``."""

import sys

from django.core.management.base import CommandError

from .management.commands.startbackend import Command


def main() -> int:
    """Run the command without a project; return the exit status."""
    try:
        Command().run_from_argv(["backendkit", "startbackend", *sys.argv[1:]])
    except CommandError as error:  # with --traceback
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


sys.exit(main())
