"""
Values of Django's fields as JSON, and back.

What JSON lacks is written as text with one form for equal values, or as a number:

=============  =====================================================
datetime       ``"2026-01-31T12:00:00.000000Z"``, in UTC; without
               ``Z`` if it has no time zone
date, time     ``"2026-01-31"``, ``"12:00:00.000000"``
Decimal        text with the field's ``decimal_places``: ``"1.50"``
timedelta      an integer, in microseconds
UUID           text with hyphens
bytes          Base64
=============  =====================================================
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import math
import uuid
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.duration import duration_microseconds
from django.utils.functional import Promise


def public(path: str) -> str:
    """Return a class's path without this package's private modules."""
    package, _, name = path.rpartition(".")
    if package.startswith("backendkit.fields."):
        return f"backendkit.fields.{name}"
    return path


def target_of(field: Any) -> Any:
    """Return the field whose values a field holds: a foreign key's is its target's."""
    while field.remote_field is not None:
        remote = field.remote_field
        if isinstance(remote.model, str):
            # An item field isn't in a model's list of fields: Django doesn't resolve it.
            remote.model = resolve(field, remote.model)
        if getattr(remote, "field_name", "") is None:
            remote.field_name = remote.model._meta.pk.name
        field = field.target_field
    return field


def resolve(field: Any, label: str) -> Any:
    """
    Return the model that a label names, among those that a field's model belongs to.

    :param label: ``"shop.Address"``, ``"Address"`` of the model's own app, ``"self"``.
    :raises LookupError: there is none.
    """
    model = field.model
    if label == "self":
        return model
    if "." not in label:
        label = f"{model._meta.app_label}.{label}"
    # Models of a test have no installed app, historical ones no real one.
    names = label.split(".", 1)
    try:
        try:
            return model._meta.apps.get_registered_model(*names)
        except LookupError:
            # To rebuild a table, Django copies its model to where no other one is.
            if (home := getattr(field, "_home", None)) is None:
                raise
            return home.get_registered_model(*names)
    except LookupError as error:
        raise LookupError(
            f"{label}, which {model._meta.label} embeds, doesn't exist. In a"
            " migration, first alter or remove the field that embeds it, before other"
            " operations change the table."
        ) from error


def encode(field: Any, value: Any) -> Any:
    """
    Return what stands for a field's value in JSON.

    :param value: as Python has it, or as the field's ``to_python()`` takes it.
    :raises ValueError: a number that isn't finite, or a value of a type that has no
        form in JSON.
    :raises ValidationError: no value of the field.
    """
    if value is None:
        return None
    if hasattr(field, "to_json"):
        return field.to_json(value)
    field = target_of(field)
    if isinstance(value, models.Model):
        value = getattr(value, field.attname)
    if isinstance(field, models.JSONField):
        return plain(json.loads(json.dumps(value, cls=field.encoder)))
    if isinstance(field, models.BinaryField):
        return _text_of(_bytes_of(value))
    if isinstance(field, models.DurationField):
        return duration_microseconds(decode(field, value))
    if not isinstance(field, models.FileField):
        value = field.to_python(value)
    value = field.get_prep_value(value)
    if isinstance(field, models.DecimalField) and isinstance(value, Decimal):
        return _decimal_text(field, value)
    if isinstance(field, models.GenericIPAddressField):
        value = value or None  # as Django's backends do: a form has no None
    return plain(value)


def plain(value: Any) -> Any:
    """
    Return a value as JSON has it, with what a container holds.

    :raises ValueError: as :func:`encode` does.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Promise | str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise ValueError(f"{value!r} isn't finite, so JSON can't represent it.")
    if isinstance(value, float):
        # There are two zeros, but one value.
        return float(value) + 0.0
    if isinstance(value, datetime.datetime):
        return _datetime_text(value)
    if isinstance(value, datetime.time):
        return value.isoformat("microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return duration_microseconds(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _text_of(bytes(value))
    if isinstance(value, dict):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"The key {odd[0]!r} must be a string, as in JSON.")
        # Equal ones have one form, for databases that compare their text.
        return {key: plain(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return in_order(plain(each) for each in value)
    raise ValueError(f"Values of type {type(value).__name__} aren't JSON serializable.")


def in_order(values: Any) -> list[Any]:
    """Return JSON values in an order that depends on nothing but these values."""
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True))


def decode(field: Any, value: Any, connection: Any = None) -> Any:
    """
    Return the value that a field's JSON stands for.

    What is such a value already is returned as it is.

    :param connection: where it comes from, for a field with ``from_db_value()``.
    :raises ValidationError: it stands for none.
    """
    if value is None:
        return None
    if hasattr(field, "from_json"):
        return field.from_json(value, connection)
    field = target_of(field)
    if isinstance(value, models.Model):
        value = getattr(value, field.attname)
    if isinstance(field, models.JSONField):
        if connection is None or field.decoder is None:
            return value
        return json.loads(json.dumps(value), cls=field.decoder)
    if isinstance(field, models.BinaryField):
        return _bytes_of(value)
    if isinstance(field, models.DurationField) and isinstance(value, int):
        return datetime.timedelta(microseconds=value)
    if connection is not None and hasattr(field, "from_db_value"):
        return field.from_db_value(value, None, connection)
    if isinstance(field, models.FileField):
        return value
    result = field.to_python(value)
    if isinstance(result, datetime.datetime):
        return _in_project(result)
    return result


def _in_project(value: datetime.datetime) -> datetime.datetime:
    """Give a time zone to what has none, or take it, as ``USE_TZ`` wants it."""
    if settings.USE_TZ:
        if timezone.is_naive(value):
            return timezone.make_aware(value, timezone.get_default_timezone())
        return value.astimezone(datetime.UTC)
    if timezone.is_aware(value):
        return timezone.make_naive(value, timezone.get_default_timezone())
    return value


def _datetime_text(value: datetime.datetime) -> str:
    if timezone.is_naive(value):
        return value.isoformat(timespec="microseconds")
    value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return f"{value.isoformat(timespec='microseconds')}Z"


def _decimal_text(field: Any, value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError(f"{value!r} isn't finite, so JSON can't represent it.")
    if field.decimal_places is not None:
        value = round(value, field.decimal_places)
    if not value:
        value = abs(value)
    return format(value, "f")


def _text_of(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValidationError(
                "“%(value)s” isn't valid Base64.",
                code="invalid",
                params={"value": value},
            ) from error
    return bytes(value)
