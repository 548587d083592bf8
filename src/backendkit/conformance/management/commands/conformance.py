"""``manage.py conformance``: the suite against a database's ENGINE and server."""

from __future__ import annotations

import argparse
import enum
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS
from django.utils.functional import Promise

from backendkit.conformance import cli
from backendkit.conformance._errors import UsageError

# How to reach a server, and how to talk to it. Not NAME and TEST: the suite makes
# databases, and drops them, and none of them may be the project's.
_TAKEN_OVER = ("HOST", "PORT", "USER", "PASSWORD", "OPTIONS")


class Command(BaseCommand):
    """
    Run it as ``manage.py conformance [LABEL …] [--database ALIAS]``.

    Exit status: as that of :mod:`backendkit.conformance.cli`.
    """

    help = (
        "Runs Django's own test suite against the ENGINE and the server of one of the"
        " project's DATABASES, in separate test databases."
    )
    # It runs nothing of the project, whose checks may need a database that works.
    requires_system_checks: list[str] = []

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Labels may come before, between and after options.
        parser.parse_args = parser.parse_intermixed_args
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            metavar="ALIAS",
            help=(
                "Alias of the database whose ENGINE and server to use (default:"
                " %(default)s)."
            ),
        )
        cli.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            engine, taken = database(settings.DATABASES, options["database"])
        except UsageError as e:
            raise CommandError(str(e), returncode=2) from e
        status = cli.call(argparse.Namespace(**options, engine=engine), taken)
        if status:
            sys.exit(status)


def database(
    databases: Mapping[str, Mapping[str, Any]], alias: str
) -> tuple[str, dict[str, Any]]:
    """
    Return ENGINE, and what else of its settings a run takes over.

    Raises:
        UsageError: there is no such alias, it has no ENGINE, or a setting is
            nothing that can be told to another process.

    """
    if alias not in databases:
        known = ", ".join(sorted(databases)) or "none"
        raise UsageError(
            f"settings.DATABASES has no alias {alias!r}. The aliases are: {known}"
        )
    where, table = f"settings.DATABASES[{alias!r}]", databases[alias]
    engine = table.get("ENGINE")
    if not engine:
        raise UsageError(f"{where} has no ENGINE")
    taken = {
        key: _plain(table[key], f"{where}[{key!r}]")
        for key in _TAKEN_OVER
        if table.get(key)
    }
    return str(engine), taken


def _plain(value: Any, where: str) -> Any:
    """A setting as the JSON and the Python literal that a child reads."""
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | os.PathLike | Promise):
        text = os.fspath(value) if isinstance(value, os.PathLike) else value
        return str(text)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{n}]") for n, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {
            str(key): _plain(item, f"{where}[{key!r}]") for key, item in value.items()
        }
    raise UsageError(
        f"{where} can't be passed to the processes that run the tests:"
        f" {type(value).__name__} isn't a string, a number, a boolean, or a list or"
        " dict of these"
    )
