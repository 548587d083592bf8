"""Bytes that a form uploads."""

from __future__ import annotations

import base64
from typing import Any

from django.db import models

from ._values import public
from .forms import BlobFormField


class BlobField(models.BinaryField):
    """
    Bytes, given as ``bytes``, as text (in UTF-8) or as an open file with ``read()``.

    A form has an upload for it. No lookup but ``isnull`` is there.
    """

    description = "A blob"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("editable", True)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        """Name ``editable`` where it isn't this field's default, True."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        if not self.editable:
            kwargs["editable"] = False
        return name, public(path), args, kwargs

    def to_python(self, value: Any) -> Any:
        """Return bytes; text is Base64, as a fixture has it."""
        if isinstance(value, str):
            return base64.b64decode(value)
        return self._read(value)

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        """Read an open file, once: the instance has its bytes from now on."""
        value = self._read(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value

    def get_prep_value(self, value: Any) -> Any:
        """
        Return bytes.

        :raises TypeError: it is nothing to read.
        """
        return super().get_prep_value(self._read(value))

    def _read(self, value: Any) -> Any:
        if hasattr(value, "read"):
            value = value.read()
        if isinstance(value, str):
            return value.encode()
        if value is None or hasattr(value, "as_sql"):
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise TypeError(
            f"{self.name}: a blob must be bytes, text or a file with read(), not"
            f" {type(value).__name__}."
        )

    def value_to_string(self, obj: Any) -> str:
        """Return Base64."""
        return base64.b64encode(self._read(self.value_from_object(obj)) or b"").decode()

    def get_lookup(self, lookup_name: str) -> Any:
        """
        Return ``isnull`` alone.

        :raises TypeError: another lookup.
        """
        if lookup_name != "isnull":
            raise TypeError("BlobField supports no lookup other than isnull.")
        return super().get_lookup(lookup_name)

    def formfield(self, **kwargs: Any) -> Any:
        """Return a form field for an upload."""
        # BinaryField has none, and none of Field's arguments for choices.
        return models.Field.formfield(
            self, **{"form_class": BlobFormField, "max_length": None, **kwargs}
        )
