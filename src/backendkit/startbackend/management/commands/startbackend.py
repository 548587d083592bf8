"""``manage.py startbackend``: a package with a new backend, which works."""

from __future__ import annotations

import keyword
import shutil
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.templates import TemplateCommand

import backendkit

_TEMPLATES = Path(backendkit.__file__).parent / "startbackend" / "templates"
#: By kind, the directories that a package is made of, and what it says of itself.
KINDS = {
    "snapshot": (
        ("common", "files", "snapshot"),
        "a database that has transactions and snapshots",
    ),
    "buffered": (
        ("common", "files", "buffered"),
        "a database that applies several changes at once, if conditions hold",
    ),
    "readonly": (("common", "readonly"), "read-only data"),
}


class Command(TemplateCommand):
    """Run it as ``startbackend NAME [DIRECTORY] [--kind KIND]``."""

    help = (
        "Creates a package with a working database backend, which stores its rows in"
        " JSON files. Replace the places that are marked TODO to use your own store."
    )
    missing_args_message = "You must provide a name for the backend's package."
    rewrite_template_suffixes = (
        (".py-tpl", ".py"),
        (".toml-tpl", ".toml"),
        (".md-tpl", ".md"),
        (".yml-tpl", ".yml"),
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add NAME, DIRECTORY and --kind."""
        parser.add_argument(
            "name", help="Name of the package, which is also its ENGINE."
        )
        parser.add_argument(
            "directory",
            nargs="?",
            help=(
                "Directory to create the package in (default: a new directory"
                " django-NAME)."
            ),
        )
        parser.add_argument(
            "--kind",
            choices=KINDS,
            default="snapshot",
            help="; ".join(f"{kind}: for {what}" for kind, (_, what) in KINDS.items()),
        )

    def handle(self, **options: Any) -> None:
        """
        Make the package.

        :raises CommandError: the name is no identifier or taken, or there is something
            in the directory already.
        """
        name = options.pop("name")
        self.app_or_project, self.a_or_an = "backend", "a"
        super().validate_name(name)
        if keyword.iskeyword(name):
            raise CommandError(
                f"{name!r} is a Python keyword, so it can't be the name of a package."
            )
        given = options.pop("directory")
        target = (
            Path(given or f"django-{name.replace('_', '-')}").expanduser().absolute()
        )
        try:
            if target.exists() and (not target.is_dir() or any(target.iterdir())):
                raise CommandError(f"{target} already exists, and isn't empty.")
            made = not target.exists()
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"{target} can't be created: {error}") from error
        options |= {
            "extensions": ["py,toml,md,yml"],
            "files": [],
            # Django leaves out ".github" otherwise.
            "exclude": [".git"],
            "dashed": name.replace("_", "-"),
            "version": backendkit.__version__,
        }
        try:
            for part in KINDS[options["kind"]][0]:
                template = str(_TEMPLATES / part)
                super().handle("app", name, str(target), **options, template=template)
        except BaseException:
            # Ours alone is in it.
            shutil.rmtree(target, ignore_errors=True)
            if not made:
                target.mkdir()
            raise
        self.stdout.write(
            f"Created a working backend in {target}. Try it:\n\n  cd {target}\n "
            " python -m pip install --editable . --group test\n  python -m"
            " pytest\n\nREADME.md describes the next steps."
        )

    def validate_name(self, name: str, name_or_dir: str = "name") -> None:
        """Check nothing again: there is a directory of this name by now."""
