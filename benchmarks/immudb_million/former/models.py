"""What the first migration makes."""

from django.db import models


class Author(models.Model):
    """Who caused events."""

    name = models.CharField(max_length=100)

    def __str__(self):
        return self.name


class Event(models.Model):
    """A line of the log."""

    created = models.DateTimeField(db_index=True)
    author = models.ForeignKey(Author, models.CASCADE)
    name = models.CharField(max_length=60, db_index=True)
    level = models.IntegerField()
    note = models.CharField(max_length=100, null=True)  # noqa: DJ001  # it is migrated
    data = models.JSONField()

    def __str__(self):
        return self.name
