"""The same rows for both engines."""

import datetime
import random
from dataclasses import dataclass
from decimal import Decimal

from benchmarks.words import WORDS

from .models import Author, Book, Document, Sale, Stock

COUNTRIES = ["AT", "BR", "CA", "DK", "EG", "FR", "GH", "HU", "IN", "JP"]
FIRST_DAY = datetime.date(2024, 1, 1)


@dataclass(frozen=True)
class Sizes:
    """How many rows there are; a tenth of all, and the measurements are a test."""

    authors: int = 1_000
    books: int = 10_000
    sales: int = 100_000

    @classmethod
    def of(cls, quick):
        """Return the sizes of a quick run or of a whole one."""
        return cls(100, 1_000, 10_000) if quick else cls()


def sale(number, books):
    """Return a sale that isn't saved; there are a thousand for each day."""
    return Sale(
        book_id=number * 7919 % books + 1,
        day=FIRST_DAY + datetime.timedelta(number * 31 % 100),
        quantity=number * 17 % 100,
        price=Decimal(number % 10_000) / 100,
    )


def fill(sizes):
    """Fill the empty tables."""
    dice = random.Random(20240101)
    Author.objects.bulk_create(
        Author(name=f"{dice.choice(WORDS)} {number}".title(), country=COUNTRIES[at])
        for number, at in ((n, dice.randrange(10)) for n in range(sizes.authors))
    )
    Book.objects.bulk_create(
        Book(
            title=" ".join(dice.choices(WORDS, k=3)).capitalize(),
            author_id=number % sizes.authors + 1,
            genre=dice.choice(Book.GENRES)[0],
            shelf=number * 13 % (sizes.books // 10),
            isbn=f"{9_780_000_000_000 + number}",
            pages=dice.randrange(50, 1000),
            price=Decimal(dice.randrange(500, 5000)) / 100,
            published=FIRST_DAY - datetime.timedelta(dice.randrange(20_000)),
            in_print=dice.random() < 0.8,
            text=" ".join(dice.choices(WORDS, k=20)),
        )
        for number in range(sizes.books)
    )
    for start in range(0, sizes.sales, 10_000):
        numbers = range(start, min(start + 10_000, sizes.sales))
        Sale.objects.bulk_create(sale(number, sizes.books) for number in numbers)
    Stock.objects.bulk_create(
        Stock(quantity=number % 100, note=WORDS[number % 24])
        for number in range(sizes.books)
    )
    Document.objects.bulk_create(
        Document(
            title=f"{WORDS[number % 24]} {number}", body=WORDS[number % 23] * 20_000
        )
        for number in range(sizes.authors // 5)
    )
