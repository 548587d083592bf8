"""Form fields and widgets. They are plain HTML: nothing here needs a script."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _


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
        if not isinstance(kwargs.get("widget"), ListWidget):
            # The admin has a widget of its own for what it takes for JSON.
            kwargs["widget"] = ListWidget(item_field.widget)
        super().__init__(**kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = super().__deepcopy__(memo)
        copied.item_field = copy.deepcopy(self.item_field, memo)
        return copied

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
        for item in value or ():
            if _is_empty(self.item_field, item):
                continue
            try:
                cleaned = self.item_field.clean(item)
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


@dataclass(frozen=True)
class Submitted:
    """What a form sent for an embedded model."""

    data: Any
    files: Any
    prefix: str


class _EmbeddedForm(forms.ModelForm):
    def clean(self) -> Any:
        # Without super(): nothing is unique in an embedded model's table.
        return self.cleaned_data


class EmbeddedWidget(forms.Widget):
    """A form within a form, in a ``fieldset``."""

    def __init__(self, form_class: Any, attrs: Any = None) -> None:
        self.form_class = form_class
        super().__init__(attrs)

    @property
    def media(self) -> Any:
        return self.form_class().media

    @property
    def needs_multipart_form(self) -> Any:
        return self.form_class().is_multipart()

    def id_for_label(self, id_: str) -> str:
        # A fieldset isn't labelled.
        return ""

    def render(
        self, name: str, value: Any, attrs: Any = None, renderer: Any = None
    ) -> Any:
        """Return a fieldset, with errors where they belong."""
        options: dict[str, Any] = {"prefix": name, "use_required_attribute": False}
        if isinstance(value, Submitted):
            form = self.form_class(
                value.data, value.files, empty_permitted=True, **options
            )
        else:
            form = self.form_class(instance=value, **options)
        return format_html(
            '<fieldset class="backendkit-embedded" style="border: 1px solid; '
            'padding: 8px">{}</fieldset>',
            form.as_div(),
        )

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        if self.value_omitted_from_data(data, files, name):
            return None
        return Submitted(data, files, name)

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return not any(key.startswith(f"{name}-") for key in (*data, *(files or ())))


def _copied(instance: Any) -> Any:
    """Return an instance with the same values: the form's changes are for it alone."""
    copied = type(instance)(
        **{
            field.attname: getattr(instance, field.attname)
            for field in instance._meta.concrete_fields
        }
    )
    copied._state.adding = instance._state.adding
    return copied


class EmbeddedFormField(forms.Field):
    """
    A form field for an embedded model; empty, it is None.

    :param model: the model.
    :param form: a ModelForm for it; one with all editable fields if not given.
    """

    def __init__(self, *, model: Any, form: Any = None, **kwargs: Any) -> None:
        self.form_class = form or forms.modelform_factory(
            model, form=_EmbeddedForm, fields="__all__"
        )
        self._instance: Any = None
        if not isinstance(kwargs.get("widget"), EmbeddedWidget):
            kwargs["widget"] = EmbeddedWidget(self.form_class)
        super().__init__(**kwargs)

    def get_bound_field(self, form: Any, field_name: str) -> Any:
        """Keep the instance: what its form doesn't show stays as it is."""
        bound = super().get_bound_field(form, field_name)
        if isinstance(bound.initial, models.Model):
            self._instance = bound.initial
        return bound

    def _form(self, value: Submitted) -> Any:
        return self.form_class(
            value.data,
            value.files,
            prefix=value.prefix,
            instance=None if self._instance is None else _copied(self._instance),
        )

    def is_empty(self, value: Any) -> bool:
        """Return whether a form was sent as an empty one is."""
        if not isinstance(value, Submitted):
            return value is None
        form = self.form_class(value.data, value.files, prefix=value.prefix)
        return not form.has_changed()

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def clean(self, value: Any) -> Any:
        """
        Return an instance, or None.

        :raises ValidationError: with the label of each field that isn't valid.
        """
        if isinstance(value, models.Model):
            return value
        if value is None or (self.is_empty(value) and not self.required):
            if self.required:
                raise ValidationError(self.error_messages["required"], code="required")
            return None
        form = self._form(value)
        if form.is_valid():
            return form.instance
        raise ValidationError(
            [
                message if name == "__all__" else f"{form[name].label}: {message}"
                for name, messages in form.errors.items()
                for message in messages
            ]
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        if not isinstance(data, Submitted):
            return bool(initial != data)
        if initial is None:
            return not self.is_empty(data)
        form = self.form_class(
            data.data, data.files, prefix=data.prefix, instance=initial
        )
        return bool(form.has_changed())


class StructureFormField(forms.JSONField):
    """
    JSON that a model field checks: dictionaries, and one of several embedded models.

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
            _("Enter a JSON object: %(value)s is none."),
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
