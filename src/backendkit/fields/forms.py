"""Form fields and widgets. They are plain HTML: nothing here needs a script."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from ._embedded_forms import ChoiceFormField, EmbeddedFormField

__all__ = [
    "BlobFormField",
    "ChoiceFormField",
    "EmbeddedFormField",
    "ListFormField",
    "StructureFormField",
]


class ListWidget(forms.Widget):
    """
    A row for each item, and empty ones for more. An empty row is no item.

    :param item_widget: the widget of an item.
    :param extra: how many empty rows there are.
    """

    def __init__(self, item_widget: Any, attrs: Any = None, *, extra: int = 2) -> None:
        self.item_widget = item_widget
        self.extra = extra
        super().__init__(attrs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = super().__deepcopy__(memo)
        copied.item_widget = copy.deepcopy(self.item_widget, memo)
        return copied

    @property
    def media(self) -> Any:
        return self.item_widget.media

    @property
    def needs_multipart_form(self) -> Any:
        return self.item_widget.needs_multipart_form

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_0" if id_ else id_

    def render(
        self, name: str, value: Any, attrs: Any = None, renderer: Any = None
    ) -> Any:
        """Return the rows, and how many there are, which the form sends back."""
        attrs = self.build_attrs(self.attrs, attrs)
        id_ = attrs.get("id")
        attrs = {
            key: each
            for key, each in attrs.items()
            if key not in {"id", "required", "maxlength"}
        }
        values = [*(value or ()), *([None] * self.extra)]
        rows = []
        for index, item in enumerate(values):
            more = {**attrs, "aria-label": f"{index}"}
            if id_:
                more["id"] = f"{id_}_{index}"
            rows.append(
                (self.item_widget.render(f"{name}_{index}", item, more, renderer),)
            )
        return format_html(
            '<div class="backendkit-list"><input type="hidden" name="{}_rows" '
            'value="{}">{}</div>',
            name,
            len(values),
            format_html_join("", '<div style="margin-bottom: 4px">{}</div>', rows),
        )

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """Return the rows' values; of a client without rows, all values of the name."""
        try:
            rows = int(data.get(f"{name}_rows", ""))
        except ValueError:
            if name not in data:
                return None
            return data.getlist(name) if hasattr(data, "getlist") else data[name]
        # No more rows than were sent, whatever their number says.
        rows = min(rows, len(data) + len(files or ()))
        return [
            self.item_widget.value_from_datadict(data, files, f"{name}_{index}")
            for index in range(rows)
        ]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}_rows" not in data and name not in data


class ListFormField(forms.Field):
    """
    A form field for the items of a list or a set.

    :param item_field: the form field of an item.
    :param container: ``list`` or ``set``.
    """

    def __init__(
        self,
        *,
        item_field: Any,
        container: Callable[[Any], Any] = list,
        **kwargs: Any,
    ) -> None:
        self.item_field = item_field
        self.container = container
        self._initial: Any = ()
        if not isinstance(kwargs.get("widget"), ListWidget):
            # The admin has a widget of its own for what it takes for JSON.
            kwargs["widget"] = ListWidget(item_field.widget)
        super().__init__(**kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = super().__deepcopy__(memo)
        copied.item_field = copy.deepcopy(self.item_field, memo)
        return copied

    def get_bound_field(self, form: Any, field_name: str) -> Any:
        """Keep the embedded models: what their forms don't show stays as it is."""
        bound = super().get_bound_field(form, field_name)
        self._initial = self.prepare_value(bound.initial) or ()
        return bound

    def prepare_value(self, value: Any) -> Any:
        """Return the items as their widget shows them."""
        if isinstance(value, list | tuple | set | frozenset):
            items = list(value)
            if isinstance(value, set | frozenset):
                items.sort(key=str)
            return [
                self.item_field.prepare_value(item)
                for item in items
                if not _is_empty(self.item_field, item)
            ]
        return value

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def clean(self, value: Any) -> Any:
        """
        Return a container of the items that aren't empty.

        :raises ValidationError: with the index of each item that isn't valid.
        """
        result: list[Any] = []
        errors: list[ValidationError] = []
        for row, item in enumerate(value or ()):
            if _is_empty(self.item_field, item):
                continue
            try:
                cleaned = self._clean_item(row, item)
            except ValidationError as error:
                index = len(result) + len(errors)
                errors += [
                    ValidationError(
                        _("Item %(index)s: %(message)s"),
                        code="item_invalid",
                        params={"index": index, "message": message},
                    )
                    for message in error.messages[:1]
                ]
            else:
                if isinstance(cleaned, models.Model) and isinstance(
                    self.item_field, forms.ModelChoiceField
                ):
                    cleaned = self.item_field.prepare_value(cleaned)
                result.append(cleaned)
        if errors:
            raise ValidationError(errors)
        made = self.container(result)
        if self.required and not made:
            raise ValidationError(self.error_messages["required"], code="required")
        self.run_validators(made)
        return made

    def _clean_item(self, row: int, item: Any) -> Any:
        if isinstance(self.item_field, EmbeddedFormField):
            before = self._initial[row] if row < len(self._initial) else None
            return self.item_field.clean_over(before, item)
        return self.item_field.clean(item)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != self.container(initial or ()))
        except ValidationError:
            return True


