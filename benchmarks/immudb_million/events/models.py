"""What the last migration leaves."""

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
    severity = models.CharField(max_length=10)
    note = models.CharField(max_length=100, default="", db_index=True)
    data = models.JSONField()
    weight = models.IntegerField(default=1)

    def __str__(self):
        return self.name
