"""Fields that hold lists, sets, dictionaries and any JSON."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.core import checks
from django.core.exceptions import ValidationError
from django.db import DataError, models
from django.db.models.fields.json import KeyTransform

from . import _lookups, forms
from ._indexes import check_indexes
from ._paths import Path, is_container, step
from ._values import decode, encode, in_order, plain, public


def at(where: Any, error: ValidationError) -> list[ValidationError]:
    """Return an error's messages, each with the index or key where it is."""
    return [
        ValidationError(f"Item {where}: {message}", code="item_invalid")
        for message in error.messages
    ]


class StructuredField(models.JSONField):
    """What the fields of this package that hold JSON have in common."""

    # A change of these changes no column.
    non_db_attrs: ClassVar[tuple[str, ...]] = (
        *models.JSONField.non_db_attrs,
        "item_field",
        "ordering",
        "embedded_model",
    )

    empty_values = [*models.JSONField.empty_values, set()]

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        """Name this package, and none of its modules."""
        name, path, args, kwargs = super().deconstruct()
        return name, public(path), args, kwargs

    def to_json(self, value: Any) -> Any:
        """Return a value as JSON has it."""
        raise NotImplementedError

    def from_json(self, value: Any, connection: Any = None) -> Any:
        """Return the value that JSON stands for."""
        raise NotImplementedError

    def contribute_to_class(self, cls: Any, name: str, **kwargs: Any) -> None:
        """Keep where the first of the classes is that the field is copied to."""
        self._home = self.__dict__.get("_home", cls._meta.apps)
        super().contribute_to_class(cls, name, **kwargs)

    def prepare(self, value: Any, model_instance: Any, add: bool) -> Any:
        """Return what to save, as ``pre_save()`` of the fields within wants it."""
        raise NotImplementedError

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        """Let the fields within change their values, as ``auto_now`` does."""
        value = super().pre_save(model_instance, add)
        if value is None or isinstance(value, str) or hasattr(value, "as_sql"):
            return value
        value = self.prepare(value, model_instance, add)
        setattr(model_instance, self.attname, value)
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Return a value as JSON; an expression stays what it is."""
        if value is None or hasattr(value, "as_sql"):
            return value
        return self.to_json(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the value that a column, or a path that ends here, holds."""
        value = super().from_db_value(value, expression, connection)
        if value is None or (
            isinstance(expression, KeyTransform) and not isinstance(expression, Path)
        ):
            return value
        try:
            return self.from_json(value, connection)
        except ValidationError as error:
            raise DataError(f"{self}: {'; '.join(error.messages)}") from error

    def to_python(self, value: Any) -> Any:
        """Return the value, of what is one or of its JSON; text stays what it is."""
        # Django's XML deserializer reads the JSON of the text itself.
        if value is None or isinstance(value, str):
            return value
        return self.from_json(value)

    def value_to_string(self, obj: Any) -> Any:
        """Return JSON, as a JSONField does."""
        return self.get_prep_value(self.value_from_object(obj))


class RawField(models.JSONField):
    """Any JSON value. Other values that have a form in JSON are stored in that form."""

    description = "Any JSON value"

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        """Name this package, and none of its modules."""
        name, path, args, kwargs = super().deconstruct()
        return name, public(path), args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        """
        Return a value as JSON has it.

        :raises ValueError: it has no form in JSON.
        """
        if value is None or hasattr(value, "as_sql"):
            return value
        return plain(value)

    def validate(self, value: Any, model_instance: Any) -> None:
        """Raise a ValidationError for what has no form in JSON."""
        models.Field.validate(self, value, model_instance)
        try:
            plain(value)
        except ValueError as error:
            raise ValidationError(str(error), code="invalid") from error

    def value_to_string(self, obj: Any) -> Any:
        """Return JSON, as a JSONField does."""
        return self.get_prep_value(self.value_from_object(obj))


class _Item:
    """Stands for the model instance that an item field's ``pre_save()`` asks for."""

    def __init__(self, owner: Any) -> None:
        self._state = owner._state


