"""Form fields and widgets for embedded models: forms within a form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _


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


def _fieldset(form_class: Any, prefix: str, value: Any, **bound: Any) -> Any:
    """Return a form in HTML; one that was sent has its errors where they belong."""
    options: dict[str, Any] = {"prefix": prefix, "use_required_attribute": False}
    if isinstance(value, Submitted):
        form = form_class(value.data, value.files, **bound, **options)
    else:
        form = form_class(instance=value, **options)
    return format_html(
        '<fieldset class="backendkit-embedded" style="border: 1px solid; '
        'padding: 8px">{}</fieldset>',
        form.as_div(),
    )


class EmbeddedWidget(forms.Widget):
    """
    A form within a form, in a ``fieldset``.

    :param form_class: a ModelForm.
    """

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
        return _fieldset(self.form_class, name, value, empty_permitted=True)

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

    def _form(self, value: Submitted, instance: Any) -> Any:
        """Return the form that was sent, for changes of a copy of an instance."""
        return self.form_class(
            value.data,
            value.files,
            prefix=value.prefix,
            instance=None if instance is None else _copied(instance),
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
        return self.clean_over(self._instance, value)

    def clean_over(self, instance: Any, value: Any) -> Any:
        """
        Return an instance, or None.

        :param instance: the one before; what the form doesn't show stays as it is there.
        :raises ValidationError: with the label of each field that isn't valid.
        """
        if isinstance(value, models.Model):
            return value
        if value is None or (self.is_empty(value) and not self.required):
            if self.required:
                raise ValidationError(self.error_messages["required"], code="required")
            return None
        form = self._form(value, instance)
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


class _ChoiceStyle:
    """Hides the forms of the models that aren't chosen, where a page has the media."""

    def __html__(self) -> SafeString:
        return SafeString(
            "<style>"
            ".backendkit-choice { border-left: 4px solid #8888; padding-left: 8px;"
            " margin-bottom: 12px; } "
            ".backendkit-choice > div > label { display: inline; float: none; } "
            ".backendkit-choice > div > fieldset { margin: 4px 0 4px 20px; } "
            ".backendkit-choice > div > input:not(:checked) ~ fieldset "
            "{ display: none; }"
            "</style>"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ChoiceStyle)

    def __hash__(self) -> int:
        return hash(_ChoiceStyle)


class ChoiceWidget(forms.Widget):
    """
    A radio button for each of several models, with the model's form, and one for none.

    :param form_classes: a ModelForm for each model, by the model's tag.
    """

    def __init__(self, form_classes: dict[str, Any], attrs: Any = None) -> None:
        self.form_classes = form_classes
        super().__init__(attrs)

    @property
    def media(self) -> Any:
        media = forms.Media(css={"all": [_ChoiceStyle()]})
        for form_class in self.form_classes.values():
            media += form_class().media
        return media

    @property
    def needs_multipart_form(self) -> Any:
        return any(
            form_class().is_multipart() for form_class in self.form_classes.values()
        )

    def id_for_label(self, id_: str) -> str:
        return ""

    def render(
        self, name: str, value: Any, attrs: Any = None, renderer: Any = None
    ) -> Any:
        """Return the buttons and the forms; that of the chosen model has the value."""
        chosen = self.tag_of(value)
        id_ = (attrs or {}).get("id") or f"id_{name}"
        label = (attrs or {}).get("aria-label")
        rows = [self._row(name, id_, "", _("None"), chosen, "")]
        for tag, form_class in self.form_classes.items():
            fieldset = _fieldset(
                form_class,
                f"{name}-{tag}",
                _part(value, tag) if tag == chosen else None,
            )
            text = capfirst(form_class._meta.model._meta.verbose_name)
            rows.append(self._row(name, id_, tag, text, chosen, fieldset))
        return format_html(
            '<div class="backendkit-choice" role="radiogroup"{}>{}</div>',
            format_html(' aria-label="{}"', label) if label else "",
            format_html_join("", "{}", ((row,) for row in rows)),
        )

    def _row(
        self, name: str, id_: str, tag: str, text: Any, chosen: str, fieldset: Any
    ) -> Any:
        return format_html(
            '<div><input type="radio" name="{}" value="{}" id="{}-{}"{}> '
            '<label for="{}-{}">{}</label>{}</div>',
            _choice_name(name),
            tag,
            id_,
            tag,
            SafeString(" checked" if tag == chosen else ""),
            id_,
            tag,
            text,
            fieldset,
        )

    def tag_of(self, value: Any) -> str:
        """Return the tag of an instance's model, or the one that was sent; "" is none."""
        if isinstance(value, Submitted):
            return str(value.data.get(_choice_name(value.prefix), ""))
        for tag, form_class in self.form_classes.items():
            if (
                isinstance(value, models.Model)
                and form_class._meta.model._meta.concrete_model
                is value._meta.concrete_model
            ):
                return tag
        return ""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        if self.value_omitted_from_data(data, files, name):
            return None
        return Submitted(data, files, name)

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return _choice_name(name) not in data


def _choice_name(name: str) -> str:
    # No embedded field has a name that begins with a hyphen.
    return f"{name}--model"


def _part(value: Any, tag: str) -> Any:
    if isinstance(value, Submitted):
        return Submitted(value.data, value.files, f"{value.prefix}-{tag}")
    return value


class ChoiceFormField(EmbeddedFormField):
    """
    A form field for one of several embedded models; without a choice it is None.

    :param models_by_tag: the models by what stands for them in the form's data.
    """

    def __init__(self, *, models_by_tag: dict[str, Any], **kwargs: Any) -> None:
        self._fields = {
            tag: EmbeddedFormField(model=model) for tag, model in models_by_tag.items()
        }
        self._choice = ChoiceWidget(
            {tag: field.form_class for tag, field in self._fields.items()}
        )
        self._instance = None
        kwargs["widget"] = self._choice
        forms.Field.__init__(self, **kwargs)

    def is_empty(self, value: Any) -> bool:
        """Return whether no model is chosen."""
        return not self._choice.tag_of(value)

    def clean_over(self, instance: Any, value: Any) -> Any:
        """
        Return an instance of the model that is chosen, or None.

        :param instance: the one before; if it is of the same model, what the form
            doesn't show stays as it is there.
        :raises ValidationError: no model that is allowed is chosen, or with the label of
            each field that isn't valid.
        """
        if isinstance(value, models.Model):
            return value
        if self.is_empty(value):
            if self.required:
                raise ValidationError(self.error_messages["required"], code="required")
            return None
        tag = self._choice.tag_of(value)
        if tag not in self._fields:
            raise ValidationError(
                _("“%(tag)s” isn't a model that is allowed here."),
                code="unknown_model",
                params={"tag": tag},
            )
        if self._choice.tag_of(instance) != tag:
            instance = None
        return self._fields[tag].clean_over(instance, _part(value, tag))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether another model is chosen, or its form has changed."""
        tag = self._choice.tag_of(data)
        if not isinstance(data, Submitted):
            return bool(initial != data)
        if tag != self._choice.tag_of(initial):
            return True
        return tag in self._fields and self._fields[tag].has_changed(
            initial, _part(data, tag)
        )
