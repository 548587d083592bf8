"""
Commands of a project whose models can't be imported.

Models need the ``ENGINE`` of the default database, and so its driver: without it, Django
ends with a traceback before any command runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.util import find_spec

from django.conf import settings
from django.core.exceptions import AppRegistryNotReady
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.project import entry_of_alias, loaded_engine

_PREFIX = "dbdev_"
_DOCTOR = "dbdev_doctor"


def answer() -> None:
    """
    Run a command of ours here, and exit, if models can't be imported.

    ``dbdev_doctor`` does its work; others say in a line what is wrong.
    """
    if not (len(sys.argv) > 1 and sys.argv[1].startswith(_PREFIX)):
        return
    try:
        loaded_engine(entry_of_alias(DEFAULT_DB_ALIAS)["ENGINE"])
    except DbdevError as error:
        if isinstance(error.__cause__, AppRegistryNotReady):
            # An ENGINE with models, such as that of PostGIS: it is too early to tell.
            return
        if sys.argv[1] == _DOCTOR:
            doctor(sys.argv)
        elif any(map(_has_models, settings.INSTALLED_APPS)):
            sys.stderr.write(
                f"CommandError: {error}. Run {os.path.basename(sys.argv[0])}"
                f" {_DOCTOR} to see what is missing\n"
            )
            sys.exit(1)


def _has_models(app: str) -> bool:
    """Whether an entry of INSTALLED_APPS, a package or a class in it, has models."""
    for package in (app, app.rpartition(".")[0].rpartition(".")[0]):
        with contextlib.suppress(ImportError, ValueError):
            if package and find_spec(f"{package}.models"):
                return True
    return False


def doctor(arguments: list[str]) -> None:
    """
    Run ``dbdev_doctor`` without the project's apps, and exit.

    :param arguments: as ``sys.argv``: program, command, options.
    """
    # The commands import Django's forms and templates: not at the start of any other.
    from backendkit.dbdev.management.commands import dbdev_doctor  # noqa: PLC0415  # needs settings

    run(dbdev_doctor.Command(), arguments)


def run(command: BaseCommand, arguments: list[str]) -> None:
    """Run a command as ``manage.py`` does, but for the project's connections; exit."""
    parser = command.create_parser(arguments[0], arguments[1])
    options = vars(parser.parse_args(arguments[2:]))
    try:
        command.execute(**options)
    except CommandError as error:
        command.stderr.write(f"CommandError: {error}")
        sys.exit(error.returncode)
    sys.exit(0)
