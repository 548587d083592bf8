"""Many rows pass through, and memory stays as it was."""

import itertools
import pathlib

import pytest
from django.db.models.functions import Upper

from tests.effort import effort

from .models import Author, Book

ROWS = effort(test=40_000, check=60_000, soak=1_000_000)
#: MiB that it may grow by; rows that are kept would take ROWS / 1000, or more.
GROWTH = 50 if ROWS >= 1_000_000 else 20
STATUS = pathlib.Path("/proc/self/status")


def memory():
    """Return MiB of this process that aren't files: LMDB's map is one."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def growth(rows):
    """Return by how much memory grows, at the most, and the number of rows."""
    start = most = memory()
    number = 0
    for number, _ in enumerate(rows, 1):
        if number % 5000 == 0:
            most = max(most, memory())
    return max(most, memory()) - start, number


def written(authors):
    numbers = iter(range(ROWS))
    while batch := list(itertools.islice(numbers, 5000)):
        yield from Book.objects.bulk_create(
            Book(title=f"t{n}", author=authors[n % len(authors)]) for n in batch
        )


@pytest.mark.skipif(not STATUS.exists(), reason="memory is looked up in /proc")
def test_memory_is_flat(lmdb):
    lmdb.create(Author, Book)
    authors = Author.objects.bulk_create(Author(name=f"a{n}") for n in range(1000))
    books = Book.objects
    for rows in (
        written(authors),
        books.iterator(),
        books.filter(title__contains="t").values_list("pk").iterator(),
        books.select_related("author").iterator(),
        books.annotate(upper=Upper("title")).iterator(),
        books.filter(author__name__gt="").iterator(),
    ):
        grown, number = growth(rows)
        assert number == ROWS
        assert grown < GROWTH
