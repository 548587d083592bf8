"""
A project of the app, in the process of the tests and in processes that are killed.

As a program, it runs ``movedata``: the settings, the arguments and after how many
writes it kills itself are JSON on its standard input.
"""

import contextlib
import json
import os
import signal
import sys

import django
from django.apps import AppConfig, apps
from django.conf import settings

APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "backendkit.move",
    "tests.move.project.Moving",
]


class Moving(AppConfig):
    name = "tests.move"
    label = "moving"


def create(alias):
    """Do what ``migrate`` does: make the tables, and fill those that it fills."""
    from django.contrib.auth.management import create_permissions
    from django.contrib.contenttypes.management import create_contenttypes
    from django.db import connections

    with connections[alias].schema_editor() as editor:
        for model in apps.get_models():
            if model._meta.managed:
                editor.create_model(model)
    for config in apps.get_app_configs():
        create_contenttypes(config, verbosity=0, using=alias)
        create_permissions(config, verbosity=0, using=alias)


def die_after(writes):
    """Let this process end, as by a power failure, before or after a batch's rows."""
    from backendkit.move.rows import Table

    left = [writes]

    def wrap(method):
        def call(*arguments):
            result = method(*arguments)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    Table.write = wrap(Table.write)
    Table.batch = wrap(Table.batch)


def main():
    task = json.load(sys.stdin)
    settings.configure(DATABASES=task["databases"], INSTALLED_APPS=APPS, USE_TZ=True)
    django.setup()
    if task["writes"] is not None:
        die_after(task["writes"])
    from django.core.management import call_command

    with contextlib.suppress(BrokenPipeError):
        call_command("movedata", *task["arguments"])


if __name__ == "__main__":
    main()
