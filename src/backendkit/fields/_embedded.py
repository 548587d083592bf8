"""Fields that hold instances of models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core import checks
from django.core.exceptions import (
    FieldDoesNotExist,
    ImproperlyConfigured,
    ValidationError,
)
from django.db import NotSupportedError, models

from . import forms
from ._collections import ListField, StructuredField
from ._paths import is_container, step
from ._values import decode, encode, resolve

#: The key of the model's label, where a field allows for several models.
TAG = "_model"


class EmbeddedModel(models.Model):
    """
    A base for models that are embedded and have no table.

    Any other model can be embedded, too. A ``Meta`` of a subclass inherits from
    ``EmbeddedModel.Meta``, or sets ``managed = False`` itself.
    """

    class Meta:
        abstract = True
        managed = False

    def __eq__(self, other: object) -> bool:
        """Compare all fields: a row's key is nothing that it has."""
        if type(self) is not type(other):
            return NotImplemented
        return all(
            getattr(self, field.attname) == getattr(other, field.attname)
            for field in self._meta.concrete_fields
        )

    def __hash__(self) -> int:
        """
        Refuse, as lists do: it can be changed.

        :raises TypeError: always.
        """
        raise TypeError(
            f"{type(self).__name__} instances are mutable, so they are unhashable."
        )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """
        Refuse: the model that it is embedded in is what can be saved.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            f"{type(self).__name__} has no table. Save the instance that embeds it."
        )

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        """
        Refuse: remove it from the model that it is embedded in.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            f"{type(self).__name__} has no table. Remove it from the instance that"
            " embeds it."
        )

    @property
    def prepare_database_save(self) -> Any:
        """
        No method here: to Django, what has it is the value of a foreign key.

        :raises AttributeError: always.
        """
        raise AttributeError("prepare_database_save")


