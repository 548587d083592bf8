"""Many tables, as the migrations of a large project make them."""

import functools

from django.apps.registry import Apps
from django.db import connection, models


@functools.cache
def _models(count):
    registry = Apps()
    return [
        type(
            f"Table{number}",
            (models.Model,),
            {
                "__module__": __name__,
                "Meta": type("Meta", (), {"app_label": "tables", "apps": registry}),
                "name": models.CharField(max_length=50, db_index=True),
                "slug": models.SlugField(unique=True),
                "quantity": models.PositiveIntegerField(default=0),
                "up": models.ForeignKey("self", models.CASCADE, null=True),
            },
        )
        for number in range(count)
    ]


def create_tables(count):
    """Make so many tables in one transaction; return how many there are then."""
    with connection.schema_editor() as editor:
        for model in _models(count):
            editor.create_model(model)
    return len(connection.introspection.table_names())


def drop_tables(count):
    """Drop them again, if they are there."""
    there = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for model in _models(count):
            if model._meta.db_table in there:
                editor.delete_model(model)
