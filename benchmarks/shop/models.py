"""Ten books for each author, ten sales for each book."""

from django.db import models


class Author(models.Model):
    """Who wrote books."""

    name = models.CharField(max_length=100)
    country = models.CharField(max_length=2)

    def __str__(self):
        return self.name


class Book(models.Model):
    """Eleven columns, an index on the shelf, none on pages and text."""

    GENRES = [("essay", "Essay"), ("novel", "Novel"), ("poetry", "Poetry")]

    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE)
    genre = models.CharField(max_length=10, choices=GENRES)
    shelf = models.IntegerField(db_index=True)
    isbn = models.CharField(max_length=13, unique=True)
    pages = models.IntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    published = models.DateField()
    in_print = models.BooleanField(default=True)
    text = models.TextField()

    def __str__(self):
        return self.title


class Sale(models.Model):
    """The long table: a key to another one and an index on the day."""

    book = models.ForeignKey(Book, models.CASCADE)
    day = models.DateField(db_index=True)
    quantity = models.IntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2)

    def __str__(self):
        return f"{self.quantity} on {self.day}"


class Stock(models.Model):
    """A table with a CHECK, that of ``PositiveIntegerField``."""

    quantity = models.PositiveIntegerField()
    note = models.CharField(max_length=50)

    def __str__(self):
        return f"{self.quantity} of {self.note}"


class Document(models.Model):
    """A few short columns beside a large one."""

    title = models.CharField(max_length=100)
    body = models.TextField()

    def __str__(self):
        return self.title
