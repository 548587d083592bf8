"""
``python -m backendkit.dbdev COMMAND``: ``manage.py dbdev_COMMAND``, without a ``manage.py``.

``DJANGO_SETTINGS_MODULE`` or ``--settings`` names the settings. ``doctor`` also answers
where the project itself can't be loaded.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import sys

import django
from django.conf import settings
from django.core.management import ManagementUtility

from backendkit.dbdev import early
from backendkit.dbdev.management import commands

_PREFIX = "dbdev_"


def main(arguments: list[str]) -> None:
    """Run a command, and exit."""
    names = sorted(
        module.name.removeprefix(_PREFIX)
        for module in pkgutil.iter_modules(commands.__path__)
    )
    parser = argparse.ArgumentParser(
        prog="python -m backendkit.dbdev",
        description=(
            "Manages development databases. Run COMMAND --help for the options of a"
            " command."
        ),
        add_help=arguments[:1] in (["-h"], ["--help"]),
    )
    parser.add_argument("command", choices=names, metavar="COMMAND")
    parser.add_argument("--settings", help="Dotted path of the settings module.")
    parser.add_argument("--pythonpath", help="Directory to add to the Python path.")
    known, rest = parser.parse_known_args(arguments)
    sys.path.insert(0, known.pythonpath or os.getcwd())
    if known.settings:
        os.environ["DJANGO_SETTINGS_MODULE"] = known.settings
    try:
        # Whatever is wrong with the settings is what there is to say.
        apps = settings.INSTALLED_APPS
    except Exception as error:  # noqa: BLE001  # a settings module may raise anything
        said = str(error).strip().partition("\n")[0] or repr(error)
        sys.exit(f"The settings can't be loaded: {type(error).__name__}: {said}")
    program = [parser.prog, _PREFIX + known.command, *rest]
    if known.command == "doctor":
        early.doctor(program)
    if "backendkit.dbdev" not in apps and not any("dbdev" in app for app in apps):
        sys.exit('"backendkit.dbdev" isn\'t in INSTALLED_APPS')
    django.setup()
    ManagementUtility(program).execute()


if __name__ == "__main__":
    main(sys.argv[1:])
