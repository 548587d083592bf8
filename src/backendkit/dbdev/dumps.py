"""Dumps that any engine can write or load."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core import serializers
from django.core.management import call_command
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, connections, router, transaction
from django.db.models import Model

from backendkit.dbdev.errors import DbdevError

_NEUTRAL = {".json": "json", ".jsonl": "jsonl"}


def is_neutral(dumpfile: Path) -> bool:
    """Whether its name says that any engine can load it."""
    return dumpfile.suffix in _NEUTRAL


def check_readable(dumpfile: Path) -> None:
    """
    Check that a file can be read, before anything is done.

    :raises DbdevError: it can't.
    """
    try:
        with dumpfile.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise DbdevError(f"{dumpfile} can't be read: {error.strerror}") from error


@contextlib.contextmanager
def written(dumpfile: Path) -> Iterator[Path]:
    """Give a name to write to, which becomes the file's when all went well."""
    unfinished = dumpfile.with_name(f".{dumpfile.name}.unfinished")
    try:
        # Rows are nobody else's business.
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        yield unfinished
        unfinished.replace(dumpfile)
    except OSError as error:
        raise DbdevError(f"{dumpfile} can't be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


class _ExactEncoder(DjangoJSONEncoder):
    """Django's own cuts times to milliseconds, as JavaScript has them."""

    def default(self, o: Any) -> Any:
        if isinstance(o, datetime.datetime | datetime.time):
            return o.isoformat()
        return super().default(o)


def create(alias: str, dumpfile: Path) -> None:
    """
    Write the rows of all models to a file.

    Rows that other tables refer to by natural key are written so: content types and
    permissions have other numbers in each database.
    """
    with (
        written(dumpfile) as unfinished,
        unfinished.open("w", encoding="utf-8") as file,
    ):
        try:
            with transaction.atomic(using=alias):
                serializers.serialize(
                    _NEUTRAL[dumpfile.suffix],
                    _objects(alias),
                    stream=file,
                    use_natural_foreign_keys=True,
                    use_natural_primary_keys=True,
                    cls=_ExactEncoder,
                )
        except (DatabaseError, serializers.base.SerializationError) as error:
            raise DbdevError(f"the dump failed: {error}") from error


def _objects(alias: str) -> Iterator[Model]:
    """Iterate over the rows of all models, those first that others refer to."""
    configs = [config for config in apps.get_app_configs() if config.models_module]
    connection = connections[alias]
    for model in serializers.sort_dependencies(
        [(config, None) for config in configs], allow_cycles=True
    ):
        if model._meta.can_migrate(connection) and router.allow_migrate_model(
            alias, model
        ):
            # Also those that a default manager hides.
            rows = model._base_manager.using(alias).order_by(model._meta.pk.name)
            yield from rows.iterator()


def load(alias: str, dumpfile: Path) -> None:
    """Load the rows of a file, all or nothing. Tables have to be there."""
    check_readable(dumpfile)
    try:
        call_command("loaddata", str(dumpfile.absolute()), database=alias, verbosity=0)
    except Exception as error:
        # The deserializer raises what the text made it raise.
        raise DbdevError(f"{dumpfile} can't be loaded: {error}") from error


def run_sql(alias: str, dumpfile: Path) -> None:
    """Run the statements of a file in one transaction."""
    import sqlparse  # noqa: PLC0415  # Django has it; few need it

    text = read_sql(dumpfile)
    connection = connections[alias]
    try:
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            for statement in sqlparse.split(text, strip_semicolon=True):
                if sqlparse.format(statement, strip_comments=True).strip():
                    cursor.execute(statement)
    except DatabaseError as error:
        raise DbdevError(f"{dumpfile} can't be loaded: {error}") from error


def read_sql(dumpfile: Path) -> str:
    """
    Return the text of a file.

    :raises DbdevError: it can't be read, or isn't text.
    """
    check_readable(dumpfile)
    try:
        return dumpfile.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise DbdevError(f"{dumpfile} is no SQL: it isn't text in UTF-8") from error
