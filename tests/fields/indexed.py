"""Models with indexes on the items of their fields."""

from django.db import models

from backendkit.fields import (
    EmbeddedModelListField,
    ItemIndex,
    ItemUniqueConstraint,
    ListField,
    SetField,
)

from .models import Place, registry


class Shelf(models.Model):
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "indexed"
        apps = registry


class Note(models.Model):
    title = models.CharField(max_length=20, default="", db_index=True)
    shelf = models.ForeignKey(Shelf, models.CASCADE, null=True)
    tags = ListField(models.CharField(max_length=1000), null=True)
    marks = SetField(models.IntegerField())
    anything = ListField()
    places = EmbeddedModelListField(Place)

    class Meta:
        app_label = "indexed"
        apps = registry
        indexes = [
            ItemIndex(fields=["tags"], name="note_tags"),
            ItemIndex(fields=["marks"], name="note_marks"),
            ItemIndex(fields=["anything"], name="note_anything"),
            ItemIndex(fields=["places"], name="note_places"),
        ]


class Key(models.Model):
    """No two have a code in common."""

    code = models.CharField(max_length=10, primary_key=True)
    codes = ListField(
        models.CharField(max_length=10, null=True, blank=True), null=True, blank=True
    )

    class Meta:
        app_label = "indexed"
        apps = registry
        constraints = [ItemUniqueConstraint(fields=["codes"], name="key_codes")]


class Pair(models.Model):
    """Its primary key has two columns."""

    pk = models.CompositePrimaryKey("left", "right")
    left = models.IntegerField()
    right = models.CharField(max_length=5)
    tags = ListField(models.CharField(max_length=5))

    class Meta:
        app_label = "indexed"
        apps = registry
        indexes = [ItemIndex(fields=["tags"], name="pair_tags")]


MODELS = (Shelf, Note, Key, Pair)
