"""Models of a registry of their own, for the tests of the ledger."""

import uuid

from django.db import models

from backendkit.backends.immudb.ledger import LedgerManager, LedgerQuerySet
from tests.nonrel.models import Registry

registry = Registry()


class Options:
    app_label = "ledger"
    apps = registry


class Author(models.Model):
    name = models.CharField(max_length=40, db_index=True)

    objects = LedgerManager()

    class Meta(Options):
        # What immudb's names can't have.
        db_table = 'Ledger "Author"'


class Tag(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    word = models.CharField(max_length=20, unique=True)

    objects = LedgerManager()

    class Meta(Options):
        pass


class Book(models.Model):
    title = models.CharField("Title", max_length=60, db_column="Title")
    author = models.ForeignKey(Author, models.CASCADE, null=True, related_name="books")
    price = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    pages = models.IntegerField(default=0, db_index=True)
    published = models.DateField(null=True)
    changed = models.DateTimeField(null=True, db_index=True)
    data = models.JSONField(null=True)
    tags = models.ManyToManyField(Tag)

    objects = LedgerManager()

    class Meta(Options):
        pass


class Novel(Book):
    """A table of its own, beside its parent's."""

    genre = models.CharField(max_length=20)

    class Meta(Options):
        pass


class Shelf(Book):
    """No table of its own."""

    objects = LedgerQuerySet.as_manager()

    class Meta(Options):
        proxy = True


MODELS = (Author, Tag, Book, Novel)