class IterableField(StructuredField):
    """
    The base of fields that hold items of one field.

    :param item_field: a field, or its class; :class:`RawField` if not given.
    """

    container: ClassVar[type]
    keyed = False

    @property
    def has_items(self) -> bool:
        """Whether an item index can be on it: by key, it has values instead."""
        return not self.keyed

    def __init__(self, item_field: Any = None, *args: Any, **kwargs: Any) -> None:
        if isinstance(item_field, type) and issubclass(item_field, models.Field):
            item_field = item_field()
        elif item_field is None:
            item_field = RawField()
        if not isinstance(item_field, models.Field):
            raise TypeError(
                "item_field must be a model field or a field class, not"
                f" {item_field!r}."
            )
        self.item_field = item_field
        super().__init__(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # Each class that inherits the field has an item field of its own.
        copied = super().__deepcopy__(memo)
        copied.item_field = copy.deepcopy(self.item_field, memo)
        return copied

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        """Name the item field."""
        name, path, args, kwargs = super().deconstruct()
        if not isinstance(self.item_field, RawField) or self.item_field.null:
            kwargs["item_field"] = self.item_field.clone()
        return name, path, args, kwargs

    def contribute_to_class(self, cls: Any, name: str, **kwargs: Any) -> None:
        """Let the item field know which model it is in."""
        super().contribute_to_class(cls, name, **kwargs)
        self._own_items()

    def _own_items(self) -> None:
        self.item_field.model = self.model
        self.item_field.__dict__.setdefault("_home", self._home)
        self.item_field.set_attributes_from_name(self.name)
        if isinstance(self.item_field, IterableField):
            self.item_field._own_items()

    def check(self, **kwargs: Any) -> list[Any]:
        """Check the item field, too."""
        errors = super().check(**kwargs)
        if self.item_field.many_to_many or self.item_field.one_to_many:
            errors.append(
                checks.Error(
                    "Items can't be many-to-many relations.",
                    obj=self,
                    id="backendkit.fields.E001",
                )
            )
            return errors
        if self.item_field.remote_field is None and (
            self.item_field.unique or self.item_field.db_index
        ):
            errors.append(
                checks.Warning(
                    "unique and db_index have no effect on an item field.",
                    hint="Declare an ItemIndex or an ItemUniqueConstraint in the model's"
                    " Meta.",
                    obj=self,
                    id="backendkit.fields.W001",
                )
            )
        if self.item_field.remote_field is None:
            errors.extend(
                checks.Error(
                    f"Item field: {error.msg} ({error.id})",
                    hint=error.hint,
                    obj=self,
                    id="backendkit.fields.E002",
                )
                for error in self.item_field.check()
                if error.level >= checks.ERROR
            )
        errors.extend(check_indexes(self, kwargs.get("databases")))
        return errors

    def _check_default(self) -> list[Any]:
        # get_default() makes a copy each time: nothing is shared.
        return []

    @property
    def has_plain_items(self) -> bool:
        """Whether no item is an array or an object."""
        return not is_container(self.item_field) and not isinstance(
            self.item_field, models.JSONField
        )

    def has_default(self) -> bool:
        """Return whether there is one: without null, an empty container is."""
        return super().has_default() or not (self.null or self.has_db_default())

    def get_default(self) -> Any:
        """Return a container that nobody else has."""
        if super().has_default():
            return copy.deepcopy(super().get_default())
        return self.container() if self.has_default() else super().get_default()

    def _items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        return enumerate(value)

    def _made(self, values: list[tuple[Any, Any]]) -> Any:
        return [each for _, each in values]

    def _mapped(self, value: Any, convert: Callable[[Any], Any]) -> list[Any]:
        self._require(value)
        errors: list[ValidationError] = []
        result = []
        for where, item in self._items(value):
            try:
                result.append((where, convert(item)))
            except ValidationError as error:
                errors += at(where, error)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{self.name}, item {where}: {error}") from error
        if errors:
            raise ValidationError(errors)
        return result

    def _require(self, value: Any) -> None:
        if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
            raise ValidationError(
                f"{value!r} isn't a {self.container.__name__}.",
                code="invalid",
            )

    def to_json(self, value: Any) -> Any:
        """
        Return a JSON array, or an object.

        :raises ValidationError: no container, or an item isn't valid.
        """
        return self._made(self._mapped(value, lambda v: encode(self.item_field, v)))

    def from_json(self, value: Any, connection: Any = None) -> Any:
        """
        Return a container with the values of its items.

        :raises ValidationError: no container, or an item isn't valid.
        """
        values = self._mapped(value, lambda v: decode(self.item_field, v, connection))
        return self.container(self._made(values))

    def validate(self, value: Any, model_instance: Any) -> None:
        """
        Validate each item.

        :raises ValidationError: with the index or the key of each that isn't valid.
        """
        models.Field.validate(self, value, model_instance)
        if value is not None:
            self._mapped(value, lambda item: self._clean_item(item, model_instance))

    def _clean_item(self, item: Any, model_instance: Any) -> Any:
        try:
            encode(self.item_field, item)
        except (TypeError, ValueError) as error:
            raise ValidationError(str(error), code="invalid") from error
        if self.item_field.remote_field is not None:
            item = decode(self.item_field, item)
        return self.item_field.clean(item, model_instance)

    def prepare(self, value: Any, model_instance: Any, add: bool) -> Any:
        """Return a new container; the given one stays as it is."""
        if self.item_field.remote_field is not None:
            return value
        return self.container(
            self._made(
                self._mapped(
                    value, lambda item: self._pre_save(item, model_instance, add)
                )
            )
        )

    def _pre_save(self, item: Any, model_instance: Any, add: bool) -> Any:
        if isinstance(self.item_field, models.FileField) and not hasattr(
            item, "_committed"
        ):
            return item  # the name of a file that is stored
        if isinstance(self.item_field, StructuredField):
            if item is None:
                return None
            return self.item_field.prepare(item, model_instance, add)
        holder = _Item(model_instance)
        setattr(holder, self.item_field.attname, item)
        return self.item_field.pre_save(holder, add)

    def get_lookup(self, lookup_name: str) -> Any:
        """Return a lookup; those on text aren't for collections."""
        if lookup_name == "icontains":
            return None
        return super().get_lookup(lookup_name)

    def _json_formfield(self, **kwargs: Any) -> Any:
        return models.Field.formfield(
            self,
            **{
                "form_class": forms.StructureFormField,
                "field": self,
                "initial": self.get_default,
                "show_hidden_initial": False,
                **kwargs,
            },
        )

    def formfield(self, **kwargs: Any) -> Any:
        """Return a form field with a row for each item."""
        item = self.item_field.formfield(required=not self.item_field.blank)
        if item is None:
            return self._json_formfield(**kwargs)
        return models.Field.formfield(
            self,
            **{
                "form_class": forms.ListFormField,
                # A container of its own for each form, and none hidden in its page.
                "initial": self.get_default,
                "show_hidden_initial": False,
                "item_field": item,
                "container": self.container,
                **kwargs,
            },
        )


class ListField(IterableField):
    """
    A list.

    :param ordering: a sort key: what is saved is sorted by it. A function that a
        migration can import.
    """

    description = "A list"
    container = list

    def __init__(
        self,
        item_field: Any = None,
        *args: Any,
        ordering: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if ordering is not None and not callable(ordering):
            raise TypeError(f"ordering must be a function, not {ordering!r}.")
        self.ordering = ordering
        super().__init__(item_field, *args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, dict[str, Any]]:
        """Name the order, too."""
        name, path, args, kwargs = super().deconstruct()
        if self.ordering is not None:
            kwargs["ordering"] = self.ordering
        return name, path, args, kwargs

    def to_json(self, value: Any) -> Any:
        """Return a JSON array, in the field's order."""
        if self.ordering is not None:
            self._require(value)
            value = sorted(value, key=self.ordering)
        return super().to_json(value)

    def prepare(self, value: Any, model_instance: Any, add: bool) -> Any:
        """Sort what is saved, in a list of its own."""
        value = super().prepare(value, model_instance, add)
        if self.ordering is not None:
            value = sorted(value, key=self.ordering)
        return value

    def get_transform(self, lookup_name: str) -> Any:
        """Return the transform for an index: ``tags__0``."""
        if lookup_name.isdecimal():
            return step(int(lookup_name), self.item_field)
        return models.Field.get_transform(self, lookup_name)


class SetField(IterableField):
    """A set. It is stored as an array, in an order that equal sets share."""

    description = "A set"
    container = set

    def check(self, **kwargs: Any) -> list[Any]:
        """Check that items can be in a set, too."""
        errors = super().check(**kwargs)
        if isinstance(self.item_field, StructuredField):
            errors.append(
                checks.Error(
                    "The items of a set can't be mutable. Use a ListField.",
                    obj=self,
                    id="backendkit.fields.E003",
                )
            )
        return errors

    def to_json(self, value: Any) -> Any:
        """Return a JSON array without duplicates."""
        made = super().to_json(value)
        unique = {repr(each): each for each in made}
        return in_order(unique.values())

    def get_transform(self, lookup_name: str) -> Any:
        """Return ``len`` alone: a set has no first item."""
        return models.Field.get_transform(self, lookup_name)


class DictField(IterableField):
    """A dictionary. Its keys are text, its values those of the item field."""

    description = "A dictionary"
    container = dict
    keyed = True

    def _items(self, value: Any) -> Iterable[tuple[Any, Any]]:
        return value.items()

    def _made(self, values: list[tuple[Any, Any]]) -> Any:
        return dict(values)

    def _require(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValidationError(f"“{value}” value must be a dict.", code="invalid")
        for key in value:
            if not isinstance(key, str):
                raise ValidationError(
                    f"The key {key!r} must be a string, as in JSON.", code="invalid"
                )

    def to_json(self, value: Any) -> Any:
        """Return a JSON object, with its keys in an order that equal ones share."""
        return dict(sorted(super().to_json(value).items()))

    def get_transform(self, lookup_name: str) -> Any:
        """Return the transform for a key: ``prices__eur``."""
        return models.Field.get_transform(self, lookup_name) or step(
            lookup_name, self.item_field
        )

    def formfield(self, **kwargs: Any) -> Any:
        """Return a form field for JSON."""
        return self._json_formfield(**kwargs)


for _lookup in (_lookups.Contains, _lookups.ContainedBy, _lookups.Overlap):
    IterableField.register_lookup(_lookup)
for _field in (ListField, SetField):
    _field.register_lookup(_lookups.Length)
