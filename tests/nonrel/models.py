"""Models of a registry of their own: no app, no project."""

import functools

from django.apps.registry import Apps
from django.db import models


class Registry(Apps):
    """Where these models are registered, and nothing else."""

    def __init__(self):
        super().__init__(())

    @functools.cache  # noqa: B019  # as in Django, which calls cache_clear()
    def get_models(self, include_auto_created=False, include_swapped=False):
        """Return all models: they belong to no app."""
        return [
            model
            for models in self.all_models.values()
            for model in models.values()
            if include_auto_created or not model._meta.auto_created
        ]


registry = Registry()


class Item(models.Model):
    """A little of all."""

    code = models.CharField(max_length=40, unique=True)
    number = models.IntegerField(default=0)
    note = models.TextField(null=True)

    class Meta:
        app_label = "nonrel"
        apps = registry


class Author(models.Model):
    name = models.CharField(max_length=40)

    class Meta:
        app_label = "nonrel"
        apps = registry


class Book(models.Model):
    title = models.CharField(max_length=40)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editor = models.ForeignKey(
        Author, models.SET_NULL, null=True, related_name="edited"
    )

    class Meta:
        app_label = "nonrel"
        apps = registry


def model(name="Thing", /, *, bases=(models.Model,), meta=None, **fields):
    """Return a new model in a registry of its own."""
    options = {"app_label": "nonrel", "apps": Registry(), **(meta or {})}
    # A field belongs to one model.
    fields = {name: field.clone() for name, field in fields.items()}
    fields["__module__"] = __name__
    fields["Meta"] = type("Meta", (), options)
    return type(name, bases, fields)