def _is_empty(field: Any, value: Any) -> bool:
    if isinstance(field, EmbeddedFormField):
        return field.is_empty(value)
    if isinstance(field, ListFormField) and isinstance(value, list):
        return all(_is_empty(field.item_field, each) for each in value)
    return value in field.empty_values


class StructureFormField(forms.JSONField):
    """
    JSON that a model field checks.

    :param field: the model field.
    """

    def __init__(self, *, field: Any, **kwargs: Any) -> None:
        self.field = field
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Return the value's JSON."""
        if isinstance(value, forms.fields.InvalidJSONInput):
            return value
        try:
            value = self.field.get_prep_value(value)
        except (TypeError, ValueError, ValidationError):
            return json.dumps(value, default=str)
        if value is None:
            return ""
        return json.dumps(value, ensure_ascii=False, indent=2)

    def bound_data(self, data: Any, initial: Any) -> Any:
        if self.disabled:
            return initial
        return super().bound_data(data, initial)

    def to_python(self, value: Any) -> Any:
        """
        Return the model field's value.

        :raises ValidationError: no JSON, or not the field's.
        """
        value = super().to_python(value)
        if value is None or not isinstance(value, Mapping):
            return self.field.to_python(value) if value is None else self._wrong(value)
        return self.field.to_python(value)

    def _wrong(self, value: Any) -> Any:
        raise ValidationError(
            _("Enter a JSON object, not %(value)s."),
            code="invalid",
            params={"value": json.dumps(value)[:50]},
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            new = self.field.get_prep_value(self.to_python(data))
        except ValidationError:
            return True
        return bool(new != self.field.get_prep_value(initial))


class BlobWidget(forms.ClearableFileInput):
    """An upload that shows the size of what is stored."""

    def render(
        self, name: str, value: Any, attrs: Any = None, renderer: Any = None
    ) -> Any:
        """Return the input, and the size."""
        # What is stored has no address to link to.
        field = forms.FileInput.render(self, name, None, attrs, renderer)
        if not isinstance(value, bytes | bytearray | memoryview):
            return field
        parts = [field, _("Currently: %s") % filesizeformat(len(value))]
        if not self.is_required:
            parts.append(
                format_html(
                    '<label><input type="checkbox" name="{}"> {}</label>',
                    self.clear_checkbox_name(name),
                    _("Clear"),
                )
            )
        return format_html_join(" ", "{}", ((part,) for part in parts))


class BlobFormField(forms.FileField):
    """An upload, whose value is bytes."""

    widget = BlobWidget

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Return the upload's bytes; without one, what was there."""
        value = super().clean(data, initial)
        if value is False:
            return None
        return value.read() if hasattr(value, "read") else value
