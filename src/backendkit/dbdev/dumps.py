"""Dumps that any engine can write or load."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core import serializers
from django.core.management import call_command
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, connections, router, transaction
from django.db.models import Model

from backendkit.dbdev.errors import DbdevError
from backendkit.dbdev.files import counted, reason
from backendkit.dbdev.project import ProjectDatabase

_NEUTRAL = {".json": "json", ".jsonl": "jsonl"}
_BATCH = 500  # rows that are compared at a time


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
        said = reason(error, dumpfile.parent)
        raise DbdevError(f"{dumpfile} can't be written: {said}") from error
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
    with _explained(dumpfile):
        call_command("loaddata", str(dumpfile.absolute()), database=alias, verbosity=0)


@contextlib.contextmanager
def _explained(dumpfile: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The deserializer raises what the text made it raise.
        raise DbdevError(f"{dumpfile} can't be loaded: {error}") from error


def overwritten_in(backend: ProjectDatabase, dumpfile: Path) -> str | None:
    """Return what a dump may change, as ``BaseDbdevBackend.overwritten_by`` does."""
    try:
        if is_neutral(dumpfile):
            model = overwritten(backend.alias, dumpfile)
            return None if model is None else f"rows of {model}"
        check_readable(dumpfile)
        tables = connections[backend.alias].introspection.table_names()
    except DatabaseError as error:
        raise DbdevError(f"the database can't be read: {error}") from error
    return counted(len(tables), "table") if tables else None


def overwritten(alias: str, dumpfile: Path) -> str | None:
    """
    Return the name of a model of which a dump changes rows; None if there is none.

    Rows that are in the database as they are in the dump don't count: Django makes
    content types and permissions in every database.

    :raises DbdevError: the file can't be loaded.
    """
    check_readable(dumpfile)
    with _explained(dumpfile), dumpfile.open(encoding="utf-8") as file:
        rows = serializers.deserialize(
            _NEUTRAL[dumpfile.suffix], file, using=alias, handle_forward_references=True
        )
        for batch in _batched(rows, _BATCH):
            by_model: dict[type[Model], list[Model]] = {}
            for row in batch:
                by_model.setdefault(type(row.object), []).append(row.object)
            for model, objects in by_model.items():
                if _differ(alias, model, objects):
                    return str(model._meta.label)
    return None


def _differ(alias: str, model: type[Model], objects: Sequence[Model]) -> bool:
    """Whether one of the objects is in the database with other values."""
    keys = [instance.pk for instance in objects if instance.pk is not None]
    there = {
        row.pk: row for row in model._base_manager.using(alias).filter(pk__in=keys)
    }
    return any(
        instance.pk in there and _values(instance) != _values(there[instance.pk])
        for instance in objects
    )


def _values(instance: Model) -> list[Any]:
    fields = instance._meta.concrete_fields
    # A text of the file may stand for the value that the database gives.
    return [field.to_python(field.value_from_object(instance)) for field in fields]


def _batched(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Iterate over lists of so many rows; ``itertools`` has it from Python 3.12 on."""
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


# Statements that begin or end a transaction, and whether they may be left out.
_CONTROL = {
    "BEGIN": True,
    "START TRANSACTION": True,
    "COMMIT": True,
    "END": True,
    "ROLLBACK": False,
    "ABORT": False,
}


def run_sql(alias: str, dumpfile: Path) -> None:
    """
    Run the statements of a file in one transaction.

    Those that begin and commit a transaction are left out.
    """
    import sqlparse  # noqa: PLC0415  # Django has it; few need it

    text = read_sql(dumpfile)
    connection = connections[alias]
    try:
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            for statement in sqlparse.split(text, strip_semicolon=True):
                plain = sqlparse.format(statement, strip_comments=True).strip()
                if plain and not _is_control(plain):
                    cursor.execute(statement)
    except DatabaseError as error:
        raise DbdevError(f"{dumpfile} can't be loaded: {error}") from error


def _is_control(statement: str) -> bool:
    """
    Whether a statement without comments only begins or commits a transaction.

    :raises DbdevError: it rolls one back.
    """
    words = statement.rstrip("; \n\t").upper().split()
    for control, harmless in _CONTROL.items():
        own = control.split()
        if words[: len(own)] != own:
            continue
        # ROLLBACK TO a savepoint stays in the transaction.
        if not harmless and "TO" not in words:
            raise DbdevError(
                "the file is loaded in one transaction, which it may not end:"
                f" {statement}"
            )
        return harmless
    return False


def read_sql(dumpfile: Path) -> str:
    """
    Return the text of a file.

    :raises DbdevError: it can't be read, or isn't text.
    """
    check_readable(dumpfile)
    try:
        return dumpfile.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise DbdevError(f"{dumpfile} isn't SQL: it isn't text in UTF-8") from error
