"""Models of the tests of stores that write."""

from django.db import models

from tests.nonrel.models import Registry

registry = Registry()


class Author(models.Model):
    name = models.CharField(max_length=100, unique=True)

    class Meta:
        app_label = "examples"
        apps = registry


class Book(models.Model):
    title = models.TextField()
    price = models.DecimalField(max_digits=9, decimal_places=2)
    cover = models.BinaryField(null=True)
    details = models.JSONField(null=True)
    author = models.ForeignKey(Author, models.CASCADE, null=True)

    class Meta:
        app_label = "examples"
        apps = registry


class Hostile(models.Model):
    key = models.CharField(max_length=100, primary_key=True)
    other = models.CharField(max_length=100, unique=True)

    class Meta:
        app_label = "examples"
        apps = registry
        db_table = 'ho:st*ile"] {x}\\'


ALL = (Author, Book, Hostile)