class EmbeddedModelField(StructuredField):
    """
    An instance of a model, stored as a JSON object with a key for each column.

    :param embedded_model: a model or its label, ``"shop.Address"``. Several, in a list:
        each object is stored with the label of its model, under ``"_model"``. In a
        dictionary: with the key that it has there, which no renaming of a model changes.
    :raises TypeError: ``embedded_model`` is none of these.
    """

    description = "An embedded model"
    _default_hint = ("None", "None")

    def __init__(self, embedded_model: Any = None, *args: Any, **kwargs: Any) -> None:
        self.embedded_model = _labels(embedded_model)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        """Name the models by their labels: a migration doesn't need them."""
        name, path, args, kwargs = super().deconstruct()
        kwargs["embedded_model"] = _labels(self.embedded_model)
        return name, path, args, kwargs

    @property
    def is_polymorphic(self) -> bool:
        """Whether several models are allowed for."""
        return not isinstance(self.embedded_model, str)

    def models_by_tag(self) -> dict[str | None, Any]:
        """
        Return the allowed models by what stands for them in the JSON.

        :raises LookupError: there is no such model.
        """
        if isinstance(self.embedded_model, str):
            return {None: resolve(self, self.embedded_model)}
        if isinstance(self.embedded_model, dict):
            pairs: Iterable[tuple[str, str]] = self.embedded_model.items()
        else:
            pairs = (
                (
                    label.lower()
                    if "." in label
                    else f"{self.model._meta.app_label}.{label.lower()}",
                    label,
                )
                for label in self.embedded_model
            )
        return {tag: resolve(self, label) for tag, label in pairs}

    def _tag_of(self, value: models.Model) -> str | None:
        for tag, model in self.models_by_tag().items():
            # A proxy or a deferred class is no other model, a historical one isn't
            # the same class.
            if value._meta.concrete_model is model._meta.concrete_model:
                return tag
        allowed = ", ".join(map(str, self._allowed()))
        raise TypeError(
            f"{self}: {value._meta.label} isn't allowed here. Use {allowed}."
        )

    def _allowed(self) -> list[str]:
        return [model._meta.label for model in self.models_by_tag().values()]

    def _model_of(self, value: Mapping[str, Any]) -> Any:
        models_by_tag = self.models_by_tag()
        tag = value.get(TAG) if self.is_polymorphic else None
        try:
            return models_by_tag[tag]
        except (KeyError, TypeError) as error:
            raise ValidationError(
                f"“{tag}” isn't a model that is allowed here. The models are:"
                f" {', '.join(map(str, models_by_tag))}.",
                code="unknown_model",
            ) from error

    def to_json(self, value: Any) -> Any:
        """
        Return a JSON object; the primary key is left out while it isn't set.

        :param value: an instance, or its JSON.
        :raises TypeError: an instance of another model.
        :raises ValidationError: nothing that an instance can be made of, or one of its
            values isn't valid.
        """
        if not isinstance(value, models.Model):
            value = self.from_json(value)
        tag = self._tag_of(value)
        result: dict[str, Any] = {} if tag is None else {TAG: tag}
        errors: list[ValidationError] = []
        for field in _stored(value):
            inner = getattr(value, field.attname)
            if field.primary_key and inner is None:
                continue
            try:
                result[field.column] = encode(field, inner)
            except ValidationError as error:
                errors += _within(field.name, error)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{field.name}: {error}") from error
        if errors:
            raise ValidationError(errors)
        return result

    def from_json(self, value: Any, connection: Any = None) -> Any:
        """
        Return an instance.

        :param value: an instance, or a JSON object: one of its keys may be missing, for
            the field's default, and others are passed over.
        :raises ValidationError: neither, or a value isn't valid.
        """
        if isinstance(value, models.Model):
            return value
        if not isinstance(value, Mapping):
            raise ValidationError(f"“{value}” isn't an embedded model.", code="invalid")
        model = self._model_of(value)
        values: dict[str, Any] = {}
        errors: list[ValidationError] = []
        for field in model._meta.concrete_fields:
            if field.column not in value:
                continue
            try:
                values[field.attname] = decode(field, value[field.column], connection)
            except ValidationError as error:
                errors += _within(field.name, error)
        if errors:
            raise ValidationError(errors)
        instance = model(**values)
        if connection is not None:
            instance._state.adding = False
            instance._state.db = connection.alias
        return instance

    def validate(self, value: Any, model_instance: Any) -> None:
        """
        Validate the instance: its fields, and its ``clean()``.

        :raises ValidationError: with the name of each field that isn't valid.
        """
        models.Field.validate(self, value, model_instance)
        if value is None:
            return
        if not isinstance(value, models.Model):
            raise ValidationError(f"“{value}” isn't an embedded model.", code="invalid")
        try:
            self._tag_of(value)
        except TypeError as error:
            raise ValidationError(str(error), code="unknown_model") from error
        try:
            value.full_clean(validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            raise ValidationError(list(_named(error))) from error
        try:
            self.to_json(value)
        except ValueError as error:
            raise ValidationError(str(error), code="invalid") from error

    def prepare(self, value: Any, model_instance: Any, add: bool) -> Any:
        """Let the fields of the instance change their values."""
        if not isinstance(value, models.Model):
            return value
        # It counts as written once its owner was: a write that failed can be tried
        # again.
        owner = value.__dict__.get("_backendkit_owner")
        if owner is not None and not owner.adding:
            value._state.adding = False
        value.__dict__["_backendkit_owner"] = model_instance._state
        for field in _stored(value):
            inner = field.pre_save(value, value._state.adding)
            if not isinstance(field, StructuredField):
                setattr(value, field.attname, inner)
        return value

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        """Return what an UPDATE takes: of a model that may have a table, its JSON."""
        value = super().pre_save(model_instance, add)
        if hasattr(value, "prepare_database_save"):
            return self.to_json(value)
        return value

    def get_lookup(self, lookup_name: str) -> Any:
        """Return a lookup, unless the name is that of an embedded field."""
        try:
            found = self._embedded_field(lookup_name)
        except LookupError:  # In a migration, of a model that is gone.
            found = None
        return None if found is not None else super().get_lookup(lookup_name)

    def get_transform(self, name: str) -> Any:
        """Return the transform for an embedded field: ``address__city``."""
        field = self._embedded_field(name)
        if field is None:
            return models.Field.get_transform(self, name)
        return step(field.column, field)

    def _embedded_field(self, name: str) -> Any:
        for model in self.models_by_tag().values():
            if name == "pk":
                return model._meta.pk
            try:
                found = model._meta.get_field(name)
            except FieldDoesNotExist:
                found = next(
                    (f for f in model._meta.concrete_fields if f.attname == name), None
                )
            if found is not None and getattr(found, "column", None):
                return found
        return None

    def check(self, **kwargs: Any) -> list[Any]:
        """Check that the models are there, and that none is embedded in itself."""
        errors = super().check(**kwargs)
        try:
            found = self.models_by_tag().values()
        except (LookupError, ValueError) as error:
            return [
                *errors,
                checks.Error(
                    f"embedded_model refers to a model that doesn't exist: {error}",
                    obj=self,
                    id="backendkit.fields.E010",
                ),
            ]
        if cycle := self._cycle():
            errors.append(
                checks.Error(
                    cycle,
                    hint="Use a foreign key, or a RawField.",
                    obj=self,
                    id="backendkit.fields.E011",
                )
            )
        for model in found:
            if model._meta.many_to_many:
                errors.append(
                    checks.Error(
                        f"{model._meta.label} has a ManyToManyField, so it can't be"
                        " embedded.",
                        obj=self,
                        id="backendkit.fields.E012",
                    )
                )
        return errors

    def _cycle(self) -> str:
        """Return which models are embedded in themselves, or nothing."""
        for model in (self.model, *self.models_by_tag().values()):
            if cycle := _cycle(model, [model]):
                path = " → ".join(each._meta.label for each in cycle)
                return f"A model can't be embedded in itself: {path}."
        return ""

    def formfield(self, **kwargs: Any) -> Any:
        """
        Return a form field with a form for each model, and a choice of several.

        :raises ImproperlyConfigured: a model is embedded in itself: its form has no end.
        """
        if cycle := self._cycle():
            # A module with a form may be imported before the system checks say so.
            raise ImproperlyConfigured(cycle)
        found = self.models_by_tag()
        if self.is_polymorphic:
            how = {"form_class": forms.ChoiceFormField, "models_by_tag": found}
        else:
            how = {"form_class": forms.EmbeddedFormField, "model": found[None]}
        return models.Field.formfield(self, **{**how, **kwargs})


class EmbeddedModelListField(ListField):
    """
    A list of instances of a model, or of several.

    :param embedded_model: as for :class:`EmbeddedModelField`.
    """

    description = "A list of embedded models"

    def __init__(self, embedded_model: Any = None, *args: Any, **kwargs: Any) -> None:
        item = kwargs.pop("item_field", None) or EmbeddedModelField(embedded_model)
        super().__init__(item, *args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        """Name the models by their labels."""
        name, path, args, kwargs = super().deconstruct()
        kwargs["embedded_model"] = kwargs.pop("item_field").embedded_model
        return name, path, args, kwargs


def _labels(given: Any) -> Any:  # a label, or several as they were given
    if isinstance(given, str):
        return given
    if isinstance(given, models.base.ModelBase):
        if given._meta.abstract:
            raise TypeError(
                f"{given.__name__} is abstract, so it has no instances to embed."
            )
        return given._meta.label
    if isinstance(given, dict) and given:
        return {str(tag): _labels(each) for tag, each in given.items()}
    if isinstance(given, list | tuple) and given:
        return [_labels(each) for each in given]
    raise TypeError(
        "embedded_model must be a model, its label, or a list or dictionary of them,"
        f" not {given!r}."
    )


def _stored(instance: models.Model) -> list[Any]:
    deferred = instance.get_deferred_fields()
    return [f for f in instance._meta.concrete_fields if f.attname not in deferred]


def _within(name: str, error: ValidationError) -> list[ValidationError]:
    return [
        ValidationError(f"{name}: {message}", code="invalid")
        for message in error.messages
    ]


def _named(error: ValidationError) -> Iterator[ValidationError]:
    for name, errors in error.error_dict.items():
        for message in ValidationError(errors).messages:
            text = message if name == "__all__" else f"{name}: {message}"
            yield ValidationError(text, code="invalid")


def _cycle(model: Any, path: list[Any]) -> list[Any] | None:
    """Return a path of embedded models that ends where it begins, if there is one."""
    for field in model._meta.concrete_fields:
        inner = field
        while is_container(inner) and hasattr(inner, "item_field"):
            inner = inner.item_field
        if not isinstance(inner, EmbeddedModelField):
            continue
        try:
            found = inner.models_by_tag().values()
        except (LookupError, ValueError):
            continue
        for each in found:
            if each in path:
                return [*path[path.index(each) :], each]
            if longer := _cycle(each, [*path, each]):
                return longer
    return None
